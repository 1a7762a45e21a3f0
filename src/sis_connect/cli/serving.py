"""`serve`, `watch`, `subscribe`, `unsubscribe`: following the changes of districts, until stopped."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sis_connect.cli.integrations import Name
from sis_connect.cli.invocation import DONE, FAILED, actor, command, explained, invocation_of, note, print_json, say
from sis_connect.cli.providers import AsJson
from sis_connect.cli.reports import TO_DO
from sis_connect.cli.tables import counted
from sis_connect.errors import ConfigurationError, MissingExtra
from sis_connect.hosting.faults import passes
from sis_connect.setting_types import is_loopback

if TYPE_CHECKING:
    from sis_connect.roster.report import SyncReport

Replace = Annotated[bool, typer.Option("--replace", help="Also one that somebody else has made.")]


def register(app: typer.Typer) -> None:
    command(app, "serve")(serve)
    command(app, "watch")(watch)
    command(app, "subscribe")(subscribe)
    command(app, "unsubscribe")(unsubscribe)


async def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="The address of this machine to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="The port; 0 takes a free one.")] = 8080,
) -> int:
    """Take word of changes by HTTP, until Ctrl-C.

    What has changed is read again from the SIS. Senders POST to /hooks/NAME/SECRET, or signed to /hooks/NAME. From outside
    it is reached through a server with HTTPS.
    """
    try:
        from sis_connect.web.server import serve as serve_web
    except ImportError as error:
        raise MissingExtra("Receiving word of changes", "web") from error
    if not is_loopback(host):
        note("This speaks plain HTTP: put a server with HTTPS in front of it, for what is sent holds secrets.")
    async with invocation_of(context).service() as service:
        await serve_web(
            service, host=host, port=port, on_ready=lambda address: note(f"Listening at {address}. Stop with Ctrl-C.")
        )
    note("Stopped. What was not followed yet is kept.")
    return DONE


async def watch(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="The integrations; several may be named.")],
    every: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="How often to look, as far as the limit allows.")] = 60,
) -> int:
    """Bring districts up to date again and again, until Ctrl-C.

    One line is printed for each run. A district that is down holds up no other one, and is asked less and less often.
    """
    async with invocation_of(context).service() as service:
        known = {integration.name for integration in await service.integrations()}
        for name in names:
            if name not in known:
                raise ConfigurationError(
                    f"There is no integration {name!r} (there are: {', '.join(sorted(known)) or 'none'}).",
                    remedy="Add it with `sis-connect add`, or correct the name.",
                )
        watching = {name: service.watch(name, every=every, on_report=tell, actor=actor()) for name in dict.fromkeys(names)}
        note(f"Watching {counted(len(watching), 'integration')}. Stop with Ctrl-C.")
        failed = await until_stopped(watching)
    note("Stopped. What was under way goes on with the next run.")
    return FAILED if failed else DONE


async def until_stopped(work: Mapping[str, Coroutine[Any, Any, Any]]) -> bool:
    """Do all of this side by side until a signal comes; what is under way is ended in good order.

    What ends by itself, or because somebody else cancels it, is told at once, and the others go on. Returns whether any did.
    """
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    if sys.platform != "win32":  # there, Ctrl-C cancels us from outside
        for stop in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(stop, stopped.set)
    stopping = asyncio.create_task(stopped.wait())
    tasks = {asyncio.create_task(it): name for name, it in work.items()}
    under_way, failed = set(tasks), False
    try:
        while under_way and not stopped.is_set():
            ended, _ = await asyncio.wait({stopping, *under_way}, return_when=asyncio.FIRST_COMPLETED)
            for task in ended & under_way:
                reason = _reason(task)
                if passes(reason) or isinstance(reason, BrokenPipeError):
                    raise reason
                failed = True
                note(f"{tasks[task]} is not watched any more: {explained(reason)}")
            under_way -= ended
    except asyncio.CancelledError:
        if sys.platform != "win32":
            raise
    finally:
        for task in (stopping, *under_way):
            task.cancel()
        await asyncio.wait({stopping, *under_way})
    return failed


def _reason(task: asyncio.Task[Any]) -> BaseException:
    """Why a task has ended before its time."""
    return asyncio.CancelledError() if task.cancelled() else task.exception() or asyncio.CancelledError()


def tell(report: SyncReport) -> None:
    """One line about a run."""
    say(f"{datetime.now(UTC):%H:%M:%S} {line_of(report.as_dict())}")
    sys.stdout.flush()


def line_of(report: dict[str, Any]) -> str:
    """What a run did, in a line."""
    changes = report["changes"].values()
    changed = counted(sum(number for counts in changes for action, number in counts.items() if action in TO_DO), "change")
    waiting = f", {counted(len(report['holds']), 'hold')}" if report["holds"] else ""
    error = f": {report['error']['message']}" if report["error"] else ""
    cost = f"{counted(report['requests'], 'request')}, {report['seconds']:.1f} s"
    return f"{report['integration']} {report['status']}, {changed}{waiting}, {cost}{error}"


async def subscribe(
    context: typer.Context,
    name: Name,
    url: Annotated[str, typer.Option(metavar="URL", help="Where the SIS reaches `serve`, such as https://roster.example.org.")],
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Have the SIS send word of changes here.

    The address that it is told ends in a secret, which is made now unless there is one, and is not shown.
    """
    async with invocation_of(context).service() as service:
        address = await service.subscribe(name, url, replace=replace, actor=actor())
    if as_json:
        print_json({"integration": name, "address": address})
    else:
        say(f"{name} sends word of changes to {address}, from now on.")


async def unsubscribe(context: typer.Context, name: Name, replace: Replace = False, as_json: AsJson = False) -> int:
    """Have the SIS send no more word of changes here.

    The exit code is 1 if it was sending none.
    """
    async with invocation_of(context).service() as service:
        found = await service.unsubscribe(name, replace=replace, actor=actor())
    if as_json:
        print_json({"integration": name, "unsubscribed": found})
    else:
        say(f"{name} sends no more word of changes." if found else f"{name} was sending no word of changes.")
    return DONE if found else FAILED
