"""The local roster says what Infinite Campus tells: in both versions, day by day, over roll-over and change of version."""

from __future__ import annotations

from typing import Any

import pytest

ON_REQUEST = ("birth_date", "gender", "emails", "phones", "addresses", "demographics")


@pytest.mark.parametrize("version", ["1.2", "1.1"])
async def test_after_the_first_sync_and_each_day_the_roster_is_what_the_sis_says(office: Any, version: str) -> None:
    office.sandbox.set(version=version)
    await office.connect()
    for day in (0, 1, 4):
        office.sandbox.set_day(day)
        before = office.sandbox.stats()["requests"]
        report = await office.sync()
        assert (report.status, report.quarantined) == ("succeeded", 0)
        assert await office.strayed() == {}, f"on day {day}"
        assert office.sandbox.stats()["requests"] - before <= 15


@pytest.mark.parametrize("version", ["1.2", "1.1"])
async def test_with_all_fields_and_guardians_the_roster_is_what_the_sis_says(office: Any, version: str) -> None:
    office.sandbox.set(version=version)
    await office.connect(fields=",".join((*ON_REQUEST, "guardians")))
    for day in (0, 4):
        office.sandbox.set_day(day)
        assert (await office.sync()).status == "succeeded"
        assert await office.strayed(*ON_REQUEST, "guardians") == {}, f"on day {day}"
    assert len(await office.roster("guardians")) > 200


@pytest.mark.parametrize(
    "setting",
    [
        {"odd_roles": "on", "legacy_id": "letter", "links": "relative", "end_dates": "inclusive", "modified": "no_fraction"},
        {
            "legacy_key": "lower",
            "guid_case": "lower",
            "totals": "none",
            "booleans": "json",
            "nulls": "sent",
            "school_year": "number",
        },
        {"totals": "none", "links": "none", "scope": "refused", "credentials": "basic"},
    ],
    ids=str,
)
async def test_what_the_vendor_leaves_open_makes_no_difference(office: Any, setting: dict[str, str]) -> None:
    office.sandbox.set(**setting)
    await office.connect()
    for day in (0, 3):
        office.sandbox.set_day(day)
        assert (await office.sync()).status == "succeeded"
        assert await office.strayed() == {}, f"on day {day}"


async def test_credentials_may_go_in_the_form(office: Any) -> None:
    office.sandbox.set(credentials="body")
    await office.connect(client_authentication="body")
    assert (await office.sync(kinds=["schools"])).status == "succeeded"


async def test_the_name_of_the_application_may_be_a_setting(office: Any) -> None:
    token_url = office.sandbox.token_url.partition("?")[0]
    await office.connect(token_url=token_url)
    report = await office.sync(kinds=["schools"])
    assert (report.status, report.error.category) == ("failed", "authentication")
    await office.connect(token_url=token_url, app_name="anytown")
    assert (await office.sync(kinds=["schools"])).status == "succeeded"


# -- from version 1.1 to 1.2 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", [{}, {"legacy_id": "letter"}, {"legacy_key": "lower"}], ids=str)
async def test_p6_with_version_1_2_everybody_has_another_id_and_stays_the_same_person(
    office: Any, setting: dict[str, str]
) -> None:
    office.sandbox.set(version="1.1", **setting)
    await office.connect(fields="guardians")
    assert (await office.sync()).status == "succeeded"
    kinds = ("schools", "staff", "students", "sections", "enrollments", "guardians")
    before = {kind: await office.roster(kind) for kind in kinds}
    office.sandbox.set(version="1.2")
    await office.connect(fields="guardians", version="1.2")
    report = await office.sync()
    assert (report.status, list(report.holds)) == ("succeeded", [])
    assert not any({"create", "withdraw", "reenroll"} & counts.keys() for counts in report.changes.values())
    for kind in kinds:
        after = await office.roster(kind)
        assert {row["id"] for row in after.values()} == {row["id"] for row in before[kind].values()}, kind
    assert before["students"].keys().isdisjoint(await office.roster("students"))
    assert await office.strayed("guardians") == {}


