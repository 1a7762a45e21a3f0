"""The bulk road: by the package's queries comes the roster that comes section by section, for far fewer requests."""

from __future__ import annotations

import math
from typing import Any

import pytest

from crashing_sync import syncing
from office import OFFERED, Office, differences, expected
from sis_connect.roster.report import SyncReport
from sis_connect.testing.sandbox import RunningSandbox

ON_REQUEST = ("birth_date", "gender", "emails", "phones", "addresses", "contacts", "demographics")
PREFERRED = "u_students_extension.preferredname"
QUERIES = "/ws/schema/query/org.sisconnect.sis_connect.roster."


@pytest.fixture
def installed(sandbox: RunningSandbox) -> RunningSandbox:
    sandbox.set(package="installed", package_fields="all")
    return sandbox


async def in_bulk(office: Office, **more: Any) -> Office:
    await office.connect(absence_grace="0", road="bulk", **more)
    return office


async def strayed(office: Office, fields: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Where the local roster is not what the SIS says."""
    found = {kind: differences(await office.roster(kind), expected(office.sandbox, kind, fields)) for kind in OFFERED}
    return {kind: lines for kind, lines in found.items() if lines}


def written(report: SyncReport) -> dict[str, dict[str, int]]:
    changes = {
        kind: {action: n for action, n in counts.items() if action != "unchanged"} for kind, counts in report.changes.items()
    }
    return {kind: counts for kind, counts in changes.items() if counts}


async def settled(office: Office, **request: Any) -> SyncReport:
    """A sync, and yes to whatever waits for a person."""
    report = await office.sync(**request)
    for _ in report.holds:
        await office.approve_all()
    return report


async def test_the_roster_is_what_the_sis_says(office: Office, installed: RunningSandbox) -> None:
    await in_bulk(office)
    report = await office.sync()
    assert (report.status, report.requests < 20) == ("succeeded", True)
    assert await strayed(office) == {}


async def test_with_all_fields_on_request_the_roster_is_what_the_sis_says(office: Office, installed: RunningSandbox) -> None:
    await in_bulk(office, fields=",".join(ON_REQUEST), preferred_name=PREFERRED)
    for day in (0, 5):
        installed.set_day(day)
        assert (await office.sync(full=True)).status == "succeeded"
        assert await strayed(office, (*ON_REQUEST, "preferred_given_name")) == {}, f"on day {day}"


async def test_p5_a_change_of_the_road_writes_nothing_but_what_only_the_package_tells(synced: Office) -> None:
    before = await synced.content()
    synced.sandbox.set(package="installed")
    report = await synced.sync()
    assert (set(written(report)), report.requests < 20) == ({"courses"}, True)
    after = await synced.content()
    assert any(row["department"] for row in after["courses"].values())
    for content in (before, after):
        content["courses"] = {sis_id: {**row, "department": None} for sis_id, row in content["courses"].items()}
    assert after == before
    synced.sandbox.set(package="none")
    assert written(await synced.sync()) == {}


async def test_the_roads_lead_to_the_same_place_day_by_day(synced: Office) -> None:
    for day, package in enumerate(["installed", "none", "installed"], 1):
        synced.sandbox.set_day(day)
        synced.sandbox.set(package=package)
        assert (await synced.sync()).status == "succeeded"
        lines = [line for kind in (await strayed(synced)).values() for line in kind if ".department" not in line]
        assert lines == [], f"on day {day}"


async def test_what_vanished_while_the_road_changed_is_gone(synced: Office) -> None:
    synced.sandbox.set(package="installed")
    synced.sandbox.set_day(60)
    await settled(synced)
    assert await strayed(synced) == {}


async def test_former_stays_come_where_the_package_is_counted_on(office: Office, installed: RunningSandbox) -> None:
    installed.set(past_years="1")
    await in_bulk(office)
    for day in (0, 8):
        installed.set_day(day)
        assert (await settled(office, full=True)).status == "succeeded"
        known = await office.roster("students")
        truth = {row["sis_id"]: row for row in installed.truth("school_enrollments", history=True) if row["student"] in known}
        roster = await office.roster("school_enrollments")
        assert roster.keys() == truth.keys()
        ends = {sis_id: row["exit_date"] for sis_id, row in truth.items()}
        assert {sis_id: row["exit_date"] for sis_id, row in roster.items()} == ends
    assert sum(row["status"] == "inactive" for row in roster.values()) > 150
    assert written(await office.sync(full=True)) == {}


async def test_p2_who_came_on_the_day_that_they_were_said_not_to_come_stays(office: Office, installed: RunningSandbox) -> None:
    installed.set(returned_no_shows="3")
    await in_bulk(office)
    for day in (0, 1):
        installed.set_day(day)
        assert (await settled(office, full=True)).status == "succeeded"
        assert await strayed(office) == {}


async def test_auto_brings_what_both_roads_have_and_no_more(office: Office, installed: RunningSandbox) -> None:
    installed.set(past_years="1")
    await office.connect(absence_grace="0")
    reports = [await office.sync(), await office.sync()]
    assert [report.read["changes"] for report in reports] == [0, 0]
    students = [row["student"] for row in (await office.roster("school_enrollments")).values()]
    assert len(set(students)) == len(students)
    installed.set_day(1)


async def test_where_no_package_is_installed_one_request_finds_out(office: Office, sandbox: RunningSandbox) -> None:
    before = sandbox.stats()["by_path"].get(f"{QUERIES}students", 0)
    await office.connect()
    assert (await office.sync()).status == "succeeded"
    assert sandbox.stats()["by_path"][f"{QUERIES}students"] - before == 1
    assert await strayed(office) == {}


@pytest.mark.parametrize(("fault", "value"), [("status", "405"), ("status", "403"), ("html", "200"), ("empty", "")])
async def test_a_server_that_knows_no_such_queries_is_read_section_by_section(
    office: Office, installed: RunningSandbox, fault: str, value: str
) -> None:
    installed.fault(fault, value, path="/ws/schema")
    await office.connect()
    report = await office.sync(kinds=["schools", "terms", "courses"])
    assert report.status == "succeeded"
    assert {row["department"] for row in (await office.roster("courses")).values()} == {None}


async def test_demanded_and_not_installed_it_is_an_error_with_a_remedy(office: Office, sandbox: RunningSandbox) -> None:
    report = await (await in_bulk(office)).sync()
    assert report.status == "failed"
    assert report.error is not None
    assert (report.error.category, "not installed" in report.error.message) == ("configuration", True)
    assert "sis-connect-powerschool package" in report.error.remedy


@pytest.mark.parametrize("road", ["auto", "bulk"])
async def test_a_missing_grant_is_named(office: Office, installed: RunningSandbox, road: str) -> None:
    installed.set(missing_grants="students.dob,students.gender", missing_grants_status="403")
    await office.connect(road=road, fields="birth_date")
    report = await office.sync()
    assert report.status == "failed"
    assert report.error is not None
    assert "students.dob, students.gender" in report.error.message
    assert "access request" in report.error.remedy


@pytest.mark.parametrize("road", ["auto", "bulk"])
async def test_p2_a_package_made_for_fewer_fields_is_refused_before_anything_turns_blank(
    office: Office, installed: RunningSandbox, road: str
) -> None:
    await office.connect(road=road, fields="birth_date,gender")
    assert (await office.sync()).status == "succeeded"
    before = await office.content()
    installed.set(package_fields="gender")
    report = await office.sync(full=True)
    assert report.status == "failed"
    assert report.error is not None
    assert "made without birth_date" in report.error.message
    assert "--fields birth_date,gender" in report.error.remedy
    assert await office.content() == before


async def test_a_package_of_another_age_is_refused(office: Office, installed: RunningSandbox) -> None:
    installed.set(package_layout="7")
    report = await (await in_bulk(office)).sync()
    assert report.status == "failed"
    assert report.error is not None
    assert "another version" in report.error.message


# Changes only


async def test_between_full_reads_only_changes_are_read_and_the_roster_follows(office: Office, installed: RunningSandbox) -> None:
    await in_bulk(office)
    await office.sync()
    for day in (1, 2, 3):
        installed.set_day(day)
        report = await settled(office)
        assert report.requests <= 15
        assert report.read["changes"] == 5
    report = await settled(office, full=True)
    assert report.read["changes"] == 0
    assert await strayed(office) == {}


async def test_p5_without_changes_nothing_is_written(office: Office, installed: RunningSandbox) -> None:
    await in_bulk(office)
    await office.sync()
    before = await office.content()
    report = await office.sync()
    assert written(report) == {}
    assert (report.requests <= 15, report.read["changes"]) == (True, 5)
    assert await office.content() == before


async def test_p1_what_vanished_is_not_seen_in_changes_and_not_taken_for_gone(office: Office, installed: RunningSandbox) -> None:
    await in_bulk(office)
    await office.sync()
    installed.set_day(60)
    await settled(office)
    waiting = await strayed(office)
    assert all(" is still " in line for lines in waiting.values() for line in lines), waiting
    await settled(office, full=True)
    assert await strayed(office) == {}


async def test_p1_changes_that_are_not_told_come_with_the_next_full_read(office: Office, installed: RunningSandbox) -> None:
    installed.set(changed_rows="all")
    await in_bulk(office)
    await office.sync()
    installed.set_day(8)
    assert (await settled(office)).read["changes"] == 5
    assert await strayed(office) != {}
    await settled(office, full=True)
    assert await strayed(office) == {}


@pytest.mark.parametrize("how", [{"data_versions": "untold"}, {"data_versions": "refused"}, {"subscription": ""}], ids=str)
async def test_without_versions_all_is_read_each_time(office: Office, installed: RunningSandbox, how: dict[str, str]) -> None:
    installed.set(**how)
    await in_bulk(office)
    for day in (0, 2):
        installed.set_day(day)
        report = await office.sync()
        assert (report.status, report.read["changes"]) == ("succeeded", 0)
        assert await strayed(office) == {}


async def test_where_versions_are_told_no_longer_all_is_read_again(office: Office, installed: RunningSandbox) -> None:
    await in_bulk(office)
    await office.sync()
    installed.set(subscription="")
    installed.set_day(2)
    report = await settled(office)
    assert (report.status, report.read["changes"]) == ("succeeded", 0)
    assert await strayed(office) == {}


# Proof, and what goes wrong


async def test_p1_without_a_count_the_end_shows_in_an_empty_page(office: Office, installed: RunningSandbox) -> None:
    installed.set(count_in_page="off")
    await in_bulk(office)
    assert (await office.sync()).status == "succeeded"
    assert await strayed(office) == {}


async def test_a_cap_below_the_size_asked_for_is_noticed(office: Office, installed: RunningSandbox) -> None:
    installed.set(query_cap="40")
    await in_bulk(office)
    assert (await office.sync()).status == "succeeded"
    assert await strayed(office) == {}


async def test_dates_with_a_time_are_the_same_dates(office: Office, installed: RunningSandbox) -> None:
    installed.set(query_dates="time")
    await in_bulk(office)
    assert (await office.sync()).status == "succeeded"
    assert await strayed(office) == {}


@pytest.mark.parametrize("instant", [12.5])
async def test_p4_killed_on_the_way_it_ends_like_an_uninterrupted_run(
    office: Office, installed: RunningSandbox, instant: float
) -> None:
    await in_bulk(office)
    process = syncing(office.url, office.sandbox.date, kill_at=instant)
    process.join()
    assert (await office.sync()).status == "succeeded"
    assert await strayed(office) == {}


async def test_the_price_is_a_request_for_each_page(office: Office, installed: RunningSandbox) -> None:
    """Seventeen more: token, what the server is, the school year, the package, and the lists that a page holds."""
    await in_bulk(office, page_size="50")
    report = await office.sync()
    kinds = ("students", "school_enrollments", "enrollments", "sections", "courses")
    pages = sum(math.ceil(int(report.records[kind]) / 50) for kind in kinds)
    assert report.requests <= pages + 17


async def test_one_school_and_one_student_are_read_by_v1(office: Office, installed: RunningSandbox) -> None:
    await in_bulk(office)
    await office.sync()
    student, row = next((sis_id, row) for sis_id, row in (await office.roster("students")).items() if row["school"])
    before = installed.stats()["by_path"][f"{QUERIES}students"]
    for narrow in ({"school": row["school"]}, {"student": student}):
        assert (await office.sync(**narrow)).status == "succeeded"
    assert installed.stats()["by_path"][f"{QUERIES}students"] == before
    assert await strayed(office) == {}
    assert written(await office.sync(full=True)) == {}


async def test_doctor_says_which_road_is_taken_and_what_each_costs(office: Office, sandbox: RunningSandbox) -> None:
    async def told() -> dict[str, Any]:
        async with office.open() as service:
            return {finding.topic: finding for finding in await service.doctor("lincoln")}

    await office.connect()
    found = await told()
    assert "section by section, since our package is not installed" in found["road"].message
    assert found["road"].facts["requests_in_bulk"] < found["cost"].requests
    sandbox.set(package="installed")
    found = await told()
    assert "in bulk" in found["road"].message
    assert found["road"].facts["requests_by_section"] > 100 > found["cost"].requests
    assert "changes" not in found, "auto promises none"


@pytest.mark.parametrize(("subscription", "level"), [("sis-connect", "ok"), ("", "warning")], ids=["there", "missing"])
async def test_doctor_says_whether_changes_are_told(
    office: Office, installed: RunningSandbox, subscription: str, level: str
) -> None:
    installed.set(subscription=subscription)
    await in_bulk(office)
    async with office.open() as service:
        (found,) = [finding for finding in await service.doctor("lincoln") if finding.topic == "changes"]
    assert (found.level, "sis-connect" in (found.remedy or "sis-connect")) == (level, True)
