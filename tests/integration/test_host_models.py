"""Records in a host app's own models: created, changed and withdrawn there, in transactions of the app's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, event, func, select, text, update
from sqlalchemy.orm import Session

from host_app import App, Seat, User, people, seats
from renamed_sis import LEAVES
from roster_fixture import Desk, Killed, enrollment, section, staff, student, students
from sis_connect.roster.apply import Applier
from sis_connect.store.creations import Creations
from sis_connect.targets import Model


@pytest.fixture(params=[False, True], ids=["sessionmaker", "async_sessionmaker"])
async def either(request: pytest.FixtureRequest, tmp_path: Path, desk: Desk) -> AsyncIterator[App]:
    """The app with sessions that wait, and with such that do not."""
    it = App(tmp_path / "app.db", asynchronous=request.param)
    desk.target = it.bound()
    desk.settings = {"absence_grace": 0}
    yield it
    await it.close()


@pytest.fixture
async def app(tmp_path: Path, desk: Desk) -> App:
    """The app with sessions that wait: enough where it makes no difference."""
    app = App(tmp_path / "app.db")
    desk.target = app.bound()
    desk.settings = {"absence_grace": 0}
    return app


async def test_a_year_of_one_student_in_the_apps_own_table(desk: Desk, either: App) -> None:
    feed = desk.sis.put("students", student("s1", birth_date="2014-02-03"), student("s2"))
    desk.settings["fields"] = ("birth_date",)
    report = await desk.sync()
    assert (report.status, report.changes["students"]) == ("succeeded", {"create": 2, "unchanged": 0})
    mine = either.users()["s1"]
    assert (mine["login"], mine["first_name"], mine["plan"], mine["born"]) == (
        "givens1.vale",
        "Givens1",
        "free",
        date(2014, 2, 3),
    )
    assert await desk.ask("SELECT local_id FROM sis_student_mapping WHERE sis_id = 's1'") == [(str(mine["id"]),)]
    assert await desk.roster("students") == {}

    feed["s1"] = student("s1", birth_date="2014-02-03", grade="06")
    assert (await desk.sync()).changes["students"] == {"update": 1, "unchanged": 1}
    assert either.users()["s1"]["grade"] == "06"
    gone = feed["s1"]
    feed.drop("s1")
    assert (await desk.sync()).changes["students"]["withdraw"] == 1
    assert either.users()["s1"]["left_on"] == desk.today
    feed.rows.append(gone)
    assert (await desk.sync()).changes["students"] == {"reenroll": 1, "unchanged": 1}
    assert "left_on" not in either.users()["s1"]


async def test_kinds_without_a_model_stay_in_the_built_in_tables(desk: Desk, app: App) -> None:
    desk.target = app.bound(staff=people("staff"))
    desk.sis.put("students", student("s1"))
    desk.sis.put("staff", staff("t1", "t1", badge="7"))
    desk.sis.put("sections", section("x"))
    desk.sis.put("enrollments", enrollment("e1"))
    report = await desk.sync()
    assert (report.status, report.quarantined) == ("succeeded", 0)
    assert set(await desk.roster("sections")) == {"x"}
    assert (await desk.roster("enrollments"))["e1"]["user"] == "s1"
    assert app.users("staff")["t1"]["schools"] == ["A"]  # references are our ids, unless they are mapped


async def test_references_by_the_apps_own_keys(desk: Desk, app: App) -> None:
    desk.target = app.bound(enrollments=seats())
    feed = desk.sis.put("students", student("s1"), student("s2"))
    desk.sis.put("sections", section("x"))
    seated = desk.sis.put("enrollments", enrollment("e1"), enrollment("e2", user="s2"))
    assert (await desk.sync()).status == "succeeded"
    users = app.users()
    with app.open() as session:
        assert {seat.sis_id: seat.user_id for seat in session.scalars(select(Seat))} == {
            "e1": users["s1"]["id"],
            "e2": users["s2"]["id"],
        }
    assert (await desk.sync(full=True)).changes["enrollments"] == {"unchanged": 2}
    seated["e2"] = enrollment("e2", user="s1")
    assert (await desk.sync()).changes["enrollments"] == {"update": 1, "unchanged": 1}
    feed.rows.clear()
    with app.open() as session:
        assert [seat.user_id for seat in session.scalars(select(Seat))] == [users["s1"]["id"]] * 2


async def test_p5_a_second_sync_writes_nothing_into_the_app(desk: Desk, app: App) -> None:
    desk.sis.put("students", *students(30))
    await desk.sync()
    app.statements.clear()
    for full in (False, True):
        assert (await desk.sync(full=full)).changes["students"] == {"unchanged": 30}
    assert [statement for statement in app.statements if not statement.startswith(("SELECT", "BEGIN"))] == []


async def test_a_batch_is_one_transaction(desk: Desk, app: App) -> None:
    desk.target = app.bound(batch_size=4)
    desk.sis.put("students", *students(10))
    sizes: list[int] = []

    def count(connection: Connection) -> None:
        sizes.append(connection.execute(select(func.count()).select_from(User)).scalar_one())

    event.listen(app.sessions.kw["bind"], "commit", count)
    await desk.sync()
    assert [size for size in dict.fromkeys(sizes) if size] == [4, 8, 10]


async def test_one_record_that_the_app_refuses_sinks_only_itself(desk: Desk, app: App) -> None:
    bad = "s0006"
    feed = desk.sis.put("students", *students(10))
    feed[bad] = student(bad, family_name="Refused")
    report = await desk.sync()
    assert (report.status, report.failed, report.changes["students"]) == (
        "succeeded",
        {"students": 1},
        {"create": 9, "unchanged": 0},
    )
    assert set(app.users()) == {f"s{n:04d}" for n in range(10)} - {bad}
    assert [warning["error"] for warning in report.warnings if warning["warning"] == "refused"] == ["IntegrityError"]
    assert await desk.ask("SELECT sis_id FROM sis_candidate") == [(bad,)]
    assert await desk.ask("SELECT sis_id FROM sis_event WHERE sis_id = :bad", bad=bad) == []

    feed[bad] = student(bad)
    assert (await desk.sync()).changes["students"] == {"create": 1, "unchanged": 9}
    feed[bad] = student(bad, family_name="Refused")
    feed["s0005"] = student("s0005", grade="06")
    report = await desk.sync()
    assert (report.failed, report.changes["students"]) == ({"students": 1}, {"update": 1, "unchanged": 8})
    assert (app.users()[bad]["last_name"], app.users()["s0005"]["grade"]) == ("Vale", "06")
    assert await desk.ask("SELECT sis_id FROM sis_candidate") == [(bad,)]


async def test_p9_a_run_that_the_app_refuses_altogether_is_not_green(desk: Desk, app: App) -> None:
    desk.sis.put("students", *students(3, family_name="Refused"))
    report = await desk.sync()
    assert (report.status, report.failed) == ("incomplete", {"students": 3})


async def test_p7_what_a_database_quotes_of_a_pupil_is_not_repeated(desk: Desk, app: App) -> None:
    desk.sis.put("students", student("s1", given_name="Philippa", family_name="Refused"))
    report = await desk.sync()
    assert report.failed == {"students": 1}
    assert "Philippa" not in str(report.as_dict())


async def test_a_hook_that_raises_sinks_only_its_own_record(desk: Desk, either: App) -> None:
    def welcome(session: Session, user: User) -> None:
        if user.sis_id == "s0002":
            raise RuntimeError("no room")
        user.plan = "welcomed"

    desk.target = either.bound(students=people("student", after_create=welcome))
    desk.sis.put("students", *students(6))
    report = await desk.sync()
    assert (report.failed, report.changes["students"]["create"]) == ({"students": 1}, 5)
    assert {user["plan"] for user in either.users().values()} == {"welcomed"}


async def test_hooks_are_called_on_change_only(desk: Desk, app: App) -> None:
    called: list[str] = []

    def filled(values: dict[str, Any], record: Any) -> dict[str, Any]:
        return {**values, "plan": f"grade {record['grade']}"}

    hooks = {
        name: lambda session, user, name=name: called.append(f"{name} {user.sis_id}")
        for name in ("after_create", "after_withdraw", "after_reenroll")
    }
    desk.target = app.bound(students=people("student", before_create=filled, **hooks))
    feed = desk.sis.put("students", student("s1"), student("s2"))
    await desk.sync()
    assert app.users()["s1"]["plan"] == "grade 05"
    feed["s1"] = student("s1", status="inactive")
    for _ in range(2):
        await desk.sync(full=True)
    feed["s1"] = student("s1")
    await desk.sync()
    assert called == ["after_create s1", "after_create s2", "after_withdraw s1", "after_reenroll s1"]


async def test_user_names_collide_and_everybody_gets_one_of_his_own(desk: Desk, app: App) -> None:
    app.add(login="IDA.roe")
    names = {"given_name": "Ida", "family_name": "Roe"}
    feed = desk.sis.put("students", *[student(f"s{n}", **names) for n in range(3)])
    await desk.sync()
    assert [app.users()[f"s{n}"]["login"] for n in range(3)] == ["ida.roe2", "ida.roe3", "ida.roe4"]
    feed["s1"] = student("s1", given_name="Ada", family_name="Roe")
    feed.rows.append(student("s9", **names))
    await desk.sync()
    assert app.users()["s1"]["login"] == "ida.roe3"  # who has a name keeps it
    assert app.users()["s9"]["login"] == "ida.roe5"


# -- the app's own edits -----------------------------------------------------------------------------------------------


async def test_what_the_app_has_no_place_for_is_no_change_of_it(desk: Desk, app: App) -> None:
    feed = desk.sis.put("students", student("s1", middle_name="Ann"))
    await desk.sync()
    feed["s1"] = student("s1", middle_name="Eve", school="A")
    report = await desk.sync()
    assert report.changes["students"] == {"unchanged": 1}
    assert await desk.ask("SELECT * FROM sis_candidate") == []


# -- killed ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 3])
async def test_p4_killed_between_the_apps_commit_and_ours_it_creates_nobody_twice(
    desk: Desk, app: App, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    desk.target = app.bound(batch_size=3)
    desk.sis.put("students", *students(10, given_name="Ida"))
    left = at

    async def killed(self: Applier, *_: Any) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return await closing(self, *_)

    closing = Applier._close_creations
    with monkeypatch.context() as patched:
        patched.setattr(Applier, "_close_creations", killed)
        with pytest.raises(Killed):
            await desk.sync()
    await desk.sync()
    assert len(app.users()) == 10
    assert {user["login"] for user in app.users().values()} == {"ida.vale", *(f"ida.vale{n}" for n in range(2, 11))}
    told = await desk.ask("SELECT sis_id, COUNT(*) FROM sis_event WHERE kind = 'students' AND action = 'create' GROUP BY sis_id")
    assert [number for _, number in told] == [1] * 10
    assert (await desk.sync(full=True)).changes["students"] == {"unchanged": 10}


async def test_p4_a_plan_that_is_applied_again_after_a_crash_ends_the_same(
    desk: Desk, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.sis.put("students", *students(5))
    planned = await desk.plan()
    with monkeypatch.context() as patched:
        patched.setattr(Creations, "remember", dying)
        with pytest.raises(Killed):
            await desk.apply(planned)
    assert len(app.users()) == 5
    assert (await desk.apply(planned)).changes["students"] == {"create": 5}
    assert len(app.users()) == 5


async def test_p4_an_update_that_was_done_before_a_crash_is_remembered_after_it(
    desk: Desk, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = desk.sis.put("students", student("s1"))
    await desk.sync()
    feed["s1"] = student("s1", status="inactive")
    with monkeypatch.context() as patched:
        patched.setattr(Applier, "_remember", dying)
        with pytest.raises(Killed):
            await desk.sync()
    assert app.users()["s1"]["left_on"] == desk.today
    assert (await desk.sync()).conflicts == 0
    assert (await desk.sync(full=True)).changes["students"] == {"unchanged": 1}
    assert await desk.ask("SELECT status FROM sis_student_mapping") == [("inactive",)]
    told = await desk.ask("SELECT action, operation_id FROM sis_event WHERE kind = 'students' ORDER BY id")
    runs = await desk.ask("SELECT id FROM sis_sync_operation ORDER BY started_at, rowid")
    assert told == [("create", *runs[0]), ("withdraw", *runs[1])]  # once, and by the run that died
    assert await desk.ask("SELECT * FROM sis_candidate") == []


async def dying(*_: Any) -> None:
    raise Killed


# -- around it ---------------------------------------------------------------------------------------------------------


async def test_what_a_guard_held_is_created_in_the_app_when_it_is_approved(desk: Desk, app: App) -> None:
    feed = desk.sis.put("students", *students(110))
    await desk.sync()
    feed.rows += [student(f"n{n:03d}") for n in range(110)]
    (hold,) = (await desk.sync()).holds
    assert app.number() == 110
    assert (await desk.approve(hold)).changes["students"] == {"create": 110}
    assert app.number() == 220
    assert (await desk.sync()).changes["students"] == {"unchanged": 220}


async def test_one_sqlite_file_for_the_app_and_for_us(desk: Desk, tmp_path: Path) -> None:
    app = App(tmp_path / "roster.db")
    desk.target = app.bound()
    feed = desk.sis.put("students", student("s1"), student("s2"))
    await desk.sync()
    app.edit("s2", first_name="Edie")
    feed["s1"] = student("s1", grade="06")
    assert (await desk.sync()).changes["students"] == {"update": 1, "unchanged": 1}


async def test_only_what_was_changed_since_is_compared_where_the_app_notes_that(desk: Desk, app: App) -> None:
    desk.target = app.bound(students=people("student", edited_at="edited_at"))
    desk.settings["policies"] = {"students.grade": {"owner": "sis"}}
    desk.sis.put("students", *students(4))
    await desk.sync()
    with app.open() as session:
        session.execute(update(User).values(edited_at=None))
    app.edit("s0001", grade="09", edited_at=desk.clock.now())
    app.edit("s0002", grade="09", edited_at=desk.clock.now() - timedelta(days=3))  # an app that does not tell the truth
    assert (await desk.sync()).changes["students"] == {"update": 1, "unchanged": 3}
    assert (app.users()["s0001"]["grade"], app.users()["s0002"]["grade"]) == ("05", "09")
    assert (await desk.sync(full=True)).changes["students"] == {"update": 1, "unchanged": 3}
    with app.open() as session:
        session.execute(delete(User).where(User.sis_id == "s0003"))
    assert (await desk.sync()).changes["students"] == {"create": 1, "unchanged": 3}


async def test_a_database_that_is_away_fails_the_run_and_loses_nothing(desk: Desk, app: App) -> None:
    desk.sis.put("students", student("s1"))
    with app.open() as session:
        session.execute(text("ALTER TABLE users RENAME TO elsewhere"))
    report = await desk.sync()
    assert (report.status, report.error and report.error.category) == ("failed", "storage")
    with app.open() as session:
        session.execute(text("ALTER TABLE elsewhere RENAME TO users"))
    assert (await desk.sync()).changes["students"] == {"create": 1, "unchanged": 0}


async def test_people_and_what_refers_to_them_go_by_other_ids(desk: Desk, app: App) -> None:
    plain = Model(Seat, key="sis_id", fields={"user": "user", "section": "section", "role": "role"}, active="taken")
    desk.target = app.bound(enrollments=plain)
    desk.sis.offer(students=LEAVES)
    feed = desk.sis.put("students", student("s1"))
    desk.sis.put("sections", section("x"))
    seats = desk.sis.put("enrollments", enrollment("e1"))
    await desk.sync()
    feed.rows, seats["e1"] = [student("n1", ids={"legacy": "s1"})], enrollment("e1", user="n1")
    report = await desk.sync()
    assert (report.status, report.changes["enrollments"]) == ("succeeded", {"unchanged": 1})
    assert list(app.users()) == ["n1"]
    with app.open() as session:
        assert [seat.user for seat in session.scalars(select(Seat))] == ["n1"]
