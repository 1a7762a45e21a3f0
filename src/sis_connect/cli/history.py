"""`undo`, `explain`, `events`: the way back, the why, and what happened."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sis_connect.cli.integrations import Name, OptionalName, moment
from sis_connect.cli.invocation import actor, answer_list, command, invocation_of, list_failure, print_json, say
from sis_connect.cli.progress import ProgressLine
from sis_connect.cli.providers import AsJson
from sis_connect.cli.reports import failed_report
from sis_connect.cli.syncing import Kinds, answer, kinds_of, no_blank
from sis_connect.cli.tables import table

#: How many fields of a change are shown.
SHOWN = 4
ACTIONS = ("create", "update", "withdraw", "reenroll")


def known_actions(names: list[str] | None) -> list[str] | None:
    """The actions that were named, all of which can be undone."""
    for name in names or ():
        if name not in ACTIONS:
            raise typer.BadParameter(f"{name!r} cannot be undone; there are {', '.join(ACTIONS)}.")
    return names


def register(app: typer.Typer) -> None:
    command(app, "undo", failure=failed_report)(undo)
    command(app, "explain")(explain)
    command(app, "events", failure=list_failure)(events)


async def undo(
    context: typer.Context,
    operation: Annotated[str, typer.Argument(metavar="OPERATION", help="The operation, as `operations` names it.")],
    kind: Kinds = None,
    action: Annotated[
        list[str] | None,
        typer.Option(
            "--action",
            metavar="ACTION",
            callback=known_actions,
            help=f"Only this of it: {', '.join(ACTIONS)}; may be given again.",
        ),
    ] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Only plan it. `apply` takes the plan.")] = False,
    as_json: AsJson = False,
) -> int:
    """Take back what an operation wrote.

    Records that have changed since are left alone and reported. It is guarded like a sync, and can be undone itself.
    """
    invocation = invocation_of(context)
    async with invocation.service() as service:
        with ProgressLine(quiet=invocation.quiet) as progress:
            report = await service.undo(
                operation, kinds=kinds_of(kind), actions=action, preview=preview, progress=progress, actor=actor()
            )
    told = report.as_dict(name="plan") | {"plan": report.plan} if preview else report.as_dict()
    return answer(told, as_json)


async def explain(
    context: typer.Context,
    name: Name,
    student: Annotated[
        str,
        typer.Option("--student", metavar="ID", callback=no_blank, help="The student, by an id or a number of theirs."),
    ],
    section: Annotated[
        str | None, typer.Option("--section", metavar="ID", callback=no_blank, help="Their place in this section.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say why a student is on the roster, or is not."""
    async with invocation_of(context).service() as service:
        explanation = await service.explain(name, student=student, section=section)
    if as_json:
        print_json(explanation.as_dict())
    else:
        say("\n".join(explanation.sentences))


async def events(
    context: typer.Context,
    name: OptionalName = None,
    after: Annotated[
        int | None, typer.Option(min=0, metavar="CURSOR", help="Only what happened after this one; by default all that is kept.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the first ones first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List what was changed in the roster, in order.

    With --json, each with its values before and after.
    """
    async with invocation_of(context).service() as service:
        items = [event.as_dict() async for event in service.events(after=after, name=name, limit=limit)]
    text = event_table(items) if items else "Nothing has been changed."
    if len(items) == limit:
        text += f"\n\nGo on with: sis-connect events{f' {name}' if name else ''} --after {items[-1]['id']}"
    answer_list(items, as_json, text)


def event_table(items: list[dict[str, Any]]) -> str:
    """The list for a person: which fields have changed, not from what to what."""
    rows = [
        [
            str(item["id"]),
            moment(item["at"]),
            item["integration"],
            item["name"],
            item["sis_id"],
            item["reason"],
            ", ".join([*list(item["changes"])[:SHOWN], *(["…"] if len(item["changes"]) > SHOWN else [])]),
        ]
        for item in items
    ]
    return table(["id", "written (UTC)", "integration", "what", "record", "why", "fields"], rows, right=["id"])
