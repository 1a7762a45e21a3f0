"""Access given at a server that is neither ours nor Authlib's: the npm package `oidc-provider`, certified for OpenID Connect.

It needs Node and a package registry, so its name keeps it out of the usual run. On a machine that has both:

    python -m uv run pytest tests/foreign/check_oidc_provider.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import unittest
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, build_opener

import pytest

from sis_connect.errors import SISError
from sis_connect.oauth.authorization import AuthorizationFailed
from sis_connect.oauth.grants import refresh
from sis_connect.service import SISService
from sis_connect.settings import SISProviderConfig, validated
from token_office import TokenOffice, kept

REDIRECT_URI = "https://app.example.org/sis/callback"
SESSION = "the session of one administrator"
SCRIPT = Path(__file__).with_name("oidc_provider.mjs")


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the package is installed."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise unittest.SkipTest("Node and npm are not on this machine.")
    folder = tmp_path_factory.mktemp("node")
    try:
        got = subprocess.run(
            [npm, "install", "--no-fund", "--no-audit", "--ignore-scripts", "oidc-provider@9"],
            cwd=folder,
            capture_output=True,
            timeout=90,
        )
    except subprocess.TimeoutExpired:
        raise unittest.SkipTest("The package oidc-provider could not be had in time.") from None
    if got.returncode != 0:
        raise unittest.SkipTest("The package oidc-provider could not be had from the package registry.")
    shutil.copy(SCRIPT, folder)
    return folder


@pytest.fixture
def issuer(package: Path) -> Iterator[str]:
    """The provider, running."""
    process = subprocess.Popen(
        ["node", SCRIPT.name, REDIRECT_URI], cwd=package, stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]}
    )
    assert process.stdout is not None
    try:
        while not (line := process.stdout.readline()).startswith("{"):
            assert line, "the provider did not start"
        yield json.loads(line)["issuer"]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


class Halt(HTTPRedirectHandler):
    """Follows within the provider, and stops where it sends the browser back to us."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        return None if newurl.startswith(REDIRECT_URI) else super().redirect_request(req, fp, code, msg, headers, newurl)


def visit(url: str) -> str:
    """Sign in and consent in a browser with cookies, and return where it ends."""
    browser = build_opener(Halt, HTTPCookieProcessor(CookieJar()))
    with pytest.raises(HTTPError) as halted, browser.open(url, timeout=30):
        pass
    with halted.value as last:
        location = last.headers["location"]
        assert location, f"{last.code} {last.read().decode()}"
        return str(location)


def settings(issuer: str, **more: Any) -> SISProviderConfig:
    given = {
        "provider": "small",
        "base_url": issuer,
        "issuer": issuer,
        "grant": "authorization_code",
        "scope": "openid roster",
        "client_id": "district-client",
        "client_secret": "a-client-secret-of-the-district",
        "rate_limit": "off",
    }
    return validated({**given, **more}, origin="a test")


async def give_access(service: SISService) -> str:
    url = await service.authorization_url("lincoln", redirect_uri=REDIRECT_URI, session=SESSION)
    redirect = visit(url)
    await service.complete_authorization(redirect, session=SESSION)
    return redirect


@pytest.fixture
def office(tmp_path: Path) -> TokenOffice:
    return TokenOffice(tmp_path)


async def test_access_is_given_renewed_and_given_back(office: TokenOffice, issuer: str) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", settings(issuer))
        await give_access(service)
        first = await kept(service, "lincoln")
        assert first is not None
        assert first.refresh_token is not None
        for _ in range(3):
            assert [result.outcome for result in await service.renew_tokens("lincoln")] == ["renewed"]
        last = await kept(service, "lincoln")
        assert last is not None
        assert last.refresh_token != first.refresh_token
        assert [result.outcome for result in await service.revoke_tokens("lincoln")] == ["revoked"]


async def test_a_spent_refresh_token_kills_the_grant_and_that_is_said(office: TokenOffice, issuer: str) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", settings(issuer))
        await give_access(service)
        spent = await kept(service, "lincoln")
        assert spent is not None
        assert spent.refresh_token is not None
        await service.renew_tokens("lincoln")
        async with service._tokens.open(await service._integrations.row("lincoln")) as access:
            with pytest.raises(SISError):
                await access.tokens.endpoint.fetch(refresh(spent.refresh_token))
        await service.renew_tokens("lincoln")
        assert [health.state for health in await service.tokens("lincoln")] == ["broken"]
        await give_access(service)
        assert [health.ok for health in await service.tokens("lincoln")] == [True]


async def test_a_redirect_works_once_there_too(office: TokenOffice, issuer: str) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", settings(issuer))
        redirect = await give_access(service)
        with pytest.raises(AuthorizationFailed, match="used already"):
            await service.complete_authorization(redirect, session=SESSION)
        assert [result.outcome for result in await service.renew_tokens("lincoln")] == ["renewed"]


async def test_a_mixed_up_issuer_is_refused_there_too(office: TokenOffice, issuer: str) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", settings(issuer))
        url = await service.authorization_url("lincoln", redirect_uri=REDIRECT_URI, session=SESSION)
        with pytest.raises(AuthorizationFailed, match="iss is another"):
            await service.complete_authorization(visit(url).replace("iss=", "iss=https%3A%2F%2Fevil."), session=SESSION)
