"""`conflicts`, `resolve`, `pin`, `unpin`, `pins`, `edits`, `revert`: where the SIS and the app differ, and who decides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, cast

import typer

from sis_connect.capabilities import KINDS, Kind
from sis_connect.cli.integrations import Name, OptionalName, moment
from sis_connect.cli.invocation import actor, answer_list, command, invocation_of, list_failure, print_json, say
from sis_connect.cli.providers import AsJson
from sis_connect.cli.reports import failed_report
from sis_connect.cli.syncing import answer, known_kinds
from sis_connect.cli.tables import counted, table

#: What a question may be about besides a field: a row that the app deleted, and whom the app may know already.
WHOLE, IDENTITY = "*", "local_id"


def known_kind(name: str | None) -> str | None:
    """A kind as it was named, which must exist."""
    return known_kinds([name])[0] if name is not None else None  # type: ignore[index]


def known_field(name: str | None) -> str | None:
    """A field as it was named: a slip must not look as if no question waited."""
    if name is not None and name not in (WHOLE, IDENTITY):
        from sis_connect.store.tables import roster_fields

        if not any(name.partition(".")[0] in roster_fields(kind) for kind in KINDS):
            raise typer.BadParameter(f"{name!r} is no field of any kind of record.")
    return name


OfKind = Annotated[str | None, typer.Option("--kind", metavar="KIND", callback=known_kind, help="Only of this kind of record.")]
OfField = Annotated[
    str | None,
    typer.Option("--field", metavar="FIELD", callback=known_field, help="Only about this field, such as grade."),
]
KindName = Annotated[str, typer.Argument(metavar="KIND", callback=known_kind, help="The kind of record, such as students.")]
RecordId = Annotated[str, typer.Argument(metavar="ID", help="The record, by its id in the SIS.")]


def register(app: typer.Typer) -> None:
    command(app, "conflicts", failure=list_failure)(conflicts)
    command(app, "resolve", failure=failed_report)(resolve)
    command(app, "pin")(pin)
    command(app, "unpin")(unpin)
    command(app, "pins", failure=list_failure)(pins)
    command(app, "edits", failure=list_failure)(edits)
    command(app, "revert", failure=failed_report)(revert)


async def conflicts(
    context: typer.Context, name: OptionalName = None, kind: OfKind = None, field: OfField = None, as_json: AsJson = False
) -> None:
    """List the questions that wait for a person.

    Each is shown with what both sides say, so this may show names.
    """
    async with invocation_of(context).service() as service:
        found = await service.conflicts(name, kind=cast("Kind | None", kind), field=field)
    items = [question.as_dict() for question in found]
    answer_list(items, as_json, _conflict_table(items) if items else "No question waits.")


async def resolve(
    context: typer.Context,
    conflict: Annotated[str | None, typer.Argument(metavar="[ID]", help="The question, as `conflicts` names it.")] = None,
    take: Annotated[Literal["sis", "local"] | None, typer.Option(help="Whose value is right.")] = None,
    value: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The value that is right, if neither is. A list is JSON; nothing is blank.")
    ] = None,
    every: Annotated[str | None, typer.Option("--all", metavar="NAME", help="All questions of this integration at once.")] = None,
    kind: OfKind = None,
    field: OfField = None,
    preview: Annotated[bool, typer.Option("--preview", help="With --all: only show what it would come to.")] = False,
    as_json: AsJson = False,
) -> int:
    """Decide a question, and write what that comes to.

    With --all, one rule decides about all that wait, or those of a kind or a field.
    """
    if (conflict is None) is (every is None):
        raise typer.BadParameter("Name one question, or an integration with --all.")
    if (take is None) is (value is None):
        raise typer.BadParameter("Say who is right with --take, or what is right with --value.")
    if conflict is not None and (kind or field or preview):
        raise typer.BadParameter("--kind, --field and --preview belong to --all.")
    given: dict[str, Any] = {"take": take} if take is not None else {"value": value}
    async with invocation_of(context).service() as service:
        if every is None:
            report = await service.resolve(str(conflict), **given, actor=actor())
        else:
            report = await service.resolve_all(
                every, kind=cast("Kind | None", kind), field=field, preview=preview, **given, actor=actor()
            )
    return answer(report.as_dict(name="plan") | {"plan": report.plan} if preview else report.as_dict(), as_json)


async def pin(
    context: typer.Context,
    name: Name,
    kind: KindName,
    sis_id: RecordId,
    field: Annotated[str, typer.Option(metavar="FIELD", help="Protect only the app's value of this field.")] = "",
    expires: Annotated[
        datetime | None, typer.Option(metavar="DATE", formats=["%Y-%m-%d"], help="The first day on which it protects no more.")
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for whoever looks at it later.")] = "",
    as_json: AsJson = False,
) -> None:
    """Protect a record from withdrawal, or one of its fields.

    A pinned field keeps the app's value, whatever the SIS says.
    """
    async with invocation_of(context).service() as service:
        made = await service.pin(
            name,
            cast(Kind, kind),
            sis_id,
            field=field,
            reason=reason,
            expires_on=expires.date() if expires else None,
            actor=actor(),
        )
    if as_json:
        print_json(made.as_dict())
    else:
        until = f" until {made.expires_on}" if made.expires_on else ""
        say(f"Pinned {f'{field} of ' if field else ''}{sis_id}{until}, as {made.id}.")


async def unpin(
    context: typer.Context,
    pin: Annotated[str, typer.Argument(metavar="ID", help="The pin, as `pins` names it.")],
    as_json: AsJson = False,
) -> None:
    """Remove a pin. The next sync decides about what it protected."""
    async with invocation_of(context).service() as service:
        removed = await service.unpin(pin, actor=actor())
    if as_json:
        print_json(removed.as_dict())
    else:
        say(f"Removed the pin {removed.id} of {removed.sis_id}. The next sync decides about what it protected.")


async def pins(context: typer.Context, name: OptionalName = None, as_json: AsJson = False) -> None:
    """List what is pinned."""
    async with invocation_of(context).service() as service:
        items = [pin.as_dict() for pin in await service.pins(name)]
    headings = ("ID", "integration", "kind", "id in the SIS", "field", "until", "by", "reason")
    names = ("id", "integration", "kind", "sis_id", "field", "expires_on", "actor", "reason")
    answer_list(items, as_json, table(headings, _cells(items, names)) if items else "Nothing is pinned.")


async def edits(context: typer.Context, name: Name, kind: OfKind = None, as_json: AsJson = False) -> None:
    """List what the app has edited in the built-in roster."""
    async with invocation_of(context).service() as service:
        items = [edit.as_dict() for edit in await service.edits(name, kind=cast("Kind | None", kind))]
    shown = [{**item, "at": moment(item["at"])} for item in items]
    headings = ("kind", "id in the SIS", "field", "edited (UTC)", "by")
    text = table(headings, _cells(shown, ("kind", "sis_id", "field", "at", "author"))) if items else "The app has edited nothing."
    answer_list(items, as_json, text)


async def revert(
    context: typer.Context,
    name: Name,
    kind: KindName,
    sis_id: RecordId,
    field: Annotated[list[str] | None, typer.Option(metavar="FIELD", help="Only this field; may be given again.")] = None,
    as_json: AsJson = False,
) -> int:
    """Give a record's edits up: it becomes what the SIS says."""
    async with invocation_of(context).service() as service:
        report = (await service.revert(name, cast(Kind, kind), sis_id, fields=tuple(field or ()), actor=actor())).as_dict()
    return answer(report, as_json)


