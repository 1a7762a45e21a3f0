"""A report makes sense to somebody who is tired."""

from __future__ import annotations

from typing import Any

import pytest

from sis_connect.cli.reports import describe, exit_code, failed_plan, failed_report
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
    "conflicts": 0,
    "quarantined": 0,
    "holds": [],
    "incomplete": [],
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
        {"endpoint": "section_enrollments", "context": f"section={number}", "reason": "page 7 is cut off"} for number in range(20)
    ]
    text = describe(REPORT | {"status": "incomplete", "incomplete": unread})
    assert "nobody is withdrawn where something could not be read" in text
    assert "  section_enrollments section=0: page 7 is cut off\n" in text
    assert "  and 12 more" in text


def test_conflicts_and_quarantine_are_told_in_a_sentence() -> None:
    text = describe(REPORT | {"conflicts": 1, "quarantined": 3, "skipped": {"students": {"update": 2}}})
    assert "2 changes left out: the record has changed" in text
    assert "1 field changed on both sides" in text
    assert "3 records in quarantine" in text


def test_a_failure_has_the_shape_of_a_report() -> None:
    failed = failed_report(NetworkError("The SIS did not answer."), {"name": "lincoln"})
    assert set(failed) == set(REPORT) == set(SyncReport(operation="o", integration="i").as_dict())
    assert describe(failed) == "lincoln: failed after 0.0 s, 0 requests, 0 bytes read."


def test_a_plan_that_failed_has_a_plans_shape() -> None:
    assert set(failed_plan(NetworkError("No answer."), {"name": "lincoln"})) == set(REPORT) - {"operation"} | {"plan"}


@pytest.mark.parametrize(("status", "code"), [("succeeded", 0), ("failed", 1), ("held", 3), ("incomplete", 4)])
def test_the_exit_code_follows_from_the_status(status: str, code: int) -> None:
    assert exit_code({"status": status}) == code