async def test_p6_names_and_numbers_go_with_the_new_id(office: Any) -> None:
    office.sandbox.set(version="1.1")
    await office.connect()
    await office.sync()
    before = {row["id"]: row for row in (await office.roster("students")).values()}
    office.sandbox.set(version="1.2")
    await office.connect(version="1.2")
    await office.sync()
    for row in (await office.roster("students")).values():
        assert row["ids"]["student_number"] == before[row["id"]]["ids"]["student_number"]
        assert before[row["id"]]["sis_id"] in row["ids"]["legacy_sourced_id"]


# -- leaving, and the change of the school year ------------------------------------------------------------------------


async def test_who_just_vanishes_is_withdrawn_by_the_weekly_read_of_everything(office: Any) -> None:
    office.sandbox.set(departed="vanish")
    await office.connect()
    await office.sync()
    office.sandbox.set_day(5)
    await office.sync()
    left = (await office.strayed())["students"]
    assert left
    assert all("is still" in line for line in left), "only a read of everything tells that somebody is gone"
    await office.sync(full=True)
    await office.sync(full=True)
    assert "students" not in await office.strayed()


async def test_somebody_marked_as_deleted_is_withdrawn_while_their_classes_are_as_the_sis_tells(office: Any) -> None:
    await office.connect()
    await office.sync()
    before = await office.roster("students")
    office.sandbox.set(deleted_enrolled="on")
    report = await office.sync(full=True)
    assert (report.status, report.quarantined) == ("held", 0), "so many at once wait for a person"
    await office.approve_all()
    gone = {row["sis_id"] for row in office.sandbox.truth("students") if row["status"] == "tobedeleted"} & before.keys()
    after = await office.roster("students")
    assert {after[sis_id]["status"] for sis_id in gone} == {"inactive"}
    assert all(after[sis_id]["school"] == before[sis_id]["school"] for sis_id in gone), "what is not told is not blank"
    assert all(after[sis_id]["grade"] == before[sis_id]["grade"] for sis_id in gone)
    assert any(row["user"] in gone and row["status"] == "active" for row in (await office.roster("enrollments")).values())
    assert await office.strayed() == {}


async def test_p3_with_the_new_school_year_everything_is_read_again_and_waits_for_a_person(office: Any) -> None:
    await office.connect()
    office.sandbox.set_day(192)
    await office.sync()
    office.sandbox.set_day(195)
    report = await office.sync()
    assert report.exit_code == 3
    assert {hold.guard for hold in report.holds} >= {"withdrawals"}
    for _ in range(2):
        await office.approve_all()
        await office.sync(full=True)
    await office.approve_all()
    assert await office.strayed() == {}


# -- what is not offered, and what is not shared -----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["administrators", "guardians"])
async def test_a_list_beyond_the_standard_that_is_not_offered_is_left_out(office: Any, path: str) -> None:
    office.sandbox.set(not_offered=path)
    await office.connect(fields="guardians")
    report = await office.sync(kinds=["staff"] if path == "administrators" else ["staff", "guardians"])
    assert report.status == ("succeeded" if path == "administrators" else "incomplete")
    staff = {row["role"] for row in (await office.roster("staff")).values()}
    assert staff == ({"teacher"} if path == "administrators" else {"teacher", "staff"})


async def test_demographics_that_are_not_shared_are_named_with_a_remedy_and_the_roster_arrives(office: Any) -> None:
    office.sandbox.set(demographics="withheld")
    await office.connect(fields="birth_date")
    report = await office.sync()
    assert report.status == "incomplete"
    assert any("data to share" in each["reason"] for each in report.incomplete)
    assert len(await office.roster("students")) > 150


async def test_an_expired_token_is_renewed_once_whatever_the_status_says(office: Any) -> None:
    for status in ("401", "403"):
        office.sandbox.set(expired=status)
        await office.connect()
        office.sandbox.fault("token_expiry", count=1, path="/campus/api")
        assert (await office.sync(full=True)).status == "succeeded"
