"""An administrator signs in at PowerSchool and gives access: in an app, on the command line, and what the token is good for."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

import quick_start
from office import STUDENTS_ONLY, Office, differences, expected, settings
from quick_start import Started
from sis_connect.oauth.authorization import AccessDenied, AuthorizationFailed
from sis_connect.oauth.id_token import WrongIdToken
from sis_connect.service import SISService
from sis_connect.testing.sandbox import RunningSandbox
from sis_connect.tokens.health import TokenHealth
from sis_connect.tokens.token import GrantBroken

CALLBACK = "https://app.example.org/sis/callback"
SESSION = "the session of one administrator"
READ = "/ws/v1/metadata"
PLUGINS_OWN = "/oauth/access_token"
EXCHANGE = "/oauth2/token"


@asynccontextmanager
async def lincoln(office: Office, **more: str) -> AsyncIterator[SISService]:
    """An app whose PowerSchool waits for somebody to sign in; nothing but the grant is set."""
    office.sandbox.set(**{"redirect_uri": CALLBACK, **more})
    await office.connect(grant="authorization_code", max_attempts="1")
    async with office.open() as service:
        yield service


async def address(service: SISService) -> str:
    return await service.authorization_url("lincoln", redirect_uri=CALLBACK, session=SESSION, actor="ada")


def visited(url: str) -> str:
    """Where a browser ends that opens this address."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port)
    connection.request("GET", f"{parts.path}?{parts.query}")
    answer = connection.getresponse()
    assert answer.status == 302, answer.read()
    connection.close()
    return answer.headers["Location"]


async def give_access(service: SISService) -> None:
    await service.complete_authorization(visited(await address(service)), session=SESSION, actor="ada")


async def refused(service: SISService) -> str:
    """Why a sync reads nothing."""
    report = await service.sync("lincoln")
    assert report.status == "failed"
    assert report.error
    assert report.error.category == "authentication"
    return report.error.message


async def health(service: SISService) -> TokenHealth:
    [token] = await service.tokens("lincoln")
    return token


def asked(sandbox: RunningSandbox, path: str) -> int:
    count: int = sandbox.stats()["by_path"].get(path, 0)
    return count


def seconds_between(one: str | None, other: str | None) -> float:
    assert one
    assert other
    return (datetime.fromisoformat(other) - datetime.fromisoformat(one)).total_seconds()


async def test_access_is_given_in_an_app_and_the_roster_comes_by_it(office: Office, sandbox: RunningSandbox) -> None:
    own, exchanged = asked(sandbox, PLUGINS_OWN), asked(sandbox, EXCHANGE)
    async with lincoln(office) as service:
        query = parse_qs(urlsplit(await address(service)).query)
        assert (query["scope"], query["client_id"], "nonce" in query) == (["openid"], [sandbox.client_id], True)
        await give_access(service)
        assert "error" not in {finding.level for finding in await service.doctor("lincoln")}
        report = await service.sync("lincoln", kinds=STUDENTS_ONLY)
    assert report.status == "succeeded"
    assert differences(await office.roster("students"), expected(sandbox, "students")) == []
    assert (asked(sandbox, PLUGINS_OWN) - own, asked(sandbox, EXCHANGE) - exchanged) == (0, 1)


@pytest.mark.parametrize(
    "variant",
    [
        {"pkce": "s256"},
        {"sign_in_expiry": "number"},
        {"sign_in_expiry": "absent"},
        {"renewal": "kept"},
        {"renewal": "rotated"},
    ],
    ids=lambda variant: "-".join(*variant.items()),
)
async def test_what_nobody_knows_of_a_real_server_may_be_either_way(office: Office, variant: dict[str, str]) -> None:
    async with lincoln(office, **variant) as service:
        await give_access(service)
        assert (await health(service)).state == "active"
        assert await service.doctor("lincoln")


async def test_a_server_that_names_only_weak_proof_is_not_asked(office: Office) -> None:
    async with lincoln(office, pkce="plain") as service:
        with pytest.raises(AuthorizationFailed, match="PKCE with S256"):
            await address(service)


