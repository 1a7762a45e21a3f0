"""A provider that misbehaves in the way that its setting `mood` names."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from sis_connect.errors import ConfigurationError, RateLimited, SISError, UnexpectedResponse
from sis_connect.provider import Finding, InvalidRow, Page, ProviderInfo, Reading
from sis_connect.records import School, Student

PUPIL = "Ada Example"
HALF = "half a character \ud800"
AWAKE: list[bool] = []


class Stop(BaseException):
    """What nobody expects, with a pupil in its words."""


class MoodySettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mood: str = "well"

    @field_validator("mood")
    @classmethod
    def stumbles(cls, mood: str) -> str:
        if mood == "settings":
            raise ZeroDivisionError(PUPIL)
        return mood


def quotes() -> Any:
    raise ConfigurationError("This setting cannot be used.") from ValueError(PUPIL)


def refine(info: ProviderInfo, config: Any) -> Any:
    moods: dict[str, Callable[[], Any]] = {
        "refine_quotes": quotes,
        "refine_raises": lambda: 1 / 0,
        "refine_leaves": lambda: sys.exit(3),
        "refine_renames": lambda: replace(info, name="harbor"),
        "refine_nothing": lambda: None,
        "refine_contract": lambda: replace(info, contract=2),
    }
    return moods.get(config.options.get("mood", ""), lambda: info)()


class Moody:
    def __init__(self, info: ProviderInfo, config: Any, *, transport: Any, clock: Any, settings: Any) -> None:
        self.mood = settings.mood
        self.info = replace(info, name="harbor", label="Harbor")
        if self.mood == "set_up":
            raise ValueError(PUPIL)
        if self.mood == "set_up_stops":
            raise Stop(PUPIL)

    def __repr__(self) -> str:
        return PUPIL

    async def time_zone(self) -> Any:
        if self.mood == "zone_stops":
            raise Stop(PUPIL)
        return {"zone_raises": 7, "zone_unknown": "Middle/Earth"}.get(self.mood)

    async def check(self) -> Any:
        if self.mood == "check_raises":
            raise KeyError(PUPIL)
        if self.mood == "check_stops":
            raise Stop(PUPIL)
        if self.mood == "check_dozes":
            doze()
        if self.mood == "check_waits":
            await asyncio.Event().wait()
        return {"check_nothing": None, "check_words": ["fine"], "check_level": [finding("splendid")]}.get(self.mood, [])

    async def subscribe(self, callback_url: str, **options: Any) -> None:
        await anext(cancels_itself())

    async def unsubscribe(self, **options: Any) -> bool:
        raise UnexpectedResponse("This is no list.") from ValueError(PUPIL)

    def pages(self, *arguments: Any, **options: Any) -> Any:
        return MOODS[self.mood]()


def finding(level: Any) -> Finding:
    return Finding(topic="mood", level=level, message="fine")


def read(row: bytes) -> Reading:
    return Reading(row.decode(), (Student(sis_id=row.decode(), given_name="Ada", family_name="Example"),))


def page(**changes: Any) -> Page:
    values = {"endpoint": "students", "kinds": ("students",), "read": read, "rows": (b"s1", b"s2"), "total": 2, **changes}
    return Page(**values)


def giving(*pages: Any) -> Callable[[], AsyncIterator[Any]]:
    async def generator() -> AsyncIterator[Any]:
        for each in pages:
            yield each

    return generator


def raising(error: Callable[[], BaseException]) -> Callable[[], AsyncIterator[Any]]:
    async def generator() -> AsyncIterator[Any]:
        yield page(more=True)
        raise error()

    return generator


def reading(read: Callable[[bytes], Any]) -> Callable[[], AsyncIterator[Any]]:
    return giving(page(read=read))


def one(record: Any) -> Callable[[bytes], Any]:
    return lambda row: Reading(row.decode(), (record,))


def fail() -> Any:
    raise RuntimeError(PUPIL)


def stop() -> Any:
    try:
        raise ValueError(PUPIL)
    except ValueError as error:
        raise Stop(PUPIL) from error


def throw(error: BaseException) -> Any:
    raise error


def invalid(reason: Any, *, key: Any = None, fields: Any = ()) -> Any:
    raise InvalidRow(reason, key=key, fields=fields) from ValueError(PUPIL)


async def a_coroutine() -> list[Page]:
    return [page()]


async def waiting() -> AsyncIterator[Any]:
    await asyncio.Event().wait()
    yield page()


async def endless() -> AsyncIterator[Any]:
    while True:
        yield page(total=None, more=True)


async def deaf() -> AsyncIterator[Any]:
    """Takes no notice of being stopped."""
    while True:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            yield page(more=True)


async def clinging() -> AsyncIterator[Any]:
    """Goes on after it was closed."""
    try:
        yield page(more=True)
        yield page(cursor=b"no text")
    finally:
        yield page()


async def sleepless() -> AsyncIterator[Any]:
    """Tries again, whatever happens."""
    while not AWAKE:
        try:
            await asyncio.sleep(0.01)
        except BaseException:  # noqa: BLE001, S112 - as careless authors do
            continue
    yield page()


async def group_around() -> AsyncIterator[Any]:
    async with asyncio.TaskGroup() as group:
        group.create_task(child())
        yield page(more=True)
        await asyncio.sleep(0)
        yield page()


async def child() -> None:
    raise ValueError(PUPIL)


async def limit_around() -> AsyncIterator[Any]:
    async with asyncio.timeout(0):
        while True:
            yield page(more=True)


async def cancels_itself() -> AsyncIterator[Any]:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)
    yield page()


class Unready(SISError):  # noqa: N818 - what it is
    """An error that is never set up."""

    def __init__(self) -> None:
        Exception.__init__(self, PUPIL)


class Unsorted(SISError):  # noqa: N818 - what it is
    category = "splendid"  # type: ignore[assignment]


class UnreadyRow(InvalidRow):
    def __init__(self) -> None:
        Exception.__init__(self, PUPIL)


class Stumbling(Sequence[bytes]):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, at: Any) -> Any:
        raise ValueError(PUPIL)


class Fickle(Page):
    """Is sound while it is looked at, and fails when it is used."""

    @property
    def received(self) -> int:
        raise ValueError(PUPIL)


class Word(str):
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        raise ValueError(PUPIL)

    __hash__ = str.__hash__


def chained() -> SISError:
    error = UnexpectedResponse("This is no list.")
    error.__cause__ = ValueError(PUPIL)
    error.add_note(PUPIL)
    return error


async def blocking() -> AsyncIterator[Any]:
    doze()
    yield page()


def doze() -> None:
    time.sleep(0.6)


MOODS: dict[str, Callable[[], Any]] = {
    "well": giving(page()),
    "begins_badly": fail,
    "begins_and_stops": stop,
    "stops": raising(lambda: Stop(PUPIL)),
    "stops_many": raising(lambda: BaseExceptionGroup(PUPIL, [Stop(PUPIL)])),
    "raises": raising(lambda: ValueError(PUPIL)),
    "leaves": raising(lambda: SystemExit(PUPIL)),
    "cancels": raising(lambda: asyncio.CancelledError(PUPIL)),
    "times_out": raising(lambda: TimeoutError(PUPIL)),
    "raises_many": raising(lambda: BaseExceptionGroup(PUPIL, [ValueError(PUPIL), SystemExit()])),
    "raises_ours_among_others": raising(lambda: ExceptionGroup(PUPIL, [ValueError(PUPIL), RateLimited("Slow down.")])),
    "a_list": lambda: [page()],
    "a_coroutine": a_coroutine,
    "no_page": giving({"students": [PUPIL]}),
    "nothing": giving(None),
    "kinds_not_offered": giving(page(kinds=("staff",))),
    "no_kinds": giving(page(kinds=())),
    "kinds_in_a_list": giving(page(kinds=["students"])),
    "no_endpoint": giving(page(endpoint=None)),
    "rows_are_text": giving(page(rows=(PUPIL,))),
    "rows_are_bytes": giving(page(rows=b"s1")),
    "rows_are_none": giving(page(rows=None)),
    "cursor_is_bytes": giving(page(cursor=b"2", more=True)),
    "total_is_text": giving(page(total="2")),
    "more_is_text": giving(page(more="yes")),
    "error_is_foreign": giving(page(error=ValueError(PUPIL))),
    "read_is_none": giving(page(read=None)),
    "goes_on_after_the_end": giving(page(), page()),
    "endless": endless,
    "waiting": waiting,
    "deaf": deaf,
    "clinging": clinging,
    "blocking": blocking,
    "sleepless": sleepless,
    "group_around": group_around,
    "limit_around": limit_around,
    "cancels_itself": cancels_itself,
    "closes": raising(lambda: GeneratorExit(PUPIL)),
    "interrupts": raising(lambda: KeyboardInterrupt(PUPIL)),
    "chained": raising(chained),
    "chained_among_others": raising(lambda: BaseExceptionGroup(PUPIL, [ValueError(PUPIL), ExceptionGroup(PUPIL, [chained()])])),
    "broken_off": giving(page(rows=(), total=None, more=True, error=chained())),
    "never_set_up": raising(Unready),
    "unsorted": raising(lambda: Unsorted("Splendid.")),
    "error_never_set_up": giving(page(error=Unready())),
    "rows_stumble": giving(page(rows=Stumbling())),
    "fickle": giving(
        Fickle(endpoint=Word("students"), kinds=(Word("students"),), read=read, rows=(bytearray(b"s1"),), total=1)  # type: ignore[arg-type]
    ),
    "context_is_half": giving(page(context=HALF)),
    "year_is_too_large": giving(page(school_year=10**30)),
    "zone_raises": giving(page()),
    "zone_unknown": giving(page()),
    # rows that are not understood: they wait in quarantine, and the rest goes on
    "read_raises": reading(lambda row: read(row) if row == b"s1" else fail()),
    "read_stops": reading(lambda row: read(row) if row == b"s1" else stop()),
    "read_leaves": reading(lambda row: read(row) if row == b"s1" else sys.exit(3)),
    "read_is_no_reading": reading(lambda row: read(row) if row == b"s1" else PUPIL),
    "read_without_key": reading(lambda row: read(row) if row == b"s1" else Reading(None, ())),  # type: ignore[arg-type]
    "read_text": reading(lambda row: read(row) if row == b"s1" else one(PUPIL)(row)),
    "read_another_kind": reading(lambda row: read(row) if row == b"s1" else Reading("s2", (_staff(),))),
    "read_past_its_model": reading(lambda row: read(row) if row == b"s1" else one(_past_its_model())(row)),
    "read_half_a_key": reading(lambda row: read(row) if row == b"s1" else Reading(HALF, ())),
    "invalid_without_fields": reading(lambda row: read(row) if row == b"s1" else invalid("no grade", fields=None)),
    "invalid_with_a_list": reading(lambda row: read(row) if row == b"s1" else invalid("no grade", fields=["grade", [PUPIL]])),
    "invalid_for_a_reason": reading(lambda row: read(row) if row == b"s1" else invalid(KeyError(PUPIL))),
    "invalid_by_half_a_key": reading(lambda row: read(row) if row == b"s1" else invalid("no grade", key=HALF)),
    "invalid_by_a_number": reading(lambda row: read(row) if row == b"s1" else invalid("no grade", key=7)),
    "invalid_never_set_up": reading(lambda row: read(row) if row == b"s1" else throw(UnreadyRow())),
    "read_without_id": reading(
        lambda row: read(row) if row == b"s1" else one(School.model_construct(sis_id="", name="North"))(row)
    ),
}


def _past_its_model() -> Student:
    return Student.model_construct(sis_id="s2", given_name=[PUPIL], family_name="Example")  # type: ignore[arg-type]


def _staff() -> Any:
    from sis_connect.records import Staff

    return Staff(sis_id="t1", given_name="Ada", family_name="Example")
