"""`calendar`, `rollover`: the school years of an integration, and turning to the next one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from sis_connect.cli.changes import change_table
from sis_connect.cli.integrations import Name
from sis_connect.cli.invocation import actor, command, invocation_of, print_json, say
from sis_connect.cli.progress import ProgressLine
from sis_connect.cli.providers import AsJson
from sis_connect.cli.reports import failed_report
from sis_connect.cli.syncing import Strict, answer
from sis_connect.cli.tables import table
from sis_connect.findings import spoken_year

To = Annotated[
    int | None,
    typer.Option("--to", min=1990, max=2200, metavar="YEAR", help="The new year, by the calendar year that it ends in."),
]
Preview = Annotated[bool, typer.Option("--preview", help="Show what would change. Nothing is written to the roster.")]


def register(app: typer.Typer) -> None:
    command(app, "calendar")(calendar)
    command(app, "rollover", failure=failed_report)(rollover)


async def calendar(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Show the school years, and the limits of the guards today."""
    async with invocation_of(context).service() as service:
        overview = (await service.calendar(name)).as_dict()
    if as_json:
        print_json(overview)
    else:
        say(calendar_text(overview))


def calendar_text(overview: Mapping[str, Any]) -> str:
    """The calendar for a person."""
    lines = [f"{overview['integration']}: {_today(overview)}"]
    if overview["years"]:
        rows = [
            [str(year["year"]), spoken_year(year["year"]), year["start"], year["end"], _mark(year["year"], overview)]
            for year in overview["years"]
        ]
        lines.append(table(["year", "school year", "first day", "first day after it", ""], rows))
    profile, pause = overview["profile"], overview["pause"]
    until = f" until {profile['until']}" if profile["until"] else ""
    lines.append(f"Guards: {profile['name'].replace('_', ' ')} limits{until}.")
    if pause:
        lines.append(f"Pause: nobody is removed without a person's consent until {pause['until']}.")
    return "\n".join(lines)


def _today(overview: Mapping[str, Any]) -> str:
    if not overview["years"]:
        return f"{overview['today']}; the SIS tells of no school years."
    where = "between two school years" if overview["between_years"] else f"in the school year {spoken_year(overview['current'])}"
    return f"{overview['today']} lies {where if overview['current'] else 'before the first school year'}."


def _mark(year: int, overview: Mapping[str, Any]) -> str:
    return "is read" if year == overview["school_year"] else ""


async def rollover(
    context: typer.Context,
    name: Name,
    to: To = None,
    preview: Preview = False,
    strict: Strict = False,
    rows: Annotated[int, typer.Option(min=0, help="How many of the changes to show in a preview.")] = 10,
    as_json: AsJson = False,
) -> int:
    """Turn the roster to a new school year.

    It is read, and what only the last year has ends. The guards look at it as at any sync, with the limits that are made
    for a roll-over.
    """
    invocation = invocation_of(context)
    async with invocation.service() as service:
        with ProgressLine(quiet=invocation.quiet) as progress:
            done = await service.rollover(name, to=to, preview=preview, strict=strict, progress=progress, actor=actor())
        shown = await change_table(service.plan_rows(done.plan), rows) if preview and rows and done.plan and not as_json else ""
    report = {**done.as_dict(name="plan"), "plan": done.plan} if preview else done.as_dict()
    return answer(report, as_json, shown)
