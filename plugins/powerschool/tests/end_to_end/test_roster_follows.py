"""The local roster says what the SIS says: after the first sync, day by day, and over the roll-over."""

from __future__ import annotations

from office import OFFERED, STUDENTS_ONLY, Office, differences, expected

ON_REQUEST = ("birth_date", "gender", "emails", "phones", "addresses", "contacts", "demographics")
PREFERRED = "u_students_extension.preferredname"


async def strayed(office: Office, fields: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Where the local roster is not what the SIS says."""
    found = {kind: differences(await office.roster(kind), expected(office.sandbox, kind, fields)) for kind in OFFERED}
    return {kind: lines for kind, lines in found.items() if lines}


async def test_after_the_first_sync_and_each_day_the_roster_is_what_the_sis_says(synced: Office) -> None:
    assert await strayed(synced) == {}
    for day in (1, 5):
        synced.sandbox.set_day(day)
        assert (await synced.sync()).status == "succeeded"
        assert await strayed(synced) == {}, f"on day {day}"


async def test_with_all_fields_on_request_the_roster_is_what_the_sis_says(office: Office) -> None:
    everything = (*ON_REQUEST, "preferred_given_name")
    await office.connect(absence_grace="0", fields=",".join(ON_REQUEST), preferred_name=PREFERRED)
    for day in (0, 5):
        office.sandbox.set_day(day)
        assert (await office.sync()).status == "succeeded"
        assert await strayed(office, everything) == {}, f"on day {day}"


async def test_p3_the_roll_over_waits_for_a_person_and_then_the_roster_is_that_of_the_new_year(synced: Office) -> None:
    synced.sandbox.set_day(192)
    await synced.sync()
    await synced.approve_all()
    assert await strayed(synced) == {}
    synced.sandbox.set_day(195)
    report = await synced.sync()
    assert report.exit_code == 3
    assert {hold.guard for hold in report.holds} >= {"creates", "withdrawals"}
    assert all(approved.status == "succeeded" for approved in await synced.approve_all())
    assert await strayed(synced) == {}
    assert (await synced.sync()).status == "succeeded"


async def test_the_roll_over_as_an_operation_brings_the_new_year_and_ends_what_only_the_last_one_has(synced: Office) -> None:
    synced.sandbox.set_day(192)
    await synced.sync()
    await synced.approve_all()
    synced.sandbox.set_day(195)
    async with synced.open() as service:
        preview = await service.rollover("lincoln", preview=True)
        assert await strayed(synced) != {}
        report = await service.rollover("lincoln", actor="a test")
    assert report.reasons["sections"]["rollover"] > 0
    assert (preview.status, preview.holds) == ("succeeded", [])
    assert (report.status, report.holds) == ("succeeded", [])
    assert await strayed(synced) == {}
    report = await synced.sync()
    assert {action for counts in report.changes.values() for action in counts} == {"unchanged"}


async def test_p6_who_leaves_stays_in_the_roster_and_who_returns_is_the_same_person(synced: Office) -> None:
    before = await synced.roster("students")
    synced.sandbox.set_day(40)
    await synced.sync()
    after = await synced.roster("students")
    assert before.keys() <= after.keys()
    assert {after[sis_id]["id"] for sis_id in before} == {row["id"] for row in before.values()}
    assert any(row["status"] == "inactive" for row in after.values())


async def test_p1_one_school_alone_is_brought_up_to_date_and_the_others_stay_as_they_are(synced: Office) -> None:
    synced.sandbox.set_day(40)
    before = await synced.roster("students")
    school = next(row["school"] for sis_id, row in before.items() if row != expected(synced.sandbox, "students")[sis_id])
    report = await synced.sync(school=school)
    assert report.status == "succeeded"
    changed = {sis_id for sis_id, row in (await synced.roster("students")).items() if row != before.get(sis_id)}
    assert changed
    assert {row["school"] for sis_id, row in (await synced.roster("students")).items() if sis_id in changed} == {school}
    assert not any("withdraw" in counts for kind, counts in report.changes.items() if kind in ("schools", "terms", "courses"))


async def test_one_student_alone_is_brought_up_to_date(synced: Office) -> None:
    synced.sandbox.set_day(40)
    before, truth = await synced.roster("students"), expected(synced.sandbox, "students")
    chosen = next(sis_id for sis_id, row in before.items() if row["family_name"] != truth[sis_id]["family_name"])
    report = await synced.sync(student=chosen)
    assert (report.status, report.records["students"]) == ("succeeded", 1)
    after = await synced.roster("students")
    assert after[chosen]["family_name"] == truth[chosen]["family_name"]
    assert {sis_id: row for sis_id, row in after.items() if sis_id != chosen} == {
        sis_id: row for sis_id, row in before.items() if sis_id != chosen
    }


async def test_p1_after_reads_of_a_school_and_a_student_the_whole_districts_read_has_the_last_word(synced: Office) -> None:
    for school in (row["sis_id"] for row in synced.sandbox.truth("schools")):
        assert (await synced.sync(school=school, kinds=STUDENTS_ONLY)).status == "succeeded"
    synced.sandbox.set_day(20)
    before, truth = await synced.roster("students"), expected(synced.sandbox, "students")
    for sis_id in [sis_id for sis_id, row in before.items() if row["status"] != truth[sis_id]["status"]][:3]:
        await synced.sync(student=sis_id)
        assert (await synced.roster("students"))[sis_id]["status"] == truth[sis_id]["status"]
    synced.sandbox.set_day(5)
    assert (await synced.sync(kinds=STUDENTS_ONLY)).exit_code == 0
    assert differences(await synced.roster("students"), expected(synced.sandbox, "students")) == []
