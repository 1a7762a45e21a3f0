"""Settings are typed, come from one place, and never let a secret out."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from sis_connect.errors import ConfigurationError
from sis_connect.setting_types import check_url, is_loopback
from sis_connect.settings import (
    COMMON_KEYS,
    SECRET_KEYS,
    SISConfigManager,
    SISProviderConfig,
    database_in_environment,
    read_secret,
    retention_in_environment,
    today_in_environment,
    validated,
)

URL = "https://sis.example.org"


def settings(**values: Any) -> SISProviderConfig:
    return validated({"provider": "acme", "base_url": URL, **values}, origin="this test")


@pytest.mark.parametrize(
    ("address", "taken"),
    [
        (URL, URL),
        (f" {URL}/ ", URL),
        (f"{URL}/district/7/", f"{URL}/district/7"),
        ("https://sis.example.org:8443", "https://sis.example.org:8443"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://localhost", "http://localhost"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_an_address_is_absolute_and_loses_its_last_slash(address: str, taken: str) -> None:
    assert check_url(address) == taken


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("sis.example.org", "full address"),
        ("ftp://sis.example.org", "full address"),
        ("https://", "full address"),
        ("", "full address"),
        ("http://sis.example.org", "https://"),
        ("http://10.0.0.7", "https://"),
        ("http://127.0.0.1.example.org", "https://"),
        ("https://me:secret@sis.example.org", "user name"),
        (f"{URL}?page=1", "query"),
        (f"{URL}#top", "fragment"),
        ("https://sis.example.org:http", "port"),
    ],
)
def test_p8_a_secret_is_sent_to_a_safe_address_only(address: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        settings(base_url=address)
    with pytest.raises(ConfigurationError, match=why):
        settings(issuer=address)
    if why != "query":  # that of a token URL is kept apart, see below
        with pytest.raises(ConfigurationError, match=why):
            settings(token_url=address)


def test_loopback_is_this_machine_and_nothing_that_looks_like_it() -> None:
    assert all(is_loopback(host) for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1"))
    assert not any(is_loopback(host) for host in ("localhost.example.org", "0.0.0.0", "10.0.0.1", "example.org"))  # noqa: S104


@pytest.mark.parametrize(
    ("text", "limit"), [("60/60", (60, 60.0)), ("5/0.5", (5, 0.5)), ("off", "off"), ((60, 60.0), (60, 60.0))]
)
def test_a_rate_limit_is_requests_per_seconds(text: object, limit: object) -> None:
    assert settings(rate_limit=text).rate_limit == limit


@pytest.mark.parametrize("text", ["60", "60 per minute", "0/60", "60/0", "-1/60", "60/60/60", ""])
def test_a_rate_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="rate_limit"):
        settings(rate_limit=text)


def test_lists_are_given_with_commas() -> None:
    it = settings(schools="3, 4,", fields="birth_date,students.gender,staff.emails")
    assert it.schools == ("3", "4")
    assert it.asked("students") == {"birth_date", "gender"}
    assert it.asked("staff") == {"birth_date", "emails"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("page_size", "0"),
        ("timeout", "-1"),
        ("concurrency", "1000"),
        ("time_zone", "Mars/Olympus"),
        ("strategy", "coin toss"),
        ("school_year", "26"),
        ("max_attempts", "9"),
        ("absence_grace", "-1"),
    ],
)
def test_what_cannot_be_used_is_named_without_repeating_it(key: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"in this test cannot be used: {key}: ") as caught:
        settings(**{key: value})
    assert "input" not in str(caught.value).lower()


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"page_size: .*; timeout: "):
        settings(page_size="0", timeout="never")


def test_a_key_that_is_not_everybodys_is_the_providers_own() -> None:
    assert settings(preferred_name="u_students.name").options == {"preferred_name": "u_students.name"}
    assert "preferred_name" not in COMMON_KEYS


def test_p7_a_secret_never_shows_in_settings_or_errors() -> None:
    it = settings(client_secret="hunter2")
    assert it.client_secret is not None
    assert it.client_secret.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(it) + str(it) + it.model_dump_json()
    with pytest.raises(ConfigurationError) as caught:
        settings(client_secret=["hunter2"])
    assert "hunter2" not in str(caught.value)


def test_p7_an_address_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(base_url="https://me:hunter2@sis.example.org")
    assert "hunter2" not in str(caught.value)


def test_a_file_declares_integrations(tmp_path: Path) -> None:
    (tmp_path / "lincoln.secret").write_text("hunter2\n", encoding="utf-8")
    path = tmp_path / "sis-connect.toml"
    path.write_text(
        f"""
