"""The suite itself: how checks end, what is reported, what the bench puts back, and how it is called."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from unittest import SkipTest

import pytest

from conformance.right_provider import INFO
from conformance.wrong_mapping import LastDayAsFirstDayOut
from sis_connect.errors import ConfigurationError, NetworkError
from sis_connect.testing import ProviderSuite, SuiteReport, check_provider
from sis_connect.testing.suite import check as checking
from sis_connect.testing.suite.bench import Bench, Subject
from sis_connect.testing.suite.check import Check, Failed, NotApplicable, Outcome, either, perform
from sis_connect.testing.suite.collected import CollectedSuite
from sis_connect.testing.suite.running import chosen_checks, provider_checks

# -- how a check ends --------------------------------------------------------------------------------------------------


async def passes(bench: str) -> None:
    assert bench == "bench"


async def fails(bench: str) -> None:
    raise Failed("It does not do what it should. Mend it.")


async def stumbles(bench: str) -> None:
    int("no number")


async def gives_up(bench: str) -> None:
    raise NetworkError("Nobody answers.")


async def has_nothing(bench: str) -> None:
    raise NotApplicable("There is nothing.")


async def waits(bench: str) -> None:
    await asyncio.Event().wait()


def outcome_of(run: Callable[[str], Awaitable[None]], **more: object) -> Outcome:
    check: Check[str] = Check(name="c", title="It does.", run=run, promise="P1", **more)  # type: ignore[arg-type]
    return asyncio.run(perform(check, "bench"))


def test_a_check_passes_or_fails_with_a_sentence() -> None:
    assert outcome_of(passes).state == "passed"
    failed = outcome_of(fails)
    assert (failed.state, failed.detail) == ("failed", "It does not do what it should. Mend it.")
    assert "FAIL  c" in failed.line()
    assert "[P1]\n      It does not do what it should. Mend it." in failed.line()


def test_p12_whatever_a_plugin_raises_is_an_outcome_that_names_the_place() -> None:
    stumbled = outcome_of(stumbles)
    assert stumbled.state == "failed"
    assert "conformance.test_suite:stumbles, line " in stumbled.detail
    assert "ValueError" in stumbled.detail
    assert "Nobody answers." in outcome_of(gives_up).detail


def test_p7_words_of_others_may_be_about_pupils_and_are_not_told() -> None:
    assert "no number" not in outcome_of(stumbles).detail


async def leaves_the_program(bench: str) -> None:
    sys.exit(0)


async def is_cancelled_by_itself(bench: str) -> None:
    waiting = asyncio.ensure_future(asyncio.Event().wait())
    waiting.cancel()
    await waiting


async def raises_what_is_no_exception(bench: str) -> None:
    raise Odd


async def raises_a_group(bench: str) -> None:
    raise BaseExceptionGroup("of one", [SystemExit(0)])


class Odd(BaseException):
    """No Exception."""


@pytest.mark.parametrize(
    ("run", "told"),
    [
        (leaves_the_program, "conformance.test_suite:leaves_the_program, line "),
        (is_cancelled_by_itself, "was cancelled by nobody but itself (CancelledError"),
        (raises_what_is_no_exception, "conformance.test_suite:raises_what_is_no_exception, line "),
        (raises_a_group, "tried to end the whole program"),
    ],
)
def test_p12_what_would_end_more_than_the_check_is_a_failed_check(run: Callable[[str], Awaitable[None]], told: str) -> None:
    ended = outcome_of(run)
    assert ended.state == "failed"
    assert told in ended.detail


async def test_a_suite_that_is_cancelled_ends() -> None:
    check: Check[str] = Check(name="c", title="It does.", run=waits)
    suite = asyncio.create_task(perform(check, "bench"))
    await asyncio.sleep(0)
    suite.cancel()
    with pytest.raises(asyncio.CancelledError):
        await suite


def test_a_check_that_does_not_apply_says_why() -> None:
    assert outcome_of(has_nothing).detail == "There is nothing."
    needs = either(lambda bench: None, lambda bench: "It has none." if bench == "bench" else None)
    refused = outcome_of(fails, needs=needs)
    assert (refused.state, refused.detail) == ("not_applicable", "It has none.")


def test_p12_what_waits_for_ever_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "PATIENCE", 0.02)
    assert "did not come to an end" in outcome_of(waits).detail


# -- what is reported --------------------------------------------------------------------------------------------------


def report(*states: str) -> SuiteReport:
    outcomes = [Outcome(name=f"c{n}", title="It does.", promise="", state=state) for n, state in enumerate(states)]  # type: ignore[arg-type]
    return SuiteReport(
        provider="harbor",
        distribution="sis-connect-harbor",
        version="0.1.0",
        contract=1,
        outcomes=tuple(outcomes),
        students=60,
    )


def test_a_report_says_who_was_checked_and_how_it_ended() -> None:
    told = report("passed", "failed", "not_applicable", "not_checked", "not_checked").as_dict()
    assert list(told) == [
        "provider", "distribution", "version", "contract", "suite", "suite_version",
        "over", "students", "settings", "sandbox_settings",
        "passed", "failed", "not_applicable", "not_checked", "checks",
    ]  # fmt: skip
    assert (told["passed"], told["failed"], told["not_applicable"], told["not_checked"]) == (1, 1, 1, 2)
    assert set(told["checks"][0]) == {"name", "title", "promise", "outcome", "detail", "seconds"}
    assert json.loads(json.dumps(told)) == told


def test_a_badge_is_one_line_and_says_no_more_than_what_is_so() -> None:
    assert report("passed", "not_applicable").badge() == (
        "**sis-connect: conforms** · harbor (sis-connect-harbor 0.1.0) · contract 1, suite 1 · over a sandbox "
        "of 60 students · 1 checks passed, 1 do not apply"
    )
    assert "does not conform" in report("passed", "failed").badge()
    assert "1 failed" in report("passed", "failed").badge()


def test_p9_a_badge_says_what_was_checked_over_and_with_what() -> None:
    over = replace(report("passed", "not_applicable"), over="recorded", students=None, settings=("version",))
    assert "**sis-connect: conforms as far as recorded** ·" in over.badge()
    assert " · over recorded payloads, set: version · 1 checks passed, 1 do not apply" in over.badge()
    assert (over.as_dict()["over"], over.as_dict()["students"], over.as_dict()["settings"]) == ("recorded", None, ["version"])


def test_p9_where_nothing_was_checked_nothing_conforms() -> None:
    assert not report().passed
    assert not report("not_applicable").passed


# -- as a class of tests -----------------------------------------------------------------------------------------------


class Three(CollectedSuite[str]):
    @classmethod
    def checks(cls) -> Sequence[Check[str]]:
        return [Check(name=run.__name__, title="It does.", run=run) for run in (passes, fails, has_nothing)]

    @classmethod
    def bench(cls) -> AbstractAsyncContextManager[str]:
        return nullcontext("bench")


def test_a_class_has_one_test_for_each_check() -> None:
    Three().test_conforms("passes")
    with pytest.raises(Failed, match=r"It does\.\nIt does not do what it should"):
        Three().test_conforms("fails")
    with pytest.raises(SkipTest, match="There is nothing"):
        Three().test_conforms("has_nothing")


def test_a_class_may_choose_among_the_checks_and_an_unknown_name_is_no_choice() -> None:
    class Two(Three):
        without = ("fails",)

    class One(Three):
        only = ("fails",)

    class Unknown(Three):
        only = ("fail",)

    assert list(Two.chosen()) == ["passes", "has_nothing"]
    assert list(One.chosen()) == ["fails"]
    with pytest.raises(ValueError, match=r"There is no check 'fail'\. Did you mean fails\?"):
        Unknown.chosen()


def test_the_suite_of_a_provider_keeps_one_sandbox_and_ends_it() -> None:
    class TestHarbor(ProviderSuite):
        provider = INFO

    TestHarbor().test_conforms("parts_are_there")
    kept = TestHarbor._running
    TestHarbor().test_conforms("provider_is_one")
    assert TestHarbor._running is kept is not None
    TestHarbor.teardown_class()
    assert TestHarbor._running is None


def test_no_two_checks_have_the_same_name_and_each_says_what_holds() -> None:
    names = [check.name for check in provider_checks()]
    assert len(names) == len(set(names))
    assert all(check.title.endswith(".") and len(check.title) < 110 for check in provider_checks())


def test_an_unknown_check_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean ids_repeat"):
        chosen_checks(["ids_repeats"])


# -- the bench ---------------------------------------------------------------------------------------------------------


async def test_after_each_check_the_sandbox_is_as_it_was() -> None:
    with Bench(Subject(info=INFO, students=20)) as bench:
        before = bench.truth("students")
        async with bench.check_under_way():
            bench.set_day(3)
            bench.fault("status", 500)
            bench.change("students", before[0]["sis_id"], given_name="Somebody")
            assert bench.truth("students") != before
        assert bench.truth("students") == before
        assert not (await bench.read()).errors


async def test_what_all_checks_share_is_read_from_an_undisturbed_sis() -> None:
    with Bench(Subject(info=INFO, students=20)) as bench:
        async with bench.check_under_way():
            first = {row["sis_id"] for row in bench.truth("enrollments")}
            bench.set_day(12)
            bench.fault("status", 500)
            assert (await bench.roster()).ids("enrollments") >= first
            assert not (await bench.later()).outcome.errors


async def test_a_provider_without_a_sandbox_cannot_be_checked_and_is_told_so() -> None:
    with pytest.raises(ConfigurationError, match="has no sandbox"):
        await check_provider(replace(INFO, sandbox=None))


async def test_settings_of_client_and_sandbox_reach_them() -> None:
    with pytest.raises(ConfigurationError, match="no setting 'colour'"):
        await check_provider(INFO, sandbox_settings={"colour": "blue"}, only=["ids_repeat"])
    with pytest.raises(ConfigurationError, match="timeout"):
        await check_provider(INFO, settings={"timeout": "never"}, only=["ids_repeat"])


@pytest.mark.parametrize("own", [None, "conformance.wrong_data:LooseSettings"], ids=["none", "any"])
async def test_a_setting_that_there_is_not_is_refused_before_the_first_check(own: str | None) -> None:
    """Also where the plugin would take any."""
    told: list[Outcome] = []
    with pytest.raises(ConfigurationError, match=r"no setting 'timout'\. Did you mean timeout\?"):
        await check_provider(replace(INFO, settings=own), settings={"timout": "3"}, on_outcome=told.append)
    with pytest.raises(ConfigurationError, match=r"no setting 'qqqq'\. There are: .*timeout"):
        await check_provider(replace(INFO, settings=own), settings={"qqqq": "1"}, on_outcome=told.append)
    assert told == []


# -- recorded payloads -------------------------------------------------------------------------------------------------


def record(folder: Path, name: str, path: str, rows: Sequence[object]) -> None:
    body = json.dumps({"data": rows, "total": len(rows)})
    (folder / f"{name}.http").write_text(f"GET {path}?*\n\n200\n\n{body}", encoding="utf-8")


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    ada = {"id": 8, "number": "0008", "first": "Zoë", "last": "Núñez", "year_group": "3", "school_id": 7, "standing": "enrolled"}
    member = {"id": 10, "person": 8, "section_id": 9, "from": "2026-08-17", "to": "2026-12-18"}
    record(tmp_path, "schools", "/schools", [{"id": 7, "name": "Lincoln", "code": "7"}])
    record(tmp_path, "students", "/students", [{**ada, "changed": "2026-09-01T08:00:00Z"}])
    record(tmp_path, "sections", "/schools/7/sections", [{"id": 9, "name": "Reading", "school_id": 7}])
    record(tmp_path, "members", "/schools/7/members", [member])
    (tmp_path / "truth").mkdir()
    right = {"sis_id": "8", "given_name": "Zoë", "family_name": "Núñez", "grade": "03", "grade_text": "3", "school": "7"}
    (tmp_path / "truth" / "students.jsonl").write_text(
        json.dumps({**right, "ids": {"student_number": "0008"}, "status": "active"}), encoding="utf-8"
    )
    return tmp_path


async def test_recorded_payloads_are_checked_as_far_as_they_go(recorded: Path) -> None:
    found = await check_provider(INFO, recorded=recorded)
    assert [f"{outcome.name}: {outcome.detail}" for outcome in found.of("failed")] == []
    passed = {outcome.name for outcome in found.of("passed")}
    assert passed >= {"ids_repeat", "all_records_come", "identifiers_are_kept", "odd_rows_end_nothing", "the_end_is_proved"}
    assert {"three_pages", "later_days_are_true", "ids_elsewhere"} <= {outcome.name for outcome in found.of("not_applicable")}


async def test_what_recorded_payloads_mean_is_compared_and_what_is_missing_among_them_is_named(recorded: Path) -> None:
    truth = recorded / "truth" / "students.jsonl"
    truth.write_text(truth.read_text(encoding="utf-8").replace("0008", "8"), encoding="utf-8")
    (recorded / "members.http").unlink()
    found = await check_provider(INFO, recorded=recorded, only=["identifiers_are_kept", "every_kind_comes"])
    details = " ".join(outcome.detail for outcome in found.of("failed"))
    assert "leading zeros" in details
    assert "GET /schools/{}/members?" in details


async def test_p7_over_recorded_payloads_nobody_is_named(recorded: Path) -> None:
    """Real payloads may be recorded: what a report says of them is fields and numbers, neither ids nor values."""
    truth = recorded / "truth" / "students.jsonl"
    truth.write_text(truth.read_text(encoding="utf-8").replace("Zo", "Xo").replace('"sis_id": "8"', '"sis_id": "88"'), "utf-8")
    found = await check_provider(INFO, recorded=recorded, only=["all_records_come"])
    truth.write_text(truth.read_text(encoding="utf-8").replace('"88"', '"8"'), encoding="utf-8")
    named = await check_provider(INFO, recorded=recorded, only=["names_in_all_scripts"])
    (missing,), (other,) = found.of("failed"), named.of("failed")
    assert "1 of 1 students that the SIS lists are not delivered, though" in missing.detail
    assert "1 values of students are not what the SIS has, in given_name. " in other.detail


async def test_over_a_synthetic_district_the_first_difference_is_told() -> None:
    wrong = replace(INFO, provider=f"{LastDayAsFirstDayOut.__module__}:{LastDayAsFirstDayOut.__name__}")
    (outcome,) = (await check_provider(wrong, students=20, only=["dates_are_right"])).outcomes
    assert " where it should be '20" in outcome.detail
