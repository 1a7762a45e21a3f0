"""What in a roster cannot be right is counted after each run that changed something, and listed for the district to mend."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from roster_fixture import TODAY, Desk, enrollment, row, school, section, staff, stay, student
from sis_connect.capabilities import KindCapabilities
from sis_connect.errors import ConfigurationError
from sis_connect.roster.checks import CHECKS
from sis_connect.roster.integrity import IntegrityFinding, count_findings, list_findings

AUTUMN = {"start_date": "2026-08-12", "end_date": "2026-12-19"}


def term(sis_id: str, **fields: Any) -> dict[str, Any]:
    return row(sis_id, terms={"sis_id": sis_id, "title": f"Term {sis_id}", "school_year": 2027, **AUTUMN, **fields})


def teaches(sis_id: str, at: str, **fields: Any) -> dict[str, Any]:
    return enrollment(sis_id, user="t1", section=at, role="teacher", **fields)


@pytest.fixture
def tidy(desk: Desk) -> Desk:
    """Two schools without a fault, not synchronised yet: in A, two students sit in a section that is taught."""
    desk.settings = {"absence_grace": 0}
    desk.sis.offer(terms=KindCapabilities(offered=True, leaving="absence"))
    desk.sis.put("schools", school("A"), school("B"))
    desk.sis.put("terms", term("autumn"))
    desk.sis.put("courses", row("math", courses={"sis_id": "math", "title": "Mathematics"}))
    desk.sis.put("staff", staff("t1", "t1", badge="1"))
    desk.sis.put("students", *[student(f"s{n}", ids={"student_number": f"7{n}"}) for n in (1, 2)])
    desk.sis.put("school_enrollments", *[stay(f"stay{n}", student=f"s{n}") for n in (1, 2)])
    desk.sis.put("sections", section("x", term="autumn", course="math"))
    desk.sis.put("enrollments", *[enrollment(f"x{n}", user=f"s{n}", section="x") for n in (1, 2)], teaches("t", "x"))
    return desk


async def found(desk: Desk, check: str | None = None) -> list[IntegrityFinding]:
    return [finding async for finding in list_findings(desk.store, 1, desk.today, check=check)]


def add(desk: Desk, kind: str, *rows: dict[str, Any]) -> None:
    desk.sis.feeds[kind, ""].rows += rows


# Each fault: what the SIS delivers beside what is right, or in its place, and which records are found.
FAULTS: dict[str, tuple[dict[str, list[dict[str, Any]]], list[tuple[str, str]]]] = {
    "unknown_references": ({"sections": [section("x", term="spring", course="math")]}, [("sections", "x")]),
    "students_without_school": ({"students": [student("s3", school=None)], "school_enrollments": [stay("stay3", student="s3")],
                                 "enrollments": [enrollment("x3", user="s3")]}, [("students", "s3")]),
    "students_without_stay": ({"students": [student("s3")], "enrollments": [enrollment("x3", user="s3")]}, [("students", "s3")]),
    "stays_elsewhere": ({"school_enrollments": [stay("stay1", student="s1", school="B")]}, [("students", "s1")]),
    "students_without_section": ({"students": [student("s3")], "school_enrollments": [stay("stay3", student="s3")]},
                                 [("students", "s3")]),
    "staff_without_school": ({"staff": [staff("t2", "t2", badge="2", schools=["elsewhere"])]}, [("staff", "t2")]),
    "sections_without_term": ({"sections": [section("x", term=None, course="math")]}, [("sections", "x")]),
    "sections_without_teacher": ({"sections": [section("y", term="autumn")]}, [("sections", "y")]),
    "overlapping_stays": ({"school_enrollments": [stay("again", student="s1", entry_date="2026-09-01")]},
                          [("school_enrollments", "again")]),
    "dates_outside_year": ({"enrollments": [enrollment("x1", user="s1", begin_date="2025-08-12")],
                            "school_enrollments": [stay("stay2", student="s2", exit_date="2036-06-01")]},
                           [("enrollments", "x1"), ("school_enrollments", "stay2")]),
    "ended_before_begun": ({"terms": [term("odd", start_date="2026-12-19", end_date="2026-12-18")]}, [("terms", "odd")]),
    "shared_numbers": ({"students": [student("s2", ids={"student_number": "71"})]}, [("students", "s1"), ("students", "s2")]),
}  # fmt: skip


@pytest.mark.parametrize("check", FAULTS)
async def test_a_fault_is_counted_and_listed(tidy: Desk, check: str) -> None:
    delivered, expected = FAULTS[check]
    for kind, rows in delivered.items():
        for one in rows:
            tidy.sis.feeds[kind, ""].drop(one["key"])
            add(tidy, kind, one)
    report = await tidy.sync()
    assert report.integrity == {check: len(expected)}
    findings = await found(tidy)
    assert [(finding.check, finding.kind, finding.sis_id) for finding in findings] == [(check, *one) for one in expected]


async def test_what_refers_to_something_that_has_ended_is_found(tidy: Desk) -> None:
    await tidy.sync()
    await tidy.edit("x", "sections", status="inactive")
    assert {(finding.kind, finding.sis_id) for finding in await found(tidy, "ended_references")} == {
        ("enrollments", one) for one in ("t", "x1", "x2")
    }


async def test_a_number_that_somebody_had_who_left_is_told_apart_from_a_shared_one(tidy: Desk) -> None:
    await tidy.sync()
    tidy.sis.feeds["students", ""]["s2"] = student("s2", ids={"student_number": "72"}, status="inactive")
    for kind in ("school_enrollments", "enrollments"):
        tidy.sis.feeds[kind, ""].drop("stay2", "x2")
    add(tidy, "students", student("s3", ids={"student_number": "72"}))
    add(tidy, "school_enrollments", stay("stay3", student="s3"))
    add(tidy, "enrollments", enrollment("x3", user="s3"))
    await tidy.sync()
    assert [finding.sis_id for finding in await found(tidy, "reissued_numbers")] == ["s3"]
    assert await found(tidy, "shared_numbers") == []


def test_every_check_has_a_test() -> None:
    assert {*FAULTS, "ended_references", "reissued_numbers"} == set(CHECKS)


async def test_p7_a_finding_names_no_pupil(tidy: Desk) -> None:
    tidy.sis.feeds["students", ""]["s2"] = student("s2", ids={"student_number": "71"})
    await tidy.sync()
    one, _ = await found(tidy)
    assert one.as_dict() == {
        "check": "shared_numbers",
        "kind": "students",
        "sis_id": "s1",
        "school": "A",
        "message": "Another active person has the same student_number.",
    }
    assert repr(one) == "<IntegrityFinding: shared_numbers>"


# -- what is no fault --------------------------------------------------------------------------------------------------


async def test_a_roster_without_a_fault_has_none(tidy: Desk) -> None:
    assert (await tidy.sync()).integrity == {}
    assert await found(tidy) == []


async def test_a_student_at_two_schools_is_no_fault(tidy: Desk) -> None:
    add(tidy, "school_enrollments", stay("other", student="s1", school="B", entry_date="2026-09-01"))
    assert (await tidy.sync()).integrity == {}


async def test_a_no_show_and_a_former_stay_overlap_with_nothing(tidy: Desk) -> None:
    tidy.sis.offer(
        terms=KindCapabilities(offered=True, leaving="absence"),
        school_enrollments=KindCapabilities(offered=True, leaving="absence", stint_history=True),
    )
    add(
        tidy,
        "school_enrollments",
        stay("no-show", student="s1", entry_date="2026-08-20", exit_date="2026-08-20"),
        stay("slip", student="s1", entry_date="2026-08-20", exit_date="2026-08-19"),
        stay("former", student="s1", entry_date="2025-08-12", exit_date="2026-06-10"),
    )
    assert (await tidy.sync()).integrity == {}


async def test_between_terms_nobody_has_to_sit_anywhere_and_nothing_has_to_be_taught(tidy: Desk) -> None:
    add(tidy, "students", student("s3"))
    add(tidy, "school_enrollments", stay("stay3", student="s3"))
    add(tidy, "sections", section("y", term="autumn"))
    tidy.today = TODAY + timedelta(days=30)
    assert (await tidy.sync()).integrity == {}


async def test_a_kind_that_is_not_delivered_is_missed_by_nobody(desk: Desk) -> None:
    desk.sis.put("students", student("s1"))
    desk.sis.put("sections", section("x", term=None, course="math"))
    assert (await desk.sync()).integrity == {}


async def test_what_an_app_keeps_in_models_of_its_own_is_checked_as_the_sis_told_it(tidy: Desk) -> None:
    tidy.sis.feeds["sections", ""]["x"] = section("x", term=None, course="math")
    await tidy.sync()
    await tidy.run("DELETE FROM roster_sections")
    assert [finding.sis_id for finding in await found(tidy)] == ["x"]


# -- counting ----------------------------------------------------------------------------------------------------------


async def counted(desk: Desk, statements: list[str], *, recount: bool = True) -> dict[str, int]:
    """Count, and note what the database was asked."""
    async with desk.store.write() as connection:
        raw = await connection.get_raw_connection()
        driver = raw.driver_connection
        assert driver is not None
        await driver.set_trace_callback(statements.append)
        try:
            return await count_findings(connection, 1, desk.today, recount=recount)
        finally:
            await driver.set_trace_callback(None)


async def test_p5_a_run_without_changes_counts_nothing_anew(tidy: Desk) -> None:
    tidy.sis.feeds["sections", ""]["x"] = section("x", term=None, course="math")
    await tidy.sync()
    asked: list[str] = []
    assert await counted(tidy, asked) == {"sections_without_term": 1}
    assert len(asked) == 2
    assert (await tidy.sync()).integrity == {"sections_without_term": 1}


async def test_only_what_looks_at_a_changed_kind_is_counted_anew(tidy: Desk) -> None:
    await tidy.sync()
    await tidy.run("UPDATE sis_integration SET integrity = json_set(integrity, '$.counts.staff_without_school', 9)")
    tidy.sis.feeds["sections", ""]["x"] = section("x", term=None, course="math")
    assert (await tidy.sync()).integrity == {"sections_without_term": 1, "staff_without_school": 9}
    tidy.sis.feeds["staff", ""]["t1"] = staff("t1", "t1", badge="1", family_name="Vale")
    assert (await tidy.sync()).integrity == {"sections_without_term": 1}


async def test_p4_what_a_killed_run_wrote_is_counted_by_the_next_one(tidy: Desk) -> None:
    await tidy.sync()
    before = (await tidy.ask("SELECT integrity FROM sis_integration"))[0][0]
    tidy.sis.feeds["sections", ""]["x"] = section("x", term=None, course="math")
    await tidy.sync()
    await tidy.run("UPDATE sis_integration SET integrity = :before", before=before)
    assert (await tidy.sync()).integrity == {"sections_without_term": 1}


async def test_where_events_are_gone_everything_is_counted(tidy: Desk) -> None:
    await tidy.sync()
    await tidy.run("UPDATE sis_integration SET integrity = :known", known=json.dumps({"event": 0, "counts": {"no": 3}}))
    await tidy.run("INSERT INTO sis_listener (name, cursor, updated_at) VALUES ('', 1, '2026-11-23T00:00:00+00:00')")
    assert (await tidy.sync()).integrity == {}


async def test_without_a_recount_what_is_remembered_is_told(tidy: Desk) -> None:
    await tidy.run("UPDATE sis_integration SET integrity = :known", known=json.dumps({"event": 0, "counts": {"some": 3}}))
    assert await counted(tidy, [], recount=False) == {"some": 3}


async def test_a_check_that_does_not_exist_is_refused_with_those_that_do(tidy: Desk) -> None:
    with pytest.raises(ConfigurationError, match="There is no check 'no'") as refused:
        await found(tidy, "no")
    assert "sections_without_term" in refused.value.remedy
