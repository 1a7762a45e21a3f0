"""The change of the school year: what only the last year has ends with it, guarded, previewed, and not before its last day."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from desk_service import service_of
from roster_fixture import Desk, Killed, Row, enrollment, row, section, staff, student, students
from sis_connect.calendar import SchoolYear
from sis_connect.capabilities import KindCapabilities
from sis_connect.errors import AuthorizationError
from sis_connect.provider import Scope
from sis_connect.roster.apply import Applier
from sis_connect.roster.report import SyncReport

OLD, NEW = "school_year=2027", "school_year=2028"
LAST_DAY, SUMMER = date(2027, 6, 4), date(2027, 7, 6)
OF_A_YEAR = ("terms", "sections", "enrollments")


def term(sis_id: str, first: str, end: str, **fields: Any) -> Row:
    said = {"title": sis_id, "type": "school_year", "school": "A", "start_date": first, "end_date": end, **fields}
    return row(sis_id, terms={"sis_id": sis_id, **said})


def year(number: int) -> Row:
    return term(f"y{number}", f"{number - 1}-08-12", f"{number}-06-05", school_year=number)


def taught(sis_id: str, number: int, **fields: Any) -> Row:
    """A section of a school year, with its lead teacher."""
    one = section(sis_id, term=f"y{number}", **fields)
    lead = {"sis_id": f"lead-{sis_id}", "section": sis_id, "user": "t1", "role": "teacher", "school": "A"}
    return {**one, "enrollments": lead}


@pytest.fixture(autouse=True)
async def last_year(desk: Desk) -> None:
    """A school year with two sections, each with a teacher and a student, whose SIS lists sections year by year."""
    desk.sis.offer(terms=KindCapabilities(offered=True, leaving="absence"))
    del desk.sis.feeds["sections", ""], desk.sis.feeds["enrollments", ""]
    desk.sis.put("students", *students(30))
    desk.sis.put("staff", staff("1", "t1", badge="1"))
    desk.sis.put("terms", year(2027), context=OLD)
    desk.sis.put("sections", taught("x", 2027), taught("y", 2027), context=OLD, also=("enrollments",))
    for name in "xy":
        desk.sis.put("enrollments", enrollment(f"s-{name}", section=name, user="s0001"), context=f"section={name}")
    assert (await desk.sync()).status == "succeeded"


def turn(desk: Desk, *sections: Row, **told: Any) -> None:
    """The SIS turns to the new year, and from now on it is asked for that."""
    desk.today = SUMMER
    for kind in ("terms", "sections"):
        del desk.sis.feeds[kind, OLD]
    for name in "xy":
        del desk.sis.feeds["enrollments", f"section={name}"]
    desk.sis.put("terms", year(2028), context=NEW)
    desk.sis.put("sections", *sections, context=NEW, also=("enrollments",), **told)
    desk.sis.put("enrollments", enrollment("s-z", section="z", user="s0001"), context="section=z")


async def statuses(desk: Desk) -> dict[str, str]:
    """What is of one year only: its status, and the reason where it has one."""
    found: dict[str, str] = {}
    for kind in OF_A_YEAR:
        for sis_id, it in (await desk.roster(kind)).items():  # type: ignore[arg-type]
            found[sis_id] = " ".join(filter(None, (it["status"], it.get("status_reason"))))
    return found


OVER = dict.fromkeys(("y2027", "x", "y", "lead-x", "lead-y", "s-x", "s-y"), "inactive rollover")
ON = dict.fromkeys(OVER, "active")
BEGUN = dict.fromkeys(("y2028", "z", "lead-z", "s-z"), "active")


def removed(report: SyncReport) -> int:
    return sum(counts.get("withdraw", 0) for counts in report.changes.values())


# -- what ends, and when -----------------------------------------------------------------------------------------------


async def test_what_only_the_last_year_has_ends_with_it_and_nobody_is_removed(desk: Desk) -> None:
    turn(desk, taught("z", 2028))
    report = await desk.sync()
    assert (report.status, report.holds) == ("succeeded", [])
    assert await statuses(desk) == OVER | BEGUN
    assert removed(report) == len(OVER)
    assert {report.reasons[kind]["rollover"] for kind in OF_A_YEAR} == {1, 2, 4}
    flags = await desk.ask("SELECT DISTINCT flags FROM sis_plan_row WHERE reason = 'rollover'")
    assert not any("removal" in words for (words,) in flags)


async def test_p5_after_the_roll_over_nothing_more_happens(desk: Desk) -> None:
    turn(desk, taught("z", 2028))
    await desk.sync()
    before = await desk.everything()
    for full in (False, True):
        report = await desk.sync(full=full)
        assert {action for counts in report.changes.values() for action in counts} == {"unchanged"}
    assert await desk.everything() == before
    await desk.edit("x", kind="sections", title="Last year's")
    await desk.sync()
    assert await statuses(desk) == OVER | BEGUN


async def test_before_its_last_day_is_over_all_of_the_old_year_stays(desk: Desk) -> None:
    turn(desk, taught("z", 2028))
    desk.today = LAST_DAY
    assert removed(await desk.sync()) == 0
    assert await statuses(desk) == ON | BEGUN
    desk.today = date(2027, 6, 5)  # nothing has changed in the SIS, only the day
    await desk.sync()
    assert await statuses(desk) == OVER | BEGUN


@pytest.mark.parametrize("told", [{"total": None}, {"breaks": 0}], ids=["no proved end", "broken off"])
async def test_p1_while_the_new_year_is_not_complete_the_old_one_stays(desk: Desk, told: dict[str, Any]) -> None:
    turn(desk, taught("z", 2028), **told)
    assert removed(await desk.sync()) <= 1  # the term, whose list is complete
    assert {name: said for name, said in (await statuses(desk)).items() if name in OVER} == ON | {"y2027": "inactive rollover"}
    desk.sis.put("sections", taught("z", 2028), context=NEW, also=("enrollments",))
    await desk.sync()
    assert await statuses(desk) == OVER | BEGUN


async def test_p9_where_the_new_year_has_no_classes_yet_those_of_the_old_one_stay(desk: Desk) -> None:
    turn(desk)
    desk.sis.feeds["enrollments", "section=z"].rows.clear()
    await desk.sync()
    assert {name: said for name, said in (await statuses(desk)).items() if name in OVER} == ON | {"y2027": "inactive rollover"}


async def test_p1_a_school_that_was_not_read_keeps_its_last_year(desk: Desk) -> None:
    old = f"school=B;{OLD}"
    desk.sis.put("sections", taught("b", 2027), context=old, also=("enrollments",))
    await desk.sync()
    turn(desk, taught("z", 2028))
    del desk.sis.feeds["sections", old]
    desk.sis.put("courses", breaks=0)  # so that not everything was read to its end
    await desk.sync()
    found = await statuses(desk)
    assert (found["b"], found["lead-b"], found["x"]) == ("active", "active", "inactive rollover")


@pytest.mark.parametrize(("day", "reason", "removes"), [(LAST_DAY, "absence", True), (SUMMER, "rollover", False)], ids=str)
async def test_a_class_that_just_vanishes_is_removed_during_its_year_and_ends_by_date_after_it(
    desk: Desk, day: date, reason: str, removes: bool
) -> None:
    desk.settings = {"absence_grace": 0}
    desk.sis.feeds["sections", OLD].drop("x")
    desk.today = day
    await desk.plan()
    planned = await desk.ask("SELECT sis_id, reason, flags FROM sis_plan_row WHERE kind = 'sections' AND action = 'withdraw'")
    assert [(name, why, "removal" in flags) for name, why, flags in planned] == [("x", reason, removes)]


async def test_a_class_that_the_sis_itself_ends_after_its_year_removes_nobody_and_one_before_does(desk: Desk) -> None:
    feed = desk.sis.feeds["sections", OLD]
    feed["x"] = taught("x", 2027, status="tobedeleted")
    desk.settings = {"pauses": "2027-06-01/2027-07-31"}
    desk.today = LAST_DAY
    assert ("pause", "sections") in {(hold.guard, hold.kind) for hold in (await desk.plan()).holds}
    desk.today = SUMMER
    report = await desk.sync()
    assert (report.holds, report.reasons["sections"]) == ([], {"rollover": 1})
    found = await statuses(desk)
    assert (found["x"], found["s-x"], found["y"]) == ("inactive deleted", "inactive section_withdrawn", "active")


async def test_courses_that_only_the_last_year_lists_end_with_it(desk: Desk) -> None:
    del desk.sis.feeds["courses", ""]
    desk.sis.put("courses", *[row(it, courses={"sis_id": it, "title": it}) for it in ("Algebra", "Biology")], context=OLD)
    await desk.sync()
    turn(desk, taught("z", 2028))
    del desk.sis.feeds["courses", OLD]
    desk.sis.put("courses", row("Algebra", courses={"sis_id": "Algebra", "title": "Algebra"}), context=NEW)
    assert (await desk.sync()).holds == []
    assert await desk.statuses("courses") == {"Algebra": "active", "Biology": "inactive"}


# -- as an operation ---------------------------------------------------------------------------------------------------


async def turned_to(desk: Desk) -> int | None:
    ((found,),) = await desk.ask("SELECT school_year FROM sis_integration")
    return found  # type: ignore[no-any-return]


async def test_a_roll_over_has_limits_of_its_own_and_an_ordinary_sync_has_not(desk: Desk) -> None:
    turn(desk, *[taught(f"z{n}", 2028) for n in range(120)])
    assert {hold.guard for hold in (await desk.plan()).holds} == {"creates"}
    report = await desk.sync(to=2028)
    assert (report.status, report.holds) == ("succeeded", [])
    assert [said["profile"] for said in report.warnings if said["warning"] == "guard_profile"] == ["rollover"]
    assert await turned_to(desk) == 2028


async def test_p3_a_roll_over_holds_what_is_too_much_even_then_and_the_rest_flows(desk: Desk) -> None:
    turn(desk, taught("z", 2028))
    for n in range(18):
        desk.sis.feeds["students", ""][f"s{n:04d}"] = student(f"s{n:04d}", status="inactive")
    report = await desk.sync(to=2028)
    assert [(hold.guard, hold.count, hold.of, hold.limit) for hold in report.holds] == [
        ("withdrawals_of_school", 18, 30, "60% (rollover)")
    ]
    assert (await statuses(desk))["z"] == "active"
    assert await turned_to(desk) == 2028


async def test_p3_a_roll_over_holds_absent_staff_as_ever(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    turn(desk, taught("z", 2028))
    desk.sis.put("staff")
    assert {hold.guard for hold in (await desk.sync(to=2028)).holds} >= {"staff", "empty"}


@pytest.mark.parametrize("asked", [{"only_plan": True}, {"strict": True}], ids=str)
async def test_a_preview_and_a_strict_roll_over_that_is_held_write_nothing(desk: Desk, asked: dict[str, bool]) -> None:
    turn(desk, taught("z", 2028))
    for n in range(18):
        desk.sis.feeds["students", ""][f"s{n:04d}"] = student(f"s{n:04d}", status="inactive")
    before = await desk.everything()
    report = await (desk.plan(to=2028) if "only_plan" in asked else desk.sync(to=2028, **asked))
    assert report.reasons["sections"] == {"rollover": 2, "new": 1}
    assert await desk.everything() == before
    assert await turned_to(desk) is None


async def test_a_preview_that_is_applied_turns_the_year(desk: Desk) -> None:
    turn(desk, taught("z", 2028))
    report = await desk.apply(await desk.plan(to=2028))
    assert (report.status, await turned_to(desk)) == ("succeeded", 2028)
    assert await statuses(desk) == OVER | BEGUN


async def test_a_plan_of_a_former_year_turns_nothing_back(desk: Desk) -> None:
    turn(desk, taught("z", 2028))
    preview = await desk.plan(to=2028)
    await desk.run("UPDATE sis_integration SET school_year = 2029")
    before = await desk.everything()
    report = await desk.apply(preview)
    assert (report.status, await turned_to(desk), await desk.everything()) == ("failed", 2029, before)
    assert "the roster is in 2028-29 by now" in str(report.error)


async def test_p1_a_roll_over_that_could_not_read_everything_writes_nothing_and_says_so(desk: Desk) -> None:
    turn(desk, taught("z", 2028), total=None)
    before = await desk.everything()
    report = await desk.sync(to=2028)
    assert report.status == "incomplete"
    assert [said["warning"] for said in report.warnings] == ["rollover"]
    assert (await desk.everything(), await turned_to(desk)) == (before, None)


async def test_p9_a_year_that_the_sis_does_not_know_is_refused(desk: Desk) -> None:
    turn(desk, taught("z", 2028))
    report = await desk.sync(to=2029)
    assert report.status == "failed"
    assert "nothing yet of the school year 2028-29" in str(report.error)
    assert (await statuses(desk), await turned_to(desk)) == (ON, None)


async def test_p4_a_roll_over_that_is_killed_goes_on_in_the_new_year(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    turn(desk, taught("z", 2028))

    async def killed(*arguments: Any, **options: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Applier, "apply", killed)
        with pytest.raises(Killed):
            await desk.sync(to=2028)
    assert await statuses(desk) == ON
    await desk.sync()
    assert (await statuses(desk), desk.sis.scopes[-1].school_year) == (OVER | BEGUN, 2028)


async def test_the_later_of_the_settings_and_the_last_roll_over_says_which_year_is_read(desk: Desk) -> None:
    turn(desk, taught("z", 2028))
    await desk.sync(to=2028)
    for asked, read in ((None, 2028), (2027, 2028), (2029, 2029)):
        await desk.sync(scope=Scope(school_year=asked))
        assert desk.sis.scopes[-1].school_year == read


async def test_the_service_asks_whether_somebody_may_roll_over_and_tells_the_calendar_to_all(desk: Desk) -> None:
    service = await service_of(desk, permission=lambda actor, action, name: (actor, action) == ("ada", "look"))
    with pytest.raises(AuthorizationError, match="eve may not rollover in lincoln"):
        await service.rollover("lincoln", actor="eve")
    told: list[Any] = []
    service._tell({"app": told.append}, timedelta(days=90))
    calendar = await service.calendar("lincoln")
    assert told == []  # to look at it is no operation
    assert (calendar.current, calendar.reading) == (SchoolYear(2027, date(2026, 8, 12), date(2027, 6, 5)), None)
