"""`sis-connect tokens`, as an operator types it: what is shown, the one JSON document, and the exit code."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oauth_server import OAuthServer, oauth_server
from sis_connect.cli import application
from sis_connect.service import SISService
from token_office import TokenOffice, agree, by_a_person, consented, registry, settings

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server() -> Iterator[OAuthServer]:
    with oauth_server() as running:
        yield running


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenOffice:
    monkeypatch.setattr("sis_connect.service.discover", registry)
    return TokenOffice(tmp_path)


@pytest.fixture
def run(office: TokenOffice, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process: exit code, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            application.run(["--database", office.url, *arguments])
        out, err = capfd.readouterr()
        return (left.value.code if isinstance(left.value.code, int) else 0, out, err)

    return call


def prepared(office: TokenOffice, server: OAuthServer) -> None:
    async def prepare(service: SISService) -> None:
        await service.create_integration("lincoln", by_a_person(server, scope="roster grades"))
        await agree(service, "lincoln", consented(server))
        await service.create_integration("roosevelt", settings(server, client_secret="wrong"))

    async def main() -> None:
        async with office.open() as service:
            await prepare(service)

    asyncio.run(main())


def test_status_shows_a_line_each_and_says_what_needs_words(office: TokenOffice, server: OAuthServer, run: Run) -> None:
    assert run("tokens", "status")[:2] == (
        0,
        "No district is connected yet. Connect one with: sis-connect add NAME --provider …\n",
    )
    prepared(office, server)
    code, out, _ = run("tokens", "status")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["name", "grant", "state", "expires", "(UTC)", "renewed", "failures", "next", "try", "key"]
    assert lines[1].startswith("lincoln    authorization code  active  20")
    assert lines[2].split() == ["roosevelt", "client", "credentials", "none", "-", "-", "-", "-", "current"]
    assert lines[4] == "lincoln: asked for and not granted: grades"


def test_status_leaves_with_1_where_somebody_should_look(office: TokenOffice, server: OAuthServer, run: Run) -> None:
    prepared(office, server)
    run("tokens", "rotate", "roosevelt")
    code, out, _ = run("tokens", "status")
    assert code == 1
    assert "roosevelt: " in out
    code, out, _ = run("tokens", "status", "--json")
    items = json.loads(out)["items"]
    assert (code, [(item["integration"], item["state"], item["failures"]) for item in items]) == (
        1,
        [("lincoln", "active", 0), ("roosevelt", "failing", 1)],
    )
    assert run("tokens", "status", "lincoln")[0] == 0


def test_rotate_gets_new_tokens_and_says_whose_failed(office: TokenOffice, server: OAuthServer, run: Run) -> None:
    prepared(office, server)
    code, out, err = run("tokens", "rotate", "--all")
    assert code == 1
    assert "[  ok   ] lincoln: There is a new token. It serves until 20" in out
    assert "[FAILED ] roosevelt: " in out
    assert err == "1 of 2 integrations failed; the others are done.\n"
    code, out, err = run("tokens", "rotate", "--all", "--json")
    items = json.loads(out)["items"]
    assert (code, [item["outcome"] for item in items], err) == (1, ["renewed", "failed"], "")
    assert items[1]["error"]["category"] == "authentication"
    assert run("tokens", "rotate", "lincoln")[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["rotate"],
        ["revoke"],
        ["rotate", "lincoln", "--all"],
        ["rotate", "lincoln", "--key"],
        ["rotate", "--all", "--key"],
        ["rotate", "--new"],
        ["revoke", "lincoln", "--all"],
    ],
)
def test_whom_it_is_about_has_to_be_said(run: Run, arguments: list[str]) -> None:
    assert run("tokens", *arguments)[0] == 2


def test_rotate_key_seals_anew_and_says_that_the_former_may_go(office: TokenOffice, server: OAuthServer, run: Run) -> None:
    prepared(office, server)
    code, out, _ = run("tokens", "rotate", "--key", "--new")
    assert code == 0
    assert "sis_integration.secret" in out
    assert "Any former key may be removed." in out
    newest = office.key_file.read_text(encoding="ascii").split(",")[0]
    office.key_file.write_text(newest, encoding="ascii")
    assert run("tokens", "status")[0] == 0
    document = json.loads(run("tokens", "rotate", "--key", "--json")[1])
    assert (document["complete"], {item["resealed"] for item in document["items"]}) == (True, {0})
    office.query("UPDATE sis_oauth_token SET sealed = ?", b"damaged")
    code, out, _ = run("tokens", "rotate", "--key")
    assert code == 1
    assert "keep all keys" in out


def test_revoke_says_what_happened_where(office: TokenOffice, server: OAuthServer, run: Run) -> None:
    prepared(office, server)
    code, out, _ = run("tokens", "revoke", "--all")
    assert code == 0
    assert out.splitlines() == [
        "[  ok   ] lincoln: Revoked at the SIS, and forgotten here.",
        "[  ok   ] roosevelt: There is no token.",
    ]
    assert [(item["at_sis"], item["here"]) for item in json.loads(run("tokens", "revoke", "--all", "--json")[1])["items"]] == [
        ("nothing", "nothing")
    ] * 2


def test_cleanup_says_what_was_dropped_and_what_is_kept(office: TokenOffice, server: OAuthServer, run: Run) -> None:
    prepared(office, server)
    assert run("tokens", "cleanup")[:2] == (
        0, "[  ok   ] lincoln: There is nothing to drop.\n[  ok   ] roosevelt: There is nothing to drop.\n",
    )  # fmt: skip

    async def change() -> None:
        async with office.open() as service:
            await service.create_integration("lincoln", by_a_person(server, client_secret="not yet activated"))

    asyncio.run(change())
    assert "two client secrets are live" in run("tokens", "status")[1]
    code, out, _ = run("tokens", "cleanup", "lincoln")
    assert code == 1
    assert "the SIS does not accept the newest one" in out
    code, out, _ = run("tokens", "cleanup", "lincoln", "--json")
    assert json.loads(out)["items"][0]["former_secret"] == "refused"


def test_an_unknown_name_is_one_error(run: Run) -> None:
    code, out, err = run("tokens", "status", "nobody", "--json")
    assert code == 1
    assert json.loads(out)["items"] == []
    assert "no integration 'nobody'" in err


@pytest.mark.parametrize("key", ["client_secret", "former_client_secret", "password"])
def test_p7_a_secret_does_not_belong_on_a_command_line(run: Run, key: str) -> None:
    code, _, err = run("add", "x", "--provider", "small", "--base-url", "https://sis.example.org", "--set", f"{key}=hush")
    assert code == 2
    assert "hush" not in err


def test_a_password_comes_from_a_file_or_the_environment(
    office: TokenOffice, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text("open sesame\n", encoding="utf-8")
    given = ["--provider", "small", "--base-url", "https://sis.example.org", "--set", "grant=password", "--set", "username=x"]
    assert run("add", "lincoln", *given, "--password-file", str(tmp_path / "password"))[0] == 0
    monkeypatch.setenv("SIS_CONNECT_PASSWORD", "open barley")
    assert run("add", "roosevelt", *given)[0] == 0

    async def passwords() -> list[str]:
        async with office.open() as service:
            configs = [await service._integrations.config(row) for row in await service._integrations.rows()]
            return [config.password.get_secret_value() for config in configs if config.password is not None]

    assert asyncio.run(passwords()) == ["open sesame", "open barley"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_keep_runs_until_it_is_stopped_and_ends_well(tmp_path: Path, how: signal.Signals) -> None:
    command = [sys.executable, "-m", "sis_connect", "--database", f"sqlite:///{tmp_path / 'roster.db'}", "tokens", "keep"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs us in the background may ignore it
    try:
        process = subprocess.Popen(command, cwd=tmp_path, env=dict(os.environ), stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stderr is not None
    assert process.stderr.readline() == "Keeping tokens alive. Stop with Ctrl-C.\n"
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "Stopped. What was under way is stored.\n")
