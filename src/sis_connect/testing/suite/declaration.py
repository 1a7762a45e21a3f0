"""Is a plugin what it says it is, before anything is read: its parts, its settings, and what `doctor` hears from it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from sis_connect.capabilities import KINDS
from sis_connect.discovery import load
from sis_connect.errors import ConfigurationError, ProviderError, SISError
from sis_connect.provider import BaseSISProvider, Finding, InvalidRow, Page, ProviderInfo, Reading, Scope
from sis_connect.records import Record
from sis_connect.testing.suite.bench import Bench
from sis_connect.testing.suite.check import Check, Failed, listed
from sis_connect.testing.suite.identity import needs_sandbox
from sis_connect.testing.suite.quoting import told
from sis_connect.testing.suite.stumbling import stumbled, whose

#: The parts that a ProviderInfo names, to be loaded when they are used.
PARTS = ("provider", "settings", "read_error", "refine", "hints", "sandbox")
#: Nobody has a setting of this name, or such a value for one.
UNKNOWN, GARBAGE = "setting_that_nobody_has", "\u2603 no such value"


async def something_comes(bench: Bench) -> None:
    """Without it, every other check would fail for the same reason."""
    where: str = bench.sandbox._app.sandbox.base_path
    if where and not bench.info.base_path:
        raise Failed(
            f"The sandbox has base_path={where!r}, so that its base URL ends with that, and ProviderInfo(base_path=False) says "
            f"that a base URL has no path. Where the path is always the same, write {where!r} before the paths of the endpoints "
            "and of the sandbox's listings, and give the sandbox no base_path; else leave base_path=False out."
        )
    outcome = await bench.roster()
    if any(outcome.records.values()):
        return
    if outcome.errors:
        raise Failed(f"A first read, with nothing wrong at the server, brings an error alone: {outcome.errors[0]}{bench.notes()}")
    if outcome.invalid:
        reason = told(f": {outcome.invalid[0].message}", ".")
        raise Failed(f"A first read brings {len(outcome.invalid)} rows, and none of them can be understood{reason}")
    raise Failed(
        "A first read brings no record at all, and no error. Look at where the rows are in an answer (Endpoint.rows), and "
        f"whether each endpoint names the kinds that it feeds.{bench.notes()}"
    )


async def parts_are_there(bench: Bench) -> None:
    info = bench.subject.info
    for name in PARTS:
        target = getattr(info, name)
        if target is None:
            continue
        try:
            load(target)
        except SISError as error:
            raise Failed(f"ProviderInfo.{name} is {target!r}, which cannot be loaded: {error}") from error
        except ValueError as error:
            raise Failed(f"ProviderInfo.{name} is {target!r}, which is not of the form module:name.") from error
    if not info.label.strip() or info.label == info.name:
        raise Failed("ProviderInfo.label is what people read in messages and lists: write the name of the SIS as it is spelled.")
    if not info.capabilities.offered():
        raise Failed("ProviderInfo.capabilities offer no kind of record: name each that the plugin reads, with offered=True.")
    if (info.settings is not None) and not issubclass(load(info.settings), BaseModel):
        raise Failed("ProviderInfo.settings names no pydantic model: settings are declared as one, so that they can be checked.")


async def provider_is_one(bench: Bench) -> None:
    async with bench.open() as opened:
        provider: Any = opened.provider
        if not isinstance(provider, BaseSISProvider):
            raise Failed("What ProviderInfo.provider makes has not all of info, check() and pages(): inherit from RestProvider.")
        if not isinstance(provider.info, ProviderInfo) or provider.info.name != bench.info.name:
            raise Failed("The provider's own info is another than the one that was registered: hand on the one that it is given.")


async def pages_keep_their_form(bench: Bench) -> None:
    """Nothing is said about what they hold: only whether the engine could take them."""
    async with bench.open() as opened:
        pages: Any = opened.provider.pages(bench.kinds, scope=Scope(), since=None, cursor=None)
        if not hasattr(pages, "__aiter__"):
            raise Failed("pages() returns something else than an async iterator: write it as `async def` with `yield`.")
        try:
            every: list[Any] = (await bench.roster()).pages
        except Exception:  # noqa: BLE001 - what comes may be anything; what is wrong with it is said below
            every = [page async for page in pages]
        if hasattr(pages, "aclose"):
            await pages.aclose()
    for page in every:
        if not isinstance(page, Page):
            raise Failed(f"pages() yields {type(page).__name__} where a Page belongs.")
        if not page.kinds or not set(page.kinds) <= set(KINDS):
            raise Failed(f"A page of {page.endpoint!r} names no kinds, or unknown ones: {listed(page.kinds)}.")
        if not page.endpoint or not isinstance(page.context, str) or not isinstance(page.cursor, str | None):
            raise Failed("Page.endpoint, context and cursor are text: they name a list, and where it may be read on.")
        for raw in page.rows[:3]:
            _demand_reading(page, raw)


def _demand_reading(page: Page, raw: Any) -> None:
    if not isinstance(raw, bytes | bytearray | memoryview):
        raise Failed(
            f"The rows of a page of {page.endpoint!r} are {type(raw).__name__}: they are raw bytes, as the SIS sent them."
        )
    try:
        reading: Any = page.read(bytes(raw))
    except InvalidRow:
        return
    if not (isinstance(reading, Reading) and all(isinstance(record, Record) for record in reading.records)):
        raise Failed(f"Page.read of {page.endpoint!r} returns something else than a Reading of records.")


async def healthy_is_found_healthy(bench: Bench) -> None:
    findings = await _findings(bench)
    if not findings:
        raise Failed("check() finds nothing at all: say at least that the server answers and that the credentials are accepted.")
    _demand_sentences(findings)
    errors = [finding for finding in findings if finding.level == "error"]
    if errors:
        raise Failed(f"Nothing is wrong, and check() finds an error: {errors[0].topic}{told(f': {errors[0].message}')}")


async def refusal_is_found(bench: Bench) -> None:
    bench.fault("status", 401)
    await _demand_error(bench, "When the server refuses every request (401)")


async def outage_is_found(bench: Bench) -> None:
    bench.fault("status", 503)
    await _demand_error(bench, "When the server is down (503)")


async def _demand_error(bench: Bench, when: str) -> None:
    findings = await _findings(bench, when)
    _demand_sentences(findings)
    errors = [finding for finding in findings if finding.level == "error"]
    if not errors:
        raise Failed(
            f"{when}, check() finds no error. Make the cheapest request that needs the credentials, and turn what it raises into "
            'a Finding with level="error".'
        )
    if not any(finding.remedy for finding in errors):
        raise Failed(f"{when}, check() says what is wrong and not what to do about it: give that Finding a remedy.")


async def _findings(bench: Bench, when: str = "") -> Sequence[Finding]:
    async with bench.open(max_attempts=1) as opened:
        try:
            findings = await opened.provider.check()
        except SISError as error:
            raise Failed(
                f"{when or 'Where nothing is wrong'}, check() raises {type(error).__name__}. What it comes across is a Finding, "
                "so that everything else is told, too."
            ) from error
    if not isinstance(findings, Sequence) or not all(isinstance(finding, Finding) for finding in findings):
        raise Failed("check() returns something else than a sequence of Finding.")
    return findings


def _demand_sentences(findings: Sequence[Finding]) -> None:
    for finding in findings:
        if not finding.topic or not finding.message.strip():
            raise Failed("check() returns a Finding without topic or message: say in plain words what was found.")


async def unknown_settings_are_refused(bench: Bench) -> None:
    chosen: dict[str, Any] = {UNKNOWN: "1"}
    try:
        async with bench.open(**chosen):
            pass
    except ConfigurationError as error:
        if UNKNOWN not in error.message:
            raise Failed(f"A setting that there is not is refused without naming it: {error.message}") from error
        return
    raise Failed(
        "A setting that there is not is accepted, so that a slip of the pen goes unnoticed: declare the settings with "
        'extra="forbid".'
    )


def needs_settings(bench: Bench) -> str | None:
    """For providers with settings of their own."""
    return None if bench.info.settings else f"{bench.info.label} has no settings of its own."


async def bad_settings_are_refused(bench: Bench) -> None:
    model: type[BaseModel] = load(str(bench.info.settings))
    for name in model.model_fields:
        for value in (GARBAGE, "", "-1"):
            chosen: dict[str, Any] = {name: value}
            try:
                async with bench.open(**chosen):
                    pass
            except ConfigurationError as error:
                if name not in str(error) and value == GARBAGE:
                    raise Failed(
                        f"A wrong value of the setting {name!r} is refused without naming the setting: {error.message}"
                    ) from error
            except ProviderError as error:
                raise Failed(
                    f"The setting {name!r} with the value {value!r} makes the plugin stumble: {error.message}"
                ) from error
            except SISError:
                continue
            except Exception as error:
                raise Failed(
                    f"The setting {name!r} with the value {value!r} is too much: {stumbled(error, whose(bench))} "
                    "Check values in the settings model, or raise ConfigurationError with a remedy."
                ) from error


CHECKS: tuple[Check[Bench], ...] = (
    Check(
        name="something_comes",
        title="The provider can be made, and a first read brings records. Without it, nothing else is checked.",
        run=something_comes,
        promise="P9",
        foundation=True,
    ),
    Check(
        name="parts_are_there", title="All parts that the ProviderInfo names can be loaded.", run=parts_are_there, promise="P12"
    ),
    Check(name="provider_is_one", title="The provider keeps the contract's form.", run=provider_is_one, promise="P12"),
    Check(
        name="pages_keep_their_form",
        title="Pages, rows and what is read of them are what the engine can take.",
        run=pages_keep_their_form,
        promise="P12",
    ),
    Check(
        name="unknown_settings_are_refused",
        title="A setting that there is not is refused by name.",
        run=unknown_settings_are_refused,
    ),
    Check(
        name="bad_settings_are_refused",
        title="Wrong values of settings are refused by name, and make nothing fail.",
        run=bad_settings_are_refused,
        needs=needs_settings,
    ),
    Check(name="healthy_is_found_healthy", title="`doctor` hears no error where nothing is wrong.", run=healthy_is_found_healthy),
    Check(
        name="refusal_is_found",
        title="`doctor` hears that the server refuses us, and what to do.",
        run=refusal_is_found,
        needs=needs_sandbox,
    ),
    Check(
        name="outage_is_found",
        title="`doctor` hears that the server is down, and what to do.",
        run=outage_is_found,
        needs=needs_sandbox,
    ),
)
