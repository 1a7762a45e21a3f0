"""A district whose SIS calls all people by other ids from one day to the next."""

from __future__ import annotations

from typing import Any

from roster_fixture import CAPABILITIES, Desk, Row, enrollment, section, staff, stay, students
from sis_connect.capabilities import Kind, KindCapabilities

LEAVES = KindCapabilities(offered=True, leaving="absence", strong_ids=("state_id",), former_ids=("legacy",))


def new_id(sis_id: str) -> str:
    return f"new-{sis_id}"


def renamed(source: Row, kind: Kind, **fields: Any) -> Row:
    """The same row of the SIS as its new version tells it."""
    record = source[kind]
    ids = {**record.get("ids", {}), "legacy": record["sis_id"]}
    return {"key": new_id(source["key"]), kind: {**record, "sis_id": new_id(record["sis_id"]), "ids": ids, **fields}}


def version_1(desk: Desk) -> None:
    """A district before the change: 30 students and a teacher in one section, and guardians of two of the students."""
    desk.settings = {"absence_grace": 0, "fields": ("guardians", "birth_date")}
    people = dict.fromkeys(("students", "staff", "guardians"), LEAVES)
    desk.sis.offer(**people)
    desk.sis.put("students", *students(30))
    desk.sis.put("staff", staff("t", "t1", badge="65"))
    desk.sis.put("sections", section("x"))
    rows = [enrollment(f"e{n}", user=f"s{n:04d}") for n in range(30)]
    desk.sis.put("enrollments", *rows, enrollment("e-teacher", user="t1", role="teacher"))
    desk.sis.put("school_enrollments", *[stay(f"stay{n}", student=f"s{n:04d}") for n in range(30)])
    desk.sis.put("guardians", {"key": "g1", "guardians": {"sis_id": "g1", "family_name": "Roe", "students": ["s0003", "s0001"]}})


def version_2(desk: Desk) -> None:
    """From now on the SIS calls all people by other ids, also where others refer to them."""
    feeds = desk.sis.feeds
    for kind in ("students", "staff", "guardians"):
        feeds[kind, ""].rows = [renamed(source, kind) for source in feeds[kind, ""].rows]
    for kind, field in (("enrollments", "user"), ("school_enrollments", "student")):
        for source in feeds[kind, ""].rows:
            source[kind] = {**source[kind], field: new_id(source[kind][field])}
    for source in feeds["guardians", ""].rows:
        source["guardians"]["students"] = [new_id(sis_id) for sis_id in source["guardians"]["students"]]


async def local_ids(desk: Desk) -> dict[str, str]:
    """The row of each record in the roster, by its former id."""
    return {
        f"{kind} {sis_id.removeprefix('new-')}": found["id"]
        for kind in CAPABILITIES
        for sis_id, found in (await desk.roster(kind)).items()
    }


async def held_as_change_of_id(desk: Desk) -> bool:
    return any(guard == "change_of_id" for guard, *_ in await desk.holds())
