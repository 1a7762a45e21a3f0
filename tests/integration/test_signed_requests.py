"""Requests without a token, on real sockets: what a server that reckons for itself makes of our signatures, and where they go."""

from __future__ import annotations

import base64
import io
import logging
import traceback
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from manual_clock import ManualClock
from raw_server import Answer, Heard, RawServer, answer, json_answer, serving
from signing_server import SigningServer
from sis_connect.capabilities import Capabilities
from sis_connect.clock import Clock, SystemClock
from sis_connect.errors import AuthenticationError, ConfigurationError, SISError, UnexpectedResponse
from sis_connect.oauth.wiring import demand_secret, signer_for
from sis_connect.provider import CONTRACT, ProviderInfo
from sis_connect.settings import SISProviderConfig, validated
from sis_connect.transport.calls import Call
from sis_connect.transport.http import Transport
from sis_connect.transport.rate_limit import Limiter, unlimited
from sis_connect.transport.redact import redact_text

INFO = ProviderInfo(
    name="small",
    label="Small SIS",
    provider="small_sis:SmallProvider",
    contract=CONTRACT,
    capabilities=Capabilities(),
    auth_grants=("oauth1", "basic", "api_key", "none", "client_credentials"),
)
SECRET = "hush-secret-value"
PUPIL = "Riley.Stone"


def config_for(server: RawServer, **settings: Any) -> SISProviderConfig:
    given = {"provider": "small", "base_url": server.url, "client_id": "district", "client_secret": SECRET}
    return validated({**given, **settings}, origin="a test")


def transport(
    server: RawServer, clock: Clock | None = None, limiter: Limiter | None = None, on_call: Any = None, **settings: Any
) -> Transport:
    clock = clock or ManualClock()
    signer = signer_for(INFO, config_for(server, **settings), clock=clock)
    return Transport(
        base_url=server.url, tokens=None, signer=signer, limiter=limiter or unlimited(), clock=clock, timeout=5, on_call=on_call
    )


# -- OAuth 1.0a --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["HMAC-SHA1", "HMAC-SHA256"])
@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/students", {}),
        ("/students", {"limit": "100", "offset": "0"}),
        ("/students", {"filter": "dateLastModified>'2026-11-01T00:00:00.000Z'"}),
        ("/students", {"filter": "familyName='O''Brien' AND status!='tobedeleted'"}),
        ("/students", {"filter": "givenName~'a,b'", "sort": "familyName", "fields": "sourcedId,status"}),
        ("/students", {"name": "Ümläut 日本 + & % ~ * ( ) !", "empty": ""}),
        ("/students", {"cursor": "abc/def==", "b": "%27"}),
        ("/students?limit=10&filter=status='active'", {}),
        ("/students?limit=10&same=2&same=1&filter=name%3D%27x%20y%27", {"limit": "20"}),
        ("/schools/it's a school/students", {"q": "1"}),
        ("/schools/a%2Fb~c/ümläut;x=1/students", {}),
    ],
)
async def test_a_server_reckons_the_signature_of_what_arrives(path: str, params: dict[str, str], method: str) -> None:
    async with serving(SigningServer()) as server, transport(server, grant="oauth1", signature_method=method) as subject:
        assert (await subject.get_json(path, params=params)).status == 200


async def test_the_signature_is_by_sha256_unless_it_is_said_otherwise() -> None:
    district = SigningServer()
    async with serving(district) as server, transport(server, grant="oauth1") as subject:
        await subject.get_json("/students")
    assert [stated["oauth_signature_method"] for stated in district.stated] == ["HMAC-SHA256"]


async def test_what_is_in_a_json_body_takes_no_part() -> None:
    async with serving(SigningServer()) as server, transport(server, grant="oauth1") as subject:
        await subject.request("POST", "/search", params={"limit": "1"}, json={"a": "b=c&d"}, repeatable=True)


async def test_each_attempt_is_signed_anew_at_the_moment_it_leaves() -> None:
    clock = ManualClock()
    retry = answer(status=503, retry_after="30")
    district = SigningServer(first=[retry, retry])
    async with serving(district) as server, transport(server, clock, grant="oauth1") as subject:
        await subject.get_json("/students", params={"limit": "1"})
    assert len({stated["oauth_nonce"] for stated in district.stated}) == 3
    start = int(ManualClock().now().timestamp())
    assert [int(stated["oauth_timestamp"]) - start for stated in district.stated] == [0, 30, 60]


async def test_each_attempt_of_a_download_is_signed() -> None:
    district, file = SigningServer(first=[answer(status=503)]), io.BytesIO()
    async with serving(district) as server, transport(server, grant="oauth1") as subject:
        await subject.download("/bulk/it's.json", file, params={"q": "a b"})
    assert len({stated["oauth_nonce"] for stated in district.stated}) == 2
    assert file.getvalue() == b"{}"


