"""What an administrator copies, what the settings make of it, and what is refused with a remedy."""

from __future__ import annotations

from typing import Any

import pytest

from manual_clock import ManualClock
from sis_connect.connection import connect
from sis_connect.discovery import refined
from sis_connect.errors import AuthenticationError, AuthorizationError, ConfigurationError, NotOffered, ProviderError, SISError
from sis_connect.provider_settings import own_settings
from sis_connect.settings import SISProviderConfig, validated
from sis_connect_infinite_campus import INFO, refine
from sis_connect_infinite_campus.errors import read_error
from sis_connect_infinite_campus.provider import InfiniteCampusProvider
from sis_connect_oneroster.errors import UnknownObject

HOST = "https://district.example.org"
TOKEN_URL = f"{HOST}/campus/oauth2/token?appName=lincoln"
BASE_12 = f"{HOST}/campus/api/oneroster/v1p2/lincoln"
BASE_11 = f"{HOST}/campus/oneroster/lincoln"


def config(base_url: str = BASE_12, **more: Any) -> SISProviderConfig:
    values = {
        "provider": "infinite_campus",
        "base_url": base_url,
        "token_url": TOKEN_URL,
        "client_id": "id",
        "client_secret": "s",
    }
    return validated({**values, **more}, origin="a test")


def provider(base_url: str, **more: Any) -> InfiniteCampusProvider:
    settings = config(base_url, **more)
    info = refined(INFO, settings)
    nothing: Any = None
    return InfiniteCampusProvider(info, settings, transport=nothing, clock=ManualClock(), settings=own_settings(info, settings))


@pytest.mark.parametrize(
    ("version", "base_url", "address"),
    [
        ("1.2", f"{BASE_12}/ims/oneroster/rostering/v1p2", ""),
        ("1.2", f"{BASE_12}/ims/oneroster/rostering/v1p2/", ""),
        ("1.2", f"{BASE_12}/ims/oneroster/rostering", "/v1p2"),
        ("1.2", f"{BASE_12}/ims/oneroster", "/rostering/v1p2"),
        ("1.2", f"{BASE_12}/ims/oneroster/", "/rostering/v1p2"),
        ("1.2", BASE_12, "/ims/oneroster/rostering/v1p2"),
        ("1.2", f"{BASE_12}/", "/ims/oneroster/rostering/v1p2"),
        ("1.2", f"{HOST}/campus/api/ims/oneroster/rostering/v1p2", ""),
        ("1.1", f"{BASE_11}/ims/oneroster/v1p1", ""),
        ("1.1", f"{BASE_11}/ims/oneroster/v1p1/", ""),
        ("1.1", f"{BASE_11}/ims/oneroster", "/v1p1"),
        ("1.1", BASE_11, "/ims/oneroster/v1p1"),
        ("1.1", f"{HOST}/campus/api/oneroster/v1p1/lincoln", "/ims/oneroster/v1p1"),
    ],
)
def test_the_base_url_is_taken_with_and_without_its_last_segments(version: str, base_url: str, address: str) -> None:
    assert provider(base_url, version=version).prefix == address


def test_the_token_url_cannot_be_told_from_the_base_url() -> None:
    with pytest.raises(ConfigurationError, match="token URL apart from its base URL") as raised:
        refine(INFO, config(token_url=None))
    assert "Copy both" in str(raised.value.remedy)
    with pytest.raises(ConfigurationError, match="token URL"):
        connect("infinite_campus", base_url=BASE_12, client_id="id", client_secret="s")


def test_the_name_of_the_application_comes_with_the_token_url_or_in_a_setting() -> None:
    assert config().token_parameters == {"appName": "lincoln"}
    bare = config(token_url=f"{HOST}/campus/oauth2/token", app_name="lincoln")
    assert refine(INFO, bare).token_parameters == {"appName": "lincoln"}
    assert refine(INFO, config(token_url=f"{HOST}/campus/oauth2/token")).token_parameters == {}


def test_more_rows_than_the_vendor_puts_on_a_page_are_not_asked_for() -> None:
    assert refine(INFO, config(page_size=50_000)).default_page_size == 5000
    with pytest.raises(ConfigurationError, match="at most 50000 rows"):
        refine(INFO, config(page_size=50_001))


def test_the_vendors_rules_of_conduct_are_the_defaults() -> None:
    assert (INFO.default_rate_limit, INFO.full_every, INFO.scope) == ((100, 60.0), 168.0, None)
    assert INFO.auth_grants == ("client_credentials",)


@pytest.mark.parametrize(
    ("setting", "words"),
    [("version", "1.1"), ("school_hours", "07:00-17:00"), ("relatives", "boolean"), ("metadata", "no setting .metadata.")],
)
def test_settings_that_cannot_be_are_refused(setting: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        own_settings(INFO, config(**{setting: "nonsense"}))


@pytest.mark.parametrize(
    ("status", "headers", "body", "error"),
    [
        (401, {}, b"", None),
        (403, {"www-authenticate": 'Bearer error="invalid_token"'}, b"", AuthenticationError),
        (403, {}, b"<html>Forbidden</html>", AuthorizationError),
        (404, {}, b"", NotOffered),
        (404, {}, b'{"imsx_codeMinor":"unknown object"}', UnknownObject),
        (400, {}, b'{"statusInfoSet":[{"imsx_description":"marker"}]}', ProviderError),
        (503, {}, b"<html></html>", None),
    ],
)
def test_errors_are_told_by_their_status_and_quote_nothing(
    status: int, headers: dict[str, str], body: bytes, error: type[SISError] | None
) -> None:
    found = read_error(status, headers, body)
    assert type(found) is (error or type(None))
    assert "marker" not in str(found)
