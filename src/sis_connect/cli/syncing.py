"""`plan`, `apply`, `sync`, `operations`: what a sync would do, and doing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from sis_connect.capabilities import KINDS, Kind
from sis_connect.cli.changes import change_table
from sis_connect.cli.integrations import Name, OptionalName, moment
from sis_connect.cli.invocation import actor, answer_list, command, invocation_of, list_failure, note, print_json, say
from sis_connect.cli.progress import ProgressLine
from sis_connect.cli.providers import AsJson
from sis_connect.cli.reports import TO_DO, describe, exit_code, failed_plan, failed_report
from sis_connect.cli.tables import number, table

if TYPE_CHECKING:
    from collections.abc import Mapping


def known_kinds(names: list[str] | None) -> list[str] | None:
    """The kinds as they were named, all of which must exist."""
    for name in names or ():
        if name not in KINDS:
            raise typer.BadParameter(f"{name!r} is no kind of record; there are {', '.join(KINDS)}.")
    return names


def no_blank(sis_id: str | None) -> str | None:
    """An id that was given is one: a blank, such as of a variable that is not set, must not mean the whole district."""
    if sis_id is not None and not sis_id.strip():
        raise typer.BadParameter("This id is blank. Leave the option out to read the whole district.")
    return sis_id


Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", metavar="KIND", callback=known_kinds, help="Only this kind of record; may be given again."),
]
School = Annotated[
    str | None, typer.Option("--school", metavar="ID", callback=no_blank, help="Only this school, by its id in the SIS.")
]
Student = Annotated[
    str | None, typer.Option("--student", metavar="ID", callback=no_blank, help="Only this student, by their id in the SIS.")
]
Full = Annotated[bool, typer.Option("--full", help="Read everything again, whatever is known of it.")]
Strict = Annotated[bool, typer.Option("--strict", help="Where one guard holds something, hold everything.")]


def register(app: typer.Typer) -> None:
    command(app, "plan", failure=failed_plan)(plan)
    command(app, "apply", failure=failed_report)(apply)
    command(app, "sync", failure=failed_report)(sync)
    command(app, "operations", failure=list_failure)(operations)


async def plan(
    context: typer.Context,
    name: Name,
    full: Full = False,
    kind: Kinds = None,
    school: School = None,
    student: Student = None,
    strict: Strict = False,
    rows: Annotated[int, typer.Option(min=0, help="How many of the changes to show.")] = 10,
    as_json: AsJson = False,
) -> int:
    """Read the SIS and show what a sync would change. Nothing is written to the roster."""
    invocation = invocation_of(context)
    async with invocation.service() as service:
        with ProgressLine(quiet=invocation.quiet) as progress:
            made = await service.plan(
                name,
                kinds=kinds_of(kind),
                school=school,
                student=student,
                full=full,
                strict=strict,
                progress=progress,
                actor=actor(),
            )
        report = made.as_dict()
        shown = "" if as_json or not rows else await change_table(service.plan_rows(made.id), rows)
    return answer(report, as_json, shown)


async def apply(
    context: typer.Context,
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="The plan, as `plan` named it.")],
    as_json: AsJson = False,
) -> int:
    """Apply a plan. Records that have changed since it was made are left alone and reported."""
    invocation = invocation_of(context)
    async with invocation.service() as service:
        with ProgressLine(quiet=invocation.quiet) as progress:
            report = (await service.apply(plan, progress=progress, actor=actor())).as_dict()
    return answer(report, as_json)


async def sync(
    context: typer.Context,
    name: Name,
    full: Full = False,
    kind: Kinds = None,
    school: School = None,
    student: Student = None,
    strict: Strict = False,
    as_json: AsJson = False,
) -> int:
    """Bring the roster up to date: plan and apply in one go."""
    invocation = invocation_of(context)
    async with invocation.service() as service:
        with ProgressLine(quiet=invocation.quiet) as progress:
            done = await service.sync(
                name,
                kinds=kinds_of(kind),
                school=school,
                student=student,
                full=full,
                strict=strict,
                progress=progress,
                actor=actor(),
            )
    return answer(done.as_dict(), as_json)


def kinds_of(names: list[str] | None) -> list[Kind] | None:
    """Which kinds were asked for; None for all."""
    return cast("list[Kind]", names) if names else None


def answer(report: Mapping[str, Any], as_json: bool, more: str = "") -> int:
    """Print a report, with what is to be shown below it, and leave with its exit code."""
    if as_json:
        print_json(report)
    else:
        say("\n\n".join(part for part in (describe(report), more) if part))
    if report["error"]:
        note(f"Error: {report['error']['message']} {report['error']['remedy']}")
    return exit_code(report)


async def operations(
    context: typer.Context,
    name: OptionalName = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the latest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List what was done, the latest first."""
    async with invocation_of(context).service() as service:
        items = [operation.as_dict() for operation in await service.operations(name, limit=limit)]
    answer_list(items, as_json, operations_text(items))


def operations_text(items: list[dict[str, Any]]) -> str:
    """The list for a person."""
    if not items:
        return "Nothing has been done yet."
    rows = [
        [
            item["id"],
            item["integration"],
            item["type"],
            item["status"],
            moment(item["started_at"]),
            number((item["report"] or {}).get("requests")),
            written(item["report"] or {}),
            item["actor"] or "-",
        ]
        for item in items
    ]
    return table(
        ["operation", "integration", "what", "status", "started (UTC)", "requests", "changes", "by"],
        rows,
        right=["requests", "changes"],
    )


def written(report: Mapping[str, Any]) -> str:
    """How many records an operation has changed."""
    changes: Mapping[str, Mapping[str, int]] = report.get("changes") or {}
    return number(sum(count for counts in changes.values() for action, count in counts.items() if action in TO_DO))
