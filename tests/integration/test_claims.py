"""Who goes by another id now, where that is not certain, or must not be carried out yet."""

from __future__ import annotations

import pytest

from renamed_sis import held_as_change_of_id, local_ids, new_id, renamed, version_1, version_2
from roster_fixture import Desk, enrollment, student, students
from sis_connect.roster.succession import Claim, settle


@pytest.fixture(autouse=True)
def first_version(desk: Desk) -> None:
    version_1(desk)


# -- where it is not certain -------------------------------------------------------------------------------------------


async def test_two_that_lay_claim_to_one_are_held(desk: Desk) -> None:
    await desk.sync()
    before = await desk.everything()
    feed = desk.sis.feeds["students", ""]
    one = renamed(feed["s0001"], "students")
    other = {"key": "other", "students": {**one["students"], "sis_id": "other"}}
    feed.drop("s0001")
    feed.rows += [one, other]
    report = await desk.sync()
    assert (report.status, report.held["students"]) == ("held", {"create": 2, "withdraw": 1})
    assert await held_as_change_of_id(desk)
    assert await desk.everything() == before
    feed.drop("other")
    report = await desk.sync()  # now it is certain
    assert (report.status, report.holds) == ("succeeded", [])
    assert set(await desk.roster("students")) == {new_id("s0001"), *(f"s{n:04d}" for n in range(30) if n != 1)}


async def test_one_that_lays_claim_to_two_is_held(desk: Desk) -> None:
    await desk.sync()
    feed = desk.sis.feeds["students", ""]
    one = renamed(feed["s0001"], "students")
    one["students"]["ids"]["legacy"] = ["s0001", "s0002"]
    feed.drop("s0001", "s0002")
    feed.rows.append(one)
    report = await desk.sync()
    assert (report.status, report.held["students"]) == ("held", {"create": 1, "withdraw": 2})
    assert await held_as_change_of_id(desk)


async def test_p1_without_a_complete_read_nobody_takes_over_and_nobody_is_created(desk: Desk) -> None:
    await desk.sync()
    before = await desk.everything()
    version_2(desk)
    feed = desk.sis.feeds["students", ""]
    feed.total = None
    report = await desk.sync(kinds=("students",))
    assert (report.status, report.held["students"]) == ("held", {"create": 30})
    assert await held_as_change_of_id(desk)
    assert await desk.everything() == before
    feed.total = "rows"
    report = await desk.sync()
    assert (report.status, report.holds) == ("succeeded", [])
    assert len(await desk.roster("students")) == 30


async def test_a_claim_to_somebody_who_is_still_there_is_none(desk: Desk) -> None:
    await desk.sync()
    feed = desk.sis.feeds["students", ""]
    feed.rows.append(renamed(feed["s0001"], "students"))
    report = await desk.sync()
    assert (report.status, report.changes["students"]) == ("succeeded", {"create": 1, "unchanged": 30})


async def test_former_ids_that_are_off_by_one_move_nobody(desk: Desk) -> None:
    people = students(30)
    for number, source in enumerate(people):
        source["students"]["ids"] = {"state_id": f"S{number}"}
    desk.sis.put("students", *people)
    await desk.sync()
    before = await desk.everything()
    moved = [renamed(source, "students") for source in people]
    for number, source in enumerate(moved):
        source["students"]["ids"]["legacy"] = f"s{(number + 1) % 30:04d}"
    desk.sis.feeds["students", ""].rows = moved
    report = await desk.sync()
    assert (report.status, report.held["students"]) == ("held", {"create": 30, "withdraw": 30})
    assert await held_as_change_of_id(desk)
    assert await desk.everything() == before


