"""Tokens of many integrations: how they are, renewing, revoking and tidying up, for one or all, and none disturbs another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from manual_clock import ManualClock
from oauth_server import Answer, OAuthServer, oauth_server
from sis_connect.errors import ConfigurationError
from sis_connect.events import Event
from sis_connect.tokens import fleet
from sis_connect.tokens.fleet import TokenResult
from sis_connect.tokens.vault import Vault, new_key
from token_office import INFO, TokenOffice, agree, by_a_person, consented, kept, registry, settings


@pytest.fixture
def server() -> Iterator[OAuthServer]:
    with oauth_server() as running:
        yield running


@pytest.fixture
def office(tmp_path: Path) -> TokenOffice:
    return TokenOffice(tmp_path)


def outcomes(results: list[TokenResult]) -> dict[str, str]:
    return {result.integration: result.outcome for result in results}


# --- how they are ------------------------------------------------------------------------------------------------------------


async def test_health_tells_all_of_a_token_but_the_token(tmp_path: Path, server: OAuthServer) -> None:
    clock, key = ManualClock(), new_key()
    async with TokenOffice(tmp_path, clock=clock).open(key=key) as service:
        await service.create_integration("lincoln", by_a_person(server, scope="roster grades contacts"))
        (before,) = await service.tokens()
        assert (before.state, before.grant, before.expires_at) == ("none", "authorization_code", None)
        await agree(service, "lincoln", consented(server, at=clock.now()))
        (health,) = await service.tokens("lincoln")
        assert health.as_dict() == {
            "integration": "lincoln",
            "provider": "small",
            "grant": "authorization_code",
            "state": "active",
            "expires_at": (clock.now() + timedelta(hours=1)).isoformat(),
            "renewed_at": clock.now().isoformat(),
            "due_at": health.due_at,
            "failures": 0,
            "next_try_at": None,
            "last_error": None,
            "scopes": ["roster"],
            "missing_scopes": ["grades", "contacts"],
            "former_secret": False,
            "key_ids": [Vault.from_text(key).key_id],
            "key": "current",
        }
        clock.advance(3600)
        (health,) = await service.tokens("lincoln")
        assert (health.state, health.ok) == ("expired", True)


async def test_health_tells_of_failures_and_when_the_next_try_is(tmp_path: Path, server: OAuthServer) -> None:
    clock = ManualClock()
    async with TokenOffice(tmp_path, clock=clock).open() as service:
        await service.create_integration("lincoln", settings(server))
        server.answer_next(Answer(429, headers={"retry-after": "70"}), Answer(503))
        await service.renew_tokens("lincoln")
        clock.advance(71)
        await service.renew_tokens("lincoln")
        (health,) = await service.tokens("lincoln")
        assert (health.state, health.failures, health.ok) == ("failing", 2, False)
        assert health.next_try_at is not None
        assert health.last_error


async def test_a_grant_that_was_taken_back_shows_as_broken(office: TokenOffice, server: OAuthServer) -> None:
    events: list[Event] = []
    async with office.open(on_event=events.append) as service:
        await service.create_integration("lincoln", by_a_person(server))
        await agree(service, "lincoln", consented(server))
        server.withdraw()
        (result,) = await service.renew_tokens("lincoln")
        assert result.error is not None
        assert "authorize" in result.error.remedy
        assert (await service.tokens())[0].state == "broken"
    assert [event.name for event in events] == ["token.obtained", "token.broken"]


async def test_p12_one_that_cannot_be_read_hides_no_other(office: TokenOffice, server: OAuthServer) -> None:
    gone = registry(INFO, INFO.__class__(name="gone", label="Gone", provider="x:y", contract=1, capabilities=INFO.capabilities))
    async with TokenOffice(office.folder, registry=gone).open() as service:
        await service.create_integration("orphan", settings(server, provider="gone"))
        for name in ("damaged", "well"):
            await service.create_integration(name, settings(server))
    office.query("UPDATE sis_integration SET secret = x'01' WHERE name = 'damaged'")
    async with office.open() as service:
        states = {health.integration: health.state for health in await service.tokens()}
        assert states == {"damaged": "unreadable", "orphan": "unreadable", "well": "none"}
        assert outcomes(await service.renew_tokens()) == {"damaged": "failed", "orphan": "failed", "well": "renewed"}


# --- renewing ----------------------------------------------------------------------------------------------------------------


async def test_a_new_token_is_had_though_the_old_one_would_serve(office: TokenOffice, server: OAuthServer) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", by_a_person(server))
        await agree(service, "lincoln", consented(server))
        before = await kept(service, "lincoln")
        (result,) = await service.renew_tokens("lincoln", actor="an admin")
        after = await kept(service, "lincoln")
    assert (result.outcome, server.count("refresh_token"), server.reuses) == ("renewed", 1, 0)
    assert before is not None
    assert after is not None
    assert after.access_token != before.access_token
    assert ("token.renewed", "lincoln", "an admin") in office.audited()


async def test_the_same_token_again_is_called_that(office: TokenOffice, server: OAuthServer) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", settings(server))
        server.alter_token = lambda token: {**token, "access_token": "always-the-same"}
        assert outcomes(await service.renew_tokens()) == {"lincoln": "renewed"}
        assert outcomes(await service.renew_tokens()) == {"lincoln": "same"}


async def test_p12_a_district_that_is_down_disturbs_no_other(office: TokenOffice, server: OAuthServer) -> None:
    async with office.open() as service:
        for name in ("a", "b", "c"):
            await service.create_integration(name, settings(server))
        # A port that nobody listens on any more.
        with oauth_server() as gone:
            await service.create_integration("down", settings(gone))
        results = await service.renew_tokens()
        assert outcomes(results) == {"a": "renewed", "b": "renewed", "c": "renewed", "down": "failed"}
        assert [result.as_dict()["error"] is None for result in results] == [True, True, True, False]
        assert (await service.tokens("down"))[0].failures == 1


async def test_p12_so_many_at_once_and_no_more() -> None:
    at_once = most = 0
    everybody_in = asyncio.Event()

    async def act(number: int) -> TokenResult:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)  # whoever may come in comes in
        if at_once >= fleet.AT_ONCE:
            everybody_in.set()
        await everybody_in.wait()
        at_once -= 1
        if number % 7 == 0:
            raise KeyError("Ada Vale, born 2011")
        return TokenResult(integration=str(number), action="renew", outcome="renewed", message="")

    results = await fleet.for_each(range(40), act, name=str, action="renew")
    assert most == fleet.AT_ONCE
    assert [result.integration for result in results] == [str(number) for number in range(40)], "in their order"
    assert [result.integration for result in results if not result.ok] == [str(number) for number in range(0, 40, 7)]
    assert "Ada" not in str([result.as_dict() for result in results]), "what a plugin raises may hold anything"


async def test_an_unknown_name_is_an_error_of_its_own(office: TokenOffice) -> None:
    async with office.open() as service:
        for act in (service.tokens, service.renew_tokens, service.revoke_tokens, service.cleanup_tokens):
            with pytest.raises(ConfigurationError, match="no integration 'nobody'"):
                await act("nobody")


# --- revoking ----------------------------------------------------------------------------------------------------------------


async def test_revoking_ends_the_token_at_the_sis_and_here(office: TokenOffice, server: OAuthServer) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", by_a_person(server))
        await agree(service, "lincoln", token := consented(server))
        assert server.accepts(token.access_token.get_secret_value())
        (result,) = await service.revoke_tokens("lincoln", actor="an admin")
        assert (result.outcome, dict(result.detail)) == ("revoked", {"at_sis": "revoked", "here": "forgotten"})
        assert not server.accepts(token.access_token.get_secret_value())
        assert (await service.tokens())[0].state == "revoked"
        assert outcomes(await service.revoke_tokens()) == {"lincoln": "nothing"}
    assert office.query("SELECT sealed FROM sis_oauth_token") == [(None,)]
    assert ("token.revocation", "lincoln", "an admin") in office.audited()


async def test_a_token_that_was_given_back_did_not_break(office: TokenOffice, server: OAuthServer) -> None:
    events: list[Event] = []
    async with office.open(on_event=events.append) as service:
        await service.create_integration("lincoln", by_a_person(server))
        await agree(service, "lincoln", consented(server))
        await service.revoke_tokens("lincoln")
        (result,) = await service.renew_tokens("lincoln")
        assert not result.ok
        assert (await service.tokens())[0].state == "revoked"
    assert "token.broken" not in [event.name for event in events]


async def test_where_the_sis_takes_no_tokens_back_it_is_said(office: TokenOffice, server: OAuthServer) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", settings(server))
        await service.renew_tokens()
        (result,) = await service.revoke_tokens()
        assert result.ok
        assert (result.outcome, result.detail["at_sis"]) == ("forgotten", "no address")
        assert "until it expires" in result.message
        assert await kept(service, "lincoln") is None


async def test_a_sis_that_is_down_keeps_nothing_here(office: TokenOffice, server: OAuthServer) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", by_a_person(server, timeout=5))
        await agree(service, "lincoln", consented(server))
        server.stop()
        (result,) = await service.revoke_tokens()
        assert (result.ok, result.outcome, result.detail["at_sis"]) == (False, "forgotten", "failed")
        assert await kept(service, "lincoln") is None


async def test_a_token_that_opens_no_more_is_forgotten_all_the_same(office: TokenOffice, server: OAuthServer) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", by_a_person(server))
        await agree(service, "lincoln", consented(server))
        office.query("UPDATE sis_oauth_token SET sealed = ?", b"\x01" + bytes(60))
        (result,) = await service.revoke_tokens()
        assert (result.ok, result.outcome) == (False, "forgotten")
        assert (await service.tokens())[0].state == "revoked"


async def test_a_refresh_that_is_under_way_is_revoked_too(office: TokenOffice, server: OAuthServer) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", by_a_person(server))
        await agree(service, "lincoln", consented(server))
        server.hold_answers()
        renewing = asyncio.create_task(service.renew_tokens("lincoln"))
        await asyncio.to_thread(server.wait_for, 1)
        revoking = asyncio.create_task(service.revoke_tokens("lincoln"))
        server.resume()
        await renewing
        (result,) = await revoking
        assert result.outcome == "revoked"
        assert not any(server.accepts(token.access_token) for token in server.authority.tokens)
        assert await kept(service, "lincoln") is None


# --- tidying up --------------------------------------------------------------------------------------------------------------


async def test_a_former_secret_goes_once_the_newest_is_accepted(office: TokenOffice, server: OAuthServer) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", settings(server))
        await service.create_integration("lincoln", settings(server, client_secret="not yet activated"))
        (result,) = await service.cleanup_tokens()
        assert (result.outcome, result.detail["former_secret"], result.ok) == ("kept", "refused", False)
        assert (await service.renew_tokens())[0].ok, "the former one still serves"
        server.authority.clients[server.client_id].secrets[:] = ["not yet activated"]
        (result,) = await service.cleanup_tokens(actor="an admin")
        assert (result.outcome, result.detail["former_secret"], result.ok) == ("dropped", "accepted", True)
        assert not (await service.tokens())[0].former_secret
        assert outcomes(await service.cleanup_tokens()) == {"lincoln": "nothing"}
    assert ("token.cleanup", "lincoln", "an admin") in office.audited()


async def test_a_newest_secret_that_is_not_active_yet_makes_no_working_token_fail(
    office: TokenOffice, server: OAuthServer
) -> None:
    events: list[Event] = []
    async with office.open(on_event=events.append) as service:
        await service.create_integration("lincoln", by_a_person(server))
        await agree(service, "lincoln", consented(server))
        await service.create_integration("lincoln", by_a_person(server, client_secret="not yet activated"))
        (result,) = await service.cleanup_tokens()
        assert (result.outcome, result.detail["former_secret"]) == ("kept", "refused")
        (health,) = await service.tokens()
    assert (health.state, health.failures, health.next_try_at, health.last_error) == ("active", 0, None, None)
    assert [event.name for event in events] == ["token.obtained"]


async def test_a_former_secret_that_nothing_can_be_said_of_goes_after_a_month(tmp_path: Path, server: OAuthServer) -> None:
    office = TokenOffice(tmp_path, clock=(clock := ManualClock()))
    async with office.open() as service:
        for secret in (server.client_secret, "another"):
            await service.create_integration("lincoln", by_a_person(server, client_secret=secret))
        assert (await service.cleanup_tokens())[0].detail["former_secret"] == "unknown", "nobody has given access yet"
        clock.advance(timedelta(days=30).total_seconds())
        assert (await service.cleanup_tokens())[0].detail["former_secret"] == "too old"
        assert not (await service.tokens())[0].former_secret


async def test_what_was_never_finished_and_what_is_left_of_the_removed_goes(tmp_path: Path, server: OAuthServer) -> None:
    office = TokenOffice(tmp_path, clock=(clock := ManualClock()))
    async with office.open() as service:
        for name in ("lincoln", "former"):
            await service.create_integration(name, by_a_person(server))
        begin = {"redirect_uri": "http://127.0.0.1/callback", "session": "a browser"}
        for _ in range(2):
            await service.authorization_url("lincoln", **begin)
        clock.advance(300)
        await service.authorization_url("lincoln", **begin)
        clock.advance(400)
        await agree(service, "former", consented(server))
        office.query("UPDATE sis_integration SET removed_at = 'long ago' WHERE name = 'former'")
        results = {result.integration: result for result in await service.cleanup_tokens()}
    assert results["lincoln"].detail["dropped"] == {"pending": 2, "tokens": 0, "former_secrets": 0}
    assert results["former"].detail["dropped"] == {"pending": 0, "tokens": 1, "former_secrets": 0}
    assert "2 unfinished authorizations dropped." in results["lincoln"].message
    assert office.query("SELECT COUNT(*) FROM sis_pending_authorization") == [(1,)]


# --- keeping alive -----------------------------------------------------------------------------------------------------------


async def test_grants_that_nobody_uses_are_kept_alive_until_told_to_stop(tmp_path: Path, server: OAuthServer) -> None:
    renewed = asyncio.Event()

    def listen(event: Event) -> None:
        if event.name == "token.renewed":
            renewed.set()

    async with TokenOffice(tmp_path).open(on_event=listen) as service:
        await service.create_integration("lincoln", by_a_person(server))
        await agree(service, "lincoln", consented(server, lives=5))
        keeping = asyncio.create_task(service.keep_tokens())
        await asyncio.wait_for(renewed.wait(), 60)
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping
    assert server.count("refresh_token") == 1
