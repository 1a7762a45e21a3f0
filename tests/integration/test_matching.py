"""First contact with an app that has people already: who is known, who may be, and who is new."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from desk_service import service_of
from host_app import App, User
from roster_fixture import Desk, enrollment, section, staff, student
from sis_connect.errors import ConfigurationError
from sis_connect.roster.questions import Conflict
from sis_connect.service import SISService
from sis_connect.store.target import BuiltInTarget
from sis_connect.targets.choice import TargetChoice


class Before:
    """Where the app's people are from before: in models of its own, or in the built-in tables."""

    def __init__(self, desk: Desk, app: App | None) -> None:
        self.desk, self.app = desk, app

    async def add(self, **fields: Any) -> str:
        """Somebody whom the app had before. Returns the local id."""
        if self.app is not None:
            columns = {"given_name": "first_name", "family_name": "last_name", "birth_date": "born"}
            return self.app.add(**{columns.get(name, name): value for name, value in fields.items()})
        ids = {"student_number": fields.pop("number", None), "state_id": fields.pop("state_id", None)}
        sis_id = f"own-{len(await self.desk.roster('students'))}"
        named = {"given_name": "Given", "family_name": "Vale", **fields}
        names, places = ", ".join(named), ", ".join(f":{name}" for name in named)
        told = ", ".join(f"'{name}', '{value}'" for name, value in ids.items() if value)
        await self.desk.run(
            f"INSERT INTO roster_students (integration_id, sis_id, {names}, ids) "
            f"VALUES (1, '{sis_id}', {places}, json_object({told}))",
            **named,
        )
        return str((await self.desk.roster("students"))[sis_id]["id"])

    async def people(self) -> dict[str | None, str]:
        """Their local ids by `sis_id`; of those who belong to no record, under None, the last one's."""
        if self.app is not None:
            return {sis_id: str(user["id"]) for sis_id, user in self.app.users().items()}
        found = await self.desk.roster("students")
        return {None if sis_id.startswith("own-") else sis_id: str(row["id"]) for sis_id, row in found.items()}

    async def number(self) -> int:
        if self.app is not None:
            return self.app.number()
        return len(await self.desk.roster("students"))

    async def service(self) -> SISService:
        service = await service_of(self.desk)
        service._targets = TargetChoice(self.app.target() if self.app is not None else None)
        return service


@pytest.fixture
def before(request: pytest.FixtureRequest, desk: Desk, tmp_path: Path) -> Before:
    """People in the built-in tables, or in models of the app where a test asks for them."""
    if getattr(request, "param", "") != "models":
        return Before(desk, None)
    app = App(tmp_path / "app.db")
    desk.target = app.bound()
    return Before(desk, app)


anywhere = pytest.mark.parametrize("before", ["tables", "models"], indirect=True)


async def questions(before: Before) -> list[Conflict]:
    return await (await before.service()).conflicts("lincoln", field="local_id")


NUMBERED = {"ids": {"student_number": "7"}}


@anywhere
async def test_somebody_with_the_same_number_is_recognised_and_nobody_is_made_twice(desk: Desk, before: Before) -> None:
    mine = await before.add(number="7", given_name="Ida", grade="04")
    desk.sis.put("students", student("s1", given_name="Ida", grade="05", **NUMBERED), student("s2"))
    planned = await desk.plan()
    assert await before.people() == {None: mine}  # a plan writes nothing
    change = (await desk.rows(planned))["students s1"]
    assert (change.action, change.reason) == ("update", "first_contact")
    report = await desk.apply(planned)
    assert report.changes["students"] == {"create": 1, "update": 1}
    people = await before.people()
    assert (people["s1"], await before.number()) == (mine, 2)
    assert await desk.ask("SELECT local_id FROM sis_student_mapping WHERE sis_id = 's1'") == [(mine,)]
    assert (await desk.sync(full=True)).changes["students"] == {"unchanged": 2}


async def test_what_the_app_alone_knows_of_him_stays(desk: Desk, tmp_path: Path) -> None:
    app = App(tmp_path / "app.db")
    desk.target = app.bound()
    app.add(number="7", login="idar", email="ida@example.org", grade=None, first_name="Ida")
    desk.sis.put("students", student("s1", given_name="Ida", **NUMBERED))
    await desk.sync()
    mine = app.users()["s1"]
    assert (mine["login"], mine["email"], mine["grade"], mine["plan"]) == ("idar", "ida@example.org", "05", "none")


