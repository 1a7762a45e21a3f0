"""Whatever a server does that others do not: the roster is the same, or the report says that it is not whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oneroster_truth import connected, wrong
from sis_connect.discovery import discover
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox


@pytest.fixture(scope="module")
def district() -> Iterator[RunningSandbox]:
    """With several pages of everything."""
    with running_sandbox(discover().info("oneroster"), students=60, settings={"cap": "20"}) as running:
        yield running


@pytest.fixture
def sandbox(district: RunningSandbox) -> Iterator[RunningSandbox]:
    unchanged = dict(district._app.sandbox.settings)
    yield district
    district.clear_faults()
    district.set(**unchanged)
    district.set_day(0)


SAME: list[dict[str, str]] = [
    {"end_dates": "inclusive", "credentials": "basic", "scope": "required", "totals": "x_count"},
    {"totals": "body"},
    {"totals": "none", "links": "none"},
    {"totals": "none", "links": "loop"},
    {"links": "relative", "modified": "no_zone"},
    {"links": "one_based", "modified": "no_fraction"},
    {"links": "unbracketed", "ignored": "filter"},
    {"links": "unquoted", "last_link": "remainder"},
    {"empty_page": "404", "totals": "none"},
    {"keys": "subtype", "one_item": "object"},
    {"booleans": "json", "nulls": "sent", "padded": "on"},
    {"booleans": "number", "references": "list"},
    {"booleans": "capital", "references": "id", "terms_key": "term"},
    {"grades": "text", "roles": "upper", "dates": "datetime", "school_year": "number"},
    {"hrefs": "elsewhere", "metadata": "on", "warnings": "on"},
    {"modified": "now", "ignored": "sort,orderBy"},
    {"modified": "future", "not_offered": "demographics"},
    {"ignored": "limit", "not_offered": "schools"},
]


@pytest.mark.parametrize("settings", SAME, ids=[" ".join(settings.values()) + " " + " ".join(settings) for settings in SAME])
async def test_the_roster_is_the_same(sandbox: RunningSandbox, settings: dict[str, str], tmp_path: Path) -> None:
    sandbox.set(**settings)
    office = await connected(sandbox, tmp_path, **({"end_dates": "inclusive"} if "end_dates" in settings else {}))
    for day in (0, 2):
        sandbox.set_day(day)
        report = await office.sync()
        assert (report.status, report.incomplete) == ("succeeded", [])
        assert await wrong(office, everybody=False) == []


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        ({"version": "1.1", "auth": "oauth1"}, {"version": "1.1", "grant": "oauth1"}),
        (
            {"version": "1.1", "auth": "oauth1", "signature_method": "HMAC-SHA1"},
            {"version": "1.1", "grant": "oauth1", "signature_method": "HMAC-SHA1"},
        ),
        ({"credentials": "body"}, {"client_authentication": "body"}),
        ({"scope": "refused"}, {"scope": ""}),
        ({"over_cap": "reject"}, {"page_size": 20}),
    ],
    ids=["oauth1", "oauth1 sha1", "credentials in the body", "no scope", "a cap that is refused"],
)
async def test_what_a_server_insists_on_is_a_setting(
    sandbox: RunningSandbox, settings: dict[str, str], more: dict[str, Any], tmp_path: Path
) -> None:
    base = sandbox.base_url.removesuffix("/ims/oneroster/rostering/v1p2")
    sandbox.set(**settings)
    office = await connected(sandbox, tmp_path, **{"base_url": base, **more})
    report = await office.sync()
    assert (report.status, report.incomplete) == ("succeeded", [])
    assert await wrong(office, everybody=False) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"duplicates": "on"}, "the server counts"),
        ({"ignored": "offset"}, "same page twice"),
        ({"endless": "on"}, "same page twice"),
        ({"over_cap": "reject"}, "calls the request wrong"),
    ],
    ids=["rows that come twice", "an offset that is ignored", "a list without end", "pages that are too large"],
)
async def test_p1_what_cannot_be_proved_complete_takes_nobody_away(
    sandbox: RunningSandbox, settings: dict[str, str], words: str, tmp_path: Path
) -> None:
    office = await connected(sandbox, tmp_path)
    await office.sync()
    sandbox.set(**settings)
    report = await office.sync(full=True)
    assert report.status in ("incomplete", "failed")
    assert words in " ".join(entry["reason"] for entry in report.incomplete)
    assert await wrong(office, everybody=False) == []


async def test_enrolments_of_nobody_wait_in_quarantine(sandbox: RunningSandbox, tmp_path: Path) -> None:
    sandbox.set(dangling="listed")
    office = await connected(sandbox, tmp_path)
    assert (await office.sync()).quarantined > 0
    assert await wrong(office, everybody=False) == []


async def test_without_lists_of_students_and_teachers_all_users_are_read(sandbox: RunningSandbox, tmp_path: Path) -> None:
    sandbox.set(not_offered="students,teachers")
    office = await connected(sandbox, tmp_path)
    report = await office.sync()
    assert (report.status, report.incomplete) == ("succeeded", [])
    assert await wrong(office, everybody=True) == []


async def test_p9_demographics_that_are_not_granted_are_reported_and_nothing_else_is_lost(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    sandbox.set(demographics="withheld")
    office = await connected(sandbox, tmp_path, fields="birth_date", scope="")
    report = await office.sync()
    assert {entry["endpoint"] for entry in report.incomplete} == {"demographics"}
    assert await wrong(office, everybody=False) == []


@pytest.mark.parametrize(
    "not_offered", ["", "schools/*/students,schools/*/classes,schools/*/enrollments,schools/*/teachers,schools/*/courses"]
)
async def test_one_school_alone_is_that_school(
    sandbox: RunningSandbox, not_offered: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sandbox.set(not_offered=not_offered)
    office = await connected(sandbox, tmp_path)
    await office.sync()
    whole = await office.content()
    school = next(iter(await office.roster("schools")))
    alone = await connected(sandbox, tmp_path_factory.mktemp("alone"))
    report = await alone.sync(school=school)
    assert (report.error, report.incomplete) == (None, [])
    for kind in ("students", "sections"):
        there = {sis_id for sis_id, row in (await alone.roster(kind)).items() if row["school"] == school}
        assert there == {sis_id for sis_id, row in whole[kind].items() if row["school"] == school}


async def test_one_student_alone_is_that_student(sandbox: RunningSandbox, tmp_path: Path) -> None:
    office = await connected(sandbox, tmp_path, fields="birth_date")
    await office.sync()
    whole = await office.roster("students")
    before = sandbox.stats()["requests"]
    report = await office.sync(student=next(iter(whole)), kinds=["students"])
    assert report.status == "succeeded"
    assert sandbox.stats()["requests"] - before <= 3
    assert await office.roster("students") == whole
