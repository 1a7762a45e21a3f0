"""What a provider must not show: nothing of a pupil and no secret in a log, a repr, or an error (P7)."""

from __future__ import annotations

import gc
import keyword
import re
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator
from contextlib import aclosing, suppress
from typing import Any

from sis_connect.connection import OpenProvider
from sis_connect.errors import SISError
from sis_connect.oauth.wiring import has_token
from sis_connect.provider import Scope
from sis_connect.testing.suite.bench import Bench
from sis_connect.testing.suite.check import Check, Failed
from sis_connect.testing.suite.identity import needs_sandbox
from sis_connect.testing.suite.lists import lists, of_people
from sis_connect.testing.suite.outcome import ReadOutcome, read_out

Run = Callable[[Bench], Coroutine[Any, Any, None]]
#: What says who somebody is.
_TELLING = frozenset(
    (
        *("given_name", "middle_name", "family_name", "username", "birth_date", "address", "number", "street", "email"),
        *("preferred_given_name", "preferred_middle_name", "preferred_family_name"),
    )
)
#: A shorter value may be an ordinary word, a shorter number a count.
_SHORTEST, _SHORTEST_NUMBER = 4, 5
_A_SECRET = "x4-not-the-right-secret-4x"  # noqa: S105 - one that is wrong on purpose
_FAULTS = (("truncate", ""), ("html", "200"), ("status", "500"), ("status", "403"), ("redirect", ""), ("token_expiry", "0"))


class Hidden:
    """What must not be seen: values of people, and secrets. `found_in` says what of it a text shows, without showing it."""

    def __init__(self, people: Collection[str], secrets: Collection[str]) -> None:
        self._people = _pattern(people)
        self._secrets = [secret for secret in secrets if secret]

    def found_in(self, text: str) -> str | None:
        """What a text shows, by its sort."""
        if any(secret in text for secret in self._secrets):
            return "a secret or an access token"
        return "data of a person" if self._people is not None and self._people.search(text) else None


def _pattern(values: Collection[str]) -> re.Pattern[str] | None:
    if not values:
        return None
    # Not a port, nor a number of bytes or milliseconds.
    every = "|".join(re.escape(value) for value in sorted(values, key=len, reverse=True))
    return re.compile(rf"(?<![\w:.])(?:{every})(?!\w| bytes| ms)")


def _values(row: Any, name: str = "") -> Iterator[str]:
    """The values of a record's plain JSON that say who somebody is."""
    if isinstance(row, dict):
        for key, value in row.items():
            yield from _values(value, "number" if name == "ids" or key == "sis_id" else key)
    elif isinstance(row, list):
        for value in row:
            yield from _values(value, name)
    elif isinstance(row, str) and name in _TELLING and not _is_ordinary(row):
        yield row


def _is_ordinary(value: str) -> bool:
    """Whether a value may stand anywhere: short ones do, and some people are called None or True."""
    too_short = len(value) < (_SHORTEST_NUMBER if value.isdigit() else _SHORTEST)
    return too_short or keyword.iskeyword(value) or value.lower() in ("null", "true", "false")


async def hidden(bench: Bench, opened: OpenProvider) -> Hidden:
    """All that must not be seen."""
    people = {
        value
        for kind in bench.kinds
        if kind in ("students", "staff", "guardians")
        for row in bench.truth(kind, fields=None)
        for value in _values({name: value for name, value in row.items() if name not in ("key", "school", "schools")})
    }
    return Hidden(people, [bench.sandbox.client_secret, _A_SECRET, *await _tokens(bench, opened)])


async def _tokens(bench: Bench, opened: OpenProvider) -> list[str]:
    if opened.transport is None or opened.transport._signer is None or not has_token(bench.info, bench.config()):
        return []
    signature = await opened.transport._signer.signature()
    return [value.rpartition(" ")[2] for value in signature.headers("GET", bench.sandbox.base_url).values()]