async def test_waiting_for_the_rate_limit_makes_no_signature_stale() -> None:
    clock, district = ManualClock(), SigningServer()
    limiter = Limiter(1, 300, clock=clock, smooth=False)
    async with serving(district) as server, transport(server, clock, limiter, grant="oauth1") as subject:
        for _ in range(2):
            await subject.get_json("/students")
    first, second = (int(stated["oauth_timestamp"]) for stated in district.stated)
    assert second - first >= 300


async def test_another_page_of_the_servers_own_making_is_signed_as_it_is_asked_for() -> None:
    async with serving(SigningServer()) as server, transport(server, grant="oauth1") as subject:
        await subject.get_json(f"{server.url}/students?filter=status%3D%27active%27&offset=2", params={"limit": "2"})


# -- a refusal ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grant", ["oauth1", "basic", "api_key"])
async def test_a_refusal_is_about_the_credentials_and_is_not_tried_again(grant: str) -> None:
    async def refuse(_heard: Heard) -> Answer:
        return answer(b"", status=401)

    async with serving(refuse) as server, transport(server, grant=grant) as subject:
        presented = "API key" if grant == "api_key" else "client id and secret"
        with pytest.raises(AuthenticationError, match=f"does not accept our {presented}") as caught:
            await subject.get_json("/students")
        assert len(server.heard) == 1
    assert "token" not in caught.value.message
    assert not caught.value.retryable


@pytest.mark.parametrize("grant", ["oauth1", "basic", "api_key"])
async def test_while_the_district_changes_the_secret_the_former_one_is_tried_once_and_remembered(
    grant: str, caplog: pytest.LogCaptureFixture
) -> None:
    signing = SigningServer(secret="the-former")

    async def knows_the_former(heard: Heard) -> Answer:
        if grant == "oauth1":
            return await signing(heard)
        taken = (basic("the-former"), "Bearer the-former")
        return json_answer({}) if heard.headers["authorization"] in taken else answer(b"", status=401)

    async with (
        serving(knows_the_former) as server,
        transport(server, grant=grant, former_client_secret="the-former") as subject,
    ):
        for _ in range(3):
            await subject.request("POST", "/search", json={}, repeatable=False)
        assert len(server.heard) == 4
    assert caplog.text.count("refuses the newest client secret and takes the former one") == 1


async def test_two_refused_secrets_are_two_requests() -> None:
    signing = SigningServer(secret="another")
    async with serving(signing) as server, transport(server, grant="oauth1", former_client_secret="the-former") as subject:
        with pytest.raises(AuthenticationError):
            await subject.get_json("/students")
        assert len(server.heard) == 2


async def test_without_credentials_a_server_that_demands_some_is_understood() -> None:
    signing = SigningServer()
    async with serving(signing) as server, transport(server, grant="none", client_id=None, client_secret=None) as subject:
        with pytest.raises(AuthenticationError, match="demands credentials"):
            await subject.get_json("/students")
        assert [heard.headers.get("authorization") for heard in server.heard] == [None]


# -- basic and none ----------------------------------------------------------------------------------------------------


def basic(secret: str) -> str:
    return "Basic " + base64.b64encode(f"district:{secret}".encode()).decode()


@pytest.mark.parametrize(("grant", "header"), [("basic", basic(SECRET)), ("api_key", f"Bearer {SECRET}"), ("none", None)])
async def test_each_request_carries_just_what_its_grant_says(grant: str, header: str | None) -> None:
    async def welcome(_heard: Heard) -> Answer:
        return json_answer({})

    async with serving(welcome) as server, transport(server, grant=grant) as subject:
        await subject.get_json("/students")
        await subject.get_json("/version", authenticate=False)
        assert [heard.headers.get("authorization") for heard in server.heard] == [header, None]


async def test_a_key_goes_into_the_header_that_the_provider_names_and_needs_no_id() -> None:
    async def welcome(_heard: Heard) -> Answer:
        return json_answer({})

    info = replace(INFO, api_key_header="X-Api-Key", api_key_prefix="")
    async with serving(welcome) as server:
        signer = signer_for(info, config_for(server, grant="api_key", client_id=None), clock=SystemClock())
        signed = Transport(base_url=server.url, tokens=None, signer=signer, limiter=unlimited(), clock=SystemClock())
        async with signed:
            await signed.get_json("/students")
        [heard] = server.heard
        assert heard.headers["x-api-key"] == SECRET
        assert "authorization" not in heard.headers


def test_without_a_key_the_error_says_how_to_give_it() -> None:
    config = config_for(RawServer("https://sis.example.org"), grant="api_key", client_secret=None)
    with pytest.raises(ConfigurationError, match="needs an API key") as refused:
        signer_for(INFO, config, clock=SystemClock())
    assert "--client-secret-file" in refused.value.remedy
    with pytest.raises(ConfigurationError, match="needs an API key"):
        demand_secret(INFO, config, stored=False)
    demand_secret(INFO, config, stored=True)


