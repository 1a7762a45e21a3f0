"""PowerSchool's own settings, besides those that all providers share."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


def _table_and_field(name: str | None) -> str | None:
    if name is not None and not re.fullmatch(r"\w+\.\w+", name):
        raise ValueError("must be TABLE.FIELD, such as u_students_extension.preferredname")
    return name


class PowerSchoolSettings(BaseModel):
    """PowerSchool's own settings. `preferred_name` is where the district keeps it, as `table.field` of an extension."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    preferred_name: Annotated[str | None, AfterValidator(_table_and_field)] = None
