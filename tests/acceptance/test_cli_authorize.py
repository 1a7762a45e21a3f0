"""`authorize` as an operator has it: a process, a real OAuth server, a browser that is sent back and forth."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from acceptance.conftest import CommandLine, Outcome
from oauth_server import OAuthServer, oauth_server
from sis_connect.service import SISService
from token_office import INFO, registry, settings

PLUGIN = """
from sis_connect.capabilities import Capabilities
from sis_connect.hookspecs import hookimpl
from sis_connect.provider import CONTRACT, ProviderInfo

@hookimpl
def sis_connect_providers():
    grants = ("authorization_code", "client_credentials")
    provider = "sis_connect_consent.provider:Provider"
    return [ProviderInfo(name="consent", label="Consent SIS", provider=provider, contract=CONTRACT,
                         capabilities=Capabilities(), auth_grants=grants)]
"""
#: A browser that goes where it is sent, and shows nothing.
BROWSER = """
import contextlib, sys, urllib.error, urllib.request
with contextlib.suppress(urllib.error.HTTPError):
    urllib.request.urlopen(sys.argv[1], timeout=60).read()
"""
GIVEN = "Access has been given. You can close this window and go back to the terminal."


@pytest.fixture
def server() -> Iterator[OAuthServer]:
    with oauth_server() as it:
        yield it


def installed(folder: Path) -> Path:
    """A plugin as an installer lays it down, for an SIS where people give access."""
    (folder / "sis_connect_consent").mkdir(parents=True)
    (folder / "sis_connect_consent" / "__init__.py").write_text(PLUGIN)
    about = folder / "sis_connect_consent-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: sis-connect-consent\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[sis_connect.plugins]\nconsent = sis_connect_consent\n")
    return folder


async def connect(folder: Path, server: OAuthServer) -> None:
    info = replace(INFO, name="consent")
    how = {"provider": "consent", "issuer": server.issuer, "token_url": None, "scope": "openid roster"}
    async with SISService.open(f"sqlite:///{folder / 'sis-connect.db'}", registry=registry(info)) as service:
        await service.create_integration("lincoln", settings(server, **how))


@pytest.fixture
def lincoln(sis_connect: CommandLine, server: OAuthServer, tmp_path: Path) -> CommandLine:
    """The command line with one district that has to give access."""
    sis_connect.environment |= {
        "PYTHONPATH": os.pathsep.join([str(installed(tmp_path / "plugins")), os.environ.get("PYTHONPATH", "")]),
        "BROWSER": f"{sys.executable} {tmp_path / 'browser.py'} %s",
    }
    (tmp_path / "browser.py").write_text(BROWSER)
    asyncio.run(connect(sis_connect.folder, server))
    return sis_connect


@dataclass
class Authorizing:
    """`authorize` under way: it has shown its address and waits."""

    cli: CommandLine
    arguments: tuple[str, ...]
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.process = self.cli.start("authorize", "lincoln", *self.arguments)
        self.url = self.line(r"^  (http\S+)")

    def line(self, pattern: str) -> str:
        """Read on until something is said."""
        while line := self.process.stderr.readline():
            self.said.append(line)
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError("".join(self.said))

    @property
    def redirect_uri(self) -> str:
        return parse_qs(urlsplit(self.url).query)["redirect_uri"][0]

    def end(self, pasted: str | None = None) -> Outcome:
        out, err = self.process.communicate(pasted)
        everything = "".join(self.said) + err
        assert "Traceback" not in everything, everything
        assert self.process.returncode is not None
        return Outcome(self.process.returncode, out, everything)


def opened(url: str) -> tuple[int, str]:
    """Open an address as a browser would."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    connection.request("GET", f"{parts.path}?{parts.query}")
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def page(text: str) -> str:
    return f"<!doctype html><title>sis-connect</title><p>{text}</p>\n"


def test_a_browser_is_opened_and_comes_back_with_access(lincoln: CommandLine, server: OAuthServer) -> None:
    done = lincoln("authorize", "lincoln")
    assert (done.code, done.out[:37]) == (0, "Access to lincoln has been given. The"), done.err
    assert server.count("authorization_code") == 1
    [token] = lincoln("tokens", "status", "--json").document["items"]
    assert (token["integration"], token["grant"], token["state"]) == ("lincoln", "authorization_code", "active")


def test_as_json_there_is_one_document_and_no_secret_in_it(lincoln: CommandLine, server: OAuthServer) -> None:
    done = lincoln("authorize", "lincoln", "--json")
    assert done.code == 0, done.err
    assert {**done.document, "expires_at": None} == {
        "integration": "lincoln",
        "state": "active",
        "expires_at": None,
        "scopes": ["openid", "roster"],
        "missing_scopes": [],
    }
    assert [token for token in server.authority.tokens if token.access_token in done.out + done.err] == []


def test_without_a_browser_the_address_that_it_ended_at_is_pasted(lincoln: CommandLine, server: OAuthServer) -> None:
    authorizing = Authorizing(lincoln, ("--paste",))
    assert authorizing.redirect_uri == "http://127.0.0.1:8914/callback"
    done = authorizing.end(server.visit(authorizing.url) + "\n")
    assert (done.code, done.out[:33]) == (0, "Access to lincoln has been given."), done.err


