"""Signatures by OAuth 1.0a, against vectors of the standard and against a reckoning of our own."""

from __future__ import annotations

import base64
import pickle
from datetime import UTC, datetime
from typing import Literal

import pytest
from pydantic import SecretStr

from manual_clock import ManualClock
from signing_server import encoded, reckoned_base_string, reckoned_signature, stated_in
from sis_connect.oauth.signing import BasicSignature, OAuth1Signature, SecretSigner, base_string

SECRET = "hush secret/value+~%ü"
URL = "https://sis.example.org/ims/oneroster/v1p1/students"
#: Queries as they may leave, and what is hard about each.
QUERIES = [
    "",
    "limit=100&offset=0",
    "offset=0&limit=100",
    "filter=dateLastModified%3E%272026-11-01T00%3A00%3A00.000Z%27",
    "filter=status='active'",
    "filter=dateLastModified%20%3E%20%27x%27%20AND%20status%3D%27active%27",
    "filter=familyName~'a,b'",
    "filter=familyName%3D%27O%27%27Brien%27",
    "name=%C3%9Cml%C3%A4ut&name=%E6%97%A5%E6%9C%AC",
    "b5=%3D%253D&a3=a&c%40=&a2=r%20b",
    "same=2&same=1&same=10",
    "empty=&novalue",
    "plus=a+b&real=a%2Bb",
    "cursor=abc/def==",
    "oauth_cursor=%252F",
]


def signature(method: Literal["HMAC-SHA1", "HMAC-SHA256"] = "HMAC-SHA256", client_id: str = "district") -> OAuth1Signature:
    return OAuth1Signature(client_id, SecretStr(SECRET), method, ManualClock())


def test_the_base_string_of_the_standard_is_ours() -> None:
    # RFC 5849, 3.4.1.1; the two parameters of its form body are put into the query, where they count the same.
    stated = [
        ("oauth_consumer_key", "9djdj82h48djs9d2"),
        ("oauth_token", "kkk9d7dh3k39sjv7"),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", "137131201"),
        ("oauth_nonce", "7d8f3e4a"),
    ]
    url = "http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b&c2&a3=2+q"
    assert base_string("post", url, stated) == (
        "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D%26"
        "oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1%26"
        "oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
    )


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://SIS.example.org:443/a", "https://sis.example.org/a"),
        ("https://sis.example.org:8443/a", "https://sis.example.org:8443/a"),
        ("http://127.0.0.1:80", "http://127.0.0.1/"),
        ("https://sis.example.org/a%20b/%7Ec/it's;x=1?q=1", "https://sis.example.org/a%20b/%7Ec/it's;x=1"),
        ("https://[2001:db8::1]:8443/a", "https://[2001:db8::1]:8443/a"),
    ],
)
def test_the_address_is_signed_as_it_is_asked_for(url: str, address: str) -> None:
    assert base_string("GET", url, []) == f"GET&{encoded(address)}&{encoded('q=1') if '?' in url else ''}"


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("method", ["HMAC-SHA1", "HMAC-SHA256"])
def test_every_parameter_takes_part_in_a_signature_that_others_reckon_too(
    query: str, method: Literal["HMAC-SHA1", "HMAC-SHA256"]
) -> None:
    stated = dict(stated_in(signature(method).headers("GET", f"{URL}?{query}")["Authorization"]))
    found = stated.pop("oauth_signature")
    assert found == reckoned_signature(reckoned_base_string("GET", URL, query, list(stated.items())), SECRET, method)
    assert stated["oauth_signature_method"] == method


@pytest.mark.parametrize("client_id", ["district", "a b+c", "100%25", "schlüssel", 'quo"te,comma=x'])
def test_a_client_id_of_any_characters_arrives(client_id: str) -> None:
    header = signature(client_id=client_id).headers("GET", URL)["Authorization"]
    stated = dict(stated_in(header))
    assert header.isascii()
    assert stated["oauth_consumer_key"] == client_id
    found = stated.pop("oauth_signature")
    assert found == reckoned_signature(reckoned_base_string("GET", URL, "", list(stated.items())), SECRET, "HMAC-SHA256")


def test_a_signature_states_the_time_of_our_clock_a_fresh_nonce_and_no_token() -> None:
    one, two = (stated_in(signature().headers("GET", URL)["Authorization"]) for _ in range(2))
    now = ManualClock().now()
    assert one["oauth_timestamp"] == two["oauth_timestamp"] == str(int(now.timestamp()))
    assert one["oauth_nonce"] != two["oauth_nonce"]
    assert one["oauth_signature"] != two["oauth_signature"]
    assert one["oauth_version"] == "1.0"
    assert "oauth_token" not in one
    assert now > datetime(2020, 1, 1, tzinfo=UTC)


def test_basic_is_id_and_secret_as_they_are() -> None:
    [header] = BasicSignature("district", SecretStr(SECRET)).headers("GET", URL).values()
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == f"district:{SECRET}"


def test_p7_a_signature_shows_no_secret_and_is_not_pickled() -> None:
    for one in (signature(), BasicSignature("district", SecretStr(SECRET))):
        assert SECRET not in repr(one)
        assert SECRET not in str(one)
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(one)


async def test_the_former_secret_is_the_one_to_try_where_the_newest_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    newest, former = BasicSignature("district", SecretStr("new")), BasicSignature("district", SecretStr("old"))
    signer = SecretSigner([newest, former], host="sis.example.org")
    assert await signer.signature() is newest
    assert signer.has_another(newest)
    assert await signer.signature(newest) is former
    signer.accepted(former)
    assert await signer.signature() is former
    assert await signer.signature(former) is newest
    signer.accepted(newest)
    signer.accepted(newest)
    assert await signer.signature() is newest
    assert caplog.text.count("refuses the newest client secret") == 1


def test_one_secret_has_no_other() -> None:
    only = BasicSignature("district", SecretStr("new"))
    assert not SecretSigner([only], host="sis.example.org").has_another(only)
