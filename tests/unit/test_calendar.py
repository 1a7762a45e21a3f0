"""The calendar: which school year a day belongs to, and what goes for the guards on it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sis_connect.calendar import SchoolCalendar, SchoolYear
from sis_connect.errors import ConfigurationError
from sis_connect.roster.guard import Limit, Profile
from sis_connect.roster.profiles import PROFILES, in_force
from sis_connect.settings import SISProviderConfig, validated

LAST = SchoolYear(2026, date(2025, 8, 13), date(2026, 6, 6))
THIS = SchoolYear(2027, date(2026, 8, 12), date(2027, 6, 5))
COMING = SchoolYear(2028, date(2027, 8, 11), date(2028, 6, 3))
CALENDAR = SchoolCalendar((LAST, THIS, COMING))


@pytest.mark.parametrize(
    ("day", "year", "current", "coming", "between"),
    [
        (date(2025, 8, 12), None, None, LAST, False),
        (date(2025, 8, 13), LAST, LAST, THIS, False),
        (date(2026, 6, 5), LAST, LAST, THIS, False),
        (date(2026, 6, 6), None, LAST, THIS, True),
        (date(2026, 11, 23), THIS, THIS, COMING, False),
        (date(2027, 7, 1), None, THIS, COMING, True),
        (date(2028, 6, 3), None, COMING, None, True),
    ],
    ids=str,
)
def test_a_day_lies_in_a_year_or_between_two(
    day: date, year: SchoolYear | None, current: SchoolYear | None, coming: SchoolYear | None, between: bool
) -> None:
    assert CALENDAR.year_of(day) == year
    assert CALENDAR.current(day) == current
    assert CALENDAR.next(day) == coming
    assert CALENDAR.is_between_years(day) is between


def test_what_each_school_tells_of_a_year_is_one_year() -> None:
    told = [
        (2027, date(2026, 8, 12), date(2027, 6, 5)),
        (2027, date(2026, 8, 19), date(2027, 6, 12)),
        (2026, LAST.start, LAST.end),
    ]
    assert SchoolCalendar.of(told).years == (LAST, SchoolYear(2027, date(2026, 8, 12), date(2027, 6, 12)))


def test_who_knows_no_terms_knows_no_years() -> None:
    nothing = SchoolCalendar.of([(2027, THIS.start, THIS.start)])
    assert (bool(nothing), nothing.year_of(THIS.start), nothing.is_between_years(THIS.end)) == (False, None, False)


def test_a_year_is_named_covers_stretches_of_days_and_ends_after_it_starts() -> None:
    assert (str(THIS), CALENDAR.named(2028), CALENDAR.named(2030)) == ("2026-27", COMING, None)
    assert THIS.covers(THIS.start, None)
    assert THIS.covers(THIS.start, THIS.end)
    assert not THIS.covers(LAST.start, THIS.end)
    with pytest.raises(ValueError, match="ends after it starts"):
        SchoolYear(2027, THIS.end, THIS.start)


@given(st.dates(date(2024, 1, 1), date(2030, 1, 1)))
def test_every_day_is_in_one_year_or_before_between_or_after_them(day: date) -> None:
    inside = [year for year in CALENDAR if day in year]
    before = day < LAST.start
    assert len(inside) + before + CALENDAR.is_between_years(day) == 1


# -- what goes for the guards ------------------------------------------------------------------------------------------


def settings(**values: object) -> SISProviderConfig:
    return validated({"provider": "acme", "base_url": "https://sis.example.org", **values}, origin="this test")


def profile_on(day: date, *, rolls_over: bool = False, **values: object) -> Profile:
    config = settings(**values)
    return in_force(config.guard_profiles, config.pauses, day, rolls_over=rolls_over).profile


def test_a_profile_is_in_force_from_its_first_to_its_last_day_and_then_falls_back_by_itself() -> None:
    short = "2027-06-05/2027-08-10:rollover,2027-08-11/2027-09-15:back_to_school"
    names = {}
    for day in (date(2027, 6, 4), date(2027, 6, 5), date(2027, 8, 10), date(2027, 8, 11), date(2027, 9, 15), date(2027, 9, 16)):
        names[day.strftime("%m-%d")] = profile_on(day, guard_profiles=short).name
    assert names == {
        "06-04": "normal", "06-05": "rollover", "08-10": "rollover", "08-11": "back_to_school", "09-15": "back_to_school",
        "09-16": "normal",
    }  # fmt: skip


def test_a_roll_over_has_its_own_profile_unless_the_day_has_one() -> None:
    day = date(2027, 7, 1)
    assert profile_on(day, rolls_over=True) == PROFILES["rollover"]
    narrow = [{"from": "2027-06-01", "to": "2027-08-01", "profile": "normal"}]
    assert profile_on(day, rolls_over=True, guard_profiles=narrow) == PROFILES["normal"]


def test_single_limits_stand_over_those_of_the_profile() -> None:
    own = [{"from": "2027-06-01", "to": "2027-08-01", "profile": "rollover", "withdrawals": "40% or 800", "creates": 50}]
    profile = profile_on(date(2027, 7, 1), guard_profiles=own)
    assert profile.withdrawals == Limit(share=0.4, floor=100, count=800)
    assert profile.creates == Limit(count=50, floor=1)
    assert profile.blank == PROFILES["rollover"].blank
    assert profile.name == "rollover with own limits"


def test_of_two_pauses_the_longer_one_goes() -> None:
    config = settings(pauses="2027-06-05/2027-06-20,2027-06-10/2027-08-10")
    pause = in_force(config.guard_profiles, config.pauses, date(2027, 6, 15)).pause
    assert pause is not None
    assert pause.last == date(2027, 8, 10)
    assert in_force(config.guard_profiles, config.pauses, date(2027, 8, 11)).pause is None


def test_what_goes_on_an_ordinary_day_is_worth_no_word() -> None:
    assert in_force((), (), date(2026, 11, 23)).warnings() == []


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_no_profile_is_without_a_limit_for_those_who_leave(profile: Profile) -> None:
    for name in ("withdrawals", "withdrawals_of_school", "enrollment_withdrawals", "enrollment_withdrawals_of_school"):
        assert getattr(profile, name).trips(700, 1000), name


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"guard_profiles": "2027-06-05/2027-08-10:summer"}, "should be 'normal', 'back_to_school' or 'rollover'"),
        ({"guard_profiles": "in summer"}, "must be days such as 2027-06-05/2027-08-10"),
        ({"guard_profiles": "2027-06-05/2027-08-10:rollover,2027-08-10/2027-09-01"}, "two profiles for 2027-08-10"),
        ({"guard_profiles": [{"from": "2027-06-05", "to": "2027-08-10", "withdrawals": "most"}]}, "must be a limit such as 30%"),
        ({"guard_profiles": [{"from": "2027-06-05", "to": "2027-08-10", "withdrawals": "130%"}]}, "a share from 0% to 100%"),
        ({"guard_profiles": [{"from": "2027-06-05", "to": "2027-08-10", "staff": "5"}]}, "staff"),
        ({"pauses": "2027-08-10/2027-06-05"}, "ends before it begins"),
        ({"pauses": "2027-06-31/2027-08-05"}, "valid date"),
        ({"coverage": "off"}, "'warn' or 'hold'"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_meant_are_refused_in_one_sentence(values: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        settings(**values)


def test_settings_by_date_come_back_from_the_store_as_they_were() -> None:
    given_ = settings(
        guard_profiles=[{"from": date(2027, 6, 5), "to": date(2027, 8, 10), "profile": "rollover", "blank": "30%"}],
        pauses=["2027-06-05/2027-08-10"],
    )
    stored = given_.model_dump(mode="json", exclude_unset=True)
    assert settings(**{name: stored[name] for name in ("guard_profiles", "pauses")}) == given_
    assert given_.pauses[0].last - given_.pauses[0].first == timedelta(days=66)
