"""Each product end to end: the local roster says what the SIS says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from office import Office, Row, differences, expected
from sis_connect.capabilities import Kind
from sis_connect.errors import ConfigurationError

OfficeOf = Callable[[str], Office]
PRODUCTS = ("sms", "qmlativ", "oneroster")
GUARDIANS: tuple[Kind, ...] = ("guardians",)
_ALL: tuple[Kind, ...] = ("schools", "terms", "courses", "staff", "students", "school_enrollments", "sections", "enrollments")
OFFERED: dict[str, tuple[Kind, ...]] = {
    "sms": ("schools", "students", "sections", "enrollments"),
    "qmlativ": _ALL,
    "oneroster": ("schools", "terms", "courses", "staff", "students", "sections", "enrollments"),
}
ON_REQUEST: dict[str, tuple[str, ...]] = {
    "sms": ("birth_date", "gender", "emails", "phones", "addresses", "contacts", "demographics"),
    "qmlativ": ("birth_date", "emails", "phones", "addresses", "demographics"),
    "oneroster": ("birth_date", "gender", "emails", "phones", "demographics"),
}


async def strayed(office: Office, kinds: tuple[Kind, ...], fields: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Where the local roster is not what the SIS says."""
    found = {kind: differences(await office.roster(kind), told(office, kind, fields)) for kind in kinds}
    return {kind: lines for kind, lines in found.items() if lines}


def told(office: Office, kind: Kind, fields: tuple[str, ...]) -> dict[str, Row]:
    """What the SIS says; what it marks as deleted is inactive here."""
    deleted = {"status": "inactive", "status_reason": "deleted"}
    rows = expected(office.sandbox, kind, fields)
    return {key: row | deleted if row["status"] == "tobedeleted" else row for key, row in rows.items()}


@pytest.mark.parametrize("product", PRODUCTS)
async def test_p1_after_the_first_sync_and_each_day_the_roster_is_what_the_sis_says(office_of: OfficeOf, product: str) -> None:
    office = office_of(product)
    await office.connect(absence_grace="0")
    report = await office.sync()
    assert (report.status, report.incomplete) == ("succeeded", [])
    assert await strayed(office, OFFERED[product]) == {}
    for day in (1, 2):
        office.sandbox.set_day(day)
        assert (await office.sync()).status == "succeeded"
        await office.sync()  # who vanishes is gone after the second time
        assert await strayed(office, OFFERED[product]) == {}, f"on day {day}"


@pytest.mark.parametrize("product", ["sms", "qmlativ"])
async def test_p6_who_leaves_is_gone_with_all_classes_and_stays_on_record(office_of: OfficeOf, product: str) -> None:
    office = office_of(product)
    await office.connect(absence_grace="0")
    await office.sync()
    before = await office.roster("students")
    office.sandbox.set_day(40)
    for _ in range(2):
        await office.sync()
        await office.approve_all()
    assert await strayed(office, OFFERED[product]) == {}
    assert before.keys() <= (await office.roster("students")).keys()
    assert before.keys() - await office.active()


async def test_p1_where_the_classes_of_one_student_do_not_come_nobody_is_withdrawn_from_any(office_of: OfficeOf) -> None:
    office = office_of("sms")
    await office.connect(absence_grace="0", max_attempts="1")
    await office.sync()
    before = await office.active("enrollments")
    some = sorted(await office.active())[0]
    office.sandbox.fault("empty", path="/API/v1/students/*/enrollments")
    office.sandbox.fault("status", "503", path=f"/API/v1/students/{some}/enrollments")
    for _ in range(2):
        report = await office.sync(full=True)
        assert (report.status, [entry["endpoint"] for entry in report.incomplete]) == ("incomplete", ["enrollments"])
        assert await office.active("enrollments") == before


async def test_without_a_product_the_three_are_named(office_of: OfficeOf) -> None:
    with pytest.raises(ConfigurationError, match=r"sms \(SMS 2.0\), qmlativ, or oneroster"):
        await office_of("sms").connect(product="")


async def test_p1_fewer_students_than_there_must_be_withdraw_nobody(office_of: OfficeOf) -> None:
    office = office_of("sms")
    await office.connect(absence_grace="0", fewest_students="100")
    assert (await office.sync()).status == "succeeded"
    before = await office.active()
    office.sandbox.fault("empty", path="/API/v1/students")
    report = await office.sync()
    assert report.status == "incomplete"
    assert "fewest_students" in str(report.incomplete)
    assert await office.active() == before


@pytest.mark.parametrize("product", ["sms", "qmlativ"])
async def test_one_student_alone_is_brought_up_to_date(office_of: OfficeOf, product: str) -> None:
    office = office_of(product)
    await office.connect()
    await office.sync()
    office.sandbox.set_day(40)
    before, truth = await office.roster("students"), expected(office.sandbox, "students")
    chosen = next(key for key, row in before.items() if key in truth and row["family_name"] != truth[key]["family_name"])
    report = await office.sync(student=chosen, kinds=("students",))
    assert (report.status, report.records["students"]) == ("succeeded", 1)
    after = await office.roster("students")
    assert after[chosen]["family_name"] == truth[chosen]["family_name"]
    assert {key: row for key, row in after.items() if key != chosen} == {k: r for k, r in before.items() if k != chosen}
