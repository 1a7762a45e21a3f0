"""`add`, `list`, `remove`, `doctor`, `health`: which districts are connected, and how they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sis_connect.cli.invocation import (
    DONE,
    FAILED,
    actor,
    answer_list,
    command,
    invocation_of,
    list_failure,
    note,
    print_json,
    say,
)
from sis_connect.cli.providers import AsJson
from sis_connect.cli.tables import counted, duration, indented, number, table
from sis_connect.errors import ConfigurationError

if TYPE_CHECKING:
    from sis_connect.settings import SISProviderConfig

Name = Annotated[str, typer.Argument(metavar="NAME", help="The integration.")]
OptionalName = Annotated[str | None, typer.Argument(metavar="[NAME]", help="The integration; all of them without it.")]

SECRET_VARIABLE = "SIS_CONNECT_CLIENT_SECRET"  # noqa: S105 - the name of a variable, no secret
PASSWORD_VARIABLE = "SIS_CONNECT_PASSWORD"  # noqa: S105 - the name of a variable, no secret
WEBHOOK_VARIABLE = "SIS_CONNECT_WEBHOOK_SECRET"


def register(app: typer.Typer) -> None:
    command(app, "add")(add)
    command(app, "list", failure=list_failure)(list_integrations)
    command(app, "remove")(remove)
    command(app, "doctor", failure=list_failure)(doctor)
    command(app, "health", failure=list_failure)(health)


async def add(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="What to call this integration.")] = None,
    provider: Annotated[str | None, typer.Option(help="The provider of its SIS; see `providers`.")] = None,
    base_url: Annotated[
        str | None, typer.Option(help="The address of the SIS, such as https://sis.example.org; for exports file:///…")
    ] = None,
    token_url: Annotated[str | None, typer.Option(help="Where tokens come from, if not from the base URL.")] = None,
    client_id: Annotated[str | None, typer.Option(help="The client id that the district gave out.")] = None,
    client_secret_file: Annotated[
        Path | None, typer.Option(help=f"A file with the client secret; or give it in {SECRET_VARIABLE}.")
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(help=f"A file with the password, for the grant `password`; or give it in {PASSWORD_VARIABLE}."),
    ] = None,
    webhook_secret_file: Annotated[
        Path | None,
        typer.Option(help=f"A file with the secret of those who send word of changes; or give it in {WEBHOOK_VARIABLE}."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other setting; may be given again.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Take the integrations that a TOML file declares.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Connect a district, or change some of its settings."""
    from sis_connect.settings import SECRET_KEYS, SISConfigManager

    invocation = invocation_of(context)
    given: dict[str, Any] = {"provider": provider, "base_url": base_url, "token_url": token_url, "client_id": client_id}
    given = {key: value for key, value in given.items() if value is not None} | pairs(settings)
    if SECRET_KEYS & given.keys():
        raise typer.BadParameter(
            f"A secret does not belong on a command line; use --client-secret-file or {SECRET_VARIABLE}, "
            f"for a password --password-file or {PASSWORD_VARIABLE}, for webhooks --webhook-secret-file or {WEBHOOK_VARIABLE}."
        )
    files = {"client_secret": client_secret_file, "password": password_file, "webhook_secret": webhook_secret_file}
    before: Mapping[str, Any] = {}
    if source is None and name is not None:
        given |= secrets(files)
        async with invocation.service() as service:
            before = await service.stored_settings(name)
        if before.get("provider") != given.get("provider", before.get("provider")):
            before = {}  # another SIS: nothing of what was said of the old one holds
        configs = {name: SISConfigManager().resolve(name, before, given, origin="the arguments of `add`")}
    elif given or any(path is not None for path in files.values()):
        raise typer.BadParameter("Give either a NAME with its settings or a file that has them.")
    else:
        configs = declared(SISConfigManager().load(source or invocation.config), name, source or invocation.config)
    added = []
    async with invocation.service() as service:
        for each, config in configs.items():
            integration = await service.create_integration(each, config, actor=actor())
            added.append(integration.as_dict())
    if as_json:
        print_json({"items": added})
        return
    for each, config in configs.items():
        say(f"{'Changed' if before.get('provider') else 'Added'} {each}: {config.provider} at {config.base_url}.")
    say(f"Check the connection with: sis-connect doctor {next(iter(configs))}")


def secrets(files: Mapping[str, Path | None]) -> dict[str, Any]:
    """Secrets from the files that were named, else from the environment."""
    from sis_connect.settings import read_secret

    variables = {"client_secret": SECRET_VARIABLE, "password": PASSWORD_VARIABLE, "webhook_secret": WEBHOOK_VARIABLE}
    given = {key: read_secret(path) if path is not None else os.environ.get(variables[key]) for key, path in files.items()}
    return {key: value for key, value in given.items() if value}


