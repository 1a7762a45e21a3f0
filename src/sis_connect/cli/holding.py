"""`holds`, `approve`, `reject`: the changes that wait for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from sis_connect.cli.integrations import OptionalName
from sis_connect.cli.invocation import actor, answer_list, command, invocation_of, list_failure, print_json, say
from sis_connect.cli.providers import AsJson
from sis_connect.cli.reports import failed_report, hold_table
from sis_connect.cli.syncing import answer

HoldId = Annotated[str, typer.Argument(metavar="ID", help="The hold, as `holds` names it.")]


def register(app: typer.Typer) -> None:
    command(app, "holds", failure=list_failure)(holds)
    command(app, "approve", failure=failed_report)(approve)
    command(app, "reject")(reject)


async def holds(context: typer.Context, name: OptionalName = None, as_json: AsJson = False) -> None:
    """List the changes that a guard has stopped."""
    async with invocation_of(context).service() as service:
        items = [hold.as_dict() for hold in await service.holds(name)]
    answer_list(items, as_json, held_text(items) if items else "Nothing is held.")


def held_text(items: Sequence[Mapping[str, Any]]) -> str:
    """What waits, and how it is decided."""
    return f"{hold_table(items)}\n\nDecide with `sis-connect approve ID` or `sis-connect reject ID`."


async def approve(context: typer.Context, hold: HoldId, as_json: AsJson = False) -> int:
    """Let held changes through.

    What is still as planned is applied at once, the rest is reported.
    """
    async with invocation_of(context).service() as service:
        report = (await service.approve(hold, actor=actor())).as_dict()
    return answer(report, as_json)


async def reject(context: typer.Context, hold: HoldId, as_json: AsJson = False) -> None:
    """Refuse held changes. They do not come back until the SIS says something else."""
    async with invocation_of(context).service() as service:
        refused = (await service.reject(hold, actor=actor())).as_dict()
    if as_json:
        print_json(refused)
    else:
        for_good = "These changes do not come back until the SIS says something else."
        say(f"Rejected {refused['id']}. {'The next sync proposes them again.' if refused.get('guard') == 'strict' else for_good}")
