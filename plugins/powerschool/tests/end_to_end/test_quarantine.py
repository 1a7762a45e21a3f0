"""Invalid is not missing (P2): a row that cannot be read waits in quarantine, and its record keeps its last good state."""

from __future__ import annotations

from office import STUDENTS_ONLY, Office, differences, expected


async def test_p2_half_the_students_invalid_are_held_in_quarantine_and_nobody_is_withdrawn(synced: Office) -> None:
    sandbox, before = synced.sandbox, await synced.roster("students")
    sandbox.set_day(5)
    sandbox.set(invalid="0.5")
    good = expected(sandbox, "students")
    assert 50 < len(good) < 150
    report = await synced.sync(kinds=STUDENTS_ONLY)
    assert (report.status, report.exit_code) == ("held", 3)
    assert [(hold.guard, hold.kind) for hold in report.holds] == [("quarantine", "students")]
    assert report.quarantined >= report.holds[0].count > 50
    after = await synced.roster("students")
    assert differences({sis_id: row for sis_id, row in after.items() if sis_id in good}, good) == []
    bad = before.keys() - good.keys()
    assert {sis_id: after[sis_id] for sis_id in bad} == {sis_id: before[sis_id] for sis_id in bad}


async def test_p2_what_waits_in_quarantine_is_told_by_field_and_reason_and_heals_by_itself(synced: Office) -> None:
    sandbox = synced.sandbox
    sandbox.set(invalid="0.5")
    await synced.sync(kinds=STUDENTS_ONLY)
    waiting = synced.query("SELECT DISTINCT fields, reason FROM sis_quarantine WHERE kind = 'students'")
    assert [fields for fields, _ in waiting] == ['["family_name"]']
    sandbox.set_day(5)
    sandbox.set(invalid="0")
    report = await synced.sync(kinds=STUDENTS_ONLY)
    assert (report.status, report.holds, report.quarantined) == ("succeeded", [], 3)
    assert differences(await synced.roster("students"), expected(sandbox, "students")) == []
    assert differences(await synced.roster("school_enrollments"), expected(sandbox, "school_enrollments")) == []


async def test_p2_rows_that_are_known_to_be_bad_do_not_raise_the_alarm_again(synced: Office) -> None:
    synced.sandbox.set(invalid="0.5")
    await synced.sync(kinds=STUDENTS_ONLY)
    async with synced.open() as service:
        [hold] = await service.holds("lincoln")
        assert (await service.approve(hold.id, actor="a test")).status == "succeeded"
    again = await synced.sync(kinds=STUDENTS_ONLY)
    assert (again.status, again.holds) == ("succeeded", [])
    assert again.quarantined > 50


async def test_p2_a_first_sync_takes_in_the_good_half(office: Office) -> None:
    office.sandbox.set(invalid="0.5")
    await office.connect()
    report = await office.sync(kinds=STUDENTS_ONLY)
    assert report.exit_code == 3
    assert differences(await office.roster("students"), expected(office.sandbox, "students")) == []
    office.sandbox.set(invalid="0")
    await office.sync(kinds=STUDENTS_ONLY)
    await office.approve_all()
    assert differences(await office.roster("students"), expected(office.sandbox, "students")) == []


async def test_p2_enrolments_of_students_who_do_not_exist_wait_until_they_do(synced: Office) -> None:
    waiting = synced.query("SELECT key, fields FROM sis_quarantine")
    assert [fields for _, fields in waiting] == ['["user"]'] * 3
    assert not {key for key, _ in waiting} & (await synced.roster("enrollments")).keys()
