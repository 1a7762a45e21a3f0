"""Nobody is withdrawn without proof (P1), and nothing is green without evidence (P9), whatever the server does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from office import OFFERED, STUDENTS_ONLY, Office, differences, expected
from sis_connect.capabilities import Kind
from sis_connect.roster.report import SyncReport
from sis_connect.testing.sandbox import RunningSandbox

STUDENTS = "/ws/v1/district/student"
Spoil = Callable[[RunningSandbox], None]


def withdrawn(report: SyncReport) -> int:
    return sum(counts.get("withdraw", 0) for counts in report.changes.values())


def first_school(sandbox: RunningSandbox) -> str:
    return str(sandbox.truth("schools")[0]["sis_id"])


BROKEN: dict[str, Spoil] = {
    "page 7 of 12 is cut off": lambda sandbox: sandbox.fault("truncate", path=f"{STUDENTS}?*page=7*"),
    "a row vanishes while we read": lambda sandbox: sandbox.fault("drift", "-1", path=STUDENTS),
    "the total is too high": lambda sandbox: sandbox.fault("wrong_total", "1", path=STUDENTS),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_p1_a_read_that_is_not_complete_withdraws_nobody_and_says_so(synced: Office, what: str) -> None:
    before = await synced.content()
    BROKEN[what](synced.sandbox)
    report = await synced.sync(kinds=STUDENTS_ONLY)
    assert (report.status, report.exit_code) == ("incomplete", 4)
    assert [entry["endpoint"] for entry in report.incomplete] == ["students"]
    assert (withdrawn(report), report.held) == (0, {})
    assert await synced.content() == before
    synced.sandbox.clear_faults()
    assert (await synced.sync(kinds=STUDENTS_ONLY)).status == "succeeded"
    assert await synced.content() == before


async def test_p1_a_broken_read_is_additive_only_and_the_next_one_catches_up(synced: Office) -> None:
    synced.sandbox.set_day(40)
    truth, here = expected(synced.sandbox, "students"), await synced.roster("students")
    BROKEN["page 7 of 12 is cut off"](synced.sandbox)
    report = await synced.sync(kinds=STUDENTS_ONLY)
    assert report.status == "incomplete"
    after = await synced.roster("students")
    followed = {sis_id for sis_id, row in after.items() if row["status"] != here.get(sis_id, row)["status"]}
    assert all(truth[sis_id]["status"] == after[sis_id]["status"] for sis_id in followed)
    synced.sandbox.clear_faults()
    await synced.sync(kinds=STUDENTS_ONLY)
    await synced.approve_all()
    assert differences(await synced.roster("students"), truth) == []


async def test_p1_a_school_that_answers_500_for_ever_keeps_its_roster_and_the_others_flow(synced: Office) -> None:
    sandbox, school = synced.sandbox, first_school(synced.sandbox)
    sandbox.set_day(5)
    before = {kind: await synced.roster(kind) for kind in OFFERED}
    sandbox.fault("status", "500", path=f"/ws/v1/school/{school}/*")
    report = await synced.sync()
    assert (report.status, report.exit_code) == ("incomplete", 4)
    assert {entry["context"].split(";")[0] for entry in report.incomplete} == {f"school={school}"}
    for kind in ("terms", "staff", "sections", "enrollments"):
        after = await synced.roster(kind)
        theirs = {sis_id for sis_id, row in before[kind].items() if school in (row.get("school"), *(row.get("schools") or ()))}
        assert {sis_id: after[sis_id] for sis_id in theirs} == {sis_id: before[kind][sis_id] for sis_id in theirs}, kind
        truth = {sis_id: row for sis_id, row in expected(sandbox, kind).items() if sis_id not in theirs}
        elsewhere = {sis_id: row for sis_id, row in truth.items() if school not in (row.get("school"), *row.get("schools", ()))}
        assert differences({sis_id: after[sis_id] for sis_id in elsewhere if sis_id in after}, elsewhere) == [], kind
    assert differences(await synced.roster("students"), expected(sandbox, "students")) == []


CLASSES: tuple[Kind, ...] = ("schools", "sections", "enrollments")
EMPTY: dict[str, tuple[str, tuple[Kind, ...]]] = {
    "the students": (STUDENTS, STUDENTS_ONLY),
    "the whole district": ("", OFFERED),
    "the staff of every school": ("/ws/v1/school/*/staff", ("schools", "staff")),
    "the sections of every school": ("/ws/v1/school/*/section", CLASSES),
    "the rosters of all sections": ("/ws/v1/section/*", CLASSES),
}


@pytest.mark.parametrize("what", EMPTY)
async def test_p9_what_is_empty_where_there_was_something_is_held_and_comes_back_unharmed(synced: Office, what: str) -> None:
    before = await synced.content()
    path, kinds = EMPTY[what]
    synced.sandbox.fault("empty", path=path)
    report = await synced.sync(kinds=kinds)
    assert (report.status, report.exit_code) == ("held", 3)
    assert "empty" in {hold.guard for hold in report.holds}
    assert withdrawn(report) == 0
    assert await synced.content() == before
    synced.sandbox.clear_faults()
    healed = await synced.sync(kinds=kinds)
    assert (healed.status, healed.holds) == ("succeeded", [])
    assert await synced.content() == before
    assert healed.quarantined == 3


async def test_p6_what_was_withdrawn_with_its_section_returns_with_it(synced: Office) -> None:
    before = await synced.content()
    school = first_school(synced.sandbox)
    synced.sandbox.fault("empty", path=f"/ws/v1/school/{school}/section")
    await synced.sync()
    await synced.approve_all()
    enrollments = await synced.roster("enrollments")
    gone = {sis_id for sis_id, row in enrollments.items() if row["status"] != before["enrollments"][sis_id]["status"]}
    assert {enrollments[sis_id]["school"] for sis_id in gone} == {school}
    synced.sandbox.clear_faults()
    assert (await synced.sync()).status == "succeeded"
    assert await synced.content() == before


async def test_p9_no_students_at_a_first_sync_is_a_failure(office: Office) -> None:
    await office.connect()
    office.sandbox.fault("empty", path=STUDENTS)
    report = await office.sync(kinds=STUDENTS_ONLY)
    assert (report.status, report.exit_code) == ("failed", 1)
    assert report.error is not None
    assert "no students" in report.error.message
    assert await office.roster("schools") == {}


async def test_p9_a_wrong_secret_fails_and_writes_nothing(office: Office) -> None:
    await office.connect(client_secret="not-the-secret")
    report = await office.sync()
    assert (report.status, report.exit_code) == ("failed", 1)
    assert report.error is not None
    assert report.error.category == "authentication"
    assert not any((await office.content()).values())
    async with office.open() as service:
        assert [integration.status for integration in await service.integrations()] == ["auth_failed"]


async def test_p9_a_token_that_is_refused_for_ever_fails_and_writes_nothing(synced: Office) -> None:
    before = await synced.content()
    synced.sandbox.set_day(3)
    synced.sandbox.fault("token_expiry")
    report = await synced.sync()
    assert report.error is not None
    assert (report.status, report.exit_code, report.error.category) == ("failed", 1, "authentication")
    assert await synced.content() == before


async def test_p9_a_plugin_without_access_to_v1_fails_with_the_reason_and_is_not_asked_to_sign_in_again(synced: Office) -> None:
    await synced.sync(kinds=["schools"])
    before = await synced.content()
    signed_in = synced.sandbox.stats()["by_path"]["/oauth/access_token"]
    synced.sandbox.set(access="NONE")
    report = await synced.sync()
    assert report.error is not None
    assert (report.status, report.exit_code, report.error.category) == ("failed", 1, "authorization")
    assert "accessLevelV1Api" in report.error.remedy
    assert synced.sandbox.stats()["by_path"]["/oauth/access_token"] == signed_in
    assert await synced.content() == before


async def test_p9_a_kind_that_the_sis_does_not_offer_is_not_offered_and_never_none(synced: Office) -> None:
    report = await synced.sync(kinds=STUDENTS_ONLY)
    assert report.records["guardians"] == "not_offered"
    assert all(report.records[kind] for kind in STUDENTS_ONLY)
    refused = await synced.sync(kinds=["guardians"])
    assert (refused.status, refused.error is not None and refused.error.category) == ("failed", "provider")
