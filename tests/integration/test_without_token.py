"""Integrations whose grant needs no token: stored, synchronised, looked after, and refused where something is missing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manual_clock import ManualClock
from raw_server import serving
from signing_server import SigningServer
from sis_connect.cli import application
from sis_connect.errors import ConfigurationError
from sis_connect.settings import SISProviderConfig, validated
from small_sis import INFO as SMALL
from small_sis import small_district
from token_office import TokenOffice, registry

INFO = replace(SMALL, auth_grants=("oauth1", "basic", "none", "client_credentials", "authorization_code"))
SECRET = "hush-secret-value"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenOffice:
    monkeypatch.setattr("sis_connect.service.discover", lambda: registry(INFO))
    return TokenOffice(tmp_path, clock=ManualClock(), registry=registry(INFO))


@pytest.fixture
def run(office: TokenOffice, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process: exit code, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            application.run(["--database", office.url, *arguments])
        out, err = capfd.readouterr()
        return (left.value.code if isinstance(left.value.code, int) else 0, out, err)

    return call


def config(base_url: str = "https://sis.example.org", **settings: Any) -> SISProviderConfig:
    given = {"provider": "small", "base_url": base_url, "client_id": "district", "client_secret": SECRET, "rate_limit": "off"}
    return validated({**given, "grant": "oauth1", **settings}, origin="a test")


async def test_a_district_that_has_its_requests_signed_is_synchronised(office: TokenOffice) -> None:
    sis = small_district()
    async with serving(SigningServer(behind=sis)) as server, office.open() as service:
        await service.create_integration("lincoln", config(server.url))
        report = await service.sync("lincoln")
        assert (report.status, report.records["students"]) == ("succeeded", 17)
        assert [health.status for health in await service.health()] == ["active"]
    assert office.query("SELECT count(*) FROM sis_oauth_token") == [(0,)]


async def test_a_refused_signature_fails_the_sync_and_says_so(office: TokenOffice) -> None:
    async with serving(SigningServer(secret="another")) as server, office.open() as service:
        await service.create_integration("lincoln", config(server.url))
        report = await service.sync("lincoln")
        assert report.error is not None
        assert report.error.category == "authentication"
        assert "client id and secret" in report.error.message
        assert [integration.status for integration in await service.integrations()] == ["auth_failed"]


async def test_p7_the_secret_that_signs_is_kept_sealed(office: TokenOffice) -> None:
    async with office.open() as service:
        for grant in ("oauth1", "basic"):
            await service.create_integration(grant, config(grant=grant, former_client_secret=f"{SECRET}-former"))
    assert SECRET.encode() not in office.stored_bytes()


@pytest.mark.parametrize("grant", ["oauth1", "basic"])
@pytest.mark.parametrize("missing", ["client_id", "client_secret"])
async def test_an_integration_that_signs_is_not_stored_without_id_and_secret(
    office: TokenOffice, grant: str, missing: str
) -> None:
    given: dict[str, Any] = {"grant": grant, missing: None}
    async with office.open() as service:
        with pytest.raises(ConfigurationError, match="needs a client id and a client secret"):
            await service.create_integration("lincoln", config(**given))
        assert await service.integrations() == []


async def test_a_secret_that_is_stored_need_not_be_given_again(office: TokenOffice) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", config())
        await service.create_integration("lincoln", config(client_secret=None, page_size=7))


async def test_nothing_is_demanded_where_nothing_is_sent(office: TokenOffice) -> None:
    async with serving(small_district()) as server, office.open() as service:
        await service.create_integration("open", config(server.url, grant="none", client_id=None, client_secret=None))
        assert (await service.sync("open")).status == "succeeded"
        assert all("authorization" not in heard.headers for heard in server.heard)


async def test_what_is_done_about_tokens_leaves_those_alone_that_have_none(office: TokenOffice) -> None:
    async with office.open() as service:
        await service.create_integration("basic", config(grant="basic"))
        await service.create_integration("signed", config(former_client_secret="before"))
        await service.create_integration("zero", config(grant="none", client_id=None, client_secret=None))
        assert [(health.integration, health.state, health.ok) for health in await service.tokens()] == [
            ("basic", "tokenless", True),
            ("signed", "tokenless", True),
            ("zero", "tokenless", True),
        ]
        assert [result.outcome for result in await service.renew_tokens()] == ["nothing"] * 3
        assert [result.outcome for result in await service.revoke_tokens()] == ["nothing"] * 3
        assert [result.outcome for result in await service.cleanup_tokens()] == ["nothing", "kept", "nothing"]
        assert isinstance(office.clock, ManualClock)
        office.clock.advance(31 * 86400)
        assert [result.outcome for result in await service.cleanup_tokens()] == ["nothing", "dropped", "nothing"]
        keeping = asyncio.create_task(service.keep_tokens())
        await asyncio.sleep(0.05)
        assert not keeping.done()
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping
        with pytest.raises(ConfigurationError, match="access without a person: its grant is oauth1"):
            await service.authorization_url("signed", redirect_uri="https://app.example.org/back", session="s")
        with pytest.raises(ConfigurationError, match="signed has no token: its grant is oauth1"):
            async with service._tokens.open(await service._integrations.row("signed")):
                pass


async def test_whoever_goes_from_tokens_to_signatures_and_back_leaves_no_token_behind(office: TokenOffice) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", config(grant="client_credentials"))
        [row] = await service._integrations.rows()
        office.query(
            "INSERT INTO sis_oauth_token (integration_id, sealed, state, failures) VALUES (?, ?, 'active', 0)", row.id, b"x"
        )
        await service.create_integration("lincoln", config())
        assert office.query("SELECT count(*) FROM sis_oauth_token") == [(0,)]


def test_the_command_line_says_plainly_that_there_is_no_token(office: TokenOffice, run: Run, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    where = ("--provider", "small", "--base-url", "https://sis.example.org", "--client-id", "district")
    code, _, err = run("add", "lincoln", *where, "--set", "grant=oauth1")
    assert (code, "needs a client id and a client secret" in err) == (1, True)
    settings = ("--set", "grant=oauth1", "--set", "signature_method=HMAC-SHA1")
    assert run("add", "lincoln", *where, *settings, "--client-secret-file", str(tmp_path / "secret"))[0] == 0
    code, out, _ = run("tokens", "status")
    assert (code, out.splitlines()[1].split()) == (0, ["lincoln", "oauth1", "tokenless", "-", "-", "-", "-", "current"])
    code, out, _ = run("tokens", "rotate", "lincoln")
    assert (code, "There is no token: the grant is oauth1, so each request is signed with the client secret." in out) == (0, True)
    code, out, _ = run("tokens", "rotate", "--all", "--json")
    assert [(item["outcome"], item["error"]) for item in json.loads(out)["items"]] == [("nothing", None)]
    for command in ("revoke", "cleanup"):
        assert run("tokens", command, "lincoln")[0] == 0
    code, _, err = run("add", "other", *where, "--set", "signature_method=RSA-SHA1")
    assert (code, "signature_method" in err) == (1, True)
