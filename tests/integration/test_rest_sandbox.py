"""A sandbox made with the kit, over a real socket, as any client would see it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from echo_sis import info
from harbor_sandbox import INFO, HarborSandbox
from office import Office, differences, expected
from sis_connect.capabilities import KINDS
from sis_connect.discovery import Installed, Registry
from sis_connect.errors import ConfigurationError
from sis_connect.testing.district import District
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox, storm

Row = dict[str, Any]


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningSandbox]:
    with running_sandbox(INFO, students=60) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared: RunningSandbox) -> Iterator[RunningSandbox]:
    """On day 0, without faults."""
    yield shared
    shared.clear_faults()
    shared.set_day(0)


@pytest.fixture
def client(sandbox: RunningSandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.base_url, headers=signed_in(sandbox), timeout=5) as client:
        yield client


def signed_in(sandbox: RunningSandbox) -> dict[str, str]:
    asked = {"grant_type": "client_credentials"}
    told = httpx.post(sandbox.token_url, data=asked, auth=(sandbox.client_id, sandbox.client_secret)).json()
    return {"Authorization": f"Bearer {told['access_token']}"}


def whole(client: httpx.Client, path: str, **params: Any) -> list[Row]:
    """A list, page by page."""
    rows: list[Row] = []
    while True:
        told = client.get(path, params={**params, "per_page": 20, "page": len(rows) // 20 + 1}).json()
        rows += told["data"]
        if not told["data"] or len(rows) >= told["total"]:
            return rows


def test_a_list_is_the_truth_in_the_vendors_words(client: httpx.Client, sandbox: RunningSandbox) -> None:
    truth = {record["sis_id"]: record for record in sandbox.truth("students")}
    rows = {str(row["id"]): row for row in whole(client, "/students")}
    assert rows.keys() == truth.keys()
    for sis_id, record in truth.items():
        row = rows[sis_id]
        assert (row["number"], row["school_id"]) == (record["ids"]["student_number"], record["school"])
        assert row["standing"] == ("enrolled" if record["status"] == "active" else "left")
        assert row["year_group"] == record["grade_text"]
    assert {row["year_group"] for row in rows.values()} >= {"Pre", "K", "1", "12"}


def test_the_truth_holds_what_the_api_delivers_and_no_more(sandbox: RunningSandbox) -> None:
    assert set(sandbox.truth("schools")[0]) == {"key", "sis_id", "name", "identifier", "status"}
    assert "birth_date" not in sandbox.truth("students")[0]
    assert "birth_date" in sandbox.truth("students", fields=["birth_date"])[0]
    assert "status" not in sandbox.truth("sections")[0]
    assert sandbox.truth("staff") == []


def test_lists_below_a_school_hold_what_belongs_to_it(client: httpx.Client) -> None:
    schools = [row["id"] for row in whole(client, "/schools")]
    students = whole(client, "/students")
    for school in schools:
        mine = [row for row in students if row["school_id"] == str(school)]
        assert whole(client, f"/schools/{school}/students") == mine == whole(client, "/students", school_id=school)
    assert client.get("/schools/1/students").status_code == 404
    assert client.get("/students", params={"school_id": "1"}).json()["data"] == []


def test_one_record_and_how_many_there_are(client: httpx.Client) -> None:
    first = client.get("/students", params={"per_page": 1}).json()["data"][0]
    assert client.get(f"/students/{first['id']}").json() == first
    assert client.get("/students/1").status_code == 404
    assert client.get("/sections/count").json() == {"total": len(whole(client, "/sections"))}


def test_members_are_the_truths_enrolments_but_for_orphans(client: httpx.Client, sandbox: RunningSandbox) -> None:
    rows = [row for section in whole(client, "/sections") for row in whole(client, f"/sections/{section['id']}/members")]
    truth = sandbox.truth("enrollments")
    orphans = {row["id"] for row in rows} - {int(record["sis_id"]) for record in truth}
    assert len(orphans) == len(sandbox.district.hard_cases["orphan_enrollment"]) > 0
    assert {record["role"] for record in truth} == {"student"}
    assert len(rows) == len(truth) + len(orphans)


def test_changes_are_listed_from_a_time_on(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set_day(10)
    rows = whole(client, "/students")
    newest = max(row["changed"] for row in rows)
    assert whole(client, "/students", changed_since=newest) == [row for row in rows if row["changed"] == newest]
    assert whole(client, "/students", changed_since="2099-01-01") == []
    assert client.get("/students", params={"changed_since": "lately"}).status_code == 400
    assert client.get("/schools").headers["date"] == "Mon, 19 Oct 2026 22:00:00 GMT"


def test_a_record_changed_by_hand_is_the_newest_of_all(client: httpx.Client, sandbox: RunningSandbox) -> None:
    record = sandbox.truth("students")[5]
    sandbox.change("students", record["sis_id"], given_name="Quirin", birth_date="2015-02-03")
    row = client.get(f"/students/{record['sis_id']}").json()
    assert (row["first"], row["born"]) == ("Quirin", "2015-02-03")
    assert sandbox.truth("students")[5]["given_name"] == "Quirin"
    assert whole(client, "/students", changed_since="2026-10-05T22:00:00Z") == [row]
    with pytest.raises(ConfigurationError, match="no record"):
        sandbox.change("students", "1", given_name="Quirin")
    sandbox.set_day(193)
    promoted = next(row for row in whole(client, "/students") if row["id"] == int(record["sis_id"]))
    assert (promoted["first"], promoted["changed"] > row["changed"]) == ("Quirin", True)


def test_tokens_are_needed_but_where_anybody_is_answered(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert httpx.get(f"{sandbox.base_url}/ping").json() == {"status": "up"}
    refused = httpx.get(f"{sandbox.base_url}/schools")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    sandbox.fault("token_expiry", count=1)
    assert [client.get("/schools").status_code for _ in range(2)] == [401, 401]
    client.headers.update(signed_in(sandbox))
    assert client.get("/schools").status_code == 200


def test_what_is_not_there_or_not_allowed_is_refused(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert client.get("/planets").status_code == 404
    assert client.post("/schools").status_code == 405
    assert client.get("/schools", params={"page": "first"}).status_code == 400
    elsewhere = httpx.get(sandbox.base_url.replace("/api", "/schools"), headers=dict(client.headers))
    assert elsewhere.status_code == 404


def test_a_sandbox_that_cannot_be_meant_is_refused_in_plain_words() -> None:
    class OddSandbox(HarborSandbox):
        delivers: ClassVar[Any] = {"students": {"givenname"}, "teachers": set()}
        leaving: ClassVar[Any] = {"students": "silently"}

    with pytest.raises(ConfigurationError) as refused:
        OddSandbox(District(students=1), {})
    for words in ("no kind 'teachers'", "no record of students has givenname", "without family_name, given_name", "'silently'"):
        assert words in str(refused.value)


def test_a_mistake_in_a_row_function_is_named(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.change("schools", sandbox.truth("schools")[0]["sis_id"], identifier="none")
    broken = sandbox._app.sandbox
    broken.row = lambda listing, record: {"code": int(record.identifier)}  # type: ignore[attr-defined]
    try:
        answer = client.get("/schools")
    finally:
        del broken.row  # type: ignore[attr-defined]
    assert (answer.status_code, "ValueError" in answer.json()["error"]) == (500, True)
    assert "int(record.identifier)" in sandbox.notes[-1]


def test_faults_strike_lists_without_a_word_in_the_sandbox(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("cap", 3, path="/api/students")
    assert len(client.get("/students", params={"per_page": 20}).json()["data"]) == 3
    sandbox.fault("empty", path="/api/sections")
    assert client.get("/sections").json() == {"total": 0, "data": []}
    sandbox.fault("drop_total", path="/api/schools")
    assert "total" not in client.get("/schools").json()


def test_a_storm_is_the_same_for_everybody_who_asks_in_the_same_order(client: httpx.Client, sandbox: RunningSandbox) -> None:
    def weather() -> list[int]:
        sandbox.storm(storm(4, 12, share=0.5, names=["status", "html"]), path="/api/schools")
        return [client.get("/schools").status_code for _ in range(12)]

    assert weather() == weather()
    assert {200, 500} & set(weather())
    sandbox.fault("storm", 4, count=30)
    assert len(sandbox._app.sandbox.faults) == 4


async def test_the_engine_makes_of_the_district_what_the_truth_says(tmp_path: Path) -> None:
    told = info("status")
    with running_sandbox(told, students=1, settings={"leaving": "status"}) as sandbox:
        sandbox.settings = {"rate_limit": "off"}
        office = Office(sandbox, tmp_path / "roster.db", registry=Registry({told.name: Installed(told, "echo", "1")}))
        await office.connect(absence_grace=0, fields="guardians")
        for day in (0, 4):
            sandbox.set_day(day)
            report = await office.sync()
            assert (report.error, report.incomplete) == (None, [])
            await office.approve_all()
            for kind in KINDS:
                truth = {sis_id: comparable(row) for sis_id, row in expected(sandbox, kind).items()}
                local = {sis_id: comparable(row) for sis_id, row in (await office.roster(kind)).items()}
                assert differences(local, truth) == [], f"{kind} on day {day}"


def comparable(row: Row) -> Row:
    """Without the evidence of when it changed, and the reasons that are the engine's own; blanks in lists left out."""
    told = {name: value for name, value in row.items() if name not in ("updated_at", "status_reason")}
    for name in ("emails", "phones"):
        told[name] = [{key: text for key, text in each.items() if text} for each in told.get(name) or ()]
    return {**told, "status": "inactive" if told["status"] == "tobedeleted" else told["status"]}
