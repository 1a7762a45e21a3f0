"""Whose name is whose, and which plugins may be used: decided by names alone."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from sis_connect.capabilities import Capabilities, KindCapabilities
from sis_connect.errors import ConfigurationError
from sis_connect.hosting.claims import owner_of, reserved, reserved_by, reserved_for_another, right_to
from sis_connect.hosting.policy import PluginPolicy, policy_in_environment, policy_in_table
from sis_connect.hosting.registration import objection, own_copy
from sis_connect.provider import CONTRACT, ProviderInfo

INFO = ProviderInfo(
    name="harbor",
    label="Harbor",
    provider="sis_connect_harbor:Harbor",
    contract=CONTRACT,
    capabilities=Capabilities({"schools": KindCapabilities(offered=True)}),
    token_headers={"Accept": "application/json"},
)
OWN = {"lakeside": "sis-connect-lakeside", "hill_top": "sis-connect-hill-top"}


def test_the_extras_of_a_distribution_reserve_their_names() -> None:
    lines = ["httpx<0.29", 'sis-connect-lakeside<0.2,>=0.1; extra == "lakeside"', 'sis-connect-hill-top; extra == "hill-top"']
    assert reserved_by([*lines, 'sis-connect[lakeside]; extra == "all-sis"', 'keyring>=25; extra == "keyring"']) == OWN
    assert "sis-connect-oneroster" in reserved().values()


@pytest.mark.parametrize(
    ("distribution", "right"), [("sis-connect-lakeside", 0), ("SIS_Connect_Harbor", 1), ("sis-connect-harbors", 2), ("harbor", 2)]
)
def test_who_is_called_after_a_name_comes_before_a_stranger_and_ours_before_all(distribution: str, right: int) -> None:
    assert right_to("harbor", distribution, OWN) == right


def test_a_reserved_name_is_refused_to_all_but_ours() -> None:
    assert reserved_for_another("hill_top", "aaa-squatter", OWN) == "the name 'hill_top' belongs to sis-connect-hill-top."
    assert reserved_for_another("hill_top", "sis-connect-lakeside", OWN) is None
    assert reserved_for_another("harbor", "aaa-squatter", OWN) is None


def test_lists_in_the_environment_are_compared_as_names_of_distributions_are() -> None:
    policy = policy_in_environment(
        {"SIS_CONNECT_PLUGINS_BLOCKED": "Sis_Connect.Harbor,other", "SIS_CONNECT_PLUGINS_ALLOWED": " "}
    )
    assert policy.against("sis-connect-harbor", "anything") == "it is blocked (SIS_CONNECT_PLUGINS_BLOCKED)."
    assert policy.against("sis-connect-lakeside", "lakeside") is None
    assert policy_in_environment({}) == PluginPolicy()


def test_an_empty_list_of_those_allowed_in_a_file_allows_nobody() -> None:
    policy = policy_in_table({"allowed": []}, origin="the file")
    assert policy.against("sis-connect-harbor", "harbor") == "it is not among the plugins that are allowed (the file)."


@pytest.mark.parametrize("written", [" ,;two ", "one;two", "one two", "one,,two", "one,", ",", "one\ntwo", "'one'", "-one", "é"])
@pytest.mark.parametrize("variable", ["SIS_CONNECT_PLUGINS_BLOCKED", "SIS_CONNECT_PLUGINS_ALLOWED"])
def test_p12_a_list_with_anything_but_names_and_commas_is_an_error_and_not_another_list(variable: str, written: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{variable} lists .*one comma between two of them: sis-connect-oneroster, "):
        policy_in_environment({variable: written})


@pytest.mark.parametrize("names", [["one; two"], ["one", ""], ["one, two"], ["one two"]])
def test_p12_a_file_that_lists_what_is_no_name_is_an_error(names: list[str]) -> None:
    with pytest.raises(ConfigurationError, match=r'^the file lists .*\["sis-connect-oneroster", "sis-connect-harbor"\]'):
        policy_in_table({"blocked": names}, origin="the file")


def test_p12_allowed_is_a_distribution_while_any_name_blocks() -> None:
    blocked, allowed = (policy_in_table({key: ["Harbor"]}, origin="the file") for key in ("blocked", "allowed"))
    assert blocked.against("evil", "harbor") == "it is blocked (the file)."
    assert allowed.against("evil", "harbor") == "it is not among the plugins that are allowed (the file)."
    assert allowed.against("harbor", "evil") is None


@pytest.mark.parametrize(
    ("distributions", "owner"),
    [
        (["aaa", "bbb"], None),
        (["aaa"], None),
        (["aaa", "SIS_Connect.Harbor"], "SIS_Connect.Harbor"),
        (["aaa", "sis-connect-harbor", "sis-connect-lakeside"], "sis-connect-lakeside"),
    ],
)
def test_the_name_of_an_entry_point_belongs_to_who_is_called_after_it(distributions: list[str], owner: str | None) -> None:
    assert owner_of("harbor", distributions, OWN) == owner
    assert owner_of("hill-top", ["aaa", "bbb"], OWN) == "sis-connect-hill-top"


@pytest.mark.parametrize("table", [7, {"allowed": "harbor"}, {"blocked": [1]}, {"block": []}])
def test_a_table_that_is_not_understood_is_an_error(table: object) -> None:
    with pytest.raises(ConfigurationError, match="the file can say blocked"):
        policy_in_table(table, origin="the file")


def test_a_sound_info_is_copied_with_all_that_it_says() -> None:
    assert objection(INFO) is None
    copy = own_copy(INFO)
    assert copy == INFO
    assert copy is not INFO


@pytest.mark.parametrize("name", [each.name for each in fields(ProviderInfo)])
def test_p12_whatever_field_is_no_such_thing_the_provider_is_refused(name: str) -> None:
    wrong: dict[str, Any] = {name: object()}
    assert objection(replace(INFO, **wrong)) is not None


def test_p12_what_a_plugin_changes_after_registration_changes_nothing() -> None:
    headers = {"Accept": "application/json"}
    theirs = replace(INFO, token_headers=headers)
    ours = own_copy(theirs)
    headers["Authorization"] = "Basic aaa"
    object.__setattr__(theirs, "name", "powerful")
    object.__setattr__(theirs.capabilities.of("schools"), "leaving", "absence")
    assert (ours.name, dict(ours.token_headers), ours.capabilities.of("schools").leaving) == (
        "harbor", {"Accept": "application/json"}, "status",
    )  # fmt: skip
