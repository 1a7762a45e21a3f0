"""A report makes sense to somebody who is tired."""

from __future__ import annotations

from typing import Any

import pytest

from sis_connect.cli.reports import describe, exit_code, failed_plan, failed_report, hold_table
from sis_connect.errors import NetworkError
from sis_connect.roster.report import SyncReport

REPORT: dict[str, Any] = {
    "operation": "op-7",
    "integration": "lincoln",
    "status": "succeeded",
    "requests": 214,
    "bytes": 34_100_000,
    "seconds": 12.3,
    "records": {"schools": 12, "students": 10000, "guardians": "not_offered"},
    "changes": {"schools": {"unchanged": 12}, "students": {"create": 34, "withdraw": 2, "unchanged": 9964}},
    "held": {},
    "skipped": {},
    "reasons": {},
    "failed": {},
    "conflicts": 0,
    "clashes": {},
    "quarantined": 0,
    "missing": {},
    "holds": [],
    "incomplete": [],
    "integrity": {},
    "warnings": [],
    "read": {"changes": 0, "whole": 7, "full_due": None},
    "error": None,
}
HOLD: dict[str, Any] = {
    "id": "h-1",
    "guard": "withdrawals",
    "kind": "students",
    "action": "withdraw",
    "scope": {"school": "3", "school_year": None},
    "count": 640,
    "of": 10000,
    "limit": 0.05,
    "expires": "2026-12-01T00:00:00+00:00",
}


def test_a_sync_that_went_well_is_a_headline_and_a_table() -> None:
    assert describe(REPORT).splitlines() == [
        "lincoln: done (12 s, 214 requests, 34.1 MB read).",
        "",
        "            read  created  withdrawn  unchanged",
        "schools       12        -          -         12",
        "students  10,000       34          2      9,964",
        "(This SIS does not offer guardians.)",
    ]


def test_reasons_are_told_the_most_frequent_first() -> None:
    text = describe(REPORT | {"reasons": {"students": {"transfer": 2, "new": 1200, "": 3}, "staff": {"new": 7}}})
    assert "Why:\n  students: 1,200 new, 2 transfer" in text
    assert "staff" not in text


def test_a_read_of_changes_says_so_and_when_everything_is_read_again() -> None:
    read = {"changes": 5, "whole": 2, "full_due": "2026-11-24T02:10:30+00:00"}
    text = describe(REPORT | {"read": read})
    assert "\nOnly what has changed was read (5 of 7 lists); everything is read again from 2026-11-24 02:10 UTC on." in text


def test_an_apply_has_read_nothing_and_says_nothing_of_reading() -> None:
    text = describe(REPORT | {"records": {}, "changes": {"students": {"create": 34}}})
    assert "created\nstudents       34" in text


def test_where_nothing_was_read_and_nothing_written_that_is_what_is_said() -> None:
    quiet = REPORT | {"records": {}, "requests": 0, "bytes": 0, "changes": {"students": {}}}
    assert describe(quiet) == "lincoln: done (12 s).\n\nNothing in the roster was changed."
    assert "Nothing in the roster" not in describe(quiet | {"changes": {"students": {"update": 1}}})
    assert "Nothing in the roster" not in describe(quiet | {"status": "failed"})


def test_a_plan_of_which_all_is_held_is_for_a_person_and_not_for_apply() -> None:
    plan = {key: value for key, value in REPORT.items() if key != "operation"} | {"plan": "p-9", "holds": [HOLD]}
    last = describe(plan | {"changes": {"students": {"unchanged": 9}}}).splitlines()[-1]
    assert last.startswith("Nothing of it is written before a person has decided: `sis-connect holds`")
    assert describe(plan).endswith("sis-connect apply p-9")


def test_holds_of_several_districts_name_them() -> None:
    both = [HOLD | {"integration": "lincoln"}, HOLD | {"integration": "roosevelt"}]
    assert [line.split()[1] for line in hold_table(both).splitlines()] == ["integration", "lincoln", "roosevelt"]
    assert "lincoln" not in hold_table(both[:1])


def test_a_plan_without_changes_is_not_to_be_applied() -> None:
    plan = {key: value for key, value in REPORT.items() if key != "operation"} | {"plan": "p-9", "holds": []}
    assert describe(plan | {"changes": {"students": {"unchanged": 9}}}).endswith("There is nothing to apply.")


def test_a_plan_speaks_of_what_is_to_come_and_how_to_make_it_so() -> None:
    plan = {key: value for key, value in REPORT.items() if key != "operation"} | {"plan": "p-9"}
    text = describe(plan)
    assert text.startswith("lincoln: ready to be applied")
    assert "to create  to withdraw  unchanged" in text
    assert text.endswith("Apply it with: sis-connect apply p-9")