async def test_an_issuer_that_is_named_in_two_ways_is_refused_until_it_is_set(office: Office, sandbox: RunningSandbox) -> None:
    oauth2 = f"{sandbox.base_url}/oauth2"
    async with lincoln(office, named_issuer="unslashed") as service:
        with pytest.raises(WrongIdToken, match="another issuer"):
            await give_access(service)
        told = {"issuer": f"{oauth2}/", "authorize_url": f"{oauth2}/authorize", "token_url": f"{oauth2}/token"}
        await service.create_integration("lincoln", settings(sandbox, grant="authorization_code", **told))
        await give_access(service)
        assert (await health(service)).state == "active"


async def test_a_token_without_a_refresh_token_ends_and_somebody_must_sign_in_again(office: Office) -> None:
    async with lincoln(office) as service:
        await give_access(service)
        office.sandbox.fault("token_expiry", count=1)
        assert "no refresh token" in await refused(service)
        assert (await health(service)).state == "broken"
        await give_access(service)
        assert (await health(service)).state == "active"


async def test_a_refresh_token_carries_on_and_is_written_down(office: Office) -> None:
    async with lincoln(office, renewal="rotated") as service:
        await give_access(service)
        for _ in range(2):
            office.sandbox.fault("token_expiry", count=1)
            assert "error" not in {finding.level for finding in await service.doctor("lincoln")}
            office.sandbox.clear_faults()
    async with office.open() as service:
        [renewed] = await service.renew_tokens("lincoln")
        assert (renewed.outcome, renewed.error) == ("renewed", None)


async def test_only_the_plugins_own_token_waits_for_its_end(office: Office) -> None:
    """The identity provider is asked ahead of time; the other one would hand out the same token again."""
    async with lincoln(office) as service:
        await give_access(service)
        signed_in = await health(service)
        await service.create_integration("district", settings(office.sandbox))
        await service.doctor("district")
        [own] = await service.tokens("district")
    assert seconds_between(signed_in.due_at, signed_in.expires_at) >= 600
    assert seconds_between(own.due_at, own.expires_at) == 0


async def test_until_somebody_signs_in_nothing_is_sent(office: Office) -> None:
    async with lincoln(office) as service:
        before = office.sandbox.stats()["requests"]
        assert "Nobody has given access" in await refused(service)
        assert office.sandbox.stats()["requests"] == before


async def test_a_no_is_a_no(office: Office) -> None:
    async with lincoln(office, consent="denies") as service:
        with pytest.raises(AccessDenied):
            await give_access(service)
        assert (await health(service)).state == "none"


@pytest.mark.parametrize("status", ["200", "400", "401"])
async def test_a_code_that_is_not_exchanged_is_told_whatever_its_status(office: Office, status: str) -> None:
    async with lincoln(office, failure_status=status) as service:
        redirect = visited(await address(service))
        forged = re.sub(r"code=[^&]*", "code=guessed", redirect)
        with pytest.raises(GrantBroken):
            await service.complete_authorization(forged, session=SESSION)
        assert (await health(service)).state == "none"


async def test_a_token_that_does_not_open_the_api_is_an_error_and_no_storm(office: Office, sandbox: RunningSandbox) -> None:
    async with lincoln(office, sign_in_opens="nothing", renewal="kept") as service:
        await give_access(service)
        before = asked(sandbox, EXCHANGE)
        assert await refused(service)
        assert asked(sandbox, EXCHANGE) - before <= 2


def command(office: Office, *arguments: str) -> Started:
    today = {"SIS_CONNECT_TODAY": office.sandbox.date.isoformat()}
    given = ["--database", office.url, *arguments]
    return Started(quick_start.command, given, folder=Path.cwd(), environment={**os.environ, **today})


def test_the_command_line_takes_the_pasted_address(office: Office, sandbox: RunningSandbox) -> None:
    asyncio.run(office.connect(grant="authorization_code"))
    authorize, before = command(office, "authorize", "lincoln", "--paste"), asked(sandbox, READ)
    shown = next(found[1] for line in authorize.stderr if (found := re.match(r"  (http\S+)$", line)))
    out, err = authorize.communicate(f"{visited(shown)}\n")
    assert (authorize.returncode, out[:35]) == (0, "Access to lincoln has been given. T"), err
    doctor = command(office, "doctor", "lincoln", "--json")
    out, err = doctor.communicate(timeout=60)
    assert (doctor.returncode, "error" in {item["level"] for item in json.loads(out)["items"]}) == (0, False), err
    assert asked(sandbox, READ) > before
