"""Skyward's own settings, by product. What the public sources could not establish is a setting here, with a tolerant default."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from sis_connect.setting_types import Names

Product = Literal["sms", "qmlativ", "oneroster"]
FieldName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]\w*(\.[A-Za-z]\w*)*$")]


class SkywardSettings(BaseModel):
    """What the products share.

    `excluded_entities` are codes of entities that are no schools, such as the one for the census. `dropped_statuses` are the
    words by which a row of a class list says that it does not count any more. `end_dates` says whether the last date that a stay
    or a class names is still in it (`inclusive`), or is the first day out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    product: Product
    excluded_entities: Names = ()
    dropped_statuses: Names = ()
    end_dates: Literal["inclusive", "exclusive"] = "inclusive"


class SmsSettings(SkywardSettings):
    """SMS 2.0. With fewer students than `fewest_students` a read is taken for cut short. `enrollment_types` are the values of
    `EnrType` that are class lists (none named: all). `guardians` come as one `list` or `by_student`. `paging` is `none` where the
    server sends whole lists whatever it is asked for."""

    fewest_students: Annotated[int, Field(ge=0)] = 0
    enrollment_types: Names = ()
    guardians: Literal["list", "by_student"] = "list"
    paging: Literal["cursor", "none"] = "cursor"


class QmlativSettings(SkywardSettings):
    """Qmlativ. `api` is the interface that the district has approved, `entity` the one that stands for the whole district.

    `school_year_id` is the number of the school year to read, which is the current one otherwise; `numeric_year` says which end
    of a school year its `NumericYear` is. `state_id_field` is the field of a student with the state's number. `staff_emails`
    reads them from the e-mail addresses of everybody. `without_fields` are fields that the district does not approve, such as
    `Course.Department.Description`: they are not asked for.
    """

    api: Literal["Custom", "Generic"] = "Custom"
    entity: Annotated[int, Field(ge=1)] = 1
    school_year_id: Annotated[int, Field(ge=1)] | None = None
    numeric_year: Literal["end", "start"] = "end"
    state_id_field: FieldName | None = None
    staff_emails: bool = False
    without_fields: Names = ()