@pytest.mark.parametrize("key", ["hush\r\nX-Other: 1", "hush\n", "hushé"])
def test_p7_a_key_in_which_another_header_could_hide_is_refused_unquoted(key: str) -> None:
    config = config_for(RawServer("https://sis.example.org"), grant="api_key")
    with pytest.raises(AuthenticationError) as refused:
        signer_for(INFO, config.model_copy(update={"client_secret": SecretStr(key)}), clock=SystemClock())
    assert "hush" not in report_with_locals(refused.value)


def test_an_id_that_basic_cannot_send_is_refused() -> None:
    config = config_for(RawServer("https://sis.example.org"), client_id="a:b", grant="basic")
    with pytest.raises(ConfigurationError, match="colon"):
        signer_for(INFO, config, clock=SystemClock())


@pytest.mark.parametrize("grant", ["oauth1", "basic"])
@pytest.mark.parametrize("missing", [{"client_id": None}, {"client_secret": None}])
def test_nothing_is_signed_without_an_id_and_a_secret(grant: str, missing: dict[str, None]) -> None:
    config = config_for(RawServer("https://sis.example.org"), grant=grant, **missing)
    with pytest.raises(ConfigurationError, match="needs a client id and a client secret"):
        signer_for(INFO, config, clock=SystemClock())


# -- where they go, and what is shown ----------------------------------------------------------------------------------


@pytest.mark.parametrize("grant", ["oauth1", "basic", "api_key"])
async def test_p8_a_signature_goes_to_no_other_server(grant: str) -> None:
    async with serving(SigningServer()) as elsewhere:

        async def redirect(_heard: Heard) -> Answer:
            return answer(b"", status=307, location=f"{elsewhere.url}/students")

        async with serving(redirect) as server, transport(server, grant=grant) as subject:
            with pytest.raises(UnexpectedResponse, match="sends us on"):
                await subject.get_json("/students")
            with pytest.raises(UnexpectedResponse, match="not the server of this integration"):
                await subject.get_json(f"{elsewhere.url}/students?offset=2")
        assert elsewhere.heard == []


@pytest.mark.parametrize("url", ["http://sis.example.org", "http://10.0.0.7", "https://me:hush@sis.example.org"])
def test_p8_nothing_is_signed_over_plain_http(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Transport(base_url=url, tokens=None, signer=None, limiter=unlimited(), clock=SystemClock())
    with pytest.raises(ConfigurationError):
        config_for(RawServer(url), grant="basic")


def report_with_locals(error: SISError) -> str:
    """What a reporter shows that looks into every frame but that of the test."""
    own = error.__traceback__
    assert own is not None
    return "".join(traceback.TracebackException(type(error), error, own.tb_next, capture_locals=True).format())


@pytest.mark.parametrize("grant", ["oauth1", "basic", "api_key"])
@pytest.mark.parametrize("reply", ["refused", "html", "gone"])
async def test_p7_neither_secret_nor_signature_nor_query_is_shown(
    grant: str, reply: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    calls: list[Call] = []

    async def handler(heard: Heard) -> Answer:
        sent.append(heard.headers["authorization"])
        if reply == "html":
            return answer(b"<html>", content_type="text/html")
        return answer(PUPIL.encode(), status=401 if reply == "refused" else 404)

    sent: list[str] = []
    async with serving(handler) as server, transport(server, grant=grant, on_call=calls.append) as subject:
        with pytest.raises(SISError) as caught:
            await subject.get_json("/students/17", params={"name": PUPIL}, template="/students/{student}")
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(calls) + repr(subject)
    shown += str(caught.value.as_dict())
    [header] = sent
    for hidden in (SECRET, header.partition(" ")[2]):
        assert hidden not in shown + report_with_locals(caught.value)
    assert PUPIL not in shown
    assert redact_text(f"sent {header} to it").count("[redacted]") == 1
    assert "oauth_signature" not in redact_text(f"sent {header} to it")


@pytest.mark.parametrize("grant", ["oauth1", "basic", "api_key"])
def test_p7_a_secret_that_cannot_be_sent_is_not_quoted(grant: str) -> None:
    config = config_for(RawServer("https://sis.example.org"), grant=grant)
    with pytest.raises(AuthenticationError, match="characters that no SIS hands out") as caught:
        signer_for(INFO, config.model_copy(update={"client_secret": SecretStr("hush\ud800")}), clock=SystemClock())
    assert "hush" not in report_with_locals(caught.value)


def test_a_grant_that_the_provider_does_not_know_is_refused() -> None:
    config = config_for(RawServer("https://sis.example.org"), grant="oauth1")
    with pytest.raises(ConfigurationError, match="does not give access by the grant oauth1"):
        signer_for(replace(INFO, auth_grants=("basic",)), config, clock=SystemClock())
