"""The bulk road: our own PowerQueries, which the district's administrator installs with the package (`package.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, TypeVar

import msgspec

from sis_connect.capabilities import Kind
from sis_connect.errors import AuthorizationError, ConfigurationError, NotOffered, ProviderError
from sis_connect.places import raw_rows
from sis_connect.records import Record
from sis_connect.rest_provider import Asked, Endpoint
from sis_connect.transport.http import Transport
from sis_connect.values import Value, text
from sis_connect_powerschool import bulk_mapping, mapping
from sis_connect_powerschool.package import definitions

Row = TypeVar("Row")

#: PowerQueries are read in pages of this size unless the settings say otherwise: servers name no limit for them.
PAGE_SIZE = 1000
#: By this name a data version subscription has to be known in PowerSchool. Without it, no changes are told.
APPLICATION = "sis-connect"


def path(area: str) -> str:
    """Where a query of ours is."""
    return f"/ws/schema/query/{definitions()['prefix']}.{area}"


def _year(asked: Asked) -> dict[str, str]:
    return {"yearid": str(int(asked.context["school_year"]) - 1 - 1990)}


def _since(asked: Asked) -> dict[str, str]:
    """Former stays count from a first of July on, so that what is listed does not change from day to day."""
    return {"since": date(int(asked.context["school_year"]) - 1 - asked.settings.history_years, 7, 1).isoformat()}


def _nothing(asked: Asked) -> dict[str, str]:
    return {}


def _changed_since(version: str | None) -> dict[str, str]:
    """PowerSchool wants both of these, or neither."""
    return {"$dataversion": version, "$dataversion_applicationname": APPLICATION} if version is not None else {}


def _query(
    area: str,
    kinds: tuple[Kind, ...],
    row: type[Row],
    read: Callable[[Row, Asked], Iterable[Record]],
    *,
    arguments: Callable[[Asked], Mapping[str, str]] = _nothing,
    changes: bool = True,
    needs: Callable[[Asked], bool] = lambda asked: True,
) -> Endpoint[Row]:
    return Endpoint(
        name=f"bulk_{area}",
        path=path(area),
        method="POST",
        body=lambda asked: {**arguments(asked), **_changed_since(asked.since)},
        rows="record",
        rows_optional=True,
        kinds=kinds,
        row=row,
        read=read,
        only="district",
        yearly=arguments is not _nothing,
        params=lambda asked: {"count": "true"},
        total_at=("count",),
        needs=lambda asked: asked.settings.road == "bulk" and needs(asked),
        delta="version" if changes else None,
    )


#: Schools come from `/ws/v1`: they are few.
ENDPOINTS: tuple[Endpoint[Any], ...] = (
    _query("terms", ("terms",), mapping.TermRow, mapping.term, arguments=_year, changes=False),
    _query("courses", ("courses",), mapping.CourseRow, mapping.course, arguments=_year, changes=False),
    _query("staff", ("staff",), bulk_mapping.Staff, bulk_mapping.staff),
    _query("students", ("students", "school_enrollments"), bulk_mapping.Student, bulk_mapping.student),
    _query(
        "history",
        ("school_enrollments",),
        bulk_mapping.FormerStay,
        bulk_mapping.former_stay,
        arguments=_since,
        needs=lambda asked: asked.settings.history_years > 0,
    ),
    _query("sections", ("sections", "enrollments"), mapping.SectionRow, mapping.section, arguments=_year),
    _query("enrollments", ("enrollments",), mapping.RosterRow, bulk_mapping.roster_entry, arguments=_year),
)


def not_installed() -> ConfigurationError:
    """What to say where the package has to be there, and is not."""
    return ConfigurationError(
        "Our package is not installed in this PowerSchool, or it is not enabled.",
        remedy="Make it with `sis-connect-powerschool package` and have it installed, or set road to auto or sections.",
    )


@dataclass(frozen=True, slots=True)
class Installed:
    """Our package is there. `version` is that of the data before anything was read, where PowerSchool tells it."""

    version: str | None


def marked(endpoints: Iterable[Endpoint[Any]], version: str) -> tuple[Endpoint[Any], ...]:
    """The endpoints of a read that began at this version of the data: whatever changes meanwhile has a later one."""
    return tuple(replace(each, mark=lambda *page: version) if each.delta else each for each in endpoints)


async def find(transport: Transport, asked: Asked, *, versions: bool) -> Installed | None:
    """Whether the package is there, and with `versions` also how far the data are: by one small request, or two.

    Raises where it is there, but was made for less than is asked.
    """
    row, version = None, None
    if versions:
        # Refused, there is no subscription, or something else is amiss, which the plain request brings to light.
        with suppress(ProviderError, AuthorizationError):
            row, version = await _one_student(transport, _changed_since("0"))
    try:
        row = row or (await _one_student(transport, {}))[0]
    except NotOffered:
        return None
    if row is None:
        return Installed(version) if asked.settings.road == "bulk" else None  # an empty district, or another server altogether
    if bulk_mapping.layout(row.made_for) != definitions()["layout"]:
        raise _made_otherwise("for another version of sis-connect-powerschool", asked)
    if missing := bulk_mapping.lacking(row.made_for, asked):
        raise _made_otherwise(f"without {', '.join(missing)}", asked)
    return Installed(version)


class _Versioned(msgspec.Struct):
    version: Value = msgspec.field(name="$dataversion", default=None)


async def _one_student(transport: Transport, body: Mapping[str, str]) -> tuple[bulk_mapping.Student | None, str | None]:
    """A student, if there is one, and the version of the data, if it is told."""
    response = await transport.request(
        "POST",
        path("students"),
        params={"page": "1", "pagesize": "1"},
        json=body,
        headers={"Accept": "application/json"},
        template=path("students"),
        expect_json=True,
    )
    rows = raw_rows(response.body, "record", optional=True)
    row = msgspec.json.decode(rows[0], type=bulk_mapping.Student) if rows else None
    version = text(msgspec.json.decode(response.body, type=_Versioned).version)
    return row if row and row.made_for else None, version


def _made_otherwise(how: str, asked: Asked) -> ConfigurationError:
    fields = f" --fields {','.join(sorted(asked.fields['students']))}" if asked.fields["students"] else ""
    own = f" --preferred-name {asked.settings.preferred_name}" if asked.settings.preferred_name else ""
    return ConfigurationError(
        f"The package in PowerSchool was made {how}.",
        remedy=f"Make it again (sis-connect-powerschool package{fields}{own} --output FILE.zip) "
        "and have it uploaded and enabled, or set road to sections.",
    )
