"""What a guard of a plugin may say, and that whatever else it does lets nothing through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest

from sis_connect.chosen import Choices
from sis_connect.discovery import Registry
from sis_connect.guards import Change, Changes, Guard, Population, Stop
from sis_connect.roster.plugin_guards import Verdict, ask

NAME = "office:watch"
CHANGES = Changes({Change("students", "create", "A", "new"): 2, Change("students", "withdraw", "A", "absence"): 1})
POPULATION = Population({("students", "A"): 5, ("students", "B"): 4})


def asked(judge: Callable[..., Any], **speaks_for: Any) -> Verdict:
    """What one guard says of two new students and one who leaves."""
    guard = Choices(Registry(guards={NAME: Guard(judge, **speaks_for)})).guards([NAME])[NAME]
    return ask(NAME, guard, CHANGES, POPULATION, school_date=date(2026, 11, 23), first=())


def held(verdict: Verdict) -> list[tuple[str, str, str, int, int]]:
    return [(it.kind, it.action, it.scope, it.count, it.of) for it in verdict.trips]


def test_a_stop_holds_what_it_names_and_is_counted_by_us() -> None:
    assert held(asked(lambda: [Stop(kind="students", action="create", limit="none")])) == [
        ("students", "create", "district", 2, 9)
    ]
    assert held(asked(lambda: [Stop(kind="students", action="create", limit="none", school="A")])) == [
        ("students", "create", "school=A", 2, 5)
    ]


def test_what_a_guard_says_of_itself_is_shown_on_one_line() -> None:
    (trip,) = asked(lambda: [Stop(kind="students", action="create", limit="so\x1b[2J many\nof " + "them " * 50)]).trips
    assert trip.limit.startswith("so[2J manyof them")
    assert len(trip.limit) == 80


def test_where_there_is_nothing_to_hold_nothing_is_held() -> None:
    assert asked(lambda: [Stop(kind="students", action="update", limit="none")]) == Verdict([], [])
    assert asked(lambda: [Stop(kind="students", action="create", limit="none", school="B")]) == Verdict([], [])
    assert asked(lambda: ()) == Verdict([], [])


def raising() -> Any:
    raise KeyError("Ada Vale")


def raising_later() -> Iterator[Stop]:
    yield Stop(kind="students", action="create", limit="none", school="nowhere")
    raise ValueError("Ada Vale")


def leaving() -> Any:
    raise SystemExit(0)


def giving_up() -> Any:
    raise asyncio.CancelledError


def endless() -> Iterator[Stop]:
    while True:
        yield Stop(kind="students", action="create", limit="none", school="nowhere")


async def waiting() -> list[Stop]:
    return []


GARBAGE: dict[str, Callable[..., Any]] = {
    "raises": raising,
    "raises in the middle": raising_later,
    "ends the program": leaving,
    "cancels": giving_up,
    "never ends": endless,
    "is async": waiting,
    "returns nothing at all": lambda: None,
    "returns yes": lambda: True,
    "returns words": lambda: "students",
    "stops what is no kind": lambda: [Stop(kind="pupils", action="create", limit="none")],  # type: ignore[arg-type]
    "stops what is no action": lambda: [Stop(kind="students", action="rename", limit="none")],  # type: ignore[arg-type]
    "stops what it does not speak for": lambda: [Stop(kind="sections", action="create", limit="none")],
    "gives no words": lambda: [Stop(kind="students", action="create", limit=None)],  # type: ignore[arg-type]
    "names no school": lambda: [Stop(kind="students", action="create", limit="none", school=7)],  # type: ignore[arg-type]
}


@pytest.mark.parametrize("judge", GARBAGE.values(), ids=GARBAGE)
def test_p3_p12_a_guard_that_fails_holds_all_it_speaks_for_and_is_named(judge: Callable[..., Any]) -> None:
    verdict = asked(judge, kinds=("students",), actions=("create",))
    assert held(verdict) == [("students", "create", "district", 2, 9)]
    assert [it.limit for it in verdict.trips] == ["the guard failed"]
    (warning,) = verdict.warnings
    assert (warning["warning"], warning["guard"]) == ("guard_failed", NAME)
    assert NAME in warning["message"]
    assert "Ada" not in str(verdict)


def test_p3_a_guard_that_fails_and_speaks_for_everything_holds_everything() -> None:
    assert [it[:2] for it in held(asked(raising))] == [("students", "create"), ("students", "withdraw")]


def test_stopping_the_program_is_no_fault_of_a_guard() -> None:
    def stopped() -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asked(stopped)
