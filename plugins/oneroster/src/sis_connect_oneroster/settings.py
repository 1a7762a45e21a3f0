"""OneRoster's own settings, besides those that all providers share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class ReadingSettings(BaseModel):
    """How rows are understood, whichever way they come.

    `end_dates`: whether an end date is the first day out, as version 1.2 has it, or the last day in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    end_dates: Literal["exclusive", "inclusive"] = "exclusive"


class OneRosterSettings(ReadingSettings):
    """How rows are asked for.

    `people`: students and teachers from their own lists, or all users, which brings staff who do not teach. `sort`: whether to
    ask for rows in the order of their ids. `deltas`: whether to ask for changes only, and `overlap` from how many minutes before
    the last known change on. `leaving`: whether who leaves is marked `tobedeleted`, as the standard has it, or just vanishes.
    `service_path` is what comes between the base URL and `/schools`, where that is not the standard's.
    """

    version: Literal["1.1", "1.2"] = "1.2"
    people: Literal["narrow", "users"] = "narrow"
    sort: bool = True
    deltas: bool = True
    leaving: Literal["tobedeleted", "absence"] = "tobedeleted"
    overlap: Annotated[int, Field(ge=1, le=10_080)] = 60
    service_path: str | None = None
