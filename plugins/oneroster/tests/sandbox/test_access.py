"""The sandbox by raw HTTP: paths, tokens, scopes, signatures (rows 1 to 5 and 34 of the notes' list)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from uuid import uuid4

import httpx
import pytest
from authlib.oauth1.rfc5849.signature import (  # type: ignore[import-untyped]
    construct_base_string,
    hmac_sha1_signature,
)

from raw_oneroster import BASES, FACTORY, V11, V12, grant, minor, read, scope
from sis_connect.errors import ConfigurationError
from sis_connect.testing.sandbox import RunningSandbox, build_app, running_sandbox
from sis_connect_oneroster.sandbox_signature import signature


def with_scope(client: httpx.Client, sandbox: RunningSandbox, *scopes: str) -> httpx.Client:
    client.headers["Authorization"] = f"Bearer {grant(client, sandbox, *scopes).json()['access_token']}"
    return client


# Paths and methods


@pytest.mark.parametrize("path", ["administrators", "guardians", "districts", "students/x/teachers", "schools/x/y/z/students"])
def test_row_1_what_is_not_in_the_standard_is_not_there(client: httpx.Client, path: str) -> None:
    for base in BASES.values():
        assert client.get(f"{base}/{path}").status_code == 404


def test_row_1_what_is_there_is_only_read(client: httpx.Client) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = client.request(method, f"{V12}/students")
        assert (answer.status_code, answer.headers["allow"], minor(answer)) == (405, "GET, HEAD", "forbidden")
    older = client.post(f"{V11}/students").json()
    assert older["statusInfoSet"][0]["imsx_codeMinor"] == "forbidden"
    assert client.head(f"{V12}/students").content == b""


def test_both_versions_are_there_and_the_setting_says_which_is_meant(sandbox: RunningSandbox) -> None:
    assert sandbox.base_url.endswith(V12)
    assert sandbox.settings["version"] == "1.2"
    with running_sandbox(FACTORY, students=1, settings={"version": "1.1"}) as older:
        assert older.base_url.endswith(V11)
        assert older.settings == {"rate_limit": "off", "version": "1.1", "end_dates": "exclusive"}


@pytest.mark.parametrize("name", ["onerosterv1p2rostersservice", "imsorv1p2_rostering"])
def test_the_description_is_there_under_both_names_for_everybody(anonymous: httpx.Client, name: str) -> None:
    described = anonymous.get(f"{V12}/discovery/{name}_openapi3_v1p0.json").json()
    assert described["openapi"] == "3.0.0"
    assert described["servers"][0]["url"].endswith(V12)
    assert "/students" in described["paths"]


# Tokens


def test_row_2_without_a_token_nothing_is_read(anonymous: httpx.Client) -> None:
    refusals = {"": "is needed", "Bearer wrong": "is not known", "Basic eDp5": "is needed"}
    for authorization, said in refusals.items():
        headers = {"Authorization": authorization} if authorization else {}
        answer = anonymous.get(f"{V12}/students", headers=headers)
        assert (answer.status_code, minor(answer)) == (401, "unauthorisedrequest")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert said in answer.json()["imsx_description"]


def test_row_34_a_token_in_the_query_is_none(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    token = grant(anonymous, sandbox).json()["access_token"]
    assert anonymous.get(f"{V12}/students?access_token={token}").status_code == 401


def test_tokens_are_also_where_a_client_looks_that_was_not_told(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    identity, asked = (sandbox.client_id, sandbox.client_secret), {"grant_type": "client_credentials"}
    for path in ("/token", f"{V11}/token", f"{V12}/token"):
        token = anonymous.post(path, auth=identity, data=asked).json()["access_token"]
        assert anonymous.get(f"{V12}/orgs", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert anonymous.post("/elsewhere/token", auth=identity, data=asked).status_code == 404


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_row_3_core_reads_what_stands_at_the_top(anonymous: httpx.Client, sandbox: RunningSandbox, version: str) -> None:
    base, client = BASES[version], with_scope(anonymous, sandbox, scope(version, "roster-core"))
    school = read(client, f"{base}/schools")[0]["sourcedId"]
    assert client.get(f"{base}/schools/{school}").status_code == 200
    assert client.get(f"{base}/schools/{school}/classes").status_code == 403
    wider = with_scope(client, sandbox, scope(version, "roster"))
    assert wider.get(f"{base}/schools").status_code == 200
    assert wider.get(f"{base}/schools/{school}/classes").status_code == 200


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_row_4_demographics_have_a_scope_of_their_own(anonymous: httpx.Client, sandbox: RunningSandbox, version: str) -> None:
    base = BASES[version]
    client = with_scope(anonymous, sandbox, scope(version, "roster-core", "roster"))
    assert client.get(f"{base}/demographics").status_code == 403
    client = with_scope(client, sandbox, scope(version, "roster-demographics"))
    assert client.get(f"{base}/demographics").status_code == 200
    assert client.get(f"{base}/students").status_code == 403


def test_row_4_demographics_may_be_withheld(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(demographics="withheld")
    asked = grant(anonymous, sandbox, scope("1.2", "roster-core", "roster-demographics")).json()
    assert "demographics" not in asked["scope"]
    refused = grant(anonymous, sandbox, scope("1.2", "roster-demographics"))
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")


def test_row_5_a_token_of_one_version_does_not_open_the_other(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    client = with_scope(anonymous, sandbox, scope("1.1", "roster-core", "roster"))
    assert client.get(f"{V11}/students").status_code == 200
    refused = client.get(f"{V12}/students")
    assert (refused.status_code, minor(refused)) == (403, "forbidden")


def test_row_5_without_a_scope_there_are_all(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    told = grant(anonymous, sandbox).json()
    assert (told["token_type"], told["expires_in"]) == ("Bearer", 3600)
    assert {scope("1.1", "roster-core"), scope("1.2", "roster-demographics")} <= set(told["scope"].split())
    unknown = grant(anonymous, sandbox, "https://example.org/everything")
    assert (unknown.status_code, unknown.json()["error"]) == (400, "invalid_scope")


def test_row_5_a_token_lives_as_long_as_is_told(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(token_life="0.3")
    client = with_scope(anonymous, sandbox)
    assert client.get(f"{V12}/orgs").status_code == 200
    time.sleep(0.4)
    assert client.get(f"{V12}/orgs").status_code == 401
    sandbox.set(token_life="0.3", expired="403")
    assert client.get(f"{V12}/orgs").status_code == 403


def test_a_token_may_die_in_the_middle(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("token_expiry", "1", count=1)
    assert [client.get(f"{V12}/orgs").status_code for _ in range(3)] == [200, 401, 401]
    assert with_scope(client, sandbox).get(f"{V12}/orgs").status_code == 200


@pytest.mark.parametrize("way", ["basic", "body", "query"])
def test_deviation_20_credentials_may_be_taken_in_one_way_only(
    anonymous: httpx.Client, sandbox: RunningSandbox, way: str
) -> None:
    sandbox.set(credentials=way)
    identity = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
    asked = {"grant_type": "client_credentials"}
    answers = {
        "basic": grant(anonymous, sandbox),
        "body": anonymous.post("/token", data={**asked, **identity}),
        "query": anonymous.post("/token", params={**asked, **identity}),
    }
    assert {name for name, answer in answers.items() if answer.status_code == 200} == {way}


# Signed requests of 1.1


def signed(
    sandbox: RunningSandbox, url: str, query: str, pairs: list[tuple[str, str]], method: str, **changes: str
) -> Mapping[str, str]:
    oauth = {
        "oauth_consumer_key": sandbox.client_id,
        "oauth_nonce": uuid4().hex,
        "oauth_signature_method": method,
        "oauth_timestamp": str(int(time.time())),
        "oauth_version": "1.0",
        **changes,
    }
    oauth["oauth_signature"] = signature("GET", url, [*pairs, *oauth.items()], sandbox.client_secret, method)
    told = ", ".join(f'{name}="{httpx.QueryParams({"v": value})}"'.replace('"v=', '"') for name, value in oauth.items())
    return {"Authorization": f'OAuth realm="roster", {told}'}


QUERIES: dict[str, list[tuple[str, str]]] = {
    "": [],
    "limit=2&offset=1": [("limit", "2"), ("offset", "1")],
    "filter=givenName%3D%27Zo%C3%AB%20O%27%27Brien%27": [("filter", "givenName='Zoë O''Brien'")],
    "filter=status='active'&sort=": [("filter", "status='active'"), ("sort", "")],
}


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("method", ["HMAC-SHA1", "HMAC-SHA256"])
def test_signed_requests_are_let_in(method: str, query: str) -> None:
    settings = {"version": "1.1", "auth": "oauth1", "signature_method": method}
    with running_sandbox(FACTORY, students=1, settings=settings) as sandbox:
        assert sandbox.settings["grant"] == "oauth1"
        assert sandbox.settings["signature_method"] == method
        url = f"{sandbox.base_url}/students"
        headers = signed(sandbox, url, query, QUERIES[query], method)
        answer = httpx.get(f"{url}?{query}" if query else url, headers=headers)
        assert answer.status_code == 200, answer.text
        assert httpx.get(f"{url}?{query}" if query else url, headers=headers).status_code == 401, "a nonce is good once"


def test_what_is_signed_wrongly_is_refused() -> None:
    method, settings = "HMAC-SHA256", {"version": "1.1", "auth": "oauth1"}
    with running_sandbox(FACTORY, students=1, settings=settings) as sandbox:
        url = f"{sandbox.base_url}/students"
        wrong = {
            "another query": httpx.get(f"{url}?limit=3", headers=signed(sandbox, url, "limit=2", [("limit", "2")], method)),
            "another path": httpx.get(f"{sandbox.base_url}/users", headers=signed(sandbox, url, "", [], method)),
            "another method": httpx.get(url, headers=signed(sandbox, url, "", [], "HMAC-SHA1")),
            "another key": httpx.get(url, headers=signed(sandbox, url, "", [], method, oauth_consumer_key="x")),
            "an old timestamp": httpx.get(url, headers=signed(sandbox, url, "", [], method, oauth_timestamp="1000000000")),
            "a bearer token": httpx.get(url, headers={"Authorization": "Bearer x"}),
        }
        for why, answer in wrong.items():
            assert answer.status_code == 401, why
            assert answer.json()["statusInfoSet"][0]["imsx_codeMinor"] == "unauthorized"
            assert answer.headers["www-authenticate"].startswith("OAuth realm="), why


def test_a_signature_is_of_the_address_as_it_was_sent() -> None:
    method, settings = "HMAC-SHA256", {"version": "1.1", "auth": "oauth1"}
    with running_sandbox(FACTORY, students=1, settings=settings) as sandbox:
        doubled, tidy = f"{sandbox.base_url}//students", f"{sandbox.base_url}/students"
        assert httpx.get(doubled, headers=signed(sandbox, doubled, "", [], method)).status_code == 200
        assert httpx.get(doubled, headers=signed(sandbox, tidy, "", [], method)).status_code == 401


def test_a_signature_is_what_the_library_makes_of_it() -> None:
    pairs = [("b5", "=%3D"), ("a3", "a"), ("c@", ""), ("a2", "r b"), ("oauth_nonce", "7d8f3e4a")]
    theirs = hmac_sha1_signature(construct_base_string("POST", "http://EXAMPLE.org:80/request", pairs), "secret & more", "")
    assert signature("post", "HTTP://Example.ORG:80/request", pairs, "secret & more", "HMAC-SHA1") == theirs


def test_signed_requests_belong_to_the_older_version() -> None:
    with pytest.raises(ConfigurationError, match=r"version 1\.1"):
        build_app(FACTORY, students=1, settings={"auth": "oauth1"})
