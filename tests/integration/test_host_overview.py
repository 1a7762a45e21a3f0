"""What is said of a roster that an app keeps in its own models: how many are here, who they are, and why one was refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from desk_service import service_of
from host_app import App, people, seats
from roster_fixture import Desk, enrollment, section, student, students
from sis_connect.capabilities import Kind
from sis_connect.errors import ConfigurationError
from sis_connect.service import SISService
from sis_connect.store.tables import roster_fields
from sis_connect.store.target import BuiltInTarget
from sis_connect.targets import UserName


@pytest.fixture
async def app(tmp_path: Path, desk: Desk) -> App:
    app = App(tmp_path / "app.db")
    desk.target = app.bound()
    desk.settings = {"absence_grace": 0}
    return app


async def exported(service: SISService, kind: Kind) -> dict[str, dict[str, Any]]:
    return {row["sis_id"]: row async for row in service.export("lincoln", kind)}


async def active(service: SISService) -> dict[str, int]:
    (health,) = await service.health("lincoln")
    return health.active


def refusals(report: Any) -> list[str]:
    return [warning["error"] for warning in report.warnings if warning["warning"] == "refused"]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sessionmaker", "async_sessionmaker"])
async def test_the_export_is_what_stands_in_the_apps_own_rows(desk: Desk, tmp_path: Path, asynchronous: bool) -> None:
    app = App(tmp_path / "app.db", asynchronous=asynchronous)
    desk.target, desk.settings = app.bound(), {"absence_grace": 0}
    feed = desk.sis.put("students", student("s1", ids={"student_number": "7"}), student("s2"))
    desk.sis.put("sections", section("x"))
    await desk.sync()
    app.add(first_name="Known", login="only.to.the.app")
    app.edit("s1", first_name="Edie")
    feed.drop("s2")
    await desk.sync()
    service = await service_of(desk, target=app.target())
    rows = await exported(service, "students")
    assert {sis_id: (row["given_name"], row["status"]) for sis_id, row in rows.items()} == {
        "s1": ("Edie", "active"),
        "s2": ("Givens2", "inactive"),
    }
    assert (rows["s1"]["id"], rows["s1"]["ids"]) == (str(app.users()["s1"]["id"]), {"student_number": "7"})
    assert rows["s1"]["school"] is None  # for which the app has no column
    assert list(rows["s1"]) == ["id", "sis_id", *roster_fields("students")]
    assert set(await exported(service, "sections")) == {"x"}  # of which the app has no model
    await app.close()


async def test_an_export_goes_through_all_pages(desk: Desk, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sis_connect.targets.host.PAGE", 3)
    desk.sis.put("students", *students(8))
    await desk.sync()
    assert list(await exported(await service_of(desk, target=app.target()), "students")) == [f"s{n:04d}" for n in range(8)]


async def test_the_export_knows_who_has_left_where_no_column_tells(desk: Desk, app: App) -> None:
    mute = people("student", withdrawn=None)
    desk.target = app.bound(students=mute)
    feed = desk.sis.put("students", *students(3))
    await desk.sync()
    feed.drop("s0001")
    await desk.sync()
    rows = await exported(await service_of(desk, target=app.target(students=mute)), "students")
    assert [row["status"] for row in rows.values()] == ["active", "inactive", "active"]


async def test_health_counts_who_is_here_wherever_the_rows_are(desk: Desk, app: App) -> None:
    feed = desk.sis.put("students", *students(4))
    desk.sis.put("sections", section("x"))
    await desk.sync()
    feed.drop("s0001")
    await desk.sync()
    found = await active(await service_of(desk, target=app.target()))
    assert (found["students"], found["sections"], found["staff"]) == (3, 1, 0)
    assert await active(await service_of(desk)) == found  # as whoever does not know the app's models sees it


async def test_an_edit_of_what_the_app_keeps_by_itself_is_sent_there(desk: Desk, app: App) -> None:
    desk.sis.put("students", student("s1"))
    await desk.sync()
    service = await service_of(desk, target=app.target())
    with pytest.raises(ConfigurationError, match="The students of lincoln are kept in the app's own models"):
        await service.edit("lincoln", "students", "s1", {"grade": "06"}, actor="ada")


async def test_p7_a_refusal_names_the_column_that_may_not_be_blank(desk: Desk, app: App) -> None:
    nameless = people("student", fields={"family_name": "last_name"})
    desk.target = app.bound(students=nameless)
    desk.sis.put("students", *students(3))
    report = await desk.sync()
    assert (report.failed, refusals(report)) == ({"students": 3}, ["IntegrityError: first_name may not be blank"])


async def test_a_refusal_says_what_a_record_refers_to_in_vain(desk: Desk, app: App) -> None:
    desk.target = app.bound(enrollments=seats())
    feed = desk.sis.put("students", student("s1", family_name="Refused"))
    desk.sis.put("sections", section("x"))
    desk.sis.put("enrollments", enrollment("e1"))
    assert "its user is not in the app" in refusals(await desk.sync())
    feed["s1"] = student("s1")
    assert (await desk.sync()).failed == {}


@pytest.mark.parametrize("again", [lambda name, number: name, lambda name, number: f"{name}{number}"[:5]])
async def test_a_rule_that_finds_no_other_user_name_refuses_and_does_not_go_on_for_ever(desk: Desk, app: App, again: Any) -> None:
    desk.target = app.bound(students=people("student", user_name=UserName("login", lambda record: "pupil", again)))
    desk.sis.put("students", *students(3))
    report = await desk.sync()
    assert (report.changes["students"]["create"], report.failed) == (1, {"students": 2})
    assert refusals(report) == ["the rule for user names gives no other name"]


async def test_a_hook_that_forgets_to_return_the_attributes_is_told_so(desk: Desk, app: App) -> None:
    def forgetful(attributes: dict[str, Any], record: Any) -> Any:
        attributes["plan"] = "free"

    desk.target = app.bound(students=people("student", before_create=forgetful))
    desk.sis.put("students", *students(2))
    assert refusals(await desk.sync()) == ["before_create returns no attributes"]


async def test_p6_without_the_apps_models_nothing_is_taken_for_deleted(desk: Desk, app: App) -> None:
    desk.sis.put("students", *students(3))
    await desk.sync()
    before = await desk.ask("SELECT * FROM sis_student_mapping")
    desk.target = BuiltInTarget(1)
    for run in (desk.sync(), desk.plan()):
        with pytest.raises(ConfigurationError, match="in models of its own"):
            await run
    assert await desk.ask("SELECT * FROM sis_student_mapping") == before
    assert await desk.roster("students") == {}
    desk.target = app.bound()
    assert (await desk.sync()).changes["students"] == {"unchanged": 3}