async def test_where_both_sides_differ_the_strategy_decides(desk: Desk, tmp_path: Path) -> None:
    app = App(tmp_path / "app.db")
    desk.target, desk.settings["strategy"] = app.bound(), "local_wins"
    app.add(number="7", first_name="Edie", grade="04")
    desk.sis.put("students", student("s1", given_name="Ida", **NUMBERED))
    await desk.sync()
    assert (app.users()["s1"]["first_name"], app.users()["s1"]["grade"]) == ("Edie", "04")


@pytest.mark.parametrize(
    ("before", "people", "rule"),
    [
        ("models", [{"given_name": "Ida", "family_name": "Vale", "birth_date": "2014-02-03"}], "the same name and birth date"),
        ("tables", [{"number": "7"}, {"number": "7"}], "several people have the student number"),
        ("tables", [{"number": "7", "state_id": "S8"}], "the same student number, but another state id"),
    ],
    indirect=["before"],
)
async def test_who_may_be_known_is_asked_about_and_waits(
    desk: Desk, before: Before, people: list[dict[str, Any]], rule: str
) -> None:
    if before.app is not None:
        people = [{**one, "birth_date": date(2014, 2, 3)} if "birth_date" in one else one for one in people]
    local_ids = [await before.add(**one) for one in people]
    desk.settings["fields"] = ("birth_date",)
    ids = {"student_number": "7", "state_id": "S7"}
    desk.sis.put("students", student("s1", given_name="Ida", birth_date="2014-02-03", ids=ids), student("s2"))
    desk.sis.put("sections", section("x"))
    desk.sis.put("enrollments", enrollment("e1"))
    for _ in range(2):
        report = await desk.sync()
        assert report.conflicts == 1
    assert "s1" not in await before.people()
    assert "s2" in await before.people()
    assert await desk.waiting() == [("enrollments", "e1")]
    (question,) = await questions(before)
    assert (question.rule, question.sis_id) == (rule, "s1")
    assert question.local == (local_ids[0] if len(local_ids) == 1 else local_ids)


@pytest.mark.parametrize(
    ("before", "answer", "made"),
    [
        ("models", {"take": "local"}, 0),
        ("tables", {"take": "sis"}, 1),
        ("tables", {"value": "other"}, 0),
        ("models", {"value": "other"}, 0),
    ],
    indirect=["before"],
)
async def test_an_answer_links_or_creates(desk: Desk, before: Before, answer: dict[str, str], made: int) -> None:
    mine, other = await before.add(number="7", state_id="S8"), await before.add(given_name="Otto")
    desk.sis.put("students", student("s1", given_name="Ida", ids={"student_number": "7", "state_id": "S7"}))
    await desk.sync()
    (question,) = await questions(before)
    chosen = {name: other if value == "other" else value for name, value in answer.items()}
    report = await (await before.service()).resolve(question.id, actor="ada", **chosen)  # type: ignore[arg-type]
    assert (report.status, report.conflicts) == ("succeeded", 0)
    linked = (await before.people())["s1"]
    assert {"local": linked == mine, "sis": linked not in (mine, other)}.get(answer.get("take", ""), linked == other)
    assert await before.number() == 2 + made
    assert (await desk.sync(full=True)).changes["students"] == {"unchanged": 1}


async def test_several_suggestions_cannot_be_taken_at_once(desk: Desk, before: Before) -> None:
    _, second = await before.add(number="7"), await before.add(number="7")
    desk.sis.put("students", student("s1", **NUMBERED))
    await desk.sync()
    (question,) = await questions(before)
    service = await before.service()
    with pytest.raises(ConfigurationError):
        await service.resolve(question.id, take="local", actor="ada")
    for wrong in ("999", "nobody"):
        report = await service.resolve(question.id, value=wrong, actor="ada")
        assert report.conflicts == 1  # nobody goes by that, so it is asked again
        (question,) = await questions(before)
    await service.resolve(question.id, value=second, actor="ada")
    assert (await before.people())["s1"] == second


# -- numbers that are not one person's ---------------------------------------------------------------------------------