def _conflict_table(items: Sequence[Mapping[str, Any]]) -> str:
    several = len({item["integration"] for item in items}) > 1
    rows = [
        [
            item["id"],
            *([item["integration"]] if several else []),
            _kind(item["kind"]),
            item["sis_id"],
            item["field"],
            *(_shown(item[side]) for side in ("base", "sis")),
            "(deleted)" if item["field"] == WHOLE else _shown(item["local"]),
            item["rule"].replace("_", " "),
            moment(item["filed_at"]),
        ]
        for item in items
    ]
    headings = ["ID", *(["integration"] if several else [])]
    headings += ["kind", "id in the SIS", "field", "before", "SIS", "app", "rule", "asked (UTC)"]
    answers = "Answer with `sis-connect resolve ID --take sis`, `--take local` (the app's) or `--value TEXT`."
    return f"{counted(len(items), 'question')}:\n{table(headings, rows)}\n\n{answers}"


def _cells(items: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[list[str]]:
    return [[_kind(str(item[name])) if name == "kind" else str(item[name] or "-") for name in names] for item in items]


def _kind(kind: str) -> str:
    return kind.replace("_", " ")


def _shown(value: object) -> str:
    """A value in a cell of its own: text as it is, lists and the like as JSON, nothing as a dash."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
