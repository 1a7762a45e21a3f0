"""`authorize`: an administrator of the district gives access, in a browser."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
import threading
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from sis_connect.cli.integrations import Name, moment
from sis_connect.cli.invocation import actor, command, invocation_of, note, print_json, say
from sis_connect.cli.providers import AsJson

if TYPE_CHECKING:
    from sis_connect.cli.loopback import Loopback
    from sis_connect.service import SISService

#: The port in the redirect URI where the address is pasted: nobody listens there, and the browser shows the address all the same.
PASTE_PORT = 8914
_WAITS = 600


def register(app: typer.Typer) -> None:
    command(app, "authorize")(authorize)


async def authorize(
    context: typer.Context,
    name: Name,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="The port of this machine to come back to; 0 takes a free one.")
    ] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the address in a browser.")] = True,
    paste: Annotated[
        bool, typer.Option("--paste", help="Paste the address that the browser ends at, for a machine without one.")
    ] = False,
    redirect_uri: Annotated[
        str | None, typer.Option(metavar="URL", help="What the SIS has registered, if it is no port of this machine; then paste.")
    ] = None,
    timeout: Annotated[
        int, typer.Option(min=1, max=_WAITS, metavar="SECONDS", help="How long to wait for the browser to come back.")
    ] = _WAITS,
    as_json: AsJson = False,
) -> None:
    """Have an administrator of the district give access.

    They sign in at the SIS in a browser, and the browser comes back to this command with their answer.
    """
    async with invocation_of(context).service() as service:
        if paste or redirect_uri is not None:
            await _by_paste(service, name, redirect_uri, port)
        else:
            await _by_loopback(service, name, port, browser=browser, timeout=timeout)
        [token] = await service.tokens(name)
    if as_json:
        keys = ("integration", "state", "expires_at", "scopes", "missing_scopes")
        print_json({key: value for key, value in token.as_dict().items() if key in keys})
        return
    until = f" The token is valid until {moment(token.expires_at)} UTC." if token.expires_at else ""
    say(f"Access to {name} has been given.{until}")
    if token.missing_scopes:
        note(f"Not everything was granted that was asked for: {', '.join(token.missing_scopes)} is missing.")


async def _by_loopback(service: SISService, name: str, port: int, *, browser: bool, timeout: int) -> None:
    from urllib.parse import parse_qs, urlsplit

    from sis_connect.cli.loopback import listening
    from sis_connect.oauth.authorization import AuthorizationFailed

    session = secrets.token_urlsafe(32)
    async with listening(port, on_stray=note) as loopback:
        url = await service.authorization_url(name, redirect_uri=loopback.redirect_uri, session=session, actor=actor())
        _show(url)
        note(f"Waiting on port {loopback.port} for the browser to come back. Ctrl-C gives up; without a browser, use --paste.")
        if browser:
            threading.Thread(target=_open, args=(url, loopback), daemon=True).start()
        try:
            async with asyncio.timeout(timeout):
                redirect = await loopback.redirect(parse_qs(urlsplit(url).query)["state"][0])
        except TimeoutError:
            raise AuthorizationFailed(f"Nobody came back within {timeout} seconds.") from None
        await service.complete_authorization(redirect, session=session, actor=actor())
        loopback.tell(True)


async def _by_paste(service: SISService, name: str, redirect_uri: str | None, port: int) -> None:
    from sis_connect.cli import loopback
    from sis_connect.oauth.authorization import AuthorizationFailed

    session = secrets.token_urlsafe(32)
    uri = redirect_uri or loopback.redirect_uri(port or PASTE_PORT)
    _show(await service.authorization_url(name, redirect_uri=uri, session=session, actor=actor()))
    pasted = _pasted()
    if not pasted:
        raise AuthorizationFailed("Nothing was pasted.")
    await service.complete_authorization(pasted, session=session, actor=actor())


def _pasted() -> str:
    """One line, read in this thread: nothing else waits for it. The event loop's own Ctrl-C would only be heard after it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        note("In the end the browser is sent to an address that it may not be able to open. Paste that whole address here:")
        return sys.stdin.readline().strip()
    finally:
        signal.signal(signal.SIGINT, before)


def _show(url: str) -> None:
    note("Open this address in a browser, where an administrator of the district signs in and gives access:")
    note(f"\n  {url}\n")


def _open(url: str, loopback: Loopback) -> None:
    """In a thread of its own: some browsers run until they are closed."""
    try:
        opened = webbrowser.open(url)
    except webbrowser.Error:
        opened = False
    if not opened and not loopback.came:
        note("No browser could be opened here. Open the address yourself.")
