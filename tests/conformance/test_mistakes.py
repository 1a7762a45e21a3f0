"""A provider that does everything right passes the suite; each of many that make one mistake fails the check made for it."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from conformance import wrong_mapping, wrong_reading, wrong_wire
from conformance.right_provider import INFO, HarborProvider
from sis_connect.testing import check_provider
from sis_connect.testing.suite import manners, privacy, resuming, syncing, wire
from sis_connect.testing.suite.running import provider_checks

STUDENTS = 40
MODULES = (wire, manners, resuming, privacy, syncing)
#: One mistake each, and the check that finds it.
MISTAKES: tuple[tuple[type[HarborProvider], str], ...] = (
    (wrong_mapping.RandomIds, "ids_repeat"),
    (wrong_mapping.IdsByPosition, "ids_any_page_size"),
    (wrong_mapping.CountsWhileReading, "rows_read_alike"),
    (wrong_mapping.OneKeyForMany, "keys_tell_rows_apart"),
    (wrong_mapping.LastDayAsFirstDayOut, "dates_are_right"),
    (wrong_mapping.EverybodyIsHere, "standing_is_right"),
    (wrong_mapping.KindergartenIsPreschool, "grades_are_codes"),
    (wrong_mapping.NumbersAreNumbers, "identifiers_are_kept"),
    (wrong_mapping.Mojibake, "names_in_all_scripts"),
    (wrong_mapping.ChangedJustNow, "time_stamps_are_told"),
    (wrong_mapping.KeepsBirthDates, "nothing_unasked"),
    (wrong_mapping.SectionsNowhere, "references_resolve"),
    (wrong_mapping.SectionsNowhere, "sync_brings_the_roster"),
    (wrong_mapping.TellsTheTime, "second_sync_writes_nothing"),
    (wrong_mapping.DropsBadRows, "bad_rows_are_not_dropped"),
    (wrong_mapping.BadDatesAreBlank, "bad_dates_are_not_blank"),
    (wrong_mapping.QuotesBadRows, "reasons_without_values"),
    (wrong_mapping.LogsNames, "logs_show_nothing"),
    (wrong_mapping.PrintsNames, "logs_show_nothing"),
    (wrong_mapping.BringsCourses, "only_what_is_offered"),
    (wrong_mapping.EverySchool, "one_school"),
    (wrong_mapping.LosesHalf, "all_records_come"),
    (wrong_wire.OnePage, "all_records_come"),
    (wrong_wire.TotalIsWhatCame, "three_pages"),
    (wrong_wire.TrustsShortPages, "smaller_pages"),
    (wrong_wire.ForbiddenIsEmpty, "forbidden_is_told"),
    (wrong_wire.UnknownIsEmpty, "unknown_path_is_told"),
    (wrong_wire.WebPageIsEmpty, "web_page_is_told"),
    (wrong_wire.TakesWhatIsThere, "cut_off_is_noticed"),
    (wrong_wire.FailureIsEmpty, "broken_list_is_told"),
    (wrong_wire.DeadTokenIsEmpty, "dead_token_ends_it"),
    (wrong_wire.RefusalIsEmpty, "refusals_end"),
    (wrong_wire.NeverGivesUp, "refusals_end"),
    (wrong_wire.AsksByItself, "one_way_out"),
    (wrong_wire.AsksByItself, "limit_kept"),
    (wrong_wire.AsksByItself, "redirects_are_not_followed"),
    (wrong_wire.AsksByItself, "slow_down_is_heeded"),
    (wrong_wire.AsksByItself, "token_dies_midway"),
    (wrong_wire.AsksByItself, "broken_connections_pass"),
    (wrong_wire.AsksByItself, "server_errors_pass"),
    (wrong_wire.ShrugsItOff, "slow_answers_end"),
    (wrong_wire.ShrugsItOff, "storms_pass"),
    (wrong_wire.FollowsLinks, "links_stay_at_home"),
    (wrong_wire.BlocksTheLoop, "loop_goes_round"),
    (wrong_wire.Sleeps, "loop_goes_round"),
    (wrong_wire.AllAtOnce, "concurrency_kept"),
    (wrong_wire.WaitsForAll, "pages_as_they_come"),
    (wrong_wire.KeepsRows, "nothing_is_held"),
    (wrong_wire.KeepsRecords, "nothing_is_held"),
    (wrong_wire.SwallowsCancellation, "cancelled_read_ends"),
    (wrong_wire.LeavesTasks, "left_early"),
    (wrong_wire.BeginsAnew, "resumes_anywhere"),
    (wrong_wire.IgnoresSince, "nothing_new"),
    (wrong_wire.AfterTheMark, "boundary_rows_come"),
    (wrong_wire.MarksTheFuture, "changes_are_found"),
    (wrong_wire.QuotesAnswers, "errors_show_nothing"),
    (wrong_wire.ShowsItsSecret, "reprs_show_nothing"),
    (wrong_reading.EndsWhereItIsRefused, "forbidden_is_told"),
    (wrong_reading.EndsWhereItIsRefused, "unknown_path_is_told"),
    (wrong_reading.EndsWhereItIsRefused, "web_page_is_told"),
    (wrong_reading.EndsWhereItIsRefused, "broken_list_is_told"),
    (wrong_reading.LosesAFullLastPage, "full_last_page"),
    (wrong_reading.DropsWhoHasNoName, "bad_rows_are_not_dropped"),
    (wrong_reading.DropsWhoHasNoSchool, "bad_rows_are_not_dropped"),
    (wrong_reading.RemembersTheFirst, "nothing_is_remembered"),
    (wrong_reading.RemembersTheOthers, "nothing_is_remembered"),
    (wrong_reading.KeepsAnswers, "nothing_is_remembered"),
    (wrong_reading.ReadsOneSchoolOfMany, "one_school"),
    (wrong_reading.LogsWhenItGoes, "logs_show_nothing"),
    (wrong_reading.LogsWhenItIsLeft, "logs_show_nothing"),
    (wrong_wire.LeavesTheProgram, "every_kind_comes"),
    (wrong_wire.TripsOverItsOwnTask, "every_kind_comes"),
    (wrong_wire.Panics, "every_kind_comes"),
)


#: The suite in three parts, so that they can run side by side.
MINE = {check.name: module for module in MODULES for check in module.CHECKS}
WIRE = [name for name, module in MINE.items() if module is wire]
MANNERS = [name for name, module in MINE.items() if module is not wire]
DATA = [check.name for check in provider_checks() if check.name not in MINE]


@pytest.mark.parametrize("checks", [DATA, WIRE, MANNERS], ids=["data", "wire", "manners"])
async def test_a_provider_that_does_everything_right_passes_every_check(checks: list[str]) -> None:
    report = await check_provider(INFO, students=STUDENTS, only=checks)
    assert [f"{outcome.name}: {outcome.detail}" for outcome in report.outcomes if outcome.state == "failed"] == []
    applied = {outcome.name for outcome in report.outcomes if outcome.state == "passed"}
    assert {check for _, check in MISTAKES} & set(checks) <= applied


@pytest.mark.parametrize(("provider", "check"), MISTAKES, ids=lambda each: getattr(each, "__name__", each))
async def test_one_mistake_is_caught_by_its_check(provider: type[HarborProvider], check: str) -> None:
    wrong = replace(INFO, provider=f"{provider.__module__}:{provider.__name__}")
    report = await check_provider(wrong, students=STUDENTS, only=[check])
    assert [outcome.state for outcome in report.outcomes] == ["failed"], report.outcomes
    assert "nobody expected" not in report.outcomes[0].detail


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_every_check_has_a_mistake_that_it_catches(module: ModuleType) -> None:
    assert {check.name for check in module.CHECKS} - {check for _, check in MISTAKES} == set()