async def logs_show_nothing(bench: Bench) -> None:
    each = await of_people(bench)
    with bench.listening() as said:
        async with bench.open(fields=",".join(bench.fields())) as opened:
            secret = await hidden(bench, opened)
            await read_out(opened.provider, bench.kinds)
            with suppress(SISError):
                await opened.provider.check()
            bench.fault("truncate", count=3, path=each.path)
            bench.fault("html", 200, count=1)
            await read_out(opened.provider, {each.kind})
            bench.clear_faults()
            pages: Any = opened.provider.pages({each.kind}, scope=Scope())
            async with aclosing(pages):
                async for _ in pages:
                    break
        del opened, pages
        gc.collect()  # what it says when it is done away with is said, too
    await _demand_silence(said.lines, secret)


async def _demand_silence(lines: Iterable[str], secret: Hidden) -> None:
    for line in lines:
        if what := secret.found_in(line):
            where = line.partition(":")[0][:80] if " " in line.partition(":")[0] else "what is printed"
            raise Failed(
                f"The log shows {what} (in a line of {where}). Log what is done, the template of a path, a status, a number of "
                "rows: never a value of a row, a concrete path or a header. An InvalidRow names fields."
            )


async def reprs_show_nothing(bench: Bench) -> None:
    async with bench.open(fields=",".join(bench.fields())) as opened:
        secret = await hidden(bench, opened)
        outcome = await read_out(opened.provider, bench.kinds)
        for what, thing in _things(bench, opened, outcome):
            for shown in (repr(thing), str(thing), f"{thing}"):
                if found := secret.found_in(shown):
                    raise Failed(
                        f"The repr of {what} shows {found}: it ends in a log with the first traceback. Mark fields with "
                        "repr=False, keep secrets as pydantic.SecretStr, and let Page, Reading and the records show themselves."
                    )


def _things(bench: Bench, opened: OpenProvider, outcome: ReadOutcome) -> Iterator[tuple[str, object]]:
    yield "the provider", opened.provider
    for name, value in vars(opened.provider).items() if hasattr(opened.provider, "__dict__") else ():
        if name != "transport":
            yield f"the provider's attribute {name!r}", value
    yield "the settings", bench.config()
    for page in outcome.pages[:40]:
        yield "a page", page
        yield "what reads a page's rows", page.read
    for records in outcome.records.values():
        yield "a record", records[0]
    for fault in outcome.invalid:
        yield "an InvalidRow", fault


async def errors_show_nothing(bench: Bench) -> None:
    every, people = await lists(bench), await of_people(bench)
    async with bench.open(fields=",".join(bench.fields()), max_attempts=1) as opened:
        secret = await hidden(bench, opened)
        for name, value in _FAULTS:
            for each in every if name == "truncate" else [people]:
                bench.fault(name, value, path=each.path)
                await _demand_discreet(opened, {each.kind}, secret, f"{name}={value}" if value else name)
                bench.clear_faults()
    async with bench.open(client_secret=_A_SECRET) as opened:
        await _demand_discreet(opened, {people.kind}, secret, "a wrong client secret")


async def _demand_discreet(opened: OpenProvider, kinds: Any, secret: Hidden, fault: str) -> None:
    told: list[BaseException] = []
    try:
        outcome = await read_out(opened.provider, kinds)
        told += [*outcome.errors, *outcome.invalid]
    except Failed:
        raise
    except Exception as unexpected:  # noqa: BLE001 - whatever it is, it may not show anything
        told.append(unexpected)
    for error in told:
        text = "\n".join(f"{each} {each!r} {getattr(each, 'remedy', '')}" for each in _shown_with(error))
        if found := secret.found_in(text):
            raise Failed(
                f"An error shows {found} (with the fault {fault}). A message says what was done and what came of it, never the "
                "answer, a value or a header; and raise it `from None` where its cause quotes one."
            )


def _shown_with(error: BaseException | None) -> Iterator[BaseException]:
    """The errors that a traceback shows."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _check(run: Run, title: str) -> Check[Bench]:
    return Check(name=run.__name__, title=title, run=run, promise="P7", needs=needs_sandbox)


CHECKS: tuple[Check[Bench], ...] = (
    _check(logs_show_nothing, "No log, warning or print shows data of a person or a secret."),
    _check(reprs_show_nothing, "No repr shows data of a person or a secret."),
    _check(errors_show_nothing, "No error shows data of a person or a secret."),
)