@pytest.mark.parametrize("ids", [{}, {"state_id": "S0"}], ids=["by nothing but the former id", "by a strong id, too"])
async def test_ids_that_go_round_move_nobody(desk: Desk, ids: dict[str, str]) -> None:
    people = students(30)
    for number, source in enumerate(people):
        source["students"]["ids"] = {"state_id": f"S{number}"} if ids else {}
    feed = desk.sis.put("students", *people)
    await desk.sync()
    before = await desk.everything()
    first, second = feed["s0000"]["students"], feed["s0001"]["students"]
    feed.drop("s0000", "s0001")
    # The first goes by the second's id, the second by a new one.
    for new, former in (("s0001", first), ("c", second)):
        numbers = {**former["ids"], "legacy": former["sis_id"]}
        feed.rows.append({"key": new, "students": {**former, "sis_id": new, "ids": numbers}})
    report = await desk.sync()
    assert (report.status, report.held["students"]) == ("held", {"create": 1, "update": 1, "withdraw": 1})
    assert await desk.everything() == before
    feed.drop("c")
    feed.rows.append({"key": "s0000", "students": {**second, "sis_id": "s0000", "ids": {**second["ids"], "legacy": "s0001"}}})
    report = await desk.sync()
    assert (report.status, report.held["students"]) == ("held", {"update": 2})
    assert await desk.everything() == before


async def test_who_tells_his_long_former_id_late_is_still_himself(desk: Desk) -> None:
    people = students(2)
    for number, source in enumerate(people):
        source["students"]["ids"] = {"state_id": f"S{number}"}
    feed = desk.sis.put("students", *people)
    await desk.sync()
    feed["s0000"] = student("s0000", ids={"state_id": "S0", "legacy": "s0001"})  # another numbering, years ago
    assert (await desk.sync()).changes["students"] == {"update": 1, "unchanged": 1}


async def test_a_new_id_that_the_app_has_given_away_is_not_taken(desk: Desk) -> None:
    await desk.sync()
    await desk.run("INSERT INTO roster_students (integration_id, sis_id, given_name) VALUES (1, 'new-s0001', 'Somebody')")
    feed = desk.sis.feeds["students", ""]
    feed["s0001"] = renamed(feed["s0001"], "students")
    await desk.sync()
    assert (await desk.student("s0001"))["given_name"] == "Givens0001"
    assert await desk.ask("SELECT * FROM sis_audit WHERE action = 'records.renamed'") == []


async def test_a_former_id_that_nobody_knows_says_nothing(desk: Desk) -> None:
    desk.sis.feeds["students", ""].rows = [renamed(source, "students") for source in students(30)]
    for source in desk.sis.feeds["enrollments", ""].rows[:30]:
        source["enrollments"]["user"] = new_id(source["enrollments"]["user"])
    desk.sis.put("school_enrollments")
    desk.sis.put("guardians")
    report = await desk.sync()
    assert (report.status, report.changes["students"]) == ("succeeded", {"create": 30, "unchanged": 0})


# -- runs that write nothing -------------------------------------------------------------------------------------------


async def test_p3_a_plan_shows_who_will_go_by_another_id_and_the_next_sync_carries_it_out(desk: Desk) -> None:
    await desk.sync()
    before, ids = await desk.everything(), await local_ids(desk)
    version_2(desk)
    report = await desk.plan()
    assert (report.status, report.quarantined, report.reasons["students"]) == ("succeeded", 0, {"renamed": 30})
    assert {action for counts in report.changes.values() for action in counts} == {"unchanged"}
    shown = (await desk.rows(report))["students new-s0001"]
    assert (shown.state, shown.before, shown.after) == ("renamed", {"sis_id": "s0001"}, {"sis_id": "new-s0001"})
    assert await desk.everything() == before
    await desk.apply(report)
    assert await desk.everything() == before
    report = await desk.sync()
    assert (report.status, report.changes["students"], report.reasons["students"]["renamed"]) == (
        "succeeded",
        {"update": 30, "unchanged": 0},
        30,
    )
    assert await local_ids(desk) == ids


