"""What `doctor` says about a district's PowerSchool: pure functions of what the server told about itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from sis_connect.findings import spoken_year
from sis_connect.provider import Finding
from sis_connect.values import number
from sis_connect_powerschool.bulk import APPLICATION, Installed
from sis_connect_powerschool.mapping import TermRow

#: What vendors advise an administrator to set the plugin's page sizes to.
GOOD_PAGE_SIZE = 1000
#: For a guess at what our package would save: enrollments that a student has, and requests for all but students and enrollments.
ENROLLMENTS_EACH = 8
OTHER_REQUESTS = 12


def server(about: Mapping[str, Any]) -> Finding:
    """Which PowerSchool this is, and whether it knows our plugin."""
    version = str(about.get("powerschool_version") or "of unknown version")
    if not about:
        return Finding(
            topic="server",
            level="error",
            message="The server does not describe itself as a PowerSchool does.",
            remedy="Check that the base URL is that of the district's PowerSchool.",
        )
    return Finding(topic="server", level="ok", message=f"This is PowerSchool {version}.", facts={"version": version})


def page_size(sizes: Mapping[str | None, int | None]) -> Finding:
    """Whether the plugin's pages are large enough: each page is a request, and requests are limited."""
    declared = {name: size for name, size in sizes.items() if name and size}
    if not declared:
        return Finding(topic="page_size", level="warning", message="The server does not say how large its pages may be.")
    smallest = min(declared.values())
    if smallest >= GOOD_PAGE_SIZE:
        return Finding(topic="page_size", level="ok", message=f"Pages may hold {smallest} rows.", facts={"page_size": smallest})
    small = ", ".join(sorted(name.removesuffix("_max_page_size") for name, size in declared.items() if size < GOOD_PAGE_SIZE))
    return Finding(
        topic="page_size",
        level="warning",
        message=f"Pages are small: {smallest} rows, where {GOOD_PAGE_SIZE} are possible ({small}). They cost more requests.",
        remedy=f"Ask the administrator to set the plugin's page sizes to {GOOD_PAGE_SIZE} in Data Provider Configuration.",
        facts={"page_size": smallest},
    )


def school_year(asked: int | None, current: Sequence[TermRow], today: date) -> Finding:
    """Whether the year that will be read is the one that the schools are in. Years go by the one that they end in."""
    year = current_year(current, today)
    if year is None and asked is None:
        return Finding(
            topic="school_year",
            level="error",
            message="No school has terms in the current school year, so no sections and rosters can be read.",
            remedy="Have the terms set up in PowerSchool, or name the year to read in the setting school_year.",
        )
    reading = asked or year
    facts = {"school_year": int(reading or 0)}
    if asked and year and asked != year:
        return Finding(
            topic="school_year",
            level="warning",
            message=f"The setting asks for {spoken_year(asked)}, while PowerSchool is in {spoken_year(year)}.",
            remedy="Change or remove the setting school_year, unless another year is what you want.",
            facts=facts,
        )
    if asked is None and not any(_runs(term, today) for term in current):
        return Finding(
            topic="school_year",
            level="warning",
            message=f"PowerSchool is in {spoken_year(int(reading or 0))}, and today lies in none of its terms.",
            remedy="Between two school years this is as it should be; otherwise the district's year has to be changed over.",
            facts=facts,
        )
    return Finding(
        topic="school_year", level="ok", message=f"The school year {spoken_year(int(reading or 0))} will be read.", facts=facts
    )


def time_zone(name: str | None) -> Finding:
    """Whether we know when a school day begins."""
    if name and is_zone(name):
        return Finding(topic="time_zone", level="ok", message=f"The district's time zone is {name}.", facts={"time_zone": name})
    return Finding(
        topic="time_zone",
        level="warning",
        message="The server does not tell the district's time zone; school days are counted in UTC.",
        remedy="Name it in the setting time_zone, such as America/Denver.",
    )


def bulk_road(by_section: Finding) -> Finding:
    """Our package is installed; what the roster would cost without it."""
    without = f" Without them {by_section.message[0].lower()}{by_section.message[1:]}" if by_section.requests else ""
    return Finding(
        topic="road",
        level="ok",
        message=f"The roster is read in bulk, by our package's queries.{without}",
        facts={"road": "bulk", "requests_by_section": by_section.requests or 0},
    )


def changes(package: Installed) -> Finding:
    """Whether only changes are read between full reads."""
    if package.version is not None:
        message = "Between full reads only what has changed is read."
        return Finding(topic="changes", level="ok", message=message, facts={"version": package.version})
    return Finding(
        topic="changes",
        level="warning",
        message="PowerSchool tells no versions of its data, so everything is read each time.",
        remedy=f"Have a data version subscription of the name {APPLICATION} set up, or set data_versions to false.",
    )


def section_road(*, asked_for: bool, students: int, active: int) -> Finding:
    """The roster is read section by section; about what it would cost with our package."""
    rows = students + active * ENROLLMENTS_EACH
    requests = math.ceil(rows / GOOD_PAGE_SIZE) + OTHER_REQUESTS
    why = "as the settings say" if asked_for else "since our package is not installed"
    return Finding(
        topic="road",
        level="ok",
        message=f"The roster is read section by section, {why}. "
        f"In bulk a full sync would take about {requests} requests, at {ENROLLMENTS_EACH} enrollments a student.",
        remedy="Have the package installed that `sis-connect-powerschool package` makes, and set road to auto or bulk.",
        facts={"road": "sections", "requests_in_bulk": requests},
    )


def current_year(terms: Sequence[TermRow], today: date) -> int | None:
    """The year, by the one that it ends in, of the terms that run today; between two years that of the latest terms."""
    running = [term for term in terms if _runs(term, today)] or terms
    years = [year for term in running if (year := number(term.start_year, "start_year")) is not None]
    return max(years) + 1 if years else None


def is_zone(name: str) -> bool:
    """Whether a time zone of that name is known."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _runs(term: TermRow, today: date) -> bool:
    return bool(term.start_date and term.end_date and term.start_date <= today.isoformat() <= term.end_date)