[lincoln]
provider = "acme"
base_url = "{URL}"
client_secret_file = "lincoln.secret"
fields = ["birth_date"]
[lincoln.policies."students.username"]
owner = "local"

["roosevelt high"]
provider = "acme"
base_url = "{URL}"
rate_limit = "off"
""",
        encoding="utf-8",
    )
    configs = SISConfigManager({}).load(path)
    assert list(configs) == ["lincoln", "roosevelt high"]
    lincoln = configs["lincoln"]
    assert lincoln.client_secret is not None
    assert lincoln.client_secret.get_secret_value() == "hunter2"
    assert lincoln.policies["students.username"].owner == "local"
    assert lincoln.fields == ("birth_date",)
    assert configs["roosevelt high"].rate_limit == "off"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"[lincoln", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
        (b"provider = 'acme'", "outside any integration"),
        (b"[lincoln]\nprovider = 'acme'", "base_url"),
        (b"[lincoln]\nprovider = 'acme'\nbase_url = 'https://sis.example.org'\nclient_secret_file = 'gone'", "secret file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "sis-connect.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=why) as caught:
        SISConfigManager({}).load(path)
    assert str(tmp_path) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="There is no file"):
        SISConfigManager({}).load(tmp_path / "gone.toml")


def test_an_argument_beats_the_environment_which_beats_what_is_stored() -> None:
    manager = SISConfigManager({"SIS_CONNECT_LINCOLN_HIGH_PAGE_SIZE": "50", "SIS_CONNECT_LINCOLN_HIGH_TIMEOUT": "9"})
    stored = {"provider": "acme", "base_url": URL, "page_size": 10, "concurrency": 2}
    it = manager.resolve("lincoln-high", stored, {"timeout": 7})
    assert (it.page_size, it.timeout, it.concurrency) == (50, 7, 2)


def test_a_secret_is_read_from_a_file_without_its_line_break(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("hunter2\n", encoding="utf-8")
    assert read_secret(path).get_secret_value() == "hunter2"
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="is empty"):
        read_secret(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_secret(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_secret(tmp_path)


def test_the_variables_of_another_integration_with_a_longer_name_are_left_alone() -> None:
    manager = SISConfigManager({"SIS_CONNECT_LINCOLN_HIGH_PAGE_SIZE": "7", "SIS_CONNECT_LINCOLN_TIMEOUT": "9"})
    config = manager.resolve("lincoln", {"provider": "practice", "base_url": "https://sis.example.org"})
    assert (config.timeout, config.page_size, config.options) == (9.0, None, {})


def test_a_provider_s_own_key_that_is_stored_can_be_overridden_by_the_environment() -> None:
    stored = {"provider": "practice", "base_url": "https://sis.example.org", "options": {"colour": "red"}}
    assert SISConfigManager({"SIS_CONNECT_LINCOLN_COLOUR": "blue"}).resolve("lincoln", stored).options == {"colour": "blue"}


def test_database_and_school_date_come_from_the_environment() -> None:
    environment = {"SIS_CONNECT_DATABASE_URL": "sqlite:///elsewhere.db", "SIS_CONNECT_TODAY": "2026-11-20"}
    assert database_in_environment(environment) == "sqlite:///elsewhere.db"
    assert today_in_environment(environment) == date(2026, 11, 20)
    assert (database_in_environment({}), today_in_environment({})) == (None, None)
    with pytest.raises(ConfigurationError, match="no date"):
        today_in_environment({"SIS_CONNECT_TODAY": "tomorrow"})


@pytest.mark.parametrize("name", ["token_url", "authorize_url", "issuer", "revocation_url"])
def test_an_address_that_is_used_to_the_letter_keeps_its_last_slash_and_must_be_safe(name: str) -> None:
    assert getattr(settings(**{name: f" {URL}/oauth2/ "}), name) == f"{URL}/oauth2/"
    assert getattr(settings(**{name: f"{URL}/oauth2"}), name) == f"{URL}/oauth2"
    for address in ("http://sis.example.org/", f"{URL}/#x=1", "sis.example.org", "https://me:hunter2@sis.example.org"):
        with pytest.raises(ConfigurationError, match=name) as caught:
            settings(**{name: address})
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("given", ["appName=Lincoln+High&x=", {"appName": "Lincoln High", "x": ""}])
def test_what_belongs_into_the_query_of_the_token_url_is_given_as_it_stands_there_or_as_a_table(given: object) -> None:
    assert settings(token_parameters=given).token_parameters == {"appName": "Lincoln High", "x": ""}


@pytest.mark.parametrize("name", ["client_secret", "password", "refresh_token", "grant_type", "scope", "client_id", "code"])
def test_p7_what_has_a_setting_of_its_own_does_not_hide_among_parameters(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"must not hold {name}") as caught:
        settings(token_parameters={name: "hunter2"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"grant": "implicit"},
        {"client_authentication": "digest"},
        {"token_method": "PUT"},
        {"renew_before": -1},
        {"renew_before": "nan"},
    ],
    ids=str,
)
def test_a_way_of_asking_for_tokens_that_there_is_not_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        settings(**wrong)


def test_p7_every_secret_stays_out_of_sight_and_off_the_command_line(tmp_path: Path) -> None:
    it = settings(**{key: f"hunter-of-some-length-{key}" for key in SECRET_KEYS})
    assert "hunter" not in repr(it) + str(it) + it.model_dump_json()
    assert not COMMON_KEYS & SECRET_KEYS
    assert {name for name, value in it if isinstance(value, SecretStr)} == SECRET_KEYS


def test_every_secret_can_come_from_a_file_or_the_environment(tmp_path: Path) -> None:
    for key in SECRET_KEYS:
        (tmp_path / key).write_text(f"hunter-of-some-length-{key}\n", encoding="utf-8")
    path = tmp_path / "sis-connect.toml"
    files = "\n".join(f'{key}_file = "{key}"' for key in SECRET_KEYS)
    path.write_text(f'[lincoln]\nprovider = "acme"\nbase_url = "{URL}"\n{files}\n', encoding="utf-8")
    lincoln = SISConfigManager({}).load(path)["lincoln"]
    environment = {f"SIS_CONNECT_LINCOLN_{key.upper()}": f"hunter-of-some-length-{key}" for key in SECRET_KEYS}
    told = SISConfigManager(environment).resolve("lincoln", {"provider": "acme", "base_url": URL})
    for config in (lincoln, told):
        for key in SECRET_KEYS:
            assert getattr(config, key).get_secret_value() == f"hunter-of-some-length-{key}"


def test_p8_an_address_from_the_environment_takes_no_stored_secret_along() -> None:
    stored = {"provider": "practice", "base_url": URL}
    secrets = {"client_secret": SecretStr("stored"), "former_client_secret": SecretStr("the one before")}
    moved = {"SIS_CONNECT_LINCOLN_BASE_URL": "https://other.example.org"}
    with pytest.raises(ConfigurationError, match="another base_url"):
        SISConfigManager(moved).resolve("lincoln", stored, secrets=secrets)
    config = SISConfigManager({**moved, "SIS_CONNECT_LINCOLN_CLIENT_SECRET": "given"}).resolve("lincoln", stored, secrets=secrets)
    assert config.client_secret == SecretStr("given")
    assert config.former_client_secret is None
    heard = {"webhook_secret": SecretStr("what-others-must-send-to-us")}  # which goes nowhere
    config = SISConfigManager({**moved, "SIS_CONNECT_LINCOLN_CLIENT_SECRET": "given"}).resolve(
        "lincoln", stored, secrets=secrets | heard
    )
    assert config.webhook_secret == heard["webhook_secret"]
    same = {"SIS_CONNECT_LINCOLN_BASE_URL": f"{URL}/", "SIS_CONNECT_LINCOLN_CLIENT_SECRET": "given"}
    config = SISConfigManager(same).resolve("lincoln", stored, secrets=secrets)
    assert config.former_client_secret == SecretStr("the one before")


def test_how_long_events_are_kept_is_a_number_of_days() -> None:
    assert retention_in_environment({}) is None
    assert retention_in_environment({"SIS_CONNECT_RETENTION_DAYS": "30"}) == 30.0
    for wrong in ("a month", "0", "-1", "nan"):
        with pytest.raises(ConfigurationError, match="no number of days"):
            retention_in_environment({"SIS_CONNECT_RETENTION_DAYS": wrong})
