"""Ids that all change at once, as with a new version of an SIS's interface: everybody stays who he was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from renamed_sis import LEAVES, local_ids, new_id, renamed, version_1, version_2
from roster_fixture import Desk, Killed, enrollment, part_of
from sis_connect.capabilities import KindCapabilities
from sis_connect.store.renames import rename_in_documents


@pytest.fixture(autouse=True)
def first_version(desk: Desk) -> None:
    version_1(desk)


async def test_all_people_get_other_ids_and_nobody_comes_or_leaves(desk: Desk) -> None:
    await desk.sync()
    before = await local_ids(desk)
    version_2(desk)
    report = await desk.sync()
    assert (report.status, report.holds, report.quarantined) == ("succeeded", [], 0)
    assert {action for counts in report.changes.values() for action in counts} == {"unchanged", "update"}
    assert {kind: counts["update"] for kind, counts in report.changes.items() if "update" in counts} == {
        "students": 30,
        "staff": 1,
        "guardians": 1,
    }
    assert {kind: reasons["renamed"] for kind, reasons in report.reasons.items() if "renamed" in reasons} == {
        "students": 30,
        "staff": 1,
        "guardians": 1,
    }
    assert await local_ids(desk) == before
    assert set(await desk.roster("students")) == {new_id(f"s{n:04d}") for n in range(30)}
    assert (await desk.roster("enrollments"))["e7"]["user"] == "new-s0007"
    assert (await desk.roster("enrollments"))["e-teacher"]["user"] == "new-t1"
    assert (await desk.roster("school_enrollments"))["stay7"]["student"] == "new-s0007"
    assert (await desk.roster("guardians"))["new-g1"]["students"] == ["new-s0003", "new-s0001"]
    assert await desk.ask("SELECT * FROM roster_enrollments WHERE edited_at IS NOT NULL") == []  # it was no edit of anybody's
    (entry,) = await desk.ask("SELECT action, actor, detail FROM sis_audit WHERE action = 'records.renamed'")
    assert json.loads(entry[2]) == {"reason": "renamed", "records": {"students": 30, "staff": 1, "guardians": 1}}


async def test_p5_the_syncs_after_it_write_nothing(desk: Desk) -> None:
    await desk.sync()
    version_2(desk)
    await desk.sync()
    before = await desk.everything()
    for full in (False, True):
        report = await desk.sync(full=full)
        assert {action for counts in report.changes.values() for action in counts} == {"unchanged"}
        assert await desk.everything() == before
    assert await desk.ask("SELECT * FROM sis_candidate") == []
    assert len(await desk.ask("SELECT * FROM sis_audit WHERE action = 'records.renamed'")) == 1


async def test_what_differs_otherwise_is_an_ordinary_update(desk: Desk) -> None:
    await desk.sync()
    await desk.edit("s0002", family_name="Vale-Roe")
    version_2(desk)
    rows = desk.sis.feeds["students", ""]
    rows["new-s0001"]["students"]["grade"] = "06"
    report = await desk.sync()
    change = (await desk.rows(report))["students new-s0001"]
    assert (change.action, change.reason, dict(change.after)) == ("update", "promotion", {"grade": "06", "ids.legacy": "s0001"})
    assert (await desk.student("new-s0001"))["grade"] == "06"
    assert (await desk.student("new-s0002"))["family_name"] == "Vale-Roe"  # an edit stays an edit


async def test_who_had_left_is_known_when_he_returns_under_his_new_id(desk: Desk) -> None:
    feed = desk.sis.feeds["students", ""]
    await desk.sync()
    gone = feed["s0001"]
    feed.drop("s0001")
    await desk.sync()
    before = await local_ids(desk)
    feed.rows.append(renamed(gone, "students"))
    report = await desk.sync()
    assert report.changes["students"] == {"reenroll": 1, "unchanged": 29}
    assert await local_ids(desk) == before


async def test_a_tombstone_moves_too(desk: Desk) -> None:
    desk.settings |= {"strategy": "local_wins"}
    await desk.sync()
    await desk.delete("s0001")
    await desk.sync()
    version_2(desk)
    await desk.sync()
    assert "new-s0001" not in await desk.roster("students")
    assert await desk.ask("SELECT sis_id FROM sis_student_mapping WHERE status = 'deleted'") == [("new-s0001",)]


async def test_any_of_several_candidates_may_be_the_former_id(desk: Desk) -> None:
    await desk.sync()
    before = await local_ids(desk)
    version_2(desk)
    for source in desk.sis.feeds["students", ""].rows:
        former = source["students"]["ids"]["legacy"]
        source["students"]["ids"]["legacy"] = [f"9{former}", former]
    assert (await desk.sync()).status == "succeeded"
    assert await local_ids(desk) == before


async def test_parts_come_under_the_new_ids_as_well(desk: Desk) -> None:
    desk.sis.put("students", part_of("students", "s0001", birth_date="2014-02-03"), context="demographics")
    await desk.sync()
    version_2(desk)
    desk.sis.put("students", part_of("students", "new-s0001", birth_date="2014-02-04"), context="demographics")
    report = await desk.sync()
    assert (report.status, report.changes["students"]) == ("succeeded", {"update": 30, "unchanged": 0})
    assert (await desk.student("new-s0001"))["birth_date"] == "2014-02-04"


async def test_identifiers_lead_to_the_new_ids(desk: Desk) -> None:
    desk.sis.offer(students=LEAVES, guardians=LEAVES, staff=KindCapabilities(**{**vars_of(LEAVES), "reference_ids": ("badge",)}))
    teaching = enrollment("e-teacher", user={"ref": ["staff", "badge", "65"]}, role="teacher")
    desk.sis.feeds["enrollments", ""]["e-teacher"] = teaching
    await desk.sync()
    feed = desk.sis.feeds["staff", ""]
    feed.rows = [renamed(feed.rows[0], "staff")]
    del feed.rows[0]["staff"]["ids"]["badge"]  # told before, not told again
    report = await desk.sync(full=True)
    assert (report.status, report.quarantined) == ("succeeded", 0)
    assert (await desk.roster("enrollments"))["e-teacher"]["user"] == "new-t1"


def vars_of(capabilities: KindCapabilities) -> dict[str, Any]:
    return {name: getattr(capabilities, name) for name in capabilities.__slots__}


async def test_references_that_are_read_another_day_do_not_lead_nowhere(desk: Desk) -> None:
    await desk.sync()
    version_2(desk)
    assert (await desk.sync(kinds=("students", "staff", "guardians"))).status == "succeeded"
    assert (await desk.roster("enrollments"))["e7"]["user"] == "new-s0007"
    feed = desk.sis.feeds["enrollments", ""]
    for feed.breaks in (0, None):  # all are decided about, by what the last read told of them, and by what this one tells
        report = await desk.sync(full=True)
        assert (report.quarantined, set(report.changes["enrollments"])) == (0, {"unchanged"})


async def test_an_orphan_that_waits_waits_on_under_its_new_id(desk: Desk) -> None:
    desk.sis.offer(students=LEAVES, staff=LEAVES, guardians=LEAVES, enrollments=LEAVES)
    await desk.sync()
    feed = desk.sis.feeds["enrollments", ""]
    feed["e7"] = enrollment("e7", user="nobody")
    assert (await desk.sync()).quarantined == 1
    feed.rows = [renamed(source, "enrollments") for source in feed.rows]
    assert (await desk.sync()).quarantined == 1
    assert await desk.waiting() == [("enrollments", "new-e7")]
    feed["new-e7"] = renamed(enrollment("e7", user="s0007"), "enrollments")
    assert (await desk.sync()).quarantined == 0


# -- other targets, and sudden ends ------------------------------------------------------------------------------------


class Unbending:
    """A target that keeps to the port and cannot rename."""

    def __init__(self, target: Any) -> None:
        for name in ("find", "create", "update", "settle", "nominate"):
            setattr(self, name, getattr(target, name))


async def test_in_a_target_that_cannot_rename_new_ids_are_held(desk: Desk) -> None:
    desk.target = Unbending(desk.target)  # type: ignore[assignment]
    await desk.sync()
    before = await desk.everything()
    version_2(desk)
    report = await desk.sync(kinds=("students",))
    assert (report.status, report.held["students"]) == ("held", {"create": 30, "withdraw": 30})
    assert await desk.everything() == before


@pytest.mark.parametrize("step", [1, 3, 5, 8, 12])
async def test_p4_killed_in_the_middle_the_next_sync_ends_in_the_same_state(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    await desk.sync()
    before = await local_ids(desk)
    version_2(desk)
    steps = iter(range(1, 100))

    async def dying(*values: Any, **more: Any) -> None:
        if next(steps) == step:
            raise Killed
        await rename_in_documents(*values, **more)

    with monkeypatch.context() as patched:
        patched.setattr("sis_connect.roster.succession.rename_in_documents", dying)
        with pytest.raises(Killed):
            await desk.sync()
    assert set(await desk.roster("students")) == {f"s{n:04d}" for n in range(30)}  # all or nothing
    report = await desk.sync()
    assert (report.status, report.quarantined) == ("succeeded", 0)
    assert await local_ids(desk) == before
    assert (await desk.roster("enrollments"))["e7"]["user"] == "new-s0007"
