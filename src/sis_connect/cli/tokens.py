"""`tokens status|rotate|revoke|cleanup|keep`: the tokens of all integrations, or of one."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sis_connect.cli.integrations import NOBODY, OptionalName, moment
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
from sis_connect.cli.tables import counted, number, table

if TYPE_CHECKING:
    from sis_connect.service import SISService

OneName = Annotated[str | None, typer.Argument(metavar="[NAME]", help="The integration; or give --all.")]
Everybody = Annotated[bool, typer.Option("--all", help="All integrations.")]
MARKS = {True: "  ok   ", False: "FAILED "}


def register(app: typer.Typer) -> None:
    tokens = typer.Typer(
        help="Look after the tokens that open the districts' systems.", rich_markup_mode=None, no_args_is_help=True
    )
    command(tokens, "status", failure=list_failure)(status)
    command(tokens, "rotate", failure=list_failure)(rotate)
    command(tokens, "revoke", failure=list_failure)(revoke)
    command(tokens, "cleanup", failure=list_failure)(cleanup)
    command(tokens, "keep")(keep)
    app.add_typer(tokens, name="tokens")


# -- status ------------------------------------------------------------------------------------------------------------


async def status(context: typer.Context, name: OptionalName = None, as_json: AsJson = False) -> int:
    """Say how the tokens are.

    Until when they serve, what failed, what was not granted, and which key sealed them. Nothing is sent. The exit code is 1 if
    one of them needs somebody to look.
    """
    async with invocation_of(context).service() as service:
        found = await service.tokens(name)
    items = [health.as_dict() for health in found]
    answer_list(items, as_json, status_text(items))
    return DONE if all(health.ok for health in found) else FAILED


def status_text(items: Sequence[Mapping[str, Any]]) -> str:
    """A table, and below it what needs words."""
    if not items:
        return NOBODY
    headings = ["name", "grant", "state", "expires (UTC)", "renewed", "failures", "next try", "key"]
    rows = [
        [
            str(item["integration"]),
            str(item["grant"] or "-").replace("_", " "),
            str(item["state"]),
            moment(item["expires_at"]),
            moment(item["renewed_at"]),
            number(item["failures"]),
            moment(item["next_try_at"]),
            str(item["key"] or "-"),
        ]
        for item in items
    ]
    words = [line for item in items for line in _words(item)]
    return "\n".join([table(headings, rows, right=("failures",)), *([""] if words else []), *words])


def _words(item: Mapping[str, Any]) -> list[str]:
    name = item["integration"]
    words = []
    if item["last_error"] and item["state"] in ("failing", "broken", "unreadable"):
        words.append(f"{name}: {item['last_error']}")
    if item["missing_scopes"]:
        words.append(f"{name}: asked for and not granted: {', '.join(item['missing_scopes'])}")
    if item["former_secret"]:
        words.append(f"{name}: two client secrets are live; `sis-connect tokens cleanup` drops the former one")
    if item["key"] == "former":
        words.append(f"{name}: sealed with a former key; `sis-connect tokens rotate --key` seals it with the newest")
    return words


# -- what is done about them -------------------------------------------------------------------------------------------


async def rotate(
    context: typer.Context,
    name: OneName = None,
    everybody: Everybody = False,
    key: Annotated[bool, typer.Option("--key", help="Not the tokens, but the key that seals them.")] = False,
    new: Annotated[bool, typer.Option("--new", help="With --key: put a new key in front before.")] = False,
    as_json: AsJson = False,
) -> int:
    """Get new tokens now, or change the key that seals.

    With --key, everything is sealed anew with the first key. To change the key, put a new one in front of the former in
    SIS_CONNECT_KEY, or let --new do that in the key file or keyring. Work goes on meanwhile, and the former key may be removed
    afterwards.
    """
    if key:
        if name is not None or everybody:
            raise typer.BadParameter("--key is for everything that is sealed; leave out the name, or --key.")
        return await _rotate_key(context, new, as_json)
    if new:
        raise typer.BadParameter("--new goes with --key.")
    chosen = _chosen(name, everybody)
    async with invocation_of(context).service() as service:
        results = await service.renew_tokens(chosen, actor=actor())
    return _answer([result.as_dict() for result in results], as_json)


async def revoke(context: typer.Context, name: OptionalName = None, everybody: Everybody = False, as_json: AsJson = False) -> int:
    """Give tokens back.

    At the SIS where it takes them back, and here in any case. Where a person gave access, a person has to give it again.
    Otherwise the next sync fetches a new token.
    """
    chosen = _chosen(name, everybody)
    async with invocation_of(context).service() as service:
        results = await service.revoke_tokens(chosen, actor=actor())
    return _answer([result.as_dict() for result in results], as_json)


async def cleanup(context: typer.Context, name: OptionalName = None, as_json: AsJson = False) -> int:
    """Drop what is of no use any more.

    These are authorizations that were never finished, tokens of removed integrations, and former client secrets: the newest one
    is tried alone first, by renewing the token with it.
    """
    async with invocation_of(context).service() as service:
        results = await service.cleanup_tokens(name, actor=actor())
    return _answer([result.as_dict() for result in results], as_json)


def _chosen(name: str | None, everybody: bool) -> str | None:
    if (name is None) != everybody:
        raise typer.BadParameter("Give either a NAME or --all.")
    return name


def _answer(items: list[dict[str, Any]], as_json: bool) -> int:
    answer_list(items, as_json, "\n".join(result_text(item) for item in items) or NOBODY)
    failures = sum(item["error"] is not None for item in items)
    if failures and not as_json:
        note(f"{failures} of {counted(len(items), 'integration')} failed; the others are done.")
    return FAILED if failures else DONE


def result_text(item: Mapping[str, Any]) -> str:
    """What came of it for one integration."""
    until = f" It serves until {moment(item['expires_at'])} UTC." if item.get("expires_at") else ""
    return f"[{MARKS[item['error'] is None]}] {item['integration']}: {item['message']}{until}"


# -- the key -----------------------------------------------------------------------------------------------------------


async def _rotate_key(context: typer.Context, new: bool, as_json: bool) -> int:
    async with invocation_of(context).service() as service:
        rotation = (await service.rotate_key(new=new, actor=actor())).as_dict()
    if as_json:
        print_json(rotation)
    else:
        say(key_text(rotation))
    return DONE if rotation["complete"] else FAILED


def key_text(rotation: Mapping[str, Any]) -> str:
    """What was sealed anew, and whether the former key may go."""
    counts = ("resealed", "current", "unreadable")
    rows = [[item["column"], *(number(item[count]) for count in counts)] for item in rotation["items"]]
    lines = table(
        ["column", "sealed anew", "now current", "unreadable"], rows, right=("sealed anew", "now current", "unreadable")
    )
    if rotation["complete"]:
        verdict = f"Everything is sealed with the key {rotation['key_id']}. Any former key may be removed."
    else:
        verdict = "Some values open with none of the keys: keep all keys, and see `sis-connect tokens status`."
    return f"{lines}\n\n{verdict}"


# -- keeping alive -----------------------------------------------------------------------------------------------------


async def keep(
    context: typer.Context,
    rate: Annotated[float, typer.Option(min=0.01, help="At most so many renewals a second.")] = 10.0,
) -> int:
    """Keep grants alive that nobody uses, until stopped. One process does it for all."""
    async with invocation_of(context).service() as service:
        await _until_stopped(service, rate)
    note("Stopped. What was under way is stored.")
    return DONE


async def _until_stopped(service: SISService, rate: float) -> None:
    keeping = asyncio.ensure_future(service.keep_tokens(rate=rate, actor=actor()))
    if sys.platform != "win32":  # there, Ctrl-C cancels us from outside
        for stop in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(stop, keeping.cancel)
    note("Keeping tokens alive. Stop with Ctrl-C.")
    with suppress(asyncio.CancelledError):
        await keeping
