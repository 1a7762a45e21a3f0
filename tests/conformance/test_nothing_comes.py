"""Where a provider cannot read anything at all, the suite says so once, and what to do about it."""

from __future__ import annotations

import gc
import json
import re
from dataclasses import replace
from typing import ClassVar
from unittest import SkipTest

import pytest

from conformance import wrong_data, wrong_wire
from conformance.harbor_api import HarborSandbox
from conformance.right_provider import INFO, HarborProvider
from conformance.test_plugin_check import typed
from sis_connect.provider import ProviderInfo
from sis_connect.testing import ProviderSuite, check_provider
from sis_connect.testing.suite.bench import Subject
from sis_connect.testing.suite.check import Failed
from sis_connect.testing.suite.running import provider_checks, run_suite

NEEDED = "something_comes"


class BareSandbox(HarborSandbox):
    """Harbor, where all is at the server's own address."""

    base_path = ""


class AsksBelow(HarborProvider):
    endpoints: ClassVar = tuple(replace(endpoint, path=f"/api{endpoint.path}") for endpoint in HarborProvider.endpoints)


def of(provider: type[HarborProvider], **more: object) -> ProviderInfo:
    return replace(INFO, provider=f"{provider.__module__}:{provider.__name__}", **more)  # type: ignore[arg-type]


async def reason(info: ProviderInfo) -> str:
    """Why nothing can be read."""
    (outcome,) = (await check_provider(info, students=1, only=[NEEDED])).outcomes
    assert outcome.state == "failed"
    return outcome.detail


async def test_p9_a_provider_that_cannot_be_made_is_told_once_and_does_not_conform() -> None:
    report = await check_provider(of(wrong_data.CannotBeMade), students=1)
    (failed,) = report.of("failed")
    assert failed.name == NEEDED
    assert failed.detail.startswith("The plugin of Harbor ")
    assert failed.detail.endswith("(KeyError), in conformance.wrong_data:__init__.")
    left = report.of("not_checked")
    assert len(left) == len(provider_checks()) - 1
    assert {outcome.detail for outcome in left} == {"Not checked, because something_comes failed."}
    assert not report.passed
    assert "does not conform" in report.badge()
    assert f"1 failed, 0 do not apply, {len(left)} not checked" in report.summary()
    assert report.text().count("Not checked") == 0


def test_p12_so_is_one_that_ends_the_loop_with_its_first_read() -> None:
    report = run_suite(Subject(info=of(wrong_wire.LeavesTheLoop), students=1), provider_checks()[:4])
    gc.collect()  # nothing is left that would complain in the tests that follow
    assert [outcome.state for outcome in report.outcomes] == ["failed", *["not_checked"] * 3]


def test_p9_the_command_says_it_once_and_leaves_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = typed(monkeypatch, capsys, "harbor", "--students", "1", wrong=wrong_data.CannotBeMade)
    assert (code, err) == (1, f"Failed: {NEEDED}.\n")
    assert [line.split()[0] for line in out.splitlines() if line] == ["FAIL", "The", "harbor"]
    code, out, _ = typed(monkeypatch, capsys, "harbor", "--students", "1", "--json", wrong=wrong_data.CannotBeMade)
    told = json.loads(out)
    counts = [told[state] for state in ("passed", "failed", "not_applicable", "not_checked")]
    assert (code, sum(counts), told["failed"]) == (1, len(told["checks"]), 1)


def test_in_the_tests_of_a_plugin_the_others_are_skipped() -> None:
    class TestHarbor(ProviderSuite):
        provider = of(wrong_data.CannotBeMade)
        students = 1

    try:
        with pytest.raises(Failed, match="wrong_data:__init__"):
            TestHarbor().test_conforms(NEEDED)
        with pytest.raises(SkipTest, match="Not checked, because something_comes failed"):
            TestHarbor().test_conforms("ids_repeat")
    finally:
        TestHarbor.teardown_class()


async def test_a_check_that_is_chosen_alone_says_itself_what_is_wrong() -> None:
    (outcome,) = (await check_provider(of(wrong_data.CannotBeMade), students=1, only=["ids_repeat"])).outcomes
    assert (outcome.state, "wrong_data:__init__" in outcome.detail) == ("failed", True)


def test_only_the_first_check_is_one_that_all_others_stand_on() -> None:
    assert [check.name for check in provider_checks() if check.foundation] == [provider_checks()[0].name] == [NEEDED]


async def test_a_base_path_of_the_sandbox_that_the_plugin_refuses_is_told_with_the_remedy() -> None:
    told = await reason(replace(INFO, base_path=False))
    assert "The sandbox has base_path='/api'" in told
    assert "write '/api' before the paths of the endpoints" in told


@pytest.mark.parametrize(
    ("info", "asked", "here"),
    [
        (of(AsksBelow), "/api/api", "/api"),
        (of(AsksBelow, sandbox="conformance.test_nothing_comes:BareSandbox"), "/api", ""),
    ],
    ids=["twice", "not at all"],
)
async def test_a_path_that_fits_but_for_its_beginning_is_named(info: ProviderInfo, asked: str, here: str) -> None:
    told = await reason(info)
    assert re.search(rf"GET {asked}(/\w+) is {here}\1 here\. The paths of endpoints follow the base URL", told)
    assert told.count("base_path") == 1
