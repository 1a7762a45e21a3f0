"""The sandbox as identity provider over raw HTTP, row by row of the notes on PowerSchool's OpenID Connect."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from raw_v1 import EXPIRED, TOKEN
from sis_connect.testing.sandbox import RunningSandbox

DISCOVERY = "/oauth2/.well-known/openid-configuration"
REDIRECT = "http://127.0.0.1:8914/callback"
VERIFIER = "a-verifier-of-forty-three-characters-or-more"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


def document(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get(DISCOVERY).json()
    return found


def visit(client: httpx.Client, sandbox: RunningSandbox, **changes: str | None) -> httpx.Response:
    """Open the address at which somebody signs in."""
    asked: dict[str, str | None] = {"response_type": "code", "client_id": sandbox.client_id, "redirect_uri": REDIRECT}
    asked |= {"scope": "openid email", "state": "a state", "nonce": "a nonce", **changes}
    return client.get(document(client)["authorization_endpoint"], params={k: v for k, v in asked.items() if v is not None})


def came_back(answer: httpx.Response) -> dict[str, str]:
    """What the redirect says."""
    assert answer.status_code == 302, answer.text
    assert answer.headers["location"].startswith(f"{REDIRECT}?")
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def code(client: httpx.Client, sandbox: RunningSandbox, **changes: str | None) -> str:
    return came_back(visit(client, sandbox, **changes))["code"]


def post(client: httpx.Client, sandbox: RunningSandbox, **form: str) -> httpx.Response:
    identity = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
    return client.post(document(client)["token_endpoint"], data={**identity, **form})


def exchange(client: httpx.Client, sandbox: RunningSandbox, given: str, /, **changes: str) -> httpx.Response:
    return post(client, sandbox, **{"grant_type": "authorization_code", "code": given, "redirect_uri": REDIRECT, **changes})


def signed_in(client: httpx.Client, sandbox: RunningSandbox, **changes: str | None) -> dict[str, Any]:
    answer = exchange(client, sandbox, code(client, sandbox, **changes))
    assert answer.status_code == 200, answer.text
    token: dict[str, Any] = answer.json()
    return token


def claims(id_token: str) -> dict[str, Any]:
    body = id_token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


def read_schools(client: httpx.Client, token: str) -> httpx.Response:
    return client.get("/ws/v1/district/school", headers={"Authorization": f"Bearer {token}"})


# Discovery


def test_the_document_names_the_addresses_and_scopes(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    found = document(anonymous)
    assert found["issuer"] == f"{sandbox.base_url}/oauth2/"
    assert found["authorization_endpoint"].startswith(f"{sandbox.base_url}/oauth2/")
    assert found["token_endpoint"].startswith(f"{sandbox.base_url}/oauth2/")
    assert "openid" in found["scopes_supported"]
    assert anonymous.post(DISCOVERY).status_code == 405


@pytest.mark.parametrize(("pkce", "methods"), [("unnamed", None), ("s256", ["S256"]), ("plain", ["plain"])])
def test_unsure_whether_the_document_names_pkce(
    anonymous: httpx.Client, sandbox: RunningSandbox, pkce: str, methods: list[str] | None
) -> None:
    sandbox.set(pkce=pkce)
    assert document(anonymous).get("code_challenge_methods_supported") == methods


def test_unsure_whether_the_document_names_the_issuer_as_id_tokens_do(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(named_issuer="unslashed")
    assert document(anonymous)["issuer"] == f"{sandbox.base_url}/oauth2"
    assert claims(signed_in(anonymous, sandbox)["id_token"])["iss"] == f"{sandbox.base_url}/oauth2/"


# Authorize


def test_whoever_opens_the_address_comes_back_with_a_code_and_the_state(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    back = came_back(visit(anonymous, sandbox))
    assert (set(back), back["state"]) == ({"code", "state"}, "a state")
    assert set(came_back(visit(anonymous, sandbox, state=None))) == {"code"}


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "somebody"},
        {"client_id": None},
        {"redirect_uri": f"{REDIRECT}/"},
        {"redirect_uri": REDIRECT.replace("8914", "8915")},
        {"redirect_uri": f"{REDIRECT}?more=1"},
        {"redirect_uri": None},
    ],
)
def test_a_stranger_and_another_redirect_are_sent_nowhere(
    anonymous: httpx.Client, sandbox: RunningSandbox, change: dict[str, str | None]
) -> None:
    refused = visit(anonymous, sandbox, **change)
    assert (refused.status_code, "location" in refused.headers) == (400, False)


def test_the_registered_redirect_can_be_another(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(redirect_uri="https://app.example.org/sis?district=7")
    answer = visit(anonymous, sandbox, redirect_uri="https://app.example.org/sis?district=7")
    assert answer.headers["location"].startswith("https://app.example.org/sis?district=7&code=")
    assert visit(anonymous, sandbox).status_code == 400


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "email"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"_persona": "visitor"}, "invalid_request"),
    ],
)
def test_what_is_asked_wrongly_is_told_in_the_redirect(
    anonymous: httpx.Client, sandbox: RunningSandbox, change: dict[str, str | None], error: str
) -> None:
    back = came_back(visit(anonymous, sandbox, **change))
    assert (back["error"], back["state"], "code" in back) == (error, "a state", False)


def test_somebody_may_say_no(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(consent="denies")
    back = came_back(visit(anonymous, sandbox))
    assert (back["error"], back["state"]) == ("access_denied", "a state")


@pytest.mark.parametrize("persona", ["staff", "teacher", "parent", "student"])
def test_the_persona_is_who_signs_in(anonymous: httpx.Client, sandbox: RunningSandbox, persona: str) -> None:
    said = claims(signed_in(anonymous, sandbox, _persona=persona)["id_token"])
    assert (said["persona"], said["sub"]) == (persona, f"{sandbox.base_url}/uri/{persona}/4711")


# The exchange


def test_a_code_becomes_a_token_with_an_id_token(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    answer = exchange(anonymous, sandbox, code(anonymous, sandbox))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    token = answer.json()
    assert set(token) == {"access_token", "token_type", "expires_in", "id_token"}
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", token["access_token"])
    assert token["token_type"] == "Bearer"


def test_the_claims_say_who_signed_in_and_no_schools(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    said = claims(signed_in(anonymous, sandbox)["id_token"])
    assert set(said) == {
        *("iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "jti", "kid", "persona", "email", "email_verified"),
        *("given_name", "family_name", "preferred_username", "ps_dcid", "ps_uri", "ps_account_token", "oid2"),
    }
    assert (said["iss"], said["aud"]) == (f"{sandbox.base_url}/oauth2/", [sandbox.client_id])
    assert (said["nonce"], said["persona"], type(said["ps_dcid"])) == ("a nonce", "staff", int)
    assert said["auth_time"] <= said["iat"] <= time.time() < said["exp"]
    assert said["sub"] == said["ps_uri"]
    assert "nonce" not in claims(signed_in(anonymous, sandbox, nonce=None)["id_token"])


def test_id_and_secret_are_looked_for_in_the_body_only(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    form = {"grant_type": "authorization_code", "code": code(anonymous, sandbox), "redirect_uri": REDIRECT}
    identity = (sandbox.client_id, sandbox.client_secret)
    refused = anonymous.post(document(anonymous)["token_endpoint"], auth=identity, data=form)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_client")
    assert exchange(anonymous, sandbox, form["code"]).status_code == 200


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"client_id": "somebody"}, "invalid_client"),
        ({"code": "guessed"}, "invalid_grant"),
        ({"redirect_uri": f"{REDIRECT}/"}, "invalid_grant"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "guessed"}, "unsupported_grant_type"),
    ],
)
def test_failures_have_an_error_and_a_description(
    anonymous: httpx.Client, sandbox: RunningSandbox, change: dict[str, str], error: str
) -> None:
    refused = exchange(anonymous, sandbox, code(anonymous, sandbox), **change)
    assert (refused.status_code, set(refused.json())) == (400, {"error", "error_description"})
    assert refused.json()["error"] == error


def test_unsure_with_which_status_a_failure_comes(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    for status in ("200", "401"):
        sandbox.set(failure_status=status)
        refused = exchange(anonymous, sandbox, "guessed")
        assert (refused.status_code, refused.json()["error"]) == (int(status), "invalid_grant")


def test_a_code_is_good_once(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    used = code(anonymous, sandbox)
    assert exchange(anonymous, sandbox, used).status_code == 200
    assert exchange(anonymous, sandbox, used).json()["error"] == "invalid_grant"
    assert anonymous.get(document(anonymous)["token_endpoint"]).status_code == 405


def test_the_address_for_plugins_takes_no_code(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    form = {"grant_type": "authorization_code", "code": code(anonymous, sandbox), "redirect_uri": REDIRECT}
    refused = anonymous.post(TOKEN, auth=(sandbox.client_id, sandbox.client_secret), data=form)
    assert (refused.status_code, refused.json()["error"]) == (400, "unsupported_grant_type")


def test_unsure_whether_pkce_is_looked_at(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    proven = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
    assert exchange(anonymous, sandbox, code(anonymous, sandbox, **proven), code_verifier="wrong").status_code == 200
    sandbox.set(pkce="s256")
    assert exchange(anonymous, sandbox, code(anonymous, sandbox, **proven), code_verifier=VERIFIER).status_code == 200
    refused = exchange(anonymous, sandbox, code(anonymous, sandbox, **proven), code_verifier="wrong")
    assert refused.json()["error"] == "invalid_grant"
    assert came_back(visit(anonymous, sandbox))["error"] == "invalid_request"
    assert came_back(visit(anonymous, sandbox, **{**proven, "code_challenge_method": "plain"}))["error"] == "invalid_request"


def test_unsure_how_the_life_of_the_token_is_told(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(sign_in_life="60")
    assert signed_in(anonymous, sandbox)["expires_in"] == "60"
    sandbox.set(sign_in_expiry="number")
    assert signed_in(anonymous, sandbox)["expires_in"] == 60
    sandbox.set(sign_in_expiry="absent")
    assert "expires_in" not in signed_in(anonymous, sandbox)


def test_unsure_whether_a_refresh_token_comes(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(renewal="kept")
    first = signed_in(anonymous, sandbox)["refresh_token"]
    for _ in range(2):
        again = post(anonymous, sandbox, grant_type="refresh_token", refresh_token=first)
        assert read_schools(anonymous, again.json()["access_token"]).status_code == 200
    sandbox.set(renewal="rotated")
    second = post(anonymous, sandbox, grant_type="refresh_token", refresh_token=first).json()["refresh_token"]
    assert second != first
    refused = post(anonymous, sandbox, grant_type="refresh_token", refresh_token=first)
    assert refused.json()["error"] == "invalid_grant"


# What the token opens


def test_unsure_whether_the_token_opens_v1(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    token = signed_in(anonymous, sandbox)["access_token"]
    assert read_schools(anonymous, token).status_code == 200
    sandbox.set(sign_in_opens="nothing")
    refused = read_schools(anonymous, token)
    assert (refused.status_code, refused.content, refused.headers["www-authenticate"]) == (401, b"", EXPIRED)


def test_the_token_dies_by_itself_and_no_other_with_it(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    token, other = (signed_in(anonymous, sandbox)["access_token"] for _ in range(2))
    sandbox.fault("token_expiry", count=1)
    assert read_schools(anonymous, token).headers["www-authenticate"] == EXPIRED
    assert (read_schools(anonymous, token).status_code, read_schools(anonymous, other).status_code) == (401, 200)
    sandbox.set(sign_in_life="0")
    assert read_schools(anonymous, signed_in(anonymous, sandbox)["access_token"]).status_code == 401


def test_settings_that_mean_nothing_are_refused(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    for wrong in ({"renewal": "perhaps"}, {"sign_in_life": "long"}, {"pkce": "S256"}):
        assert anonymous.post("/_sandbox/set", json=wrong).status_code == 400
