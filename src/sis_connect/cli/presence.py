"""`as-of`, `withdraw`: who was where, and who is not there any more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import fields
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sis_connect.cli.exporting import WRITERS, Row, opened, written
from sis_connect.cli.exporting import Format as ExportFormat
from sis_connect.cli.integrations import Name
from sis_connect.cli.invocation import actor, answer_list, command, invocation_of, list_failure, note
from sis_connect.cli.providers import AsJson
from sis_connect.cli.reports import failed_report
from sis_connect.cli.syncing import answer, no_blank
from sis_connect.cli.tables import counted, table

if TYPE_CHECKING:
    from sis_connect.roster.whereabouts import Whereabouts

#: How many lines a terminal is shown.
SHOWN = 40
_DAY = ["%Y-%m-%d"]


class Format(StrEnum):
    """What an answer is written as."""

    csv = "csv"
    jsonl = "jsonl"


def register(app: typer.Typer) -> None:
    command(app, "as-of", failure=list_failure)(as_of)
    command(app, "withdraw", failure=failed_report)(withdraw)


async def as_of(
    context: typer.Context,
    name: Name,
    day: Annotated[datetime, typer.Argument(metavar="DATE", formats=_DAY, help="The school date, past or to come.")],
    school: Annotated[
        str | None,
        typer.Option("--school", metavar="ID", callback=no_blank, help="Who was at this school, by its id in the SIS."),
    ] = None,
    section: Annotated[
        str | None, typer.Option("--section", metavar="ID", callback=no_blank, help="Who was in this section, teachers too.")
    ] = None,
    format: Annotated[Format | None, typer.Option(help="Write all of it, with names.")] = None,  # noqa: A002
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write it, instead of stdout.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say who was where on a date, from stays and enrolments. Nothing is read from the SIS."""
    async with invocation_of(context).service() as service:
        found = service.as_of(name, day.date(), school=school, section=section)
        if format is None and output is None:
            items = [one.as_dict() async for one in found]
            answer_list(items, as_json, whereabouts_text(items))
            return
        from sis_connect.roster.whereabouts import Whereabouts

        columns = [item.name for item in fields(Whereabouts)]
        with opened(output) as stream:
            writer = WRITERS[ExportFormat(format or Format.csv)]
            count = await written(_rows(found), lambda: writer(stream, "students", columns))
    if output is not None:
        note(f"{counted(count, 'person', 'people')} in {output}.")


async def _rows(found: AsyncIterator[Whereabouts]) -> AsyncIterator[Row]:
    async for one in found:
        yield dict(one.as_dict())


def whereabouts_text(items: list[dict[str, Any]]) -> str:
    """The first of them, for a person, showing no more of anybody than their id in the SIS."""
    if not items:
        return "Nobody."
    rows = [
        [item["person"], item["role"].replace("_", " "), *(item[name] or "-" for name in ("school", "section", "begins", "ends"))]
        for item in items[:SHOWN]
    ]
    people = table(["id in the SIS", "role", "school", "section", "first day", "first day out"], rows)
    more = f"\n… {len(items) - SHOWN:,} more: --format csv writes all." if len(items) > SHOWN else ""
    return f"{people}{more}\n\n{counted(len({item['person'] for item in items}), 'person', 'people')}."


def no_blank_among(names: list[str] | None) -> list[str] | None:
    """Ids that were given are ids."""
    for name in names or ():
        no_blank(name)
    return names


async def withdraw(
    context: typer.Context,
    name: Name,
    student: Annotated[
        list[str] | None,
        typer.Option("--student", metavar="ID", callback=no_blank_among, help="A student, by their id in the SIS; repeatable."),
    ] = None,
    school: Annotated[
        str | None, typer.Option("--school", metavar="ID", callback=no_blank, help="All students of this school.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", exists=True, dir_okay=False, help="The students of a file, an id a line."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, in one word: withdrawal, transfer, graduation, no_show.")] = "withdrawal",
    day: Annotated[
        datetime | None,
        typer.Option("--date", formats=_DAY, metavar="DATE", help="The first day not there any more; today without it."),
    ] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Only plan it. `apply` takes the plan.")] = False,
    as_json: AsJson = False,
) -> int:
    """Withdraw students, without waiting for the SIS.

    Their stays and section enrolments go with them. It is guarded like a sync, and can be undone. The next sync leaves it as
    it is until the SIS says something new.
    """
    if not student and source is None and school is None:
        raise typer.BadParameter("Name some students with --student or --from, or one school with --school.")
    named = [*(student or ()), *(listed(source) if source is not None else ())]
    async with invocation_of(context).service() as service:
        report = await service.withdraw(
            name,
            students=named,
            school=school,
            reason=reason,
            day=day.date() if day is not None else None,
            preview=preview,
            actor=actor(),
        )
    told = report.as_dict(name="plan") | {"plan": report.plan} if preview else report.as_dict()
    return answer(told, as_json)


def listed(path: Path) -> list[str]:
    """The ids in a file, one a line. Blank lines, and those that begin with `#`, are left out."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]
