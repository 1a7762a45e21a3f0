"""`integrity`, `quarantine`: what a district has to mend in its SIS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sis_connect.cli.exporting import WRITERS, Row, opened, written
from sis_connect.cli.exporting import Format as ExportFormat
from sis_connect.cli.integrations import Name, moment
from sis_connect.cli.invocation import answer_list, command, invocation_of, list_failure, note
from sis_connect.cli.providers import AsJson
from sis_connect.cli.tables import counted, indented, table

if TYPE_CHECKING:
    from sis_connect.roster.integrity import IntegrityFinding

COLUMNS = ("check", "kind", "sis_id", "school", "message")
#: How many findings of one check are shown.
SHOWN = 8


class Format(StrEnum):
    """What a list of findings is written as."""

    csv = "csv"
    jsonl = "jsonl"


def register(app: typer.Typer) -> None:
    command(app, "integrity", failure=list_failure)(integrity)
    command(app, "quarantine", failure=list_failure)(quarantine)


async def integrity(
    context: typer.Context,
    name: Name,
    check: Annotated[str | None, typer.Option(metavar="CHECK", help="Only what this check finds, and all of it.")] = None,
    format: Annotated[Format | None, typer.Option(help="Write all findings, for the district to mend.")] = None,  # noqa: A002
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write them, instead of stdout.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what in the roster cannot be right. Nothing is read from the SIS, nothing is changed."""
    async with invocation_of(context).service() as service:
        findings = service.integrity(name, check)
        if format is None and output is None:
            items = [finding.as_dict() async for finding in findings]
            answer_list(items, as_json, findings_text(name, items, whole=check is not None))
            return
        with opened(output) as stream:
            writer = WRITERS[ExportFormat(format or Format.csv)]
            count = await written(_rows(findings), lambda: writer(stream, "students", COLUMNS))
    if output is not None:
        note(f"{counted(count, 'finding')} in {output}.")


async def quarantine(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """List the records that could not be taken, and why. Each heals by itself once the SIS delivers it in order."""
    async with invocation_of(context).service() as service:
        items = [waiting.as_dict() async for waiting in service.quarantine(name)]
    answer_list(items, as_json, quarantine_text(items))


async def _rows(findings: AsyncIterator[IntegrityFinding]) -> AsyncIterator[Row]:
    async for finding in findings:
        yield dict(finding.as_dict())


def findings_text(name: str, items: Sequence[dict[str, Any]], *, whole: bool) -> str:
    """Findings by check, with the first of each or all of them."""
    if not items:
        return f"{name}: nothing to mend."
    found: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        found.setdefault(item["check"], []).append(item)
    blocks = [f"{name}: {counted(len(items), 'finding')} for the district to mend."]
    for check, those in found.items():
        shown = those if whole else those[:SHOWN]
        rows = [[item["kind"].replace("_", " "), item["sis_id"], item["school"] or "-", item["message"]] for item in shown]
        lines = table(["kind", "id in the SIS", "school", "what is wrong"], rows)
        more = f"\nand {len(those) - len(shown):,} more" if len(those) > len(shown) else ""
        blocks.append(f"{check} ({len(those):,})\n{indented(lines + more)}")
    if not whole and any(len(those) > SHOWN for those in found.values()):
        blocks.append(f"All of them, as a list to send to the district: sis-connect integrity {name} --output FILE")
    return "\n\n".join(blocks)


def quarantine_text(items: Sequence[dict[str, Any]]) -> str:
    """What waits in quarantine, one record a line."""
    if not items:
        return "Nothing waits in quarantine."
    rows = [
        [item["kind"].replace("_", " "), item["key"], ", ".join(item["fields"]) or "-", moment(item["since"]), item["reason"]]
        for item in items
    ]
    return table(["kind", "key in the SIS", "fields", "since (UTC)", "why"], rows)
