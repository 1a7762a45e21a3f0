"""`calendar` and `rollover` say what the service says, in words and as JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pytest

from sis_connect.calendar import SchoolCalendar, SchoolYear
from sis_connect.calendar_settings import Stretch
from sis_connect.cli import application
from sis_connect.cli.invocation import Invocation
from sis_connect.errors import ConfigurationError
from sis_connect.roster.profiles import PROFILES, InForce
from sis_connect.roster.report import SyncReport
from sis_connect.service.school_years import CalendarOverview, year_to

THIS = SchoolYear(2027, date(2026, 8, 12), date(2027, 6, 5))
PAUSE = Stretch(first=date(2027, 6, 5), last=date(2027, 8, 10))
SUMMER = CalendarOverview(
    integration="lincoln",
    today=date(2027, 7, 1),
    years=SchoolCalendar((THIS, SchoolYear(2028, date(2027, 8, 11), date(2028, 6, 3)))),
    reading=2028,
    in_force=InForce(PROFILES["rollover"], date(2027, 8, 10), PAUSE),
)
NOTHING = replace(SUMMER, years=SchoolCalendar(), reading=None, in_force=InForce(PROFILES["normal"]))


@dataclass
class Service:
    """Stands in for the service."""

    overview: CalendarOverview = SUMMER
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def calendar(self, name: str) -> CalendarOverview:
        return self.overview

    async def rollover(self, name: str, **asked: Any) -> SyncReport:
        self.asked.append(asked)
        return SyncReport(operation="op-7", integration=name, status="held", plan="plan-7", changes={"sections": {"create": 1}})

    async def plan_rows(self, plan: str) -> AsyncIterator[Any]:
        rows: list[Any] = []
        for row in rows:
            yield row


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    it = Service()

    @asynccontextmanager
    async def opened(self: Invocation) -> AsyncIterator[Service]:
        yield it

    monkeypatch.setattr(Invocation, "service", opened)
    return it


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process: exit code, stdout."""

    def call(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as left:
            application.run(arguments)
        return (left.value.code if isinstance(left.value.code, int) else 0, capfd.readouterr().out)

    return call


def test_the_calendar_for_a_person(service: Service, run: Run) -> None:
    code, out = run("calendar", "lincoln")
    assert (code, out.splitlines()) == (
        0,
        [
            "lincoln: 2027-07-01 lies between two school years.",
            "year  school year  first day   first day after it",
            "2027  2026-27      2026-08-12  2027-06-05",
            "2028  2027-28      2027-08-11  2028-06-03          is read",
            "Guards: rollover limits until 2027-08-10.",
            "Pause: nobody is removed without a person's consent until 2027-08-10.",
        ],
    )
    service.overview = NOTHING
    assert run("calendar", "lincoln")[1].splitlines() == [
        "lincoln: 2027-07-01; the SIS tells of no school years.",
        "Guards: normal limits.",
    ]


def test_the_calendar_as_json(service: Service, run: Run) -> None:
    assert json.loads(run("calendar", "lincoln", "--json")[1]) == {
        "integration": "lincoln",
        "today": "2027-07-01",
        "school_year": 2028,
        "years": [
            {"year": 2027, "start": "2026-08-12", "end": "2027-06-05"},
            {"year": 2028, "start": "2027-08-11", "end": "2028-06-03"},
        ],
        "current": 2027,
        "next": 2028,
        "between_years": True,
        "profile": {"name": "rollover", "until": "2027-08-10"},
        "pause": {"from": "2027-06-05", "until": "2027-08-10"},
    }


def test_a_roll_over_hands_on_what_was_asked_and_leaves_with_its_exit_code(service: Service, run: Run) -> None:
    code, out = run("rollover", "lincoln", "--to", "2028", "--strict", "--json")
    assert (code, json.loads(out)["operation"]) == (3, "op-7")
    asked = service.asked[0]
    assert {name: asked[name] for name in ("to", "preview", "strict")} == {"to": 2028, "preview": False, "strict": True}
    code, out = run("rollover", "lincoln", "--preview", "--json")
    assert (code, json.loads(out)["plan"], service.asked[1]["to"]) == (3, "plan-7", None)
    assert "sis-connect apply plan-7" in run("rollover", "lincoln", "--preview")[1]


# -- which year is meant -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reading", "known", "asked", "year"),
    [
        (2027, True, None, 2028),
        (2027, True, 2028, 2028),
        (2027, True, 2027, 2027),
        (None, True, None, 2028),
        (None, False, 2030, 2030),
    ],
    ids=str,
)
def test_the_year_to_turn_to_is_the_one_after_the_last_unless_another_is_named(
    reading: int | None, known: bool, asked: int | None, year: int
) -> None:
    years = SchoolCalendar((THIS,)) if known else SchoolCalendar()
    assert year_to(replace(SUMMER, reading=reading, years=years), asked) == year


def test_there_is_no_way_back_to_a_former_year_and_no_guess_at_an_unknown_one() -> None:
    with pytest.raises(ConfigurationError, match="in the school year 2028 already"):
        year_to(SUMMER, 2027)
    with pytest.raises(ConfigurationError, match="Nobody knows which school year"):
        year_to(NOTHING, None)
