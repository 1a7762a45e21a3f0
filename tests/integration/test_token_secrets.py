"""Promise P7 for a whole story of tokens and secrets: none of them shows anywhere, and none lies on the disk in the clear."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from pydantic import BaseModel, SecretStr

from oauth_server import Answer, OAuthServer, oauth_server
from sis_connect.cli import application
from sis_connect.errors import SISError
from sis_connect.events import Event
from sis_connect.oauth.authorization import begin
from sis_connect.oauth.metadata import ServerMetadata
from sis_connect.service import SISService
from sis_connect.store.sql import explain
from sis_connect.tokens.key_sources import TextKeys, key_source_for
from sis_connect.tokens.token import AccessToken, RefreshToken
from sis_connect.tokens.vault import Vault, new_key
from token_office import TokenOffice, agree, by_a_person, consented, kept, registry, settings

REDIRECT = "http://127.0.0.1/callback"
SESSION = "the-session-of-an-administrator"
PASSWORD = "a-password-of-the-district"
FORMER_SECRET = "a-former-secret-of-the-district"


@pytest.fixture
def server() -> Iterator[OAuthServer]:
    with oauth_server() as running:
        running.authority.users["somebody"] = PASSWORD
        yield running


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenOffice:
    monkeypatch.setattr("sis_connect.service.discover", registry)
    return TokenOffice(tmp_path)


def everything_secret(server: OAuthServer, keys: str) -> set[str]:
    """What was ever a secret between us and the server: all of its tokens, and all that we sent to it."""
    found = {server.client_secret, FORMER_SECRET, PASSWORD, SESSION, *keys.split(",")}
    for token in server.authority.tokens:
        found |= {token.access_token, token.refresh_token or ""}
    for call in server.calls:
        found |= {call.form.get(name, "") for name in ("code", "code_verifier", "refresh_token", "token", "password")}
    return found - {""}


def disguised(secret: str, client_id: str) -> set[str]:
    """A secret, and what it looks like where it was encoded on its way."""
    basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    plain = base64.b64encode(secret.encode()).decode().rstrip("=")
    forms = {secret, quote(secret), quote_plus(secret), basic, plain, secret.encode().hex()}
    if secret.endswith("="):  # a key of the vault, which is bytes
        raw = base64.urlsafe_b64decode(secret)
        forms |= {raw.hex(), repr(raw)[2:-1], str(list(raw))}
    return forms


class Story:
    """What all of it showed."""

    def __init__(self, office: TokenOffice, server: OAuthServer) -> None:
        self.office, self.server = office, server
        self.shown: list[str] = []
        self.events: list[Event] = []

    def note(self, *things: object) -> None:
        """Show things in every way that a program, or a crash reporter, shows them."""
        for thing in things:
            self.shown += [repr(thing), str(thing)]
            if isinstance(thing, BaseException):
                self.shown += traceback.format_exception(thing)
                self.shown.append(json.dumps(thing.as_dict()) if isinstance(thing, SISError) else "")
            if hasattr(thing, "as_dict"):
                self.shown.append(json.dumps(thing.as_dict(), default=str))
            if isinstance(thing, BaseModel):
                self.shown += [thing.model_dump_json(), str(thing.model_dump()), str(thing.model_dump(mode="json"))]

    async def tell(self) -> None:
        server = self.server
        async with self.office.open(on_event=self.events.append) as service:
            await self.authorize(service)
            await self.refresh(service)
            await service.create_integration("machine", settings(server))
            await service.create_integration("user", settings(server, grant="password", username="somebody", password=PASSWORD))
            self.note(*await service.renew_tokens())
            await self.fail(service)
            await self.objects(service)
            self.note(*await service.tokens(), *await service.integrations(), await service.rotate_key(new=True))
            self.note(*self.events)

    async def authorize(self, service: SISService) -> None:
        """A person gives access; another redirect is tampered with, and one replayed."""
        await service.create_integration("lincoln", by_a_person(self.server, issuer=self.server.issuer, authorize_url=None))
        url = await service.authorization_url("lincoln", redirect_uri=REDIRECT, session=SESSION)
        redirect = await asyncio.to_thread(self.server.visit, url)
        self.note(await service.complete_authorization(redirect, session=SESSION))
        for tampered, session in ((redirect, SESSION), (redirect.replace("state=", "state=x"), SESSION), (redirect, "another")):
            with pytest.raises(SISError) as caught:
                await service.complete_authorization(tampered, session=session)
            self.note(caught.value)
        await service.authorization_url("lincoln", redirect_uri=REDIRECT, session=SESSION)  # never finished

    async def refresh(self, service: SISService) -> None:
        self.note(*await service.renew_tokens("lincoln"))
        async with service._tokens.open(await service._integrations.row("lincoln")) as access:
            token = await access.tokens.token()
            self.note(await access.tokens.token(rejected=token))  # as after a 401

    async def fail(self, service: SISService) -> None:
        """The token URL answers with everything but a token; a grant is taken back; a plugin stumbles."""
        echo = {"error": "invalid_grant", "error_description": f"the refresh token is {self.server.client_secret}"}
        for answer in (
            Answer(500, echo),
            Answer(400, {"error": "invalid_request", "error_description": self.server.client_secret}),
            Answer(200, {"access_token": 7, "refresh_token": [self.server.client_secret]}),
            Answer(200, b"<html>" + self.server.client_secret.encode()),
            Answer(302, headers={"location": f"https://sis.example.org/?token={self.server.client_secret}"}),
            Answer(401, {"error": "invalid_client", "error_description": self.server.client_secret}),
        ):
            self.server.answer_next(answer)
            results = await service.renew_tokens("machine")
            self.note(*results, *(result.error for result in results))
        await service.create_integration("gone", by_a_person(self.server))
        await agree(service, "gone", consented(self.server))
        self.server.withdraw()
        self.note(*await service.renew_tokens("gone"))
        self.note(*await service.revoke_tokens("lincoln"))
        await service.create_integration("machine", settings(self.server, former_client_secret=FORMER_SECRET))
        self.note(*await service.cleanup_tokens())
        await service.create_integration("machine", settings(self.server, former_client_secret=FORMER_SECRET))

    async def objects(self, service: SISService) -> None:
        """Everything that an app can get hold of."""
        row = await service._integrations.row("machine")
        async with service._tokens.open(row) as access:
            token = await access.tokens.renew()
            endpoint = access.tokens.endpoint
            self.note(access, access.tokens, access.store, access.config, access.info, endpoint, endpoint.client, token)
            self.note(await access.store.load(), token.access_token, token.refresh_token, service)
            async with access.store.claim() as claim:
                self.note(claim)
        self.note(await service._integrations.vault(), key_source_for(self.office.url), service._integrations)
        self.note(explain(ValueError("whatever")))


def run(capfd: pytest.CaptureFixture[str], story: Story, *arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        application.run(["--database", story.office.url, "--verbose", *arguments])
    out, err = capfd.readouterr()
    story.shown += [out, err]
    return left.value.code if isinstance(left.value.code, int) else 0


def commands(story: Story, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, call: Callable[..., int]) -> None:
    """Every command that has to do with tokens, with and without `--json`, and one that crashes."""
    server = story.server
    monkeypatch.setenv("SIS_CONNECT_CLIENT_SECRET", server.client_secret)
    where = ["--provider", "small", "--base-url", server.origin, "--token-url", server.token_url, "--client-id", server.client_id]
    for json_option in ([], ["--json"]):
        assert call("add", "typed", *where, "--set", "rate_limit=off", *json_option) == 0
        call("tokens", "rotate", "--all", *json_option)
        assert call("tokens", "rotate", "--key", "--new", *json_option) == 0
        for command in (["tokens", "status"], ["tokens", "cleanup"], ["list"], ["health"], ["doctor", "typed"]):
            call(*command, *json_option)
        call("tokens", "revoke", "--all", *json_option)
        assert call("remove", "typed", *json_option) == 0
        monkeypatch.setattr("sis_connect.service.token_operations.same_secret", crash)
        call("add", "typed", *where, "--set", "rate_limit=off")
        call("tokens", "rotate", "typed", *json_option)
        call("tokens", "rotate", "typed", *json_option)


def crash(*values: Any) -> bool:
    raise RuntimeError(f"a fault of ours, with {values!r}")


def test_p7_no_token_secret_verifier_or_code_shows_or_lies_in_the_clear(
    office: TokenOffice,
    server: OAuthServer,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("sqlalchemy", "asyncio", "alembic", "sis_connect"):
        caplog.set_level(logging.DEBUG, logger=name)
    story = Story(office, server)
    on_disk = b""

    async def main() -> None:
        nonlocal on_disk
        await story.tell()
        async with office.open():  # while it is open, the write-ahead log is there
            on_disk = office.stored_bytes()

    asyncio.run(main())
    commands(story, capfd, monkeypatch, lambda *arguments: run(capfd, story, *arguments))
    on_disk += office.stored_bytes()
    out, err = capfd.readouterr()
    shown = "\n".join([*story.shown, out, err, *logged(caplog)])

    secrets = everything_secret(server, office.key_file.read_text(encoding="ascii").strip())
    assert len(secrets) > 20, "the story is not worth its name"
    assert {"authorization_code", "refresh_token", "password", "client_credentials"} <= {call.grant_type for call in server.calls}
    assert any(call.path.endswith("/revoke") for call in server.calls)
    for secret in secrets:
        for form in disguised(secret, server.client_id):
            if form in shown:
                pytest.fail(context(shown, form))
            if form.encode() in on_disk:
                pytest.fail(f"in the database, beside {on_disk[: on_disk.index(form.encode())][-60:]!r}")


def logged(caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    """All records, as text and as they are. The test's own server, which logs what it hands out, is not meant."""
    for record in caplog.records:
        if not (record.name.startswith("authlib") and record.threadName != "MainThread"):
            yield logging.Formatter("%(levelname)s %(name)s %(message)s").format(record)
            yield str(record.__dict__)