async def test_p3_a_strict_sync_takes_over_only_once_no_guard_objects(desk: Desk) -> None:
    await desk.sync()
    before, ids = await desk.everything(), await local_ids(desk)
    version_2(desk)
    sections = desk.sis.feeds["sections", ""].rows
    desk.sis.put("sections")
    assert (await desk.sync(strict=True)).status == "held"
    assert await desk.everything() == before
    desk.sis.put("sections", *sections)
    report = await desk.sync(strict=True)
    assert (report.status, report.reasons["students"]) == ("succeeded", {"renamed": 30})
    assert await local_ids(desk) == ids
    assert (await desk.roster("enrollments"))["e7"]["user"] == "new-s0007"
    assert (await desk.sync(strict=True)).changes["students"] == {"update": 30, "unchanged": 0}  # they tell their former ids


@pytest.mark.parametrize("strict", [False, True])
async def test_a_stay_is_closed_by_the_one_that_follows_it_whatever_its_student_is_called_there(desk: Desk, strict: bool) -> None:
    stays = desk.sis.feeds["school_enrollments", ""]
    stays.rows = [{**source, "key": "row" + source["key"]} for source in stays.rows]
    await desk.sync()
    version_2(desk)
    source = stays["rowstay7"]["school_enrollments"]
    stays["rowstay7"] = {"key": "rowstay7", "school_enrollments": {**source, "sis_id": "next", "entry_date": "2026-11-02"}}
    await desk.sync(strict=strict)
    found = (await desk.roster("school_enrollments"))["stay7"]
    assert (found["status"], found["exit_date"]) == ("inactive", "2026-11-02")


async def test_references_may_keep_the_former_ids(desk: Desk) -> None:
    await desk.sync()
    for kind in ("students", "staff", "guardians"):
        feed = desk.sis.feeds[kind, ""]
        feed.rows = [renamed(source, kind) for source in feed.rows]
    assert (await desk.sync()).quarantined == 0
    before = await desk.everything()
    assert (await desk.sync(full=True)).quarantined == 0
    assert await desk.everything() == before
    desk.sis.feeds["enrollments", ""].rows.append(enrollment("later", user="s0003"))
    desk.sis.feeds["guardians", ""].rows.append(
        {"key": "g2", "guardians": {"sis_id": "g2", "family_name": "Vale", "students": ["s0004", "new-s0005"]}}
    )
    assert (await desk.sync()).quarantined == 0
    assert (await desk.roster("enrollments"))["later"]["user"] == "new-s0003"
    assert (await desk.roster("guardians"))["g2"]["students"] == ["new-s0004", "new-s0005"]


# -- the decision ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "renames", "contested"),
    [
        ([Claim("n", "f", "gone", True)], {"f": "n"}, set()),
        ([Claim("n", "f", "here", True)], {}, set()),
        ([Claim("n", "f", "unknown", True)], {}, {"n", "f"}),
        ([Claim("n", "f", "gone", False)], {}, {"n", "f"}),
        ([Claim("n", "f", "gone", True), Claim("m", "f", "gone", True)], {}, {"n", "m", "f"}),
        ([Claim("n", "f", "gone", True), Claim("n", "g", "gone", True)], {}, {"n", "f", "g"}),
        ([Claim("n", "f", "gone", True), Claim("n", "g", "here", True)], {"f": "n"}, set()),
        ([Claim("n", "f", "gone", True), Claim("m", "g", "gone", True)], {"f": "n", "g": "m"}, set()),
        ([Claim("n", "f", "gone", True, contradicted=True)], {}, {"n", "f"}),
        ([Claim("b", "a", "gone", True, usurps=True), Claim("c", "b", "here", True)], {}, {"a", "b", "c"}),
        ([Claim("b", "a", "here", True, usurps=True), Claim("n", "f", "gone", True)], {"f": "n"}, {"a", "b"}),
    ],
    ids=[
        "one",
        "still there",
        "unread",
        "incomplete",
        "two for one",
        "one for two",
        "one left",
        "two pairs",
        "contradicted",
        "a chain",
        "one who is somebody else",
    ],
)
def test_only_a_claim_without_a_rival_holds(claims: list[Claim], renames: dict[str, str], contested: set[str]) -> None:
    assert settle(claims) == (renames, contested)
