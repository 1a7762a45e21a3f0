"""The settings of OneRoster CSV, besides those that all providers share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from sis_connect_oneroster.settings import ReadingSettings, names


def _plain(files: tuple[str, ...]) -> tuple[str, ...]:
    if any("/" in name or "\\" in name or name.startswith(".") for name in files):
        raise ValueError("must be names of files, without folders")
    return files


class OneRosterCsvSettings(ReadingSettings):
    """`file`: the zip below the base URL, or several, the oldest first: a bulk package and the deltas after it."""

    file: Annotated[tuple[str, ...], BeforeValidator(names), AfterValidator(_plain)] = ()