def context(text: str, found: str) -> str:
    """Where it stands, with the secret itself left out: a failing test must not leak either."""
    at = text.index(found)
    return (text[max(0, at - 200) : at] + "<HERE>" + text[at + len(found) : at + len(found) + 100]).replace(found, "<HERE>")


async def test_p7_what_holds_a_secret_is_not_pickled(office: TokenOffice, server: OAuthServer) -> None:
    key = new_key()
    there = ServerMetadata(authorize_url=server.authorize_url, token_url=server.token_url)
    pending = begin(there, client_id="x", redirect_uri="http://127.0.0.1/callback", scope=None, now=datetime.now(UTC))
    async with office.open() as service:
        await service.create_integration("lincoln", by_a_person(server))
        await agree(service, "lincoln", consented(server))
        token = await kept(service, "lincoln")
        async with service._tokens.open(await service._integrations.row("lincoln")) as access:
            things = [
                AccessToken("hush"), RefreshToken("hush"), token, Vault.from_text(key), TextKeys(key),
                access.tokens, access.tokens.endpoint, access, access.store, await access.store.load(), service,
                pending, await service._integrations.config(await service._integrations.row("lincoln")),
            ]  # fmt: skip
            for thing in things:
                with pytest.raises((TypeError, AttributeError)):
                    pytest.fail(f"{type(thing).__name__} was pickled: {len(pickle.dumps(thing))} bytes")


async def test_p7_a_crash_dump_of_the_settings_holds_stars(office: TokenOffice, server: OAuthServer) -> None:
    config = settings(server, password=PASSWORD, former_client_secret=FORMER_SECRET)
    for dump in (repr(config), str(config), config.model_dump_json(), str(config.model_dump()), str(vars(config))):
        for secret in (server.client_secret, PASSWORD, FORMER_SECRET):
            assert secret not in dump
    assert isinstance(config.password, SecretStr)
