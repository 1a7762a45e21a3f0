"""What was decided and asked goes with a record that gets another id, and does not depend on the order of anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from desk_service import asked, service_of
from renamed_sis import version_1, version_2
from roster_fixture import Desk, open_desk, student, students


async def test_questions_pins_and_edits_go_with_a_record_that_the_sis_calls_by_another_id(desk: Desk) -> None:
    version_1(desk)
    desk.settings |= {"strategy": "manual"}
    await desk.sync()
    feed, service = desk.sis.feeds["students", ""], await service_of(desk)
    for sis_id in ("s0001", "s0002"):
        await service.edit("lincoln", "students", sis_id, {"grade": "07"}, actor="ada")
        feed[sis_id]["students"]["grade"] = "06"
    await service.pin("lincoln", "students", "s0003", actor="ada")
    assert (await desk.sync()).conflicts == 2
    (question,) = [it for it in await service.conflicts() if it.sis_id == "s0002"]
    await service.resolve(question.id, take="local", actor="ada")
    version_2(desk)
    report = await desk.sync()
    assert (report.status, report.conflicts, await asked(desk)) == (
        "succeeded", 1, [("new-s0001", "grade", "05", "06", "07")]
    )  # fmt: skip
    assert [pin.sis_id for pin in await service.pins()] == ["new-s0003"]
    assert {(it.sis_id, it.author) for it in await service.edits("lincoln")} == {("new-s0001", "ada"), ("new-s0002", "ada")}
    (question,) = await service.conflicts()
    assert question.local_by == "ada"
    assert (await service.resolve(question.id, take="sis", actor="ada")).changes["students"]["update"] == 1
    feed.drop("new-s0003")
    assert "withdraw" not in (await desk.sync()).changes["students"]


@pytest.mark.parametrize("strategy", ["manual", "sis_wins"])
async def test_the_order_of_records_and_pages_is_irrelevant(tmp_path: Path, strategy: str) -> None:
    """A district told in three orders, in pages of three sizes, comes to the same roster and the same questions."""
    outcomes: list[Any] = []
    for number, size in enumerate((1000, 7, 2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with open_desk(folder) as desk:
            desk.settings = {"strategy": strategy}
            feed = desk.sis.put("students", *students(12), size=size)
            feed.rows = feed.rows[number:] + feed.rows[:number]
            await desk.sync()
            for one in range(0, 12, 2):
                await desk.edit(f"s{one:04d}", grade="07", family_name="Voss")
            for one in range(0, 12, 3):
                feed[f"s{one:04d}"] = student(f"s{one:04d}", grade="06", username=f"u{one}")
            feed.rows = feed.rows[::-1] if number else feed.rows
            report = await desk.sync()
            roster = {sis_id: {**found, "id": 0, "edited_at": ""} for sis_id, found in (await desk.roster("students")).items()}
            bases = await desk.ask("SELECT sis_id, base_sis, base_local, status FROM sis_student_mapping ORDER BY sis_id")
            outcomes.append((roster, bases, await asked(desk), report.changes, report.clashes))
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert len(outcomes[0][2]) == (2 if strategy == "manual" else 0)