def test_a_redirect_uri_that_the_sis_has_registered_is_used_to_the_letter(lincoln: CommandLine, server: OAuthServer) -> None:
    registered = "https://app.example.org/sis/callback"
    authorizing = Authorizing(lincoln, ("--redirect-uri", registered))
    assert authorizing.redirect_uri == registered
    done = authorizing.end(server.visit(authorizing.url) + "\n")
    assert done.code == 0, done.err


@pytest.mark.parametrize("pasted", ["", "https://app.example.org/sis/callback?code=x&state=tampered\n"])
def test_something_else_that_is_pasted_ends_in_a_sentence(lincoln: CommandLine, server: OAuthServer, pasted: str) -> None:
    done = Authorizing(lincoln, ("--paste",)).end(pasted)
    assert (done.code, done.out, server.calls) == (1, "", [])
    assert "Begin again" in done.err


def test_stray_requests_are_ignored_and_the_real_redirect_is_taken_once(lincoln: CommandLine, server: OAuthServer) -> None:
    authorizing = Authorizing(lincoln, ("--no-browser",))
    callback = authorizing.redirect_uri
    assert opened(callback.replace("/callback", "/favicon.ico"))[0] == 404
    assert opened(f"{callback}?code=x&state=tampered")[0] == 400
    assert "its state is another" in authorizing.line("(.*state is another.*)")
    assert opened(server.visit(authorizing.url)) == (200, page(GIVEN))
    assert authorizing.end().code == 0
    assert server.count("authorization_code") == 1


def test_denied_access_is_said_in_the_terminal_and_in_the_browser(lincoln: CommandLine, server: OAuthServer) -> None:
    server.denies = True
    authorizing = Authorizing(lincoln, ("--no-browser", "--json"))
    assert opened(server.visit(authorizing.url)) == (400, page("No access was given. The terminal says why."))
    done = authorizing.end()
    assert (done.code, done.document["error"]["category"]) == (1, "authentication")
    assert "Access was not given" in done.document["error"]["message"]


def test_a_mixed_up_server_is_refused(lincoln: CommandLine, server: OAuthServer) -> None:
    server.alter_redirect = lambda parameters: {**parameters, "iss": "https://evil.example.org"}
    done = lincoln("authorize", "lincoln")
    assert (done.code, server.calls) == (1, [])
    assert "iss is another" in done.err


def test_nobody_is_waited_for_forever(lincoln: CommandLine) -> None:
    done = Authorizing(lincoln, ("--no-browser", "--timeout", "1")).end()
    assert done.code == 1
    assert "Nobody came back within 1 seconds." in done.err


def test_a_port_that_is_taken_is_named(lincoln: CommandLine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = lincoln("authorize", "lincoln", "--port", port)
    assert done.code == 1
    assert re.search(rf"Port {port} of this machine cannot be used .* --paste", done.err)


def test_a_port_can_be_chosen(lincoln: CommandLine) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    authorizing = Authorizing(lincoln, ("--no-browser", "--port", str(port)))
    assert authorizing.redirect_uri == f"http://127.0.0.1:{port}/callback"
    authorizing.process.terminate()
    authorizing.end()


def test_where_no_browser_can_be_opened_that_is_said(lincoln: CommandLine, server: OAuthServer) -> None:
    lincoln.environment |= {"BROWSER": "no-such-browser-here", "DISPLAY": "", "WAYLAND_DISPLAY": "", "TERM": "", "PATH": ""}
    authorizing = Authorizing(lincoln, ())
    assert authorizing.line("(No browser could be opened)")
    assert opened(server.visit(authorizing.url))[0] == 200
    assert authorizing.end().code == 0


def test_ctrl_c_gives_up(lincoln: CommandLine, server: OAuthServer) -> None:
    authorizing = Authorizing(lincoln, ("--no-browser",))
    authorizing.line("(Waiting on port)")
    authorizing.process.send_signal(signal.SIGINT)
    done = authorizing.end()
    assert done.code != 0
    assert server.calls == []


def test_ctrl_c_gives_up_while_an_address_is_to_be_pasted(lincoln: CommandLine, server: OAuthServer) -> None:
    authorizing = Authorizing(lincoln, ("--paste", "--json"))
    authorizing.line("(Paste that whole address)")
    authorizing.process.send_signal(signal.SIGINT)
    authorizing.process.wait()
    done = authorizing.end()
    assert (done.code, done.document["error"]["message"]) == (1, "Stopped before the end, as asked.")
    assert server.calls == []


def test_p7_what_is_printed_and_stored_holds_no_verifier_and_no_token(lincoln: CommandLine, server: OAuthServer) -> None:
    done = lincoln("--verbose", "authorize", "lincoln")
    assert done.code == 0, done.err
    [call] = server.calls
    [token] = server.authority.tokens
    secrets = [call.form["code_verifier"], call.form["code"], token.access_token, str(token.refresh_token), server.client_secret]
    stored = b"".join(path.read_bytes() for path in lincoln.folder.glob("sis-connect.db*"))
    assert [secret for secret in secrets if secret in done.out + done.err or secret.encode() in stored] == []
