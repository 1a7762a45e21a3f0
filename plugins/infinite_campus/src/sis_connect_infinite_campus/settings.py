"""Infinite Campus's own settings, besides those of OneRoster and those that all providers share."""

from __future__ import annotations

from datetime import datetime, time
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator

from sis_connect_oneroster.settings import OneRosterSettings

_SATURDAY = 5


class Hours(NamedTuple):
    """From when to when school is in, on Monday to Friday."""

    begin: time
    end: time

    def hold(self, now: datetime, zone: str | None) -> bool:
        """Whether school is in. Without the district's time zone nobody knows, so that it may always be."""
        local = now.astimezone(ZoneInfo(zone)) if zone else None
        return local is None or (local.weekday() < _SATURDAY and self.begin <= local.time() < self.end)


def _hours(text: object) -> object:
    begin, _, end = str(text).replace(" ", "").partition("-")
    try:
        found = Hours(time.fromisoformat(begin.zfill(5)), time.fromisoformat(end.zfill(5)))
    except ValueError:
        found = Hours(time.max, time.min)
    if found.begin >= found.end:
        raise ValueError("must be FROM-TO within a day, such as 07:00-17:00")
    return found


class InfiniteCampusSettings(OneRosterSettings):
    """`app_name` is the district's application, where the token URL does not name it. `school_hours` are those of the schools,
    in the time zone of the setting `time_zone`. `relatives` reads people who are no guardians among the guardians, too.
    """

    app_name: str | None = None
    school_hours: Annotated[Hours, BeforeValidator(_hours)] = Hours(time(7), time(17))
    relatives: bool = False
