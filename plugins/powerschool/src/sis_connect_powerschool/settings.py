"""PowerSchool's own settings, besides those that all providers share."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from sis_connect.capabilities import Capabilities, Kind
from sis_connect.provider import ProviderInfo
from sis_connect.settings import SISProviderConfig

#: What the package can list the changes of.
_CHANGES: tuple[Kind, ...] = ("staff", "students", "school_enrollments", "sections", "enrollments")


def _table_and_field(name: str | None) -> str | None:
    if name is not None and not re.fullmatch(r"\w+\.\w+", name):
        raise ValueError("must be TABLE.FIELD, such as u_students_extension.preferredname")
    return name


class PowerSchoolSettings(BaseModel):
    """PowerSchool's own settings.

    `preferred_name` is where the district keeps it, as `table.field` of an extension. `road` is how the roster is read: in `bulk`
    by the queries of our package, which the district has to install, or by `sections` of `/ws/v1` alone; `auto` takes what there
    is, and promises no more than both roads have. Only `bulk` brings former stays, of so many school years before this one
    (`history_years`), and changes only, where `data_versions` are asked for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    preferred_name: Annotated[str | None, AfterValidator(_table_and_field)] = None
    road: Literal["auto", "bulk", "sections"] = "auto"
    history_years: Annotated[int, Field(ge=0, le=20)] = 2
    data_versions: bool = True


def refine(info: ProviderInfo, config: SISProviderConfig) -> ProviderInfo:
    """What the package adds, where the settings demand it: only then is it sure to be there. It reads whole districts only."""
    try:
        own = PowerSchoolSettings.model_validate(config.options)
    except ValidationError:
        return info  # what is wrong is said where settings are checked
    if own.road != "bulk" or config.schools:
        return info
    kinds = dict(info.capabilities.kinds)
    if own.data_versions:
        kinds |= {kind: replace(kinds[kind], delta="version") for kind in _CHANGES}
    kinds["students"] = replace(kinds["students"], custom=False)  # the queries name their columns, and know no others
    kinds["school_enrollments"] = replace(kinds["school_enrollments"], stint_history=own.history_years > 0)
    return replace(info, capabilities=Capabilities(kinds))
