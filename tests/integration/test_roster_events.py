"""What changed in the roster is told to the app: in order, with what was before, each change once, and to everybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from desk_service import service_of
from roster_fixture import TODAY, Desk, Killed, enrollment, section, student, students
from sis_connect.errors import ConfigurationError, ConflictError, EventsExpired
from sis_connect.events import RosterEvent, RosterHandler
from sis_connect.roster import chronicle
from sis_connect.roster.sync import Synchroniser
from sis_connect.service import SISService
from sis_connect.service.ground import Ground
from sis_connect.store import outbox
from sis_connect.store.lease import hold_lease
from sis_connect.store.sql import Store


@pytest.fixture
async def service(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> SISService:
    """The service over the desk's database, which reads the desk's SIS."""

    @asynccontextmanager
    async def synchroniser(self: Ground, name: str, progress: object, *, offline: bool = False) -> AsyncIterator[Synchroniser]:
        yield desk.synchroniser()

    monkeypatch.setattr(Ground, "_synchroniser", synchroniser)
    return await service_of(desk)


def telling(service: SISService, **listeners: RosterHandler) -> SISService:
    service._tell(listeners, timedelta(days=90))
    return service


async def told(service: SISService, **which: Any) -> list[RosterEvent]:
    return [event async for event in service.events(**which)]


async def short(service: SISService, **which: Any) -> list[str]:
    return [f"{event.name} {event.sis_id}" for event in await told(service, **which)]


# -- what an event says ------------------------------------------------------------------------------------------------


async def test_events_say_what_happened_in_order_with_what_was_before(desk: Desk, service: SISService) -> None:
    feed = desk.sis.put("students", student("s1", ids={"locker": "7"}), student("s2"))
    first = await desk.sync()
    feed["s1"] = student("s1", grade="06", ids={"locker": "8"})
    feed["s2"] = student("s2", status="inactive", status_reason="transferred")
    second = await desk.sync()
    feed["s2"] = student("s2")
    await desk.sync()
    school, *events = await told(service)
    assert (school.name, school.sis_id) == ("school.created", "A")
    assert [(event.name, event.sis_id, event.operation == first.operation) for event in events] == [
        ("student.created", "s1", True),
        ("student.created", "s2", True),
        ("student.updated", "s1", False),
        ("student.withdrawn", "s2", False),
        ("student.reenrolled", "s2", False),
    ]
    created, _, updated, withdrawn, back = events
    assert created.changes["ids.locker"] == (None, "7")
    assert updated.changes == {"grade": ("05", "06"), "ids.locker": ("7", "8")}
    assert withdrawn.changes["status"] == ("active", "inactive")
    assert back.changes["status"] == ("inactive", "active")
    assert (withdrawn.operation, withdrawn.integration, withdrawn.kind) == (second.operation, "lincoln", "students")
    assert (withdrawn.school_date, withdrawn.at.utcoffset()) == (TODAY, timedelta())
    assert withdrawn.local_id == str((await desk.student("s2"))["id"])
    assert withdrawn.as_dict()["changes"]["status"] == ["active", "inactive"]
    assert [event.id for event in events] == sorted(event.id for event in events)


async def test_p7_neither_an_event_nor_its_traceback_shows_what_changed(desk: Desk, service: SISService) -> None:
    desk.sis.put("students", student("s1", given_name="Bartholomew"))
    await desk.sync()
    event = (await told(service))[-1]
    assert event.changes["given_name"] == (None, "Bartholomew")
    assert repr(event) == f"<RosterEvent {event.id}: student.created>"


async def test_events_go_on_after_a_cursor_for_one_integration_or_all(desk: Desk, service: SISService) -> None:
    desk.sis.put("students", *students(3))
    await desk.sync()
    events = await told(service)
    assert await told(service, after=events[1].id) == events[2:]
    assert await told(service, after=events[0].id, limit=2) == events[1:3]
    assert await told(service, limit=0) == []
    assert await told(service, name="lincoln", after=events[-1].id) == []
    assert await service.latest_event() == events[-1].id
    await desk.run(
        "INSERT INTO sis_integration (id, name, provider, settings, status, created_at) "
        "VALUES (2, 'oak', 'fake', '{}', 'active', '')"
    )
    assert await told(service, name="oak") == []
    with pytest.raises(ConfigurationError, match="no integration 'elm'"):
        await told(service, name="elm")


# -- once for each change ----------------------------------------------------------------------------------------------


async def test_p5_nothing_that_stays_as_it_is_is_told_of(desk: Desk, service: SISService) -> None:
    desk.sis.put("students", *students(2))
    await desk.sync()
    cursor = await service.latest_event()
    await desk.edit("s0001", grade="07")
    for full in (False, True):
        await desk.sync(full=full)
    assert await told(service, after=cursor) == []


@pytest.mark.parametrize("committed", [False, True], ids=["just before it is written", "just after"])
@pytest.mark.parametrize("noting", ["note_creations", "note_changes"])
async def test_p4_a_run_that_is_killed_and_repeated_tells_of_each_change_once(
    desk: Desk, service: SISService, monkeypatch: pytest.MonkeyPatch, noting: str, committed: bool
) -> None:
    desk.settings = {"absence_grace": 0}
    feed = desk.sis.put("students", *students(6))
    await desk.sync()
    cursor = await service.latest_event()
    feed.drop("s0000")
    feed.rows.append(student("s0009"))
    for sis_id in ("s0001", "s0002", "s0003"):
        feed[sis_id] = student(sis_id, grade="06")
    with pytest.MonkeyPatch.context() as patched:
        _kill(patched, noting, committed=committed)
        with pytest.raises(Killed):
            await desk.sync()
    await desk.sync()
    await desk.sync()
    assert sorted(await short(service, after=cursor)) == [
        "student.created s0009",
        "student.updated s0001",
        "student.updated s0002",
        "student.updated s0003",
        "student.withdrawn s0000",
    ]


def _kill(patched: pytest.MonkeyPatch, noting: str, *, committed: bool) -> None:
    """Die with the first transaction that notes something: before it is committed, or right after."""
    write, note, noted = Store.write, getattr(outbox, noting), []

    async def noticed(*arguments: Any) -> None:
        await note(*arguments)
        noted.append(noting)

    @asynccontextmanager
    async def deadly(store: Store, *, durable: bool = False) -> AsyncIterator[AsyncConnection]:
        async with write(store, durable=durable) as connection:
            yield connection
            if noted and not committed:
                raise Killed
        if noted:
            raise Killed

    patched.setattr(outbox, noting, noticed)
    patched.setattr(Store, "write", deadly)


# -- listeners ---------------------------------------------------------------------------------------------------------


async def test_a_listener_is_told_of_all_once_in_order_and_goes_on_where_it_was(desk: Desk, service: SISService) -> None:
    heard: list[RosterEvent] = []
    feed = desk.sis.put("students", *students(2))
    await desk.sync()
    assert await service.deliver(heard.append, listener="attendance") == 3
    assert await service.deliver(heard.append, listener="attendance") == 0
    feed["s0001"] = student("s0001", grade="06")
    await desk.sync()
    assert await service.deliver(heard.append, listener="attendance") == 1
    assert heard == await told(service)
    assert await service.deliver(heard.append, listener="another") == 4
    assert await service.deliver(heard.append, listener="attendance", name="lincoln") == 4
    assert await service.deliver(heard.append, listener="attendance", after=heard[1].id) == 2
    with pytest.raises(ConfigurationError, match="needs a name"):
        await service.deliver(heard.append, listener=" ")


async def test_a_handler_that_raises_stops_there_and_hears_that_event_again(desk: Desk, service: SISService) -> None:
    heard: list[str] = []

    async def handler(event: RosterEvent) -> None:
        heard.append(event.sis_id)
        await asyncio.sleep(0)
        if heard.count("s0001") == 1 and event.sis_id == "s0001":
            raise ValueError(event.sis_id)

    desk.sis.put("students", *students(3))
    await desk.sync()
    with pytest.raises(ValueError, match="s0001"):
        await service.deliver(handler, listener="attendance")
    assert await service.deliver(handler, listener="attendance") == 2
    assert heard == ["A", "s0000", "s0001", "s0001", "s0002"]


async def test_p12_one_listener_that_fails_keeps_nobody_else_from_being_told(
    desk: Desk, service: SISService, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    def fails(event: RosterEvent) -> None:
        raise RuntimeError(f"{event.changes}")

    telling(service, first=fails, second=lambda event: heard.append(event.sis_id))
    feed = desk.sis.put("students", *students(2, given_name="Bartholomew"))
    report = await service.sync("lincoln")
    assert (report.status, heard) == ("succeeded", ["A", "s0000", "s0001"])
    assert f"The listener first failed (RuntimeError), in {__name__}:fails." in caplog.text
    assert "Bartholomew" not in caplog.text
    feed["s0001"] = student("s0001", given_name="Bartholomew", grade="06")
    telling(service, first=lambda event: heard.append(f"first {event.sis_id}"))
    await service.sync("lincoln")
    assert heard[3:] == ["first A", "first s0000", "first s0001", "first s0001"]


async def test_a_listener_may_itself_write_and_is_told_of_that_too(desk: Desk, service: SISService) -> None:
    heard: list[str] = []

    async def handler(event: RosterEvent) -> None:
        heard.append(f"{event.name} {event.reason}")
        if event.name == "student.updated" and event.reason != "undone":
            await service.undo(event.operation)

    telling(service, office=handler)
    feed = desk.sis.put("students", *students(1))
    await service.sync("lincoln")
    feed["s0000"] = student("s0000", family_name="Roe")
    await service.sync("lincoln")
    assert heard[-2:] == ["student.updated correction", "student.updated undone"]
    assert (await desk.student("s0000"))["family_name"] == "Vale"


async def test_what_is_written_while_a_listener_is_told_the_last_is_told_too(
    desk: Desk, service: SISService, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    feed, read = desk.sis.put("students", *students(1)), chronicle.read_events
    await desk.sync()
    telling(service, attendance=lambda event: heard.append(event.name))

    async def read_events(connection: AsyncConnection, after: int, **which: Any) -> list[RosterEvent]:
        found = await read(connection, after, **which)
        if not found and feed["s0000"] == students(1)[0]:
            feed["s0000"] = student("s0000", grade="06")
            await service.sync("lincoln")  # in the very moment
        return found

    monkeypatch.setattr(chronicle, "read_events", read_events)
    assert await service.deliver(lambda event: heard.append(event.name), listener="attendance") == 3
    assert heard == ["school.created", "student.created", "student.updated"]


async def test_p10_while_another_process_tells_a_listener_this_one_does_not(desk: Desk, service: SISService) -> None:
    heard: list[RosterEvent] = []
    telling(service, attendance=heard.append)
    desk.sis.put("students", *students(1))
    async with hold_lease(desk.store, "events:attendance", desk.clock):
        await service.sync("lincoln")
    assert heard == []
    assert await service.deliver(heard.append, listener="attendance") == 2


# -- expiry ------------------------------------------------------------------------------------------------------------


async def test_a_cursor_that_has_expired_is_refused_with_what_to_do(desk: Desk, service: SISService) -> None:
    feed = desk.sis.put("students", *students(3))
    await service.sync("lincoln")
    old = await told(service)
    await desk.clock.sleep(91 * 86400)
    feed["s0001"] = student("s0001", grade="06")
    done = await service.sync("lincoln")
    assert await short(service) == ["student.updated s0001"]
    with pytest.raises(EventsExpired, match=r"cursor 1 is not kept any more.*Read the whole roster") as expired:
        await told(service, after=old[0].id)
    assert (expired.value.cursor, expired.value.retryable) == (old[-1].id + 1, False)
    assert await told(service, after=expired.value.cursor) == []
    assert await short(service, after=old[-1].id) == ["student.updated s0001"]
    with pytest.raises(EventsExpired, match="another database"):
        await told(service, after=10_000)
    heard: list[RosterEvent] = []
    with pytest.raises(EventsExpired):
        await service.deliver(heard.append, listener="new")
    assert await service.deliver(heard.append, listener="new", after=expired.value.cursor) == 0
    assert await service.deliver(heard.append, listener="new") == 0
    with pytest.raises(ConflictError, match="not kept any more"):
        await service.undo(old[0].operation)
    assert (await service.undo(done.operation)).changes["students"] == {"update": 1}


async def test_what_nobody_needs_of_old_plans_goes_and_an_open_hold_keeps_what_it_holds(
    desk: Desk, service: SISService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "PORTION", 7)
    desk.settings = {"absence_grace": 0}
    desk.sis.put("students", *students(40))
    desk.sis.put("sections", section("x"))
    desk.sis.put("enrollments", enrollment("e1", user="s0001"))
    await service.sync("lincoln")
    await desk.plan()
    desk.sis.put("students", *students(2))
    held = await desk.sync(kinds=("students",))
    [hold] = [one for one in held.holds if one.kind == "students" and one.guard == "withdrawals_of_school"]
    await desk.clock.sleep(100 * 86400)
    while await outbox.expire(desk.store, desk.clock.now() - timedelta(days=90)):
        pass
    assert await told(service) == []
    assert await desk.ask("SELECT plan, COUNT(*) FROM sis_plan_row GROUP BY plan") == [(hold.plan, 38)]
    assert len(await desk.ask("SELECT number FROM sis_plan WHERE state = 'applied'")) == 2
    report = await desk.sync(kinds=("sections",))
    assert [one.id for one in report.holds] == [one.id for one in held.holds]


async def test_p4_what_expires_of_another_district_is_not_missed_by_a_listener_of_this_one(
    desk: Desk, service: SISService
) -> None:
    feed = desk.sis.put("students", *students(3))
    await service.sync("lincoln")
    heard: list[RosterEvent] = []
    await service.deliver(heard.append, listener="quiet", name="lincoln")
    columns = "operation_id, plan, kind, sis_id, action, at, school_date"
    await desk.run(
        "INSERT INTO sis_integration (id, name, provider, settings, status, created_at) "
        "VALUES (2, 'other', 'fake', '{}', 'active', '2026-08-01T00:00:00+00:00')"
    )
    await desk.run(f"INSERT INTO sis_event (integration_id, {columns}) SELECT 2, {columns} FROM sis_event")
    await desk.clock.sleep(91 * 86400)
    feed["s0001"] = student("s0001", grade="06")
    await service.sync("lincoln")
    assert await service.deliver(heard.append, listener="quiet", name="lincoln") == 1
    assert heard[-1].sis_id == "s0001"
    with pytest.raises(EventsExpired):
        await told(service, after=heard[-2].id)
