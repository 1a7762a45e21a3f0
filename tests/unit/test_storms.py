"""Storms: sequences of faults that are the same whenever the seed is."""

from __future__ import annotations

import pytest

from sis_connect.errors import ConfigurationError
from sis_connect.testing.faults import PASSING, Fault, Faults, Shown, storm


def told(strikes: tuple[Fault | None, ...]) -> list[tuple[str, str] | None]:
    return [(fault.name, fault.value) if fault else None for fault in strikes]


def struck(faults: Faults, requests: int, target: str = "/students?page=1") -> list[str]:
    """What strikes each request, by name."""
    taken = []
    for _ in range(requests):
        take = faults.arrive(target)
        taken.append(" ".join(name for name in PASSING if name != "token_expiry" and take(name)))
    return taken


def test_the_same_seed_is_the_same_storm() -> None:
    assert told(storm(7)) == told(storm(7))
    assert told(storm(7)) != told(storm(8))
    assert told(storm(7, 300))[:200] == told(storm(7))


def test_a_storm_strikes_some_requests_with_what_passes() -> None:
    strikes = [fault for fault in storm(1, 2000) if fault]
    assert 200 < len(strikes) < 400
    assert {fault.name for fault in strikes} == set(PASSING)
    assert {fault.name for fault in storm(1, 50, share=1, names=["cap"]) if fault} == {"cap"}
    assert all(storm(1, 50, share=1))


def test_each_request_meets_what_is_meant_for_it() -> None:
    strikes = (None, Fault("reset"), None, Fault("status", "503"))
    faults = Faults()
    faults.rage(strikes)
    assert struck(faults, 1) == [""]
    assert not faults.struck
    assert struck(faults, 5) == ["reset", "", "status", "", ""]
    assert faults.struck


def test_storms_follow_each_other_and_rage_at_once() -> None:
    faults = Faults()
    faults.rage((Fault("reset"), None, Fault("html")))
    faults.rage((Fault("slow"), Fault("status")))
    assert struck(faults, 3) == ["reset slow", "status", "html"]


def test_a_storm_has_its_place_and_its_length() -> None:
    faults = Faults([Fault("storm", "3", count=40, path="/students")])
    assert struck(faults, 300, "/schools") == [""] * 300
    first = struck(faults, 100)
    assert any(first[:40])
    assert not any(first[40:])
    faults.clear()
    assert len(faults) == 0


def test_what_concerns_lists_and_tokens_waits_for_those() -> None:
    faults = Faults()
    faults.rage((Fault("cap", "2"), Fault("token_expiry")))
    faults.arrive("/students")
    assert faults.slice("/students", range(9), 0, 5) == range(2)
    assert faults.slice("/students", range(9), 0, 5) == range(5)
    faults.arrive("/students")
    assert faults.take("token_expiry", "/students") is not None
    assert faults.take("token_expiry", "/students") is None


def test_a_storm_needs_a_seed() -> None:
    assert Fault.parse("storm=7").value == "7"
    with pytest.raises(ConfigurationError, match="seed"):
        Fault.parse("storm")


def test_a_page_is_shown_with_all_that_is_told_about_it() -> None:
    assert Faults().show("/", range(9), 4, number=2) == Shown(range(4, 8), 9, 8, True)
    assert Faults().show("/", range(9), 4, offset=8) == Shown(range(8, 9), 9, 9, False)
    faults = Faults([Fault("wrong_total", "3", count=1), Fault("drop_total"), Fault("repeat_page")])
    assert faults.show("/", range(9), 4, offset=4) == Shown(range(4), None, 8, True)