async def test_a_number_that_was_issued_again_finds_nobody_silently(desk: Desk, before: Before) -> None:
    desk.sis.put("students", student("s1", ids={"student_number": "7"}))
    await desk.sync()
    await before.add(number="7", given_name="Someone")
    desk.sis.feeds["students", ""].rows.append(student("s2", given_name="Someone", **NUMBERED))
    report = await desk.sync()
    assert (report.conflicts, "s2" in await before.people()) == (1, False)
    (question,) = await questions(before)
    assert question.rule == "the same student number, and somebody else in the district has the same student number"


@pytest.mark.parametrize("turned", [False, True])
async def test_two_children_with_one_number_are_both_asked_about_in_whatever_order(
    desk: Desk, before: Before, turned: bool
) -> None:
    await before.add(number="7")
    rows = [student("s1", **NUMBERED), student("s2", **NUMBERED)]
    desk.sis.put("students", *(reversed(rows) if turned else rows))
    await desk.sync()
    assert sorted(question.sis_id for question in await questions(before)) == ["s1", "s2"]
    assert await before.number() == 1


async def test_who_has_left_claims_nobody(desk: Desk, before: Before) -> None:
    mine = await before.add(number="7")
    desk.sis.put("students", student("s1", status="inactive", **NUMBERED), student("s2"))
    assert (await desk.sync()).conflicts == 0
    assert (await before.people())[None] == mine


async def test_another_integrations_people_are_never_found(desk: Desk) -> None:
    await desk.run(
        "INSERT INTO roster_students (integration_id, sis_id, given_name, family_name, ids) "
        """VALUES (2, 'own', 'Ida', 'Vale', '{"student_number": "7"}')"""
    )
    desk.sis.put("students", student("s1", **NUMBERED))
    assert (await desk.sync()).changes["students"] == {"create": 1, "unchanged": 0}


async def test_an_address_is_looked_at_only_where_it_may_be(desk: Desk) -> None:
    await desk.run(
        "INSERT INTO roster_staff (integration_id, sis_id, given_name, family_name, email) "
        "VALUES (1, 'own', 'Ida', 'Roe', 'Ida.Roe@example.org')"
    )
    desk.sis.put("students", student("s1"))
    desk.sis.put("staff", staff("t1", "t1", badge="1", email="ida.roe@example.org"))
    planned = await desk.plan()
    assert (await desk.rows(planned))["staff t1"].action == "create"
    desk.target = BuiltInTarget(1, match_email=True)
    planned = await desk.plan()
    assert (await desk.rows(planned))["staff t1"].reason == "first_contact"


async def test_one_human_in_two_roles_is_one_person_of_each_kind(desk: Desk, before: Before) -> None:
    mine = await before.add(number="7")
    desk.sis.put("students", student("s1", ids={"student_number": "7", "person": "p"}))
    desk.sis.put("staff", staff("t1", "t1", badge="1", ids={"person": "p", "staff_number": "7"}))
    report = await desk.sync()
    assert (report.conflicts, report.changes["staff"]) == (0, {"create": 1, "unchanged": 0})
    assert (await before.people())["s1"] == mine


async def test_what_referred_to_somebody_from_before_follows_him(desk: Desk) -> None:
    before = Before(desk, None)
    await before.add(number="7")
    await desk.run(
        "INSERT INTO roster_enrollments (integration_id, sis_id, section, user, role) "
        "VALUES (1, 'mine', 'club', 'own-0', 'student')"
    )
    desk.sis.put("students", student("s1", **NUMBERED))
    await desk.sync()
    assert (await desk.roster("enrollments"))["mine"]["user"] == "s1"


@anywhere
async def test_p4_a_plan_that_is_applied_when_somebody_else_has_the_row_skips_him(desk: Desk, before: Before) -> None:
    await before.add(number="7", given_name="Givens1")
    desk.sis.put("students", student("s1", **NUMBERED))
    planned = await desk.plan()
    if before.app is not None:
        with before.app.open() as session:
            session.execute(update(User).values(sis_id="elsewhere"))
    else:
        await desk.run("DELETE FROM roster_students")
    report = await desk.apply(planned)
    assert report.changes.get("students", {}) == {}
    assert sum(report.skipped["students"].values()) == 1