def pairs(texts: list[str] | None) -> dict[str, str]:
    """`--set key=value` options as a mapping."""
    found = {}
    for text in texts or ():
        key, separator, value = text.partition("=")
        if not separator or not key.strip():
            raise typer.BadParameter(f"--set takes KEY=VALUE, and {key!r} has no value.")
        found[key.strip()] = value.strip()
    return found


def declared(configs: dict[str, SISProviderConfig], name: str | None, path: Path) -> dict[str, SISProviderConfig]:
    """What a file declares, or of that only one integration."""
    if not configs:
        raise ConfigurationError(f"{path} declares no integration.", remedy="Add a table such as [lincoln] with its settings.")
    if name is None:
        return configs
    if name not in configs:
        raise ConfigurationError(f"{path} declares no integration {name!r}.", remedy=f"It declares: {', '.join(configs)}.")
    return {name: configs[name]}


async def list_integrations(context: typer.Context, as_json: AsJson = False) -> None:
    """List the integrations and how their last sync went."""
    async with invocation_of(context).service() as service:
        items = [integration.as_dict() for integration in await service.integrations()]
    rows: list[list[str]] = [
        [
            str(item["name"]),
            str(item["provider"]),
            str(item["base_url"]),
            str(item["status"]),
            moment(item["last_sync_at"]),
            str(item["last_status"] or "-"),
        ]
        for item in items
    ]
    text = table(["name", "provider", "base URL", "status", "last sync", "ended"], rows)
    answer_list(items, as_json, text if items else NOBODY)


async def remove(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """End the connection to a district. Its roster and the mapping of its ids stay."""
    async with invocation_of(context).service() as service:
        await service.remove_integration(name, actor=actor())
    if as_json:
        print_json({"integration": name, "removed": True})
    else:
        say(f"The connection {name} has ended. Its roster and the mapping of its ids are kept.")


async def doctor(context: typer.Context, name: Name, as_json: AsJson = False) -> int:
    """Say what is wrong with a connection, in plain words.

    It changes nothing, and tells what a full sync would cost in requests and minutes.
    """
    import dataclasses

    async with invocation_of(context).service() as service:
        findings = await service.doctor(name)
    items = [{**dataclasses.asdict(dataclasses.replace(finding, facts={})), "facts": dict(finding.facts)} for finding in findings]
    answer_list(items, as_json, "\n".join(finding_text(item) for item in items))
    errors = sum(item["level"] == "error" for item in items)
    if errors and not as_json:
        note(f"{counted(errors, 'thing')} must be put right before a sync can work.")
    return FAILED if errors else DONE


NOBODY = "No district is connected yet. Connect one with: sis-connect add NAME --provider …"
MARKS = {"ok": "  ok   ", "warning": "WARNING", "error": " ERROR "}


def finding_text(finding: dict[str, Any]) -> str:
    """One finding, its remedy below it."""
    lines = [f"[{MARKS[finding['level']]}] {finding['topic']}: {finding['message']}"]
    if finding["remedy"] and finding["level"] != "ok":
        lines.append(f"{'':10}{finding['remedy']}")
    return "\n".join(lines)


async def health(context: typer.Context, name: OptionalName = None, as_json: AsJson = False) -> int:
    """Say how the integrations are."""
    async with invocation_of(context).service() as service:
        items = [state.as_dict() for state in await service.health(name)]
    answer_list(items, as_json, health_text(items))
    return DONE


def health_text(items: list[dict[str, Any]]) -> str:
    """A short paragraph for each integration."""
    return "\n\n".join(state_text(item) for item in items) or NOBODY


def state_text(item: dict[str, Any]) -> str:
    """How one integration is."""
    if item["last_sync_at"] is None:
        last = "never synchronised"
    else:
        age = f", {duration(item['age_seconds'])} ago" if item["age_seconds"] is not None else ""
        last = f"last sync {moment(item['last_sync_at'])} UTC{age}: {item['last_status']}"
    counts = [f"{number(count)} {kind.replace('_', ' ')}" for kind, count in item["active"].items() if count]
    waiting = f"{counted(item['holds'], 'open hold')}, {counted(item['quarantined'], 'record')} in quarantine"
    lines = [last, f"active: {', '.join(counts) or 'nothing yet'}", waiting]
    return f"{item['integration']} ({item['provider']}): {item['status']}\n" + indented("\n".join(lines))


def moment(value: object) -> str:
    """A point in time to the minute, in UTC."""
    return str(value)[:16].replace("T", " ") if value else "-"
