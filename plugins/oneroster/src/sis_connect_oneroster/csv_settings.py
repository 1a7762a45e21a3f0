"""The settings of OneRoster CSV, besides those that all providers share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from sis_connect.setting_types import Names
from sis_connect_oneroster.settings import ReadingSettings


def _plain(files: tuple[str, ...]) -> tuple[str, ...]:
    if any("/" in name or "\\" in name or name.startswith(".") for name in files):
        raise ValueError("must be names of files, without folders")
    return files


class OneRosterCsvSettings(ReadingSettings):
    """`file`: the zip below the base URL, or several, the oldest first: a bulk package and the deltas after it."""

    file: Annotated[Names, AfterValidator(_plain)] = ()
