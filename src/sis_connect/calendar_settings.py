"""The settings that go by the date: which limits the guards have when, and when nobody is removed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

ProfileName = Literal["normal", "back_to_school", "rollover"]
_LIMIT = re.compile(r"(?:(?P<share>\d+(?:\.\d+)?)%)?(?:\s*(?P<joint>or|and)\s*)?(?P<count>\d+)?")
_STRETCH = re.compile(r"(\d{4}-\d\d-\d\d)/(\d{4}-\d\d-\d\d)(?::(\w+))?")


def parse_limit(text: str) -> tuple[float | None, int | None, bool]:
    """`30%`, `800`, `30% or 800` or `30% and 100`: share, number, and whether both have to be reached."""
    found = _LIMIT.fullmatch(text.strip())
    share, count = (found["share"], found["count"]) if found else (None, None)
    if not found or (share is None and count is None) or bool(found["joint"]) != (share is not None and count is not None):
        raise ValueError("must be a limit such as 30%, 800, 30% or 800, or 30% and 100")
    if (share is not None and not 0 < float(share) <= 100) or (count is not None and int(count) < 1):
        raise ValueError("must be a share from 0% to 100%, a number from 1 on, or both")
    return None if share is None else float(share) / 100, None if count is None else int(count), found["joint"] == "and"


def _checked_limit(text: str) -> str:
    parse_limit(text)
    return text


LimitText = Annotated[
    str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value), AfterValidator(_checked_limit)
]


class Stretch(BaseModel):
    """Some days: `from` the first `to` the last, both of them in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    first: date = Field(validation_alias=AliasChoices("from", "first"))
    last: date = Field(validation_alias=AliasChoices("to", "last"))

    @model_validator(mode="after")
    def _in_order(self) -> Stretch:
        if self.last < self.first:
            raise ValueError("ends before it begins")
        return self

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last

    def __str__(self) -> str:
        return f"{self.first}/{self.last}"


class GuardProfile(Stretch):
    """The limits that the guards have in some days: those of a `profile`, and over them single ones."""

    profile: ProfileName = "normal"
    withdrawals: LimitText | None = None
    withdrawals_of_school: LimitText | None = None
    enrollment_withdrawals: LimitText | None = None
    enrollment_withdrawals_of_school: LimitText | None = None
    creates: LimitText | None = None
    identity: LimitText | None = None
    blank: LimitText | None = None
    quarantine: LimitText | None = None

    def limits(self) -> dict[str, str]:
        """The single limits, by guard."""
        return self.model_dump(exclude={"first", "last", "profile"}, exclude_none=True)


def _stretches(value: object) -> object:
    """`2027-06-05/2027-08-10:rollover,2027-08-11/2027-09-15:back_to_school`, or the same as a list."""
    parts = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    return [_stretch(part) if isinstance(part, str) else part for part in parts] if isinstance(parts, (list, tuple)) else parts


def _stretch(text: str) -> dict[str, Any]:
    found = _STRETCH.fullmatch(text)
    if not found:
        raise ValueError("must be days such as 2027-06-05/2027-08-10, for a profile followed by :rollover")
    return {"from": found[1], "to": found[2], **({"profile": found[3]} if found[3] else {})}


def _apart(stretches: Sequence[Stretch]) -> Any:
    """On each day one profile is in force."""
    for before, after in pairwise(sorted(stretches, key=lambda it: it.first)):
        if after.first <= before.last:
            raise ValueError(f"has two profiles for {after.first}: let one end before the next begins")
    return stretches


GuardProfiles = Annotated[tuple[GuardProfile, ...], BeforeValidator(_stretches), AfterValidator(_apart)]
Pauses = Annotated[tuple[Stretch, ...], BeforeValidator(_stretches)]