def test_what_is_held_is_shown_with_its_reason_and_the_way_on() -> None:
    text = describe(REPORT | {"status": "held", "holds": [HOLD], "held": {"students": {"withdraw": 640}}})
    assert "1 guard asked for a person to look first" in text
    assert "h-1  withdrawals  withdraw students  school 3    640  10,000  5%     2026-12-01" in text
    assert "sis-connect approve ID" in text


def test_an_incomplete_sync_says_that_nobody_is_withdrawn() -> None:
    unread = [
        {"endpoint": "section_enrollments", "context": f"section={number}", "reason": f"page {number} is cut off"}
        for number in range(20)
    ]
    text = describe(REPORT | {"status": "incomplete", "incomplete": unread})
    assert "nobody is withdrawn where something could not be read" in text
    assert "  section_enrollments section=0: page 0 is cut off\n" in text
    assert "  and 12 more" in text


def test_conflicts_and_quarantine_are_told_in_a_sentence() -> None:
    text = describe(REPORT | {"conflicts": 1, "quarantined": 3, "skipped": {"students": {"update": 2}}})
    assert text.splitlines()[-3:] == [
        "2 changes left out: the record has changed since the plan was made.",
        "1 question waits for a person; until then the app's value is kept: sis-connect conflicts lincoln",
        "3 records in quarantine; the last good state is kept: sis-connect quarantine lincoln",
    ]


def test_what_the_app_refused_and_who_is_missing_is_named_by_count() -> None:
    text = describe(REPORT | {"failed": {"students": 2}, "missing": {"enrollments": 12, "students": 1}})
    assert text.splitlines()[-2:] == [
        "The app did not take 2 students; the next sync tries again.",
        "Not delivered, and kept until a later read proves that they have left: 1 student, 12 enrollments.",
    ]


def test_clashes_are_told_strategy_by_strategy() -> None:
    clashes = {"sis_wins": {"sis": 3}, "newest_wins": {"local": 1, "asked_without_clocks": 2}, "coin_toss": {"by_chance": 1}}
    assert describe(REPORT | {"clashes": clashes}).splitlines()[-4:] == [
        "Fields that both sides had changed:",
        "  sis_wins: 3 taken from the SIS",
        "  newest_wins: 1 left to the app, 2 asked (no two clocks to compare)",
        "  coin_toss: 1 by chance",
    ]


def test_what_the_district_should_mend_is_a_line_each_with_the_command_that_lists_it() -> None:
    text = describe(REPORT | {"integrity": {"sections_without_teacher": 12, "shared_numbers": 2}})
    assert text.splitlines()[-3:] == [
        "For the district to mend (sis-connect integrity lincoln):",
        "  sections without teacher: 12",
        "  shared numbers: 2",
    ]


def test_warnings_are_told_as_they_are_and_not_without_end() -> None:
    warnings = [{"warning": "coverage", "message": f"School {number} lost its teachers."} for number in range(20)]
    lines = describe(REPORT | {"warnings": warnings}).splitlines()
    assert lines[-10:-8] == ["Please note:", "  School 0 lost its teachers."]
    assert lines[-1] == "  and 12 more (--json)"


def test_a_sis_that_is_down_is_told_once_and_not_once_for_each_list() -> None:
    reason = "broke off: The SIS did not answer."
    unread = [{"endpoint": name, "context": "", "reason": reason} for name in ("students", "staff", "sections", "terms")]
    some = describe(REPORT | {"status": "incomplete", "incomplete": unread})
    assert some.endswith(f"Not read to a proven end:\n  4 lists (students, staff, sections, …): {reason}")
    all_of_them = {"status": "failed", "incomplete": unread, "error": NetworkError("The SIS did not answer.").as_dict()}
    assert reason not in describe(REPORT | all_of_them)


def test_a_failure_has_the_shape_of_a_report() -> None:
    failed = failed_report(NetworkError("The SIS did not answer."), {"name": "lincoln"})
    assert set(failed) == set(REPORT) == set(SyncReport(operation="o", integration="i").as_dict())
    assert describe(failed) == "lincoln: failed after 0.0 s."


def test_a_plan_that_failed_has_a_plans_shape() -> None:
    assert set(failed_plan(NetworkError("No answer."), {"name": "lincoln"})) == set(REPORT) - {"operation"} | {"plan"}


@pytest.mark.parametrize(("status", "code"), [("succeeded", 0), ("failed", 1), ("held", 3), ("incomplete", 4)])
def test_the_exit_code_follows_from_the_status(status: str, code: int) -> None:
    assert exit_code({"status": status}) == code
