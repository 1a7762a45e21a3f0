"""What `doctor` says about a OneRoster server: pure functions of what it answered."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

from sis_connect.errors import SISError
from sis_connect.findings import spoken_year
from sis_connect.provider import Finding, InvalidRow
from sis_connect.values import day
from sis_connect_oneroster.address import told_version
from sis_connect_oneroster.mapping import SessionRow, year
from sis_connect_oneroster.reading import word


def version(base_url: str, setting: str) -> Finding:
    """Whether the base URL and the setting speak of the same version."""
    told = told_version(base_url)
    if told in (None, setting):
        return Finding(topic="version", level="ok", message=f"OneRoster {setting} is spoken.", facts={"version": setting})
    return Finding(
        topic="version",
        level="error",
        message=f"The base URL is that of OneRoster {told}, and the setting version says {setting}.",
        remedy=f"Set version={told}, or give the base URL of {setting}.",
    )


def pages(wanted: int, received: int, total: int | None) -> Finding:
    """How large the pages are that come."""
    if 0 < received < wanted and (total is None or received < total):
        capped = "The server sends" if total is not None else "The server may send"
        message = f"{capped} at most {received} rows a page, where {wanted} were asked for."
        return Finding(topic="page_size", level="ok", message=message, facts={"page_size": received})
    return Finding(topic="page_size", level="ok", message=f"Pages may hold {wanted} rows.", facts={"page_size": wanted})


def totals(total: int | None) -> Finding:
    """Whether it can be proved that a list came whole by counting."""
    if total is not None:
        return Finding(topic="totals", level="ok", message="The server tells totals: that a read is complete can be proved.")
    return Finding(
        topic="totals",
        level="warning",
        message="The server tells no totals: only the end of its pages can prove that a read is complete.",
        remedy="Ask its maker for the header X-Total-Count, which the standard has.",
    )


def stamps(mark: str | None, rows: Sequence[bytes]) -> Finding:
    """Whether changes can be asked for."""
    if not rows or mark:
        return Finding(topic="changes", level="ok", message="Changes can be asked for by their time.")
    return Finding(
        topic="changes",
        level="warning",
        message="The server does not tell when its records changed, or what time it is, so everything is read each time.",
        remedy="Ask its maker for dateLastModified and the header Date.",
    )


def demographics(asked: Collection[str], refusal: SISError | None, grant: str) -> Finding:
    """Whether demographics are granted, and which fields wait for them. `grant` says how they are."""
    if refusal is None:
        return Finding(topic="demographics", level="ok", message="Demographics may be read.")
    if not asked:
        return Finding(topic="demographics", level="ok", message="Demographics are not granted, and not asked for.")
    names = " and ".join(sorted(asked))
    return Finding(
        topic="demographics",
        level="error",
        message=f"The fields ask for {names}, which stand in demographics, and the server does not hand these out: "
        "every sync will be incomplete (exit code 4).",
        remedy=f"{grant}, or take {names} out of fields.",
    )


def school_year(sessions: Sequence[SessionRow], today: date) -> Finding:
    """Whether the server is in the present school year."""
    years = sorted({found for row in under_way(sessions, today) if (found := year(row.school_year))})
    if years:
        spoken = " and ".join(spoken_year(found) for found in years)
        return Finding(
            topic="school_year", level="ok", message=f"The school year {spoken} is under way.", facts={"school_year": years[-1]}
        )
    return Finding(
        topic="school_year",
        level="warning",
        message="Today lies in none of the server's school years.",
        remedy="Between two school years this is as it should be; otherwise the district's server has to be changed over.",
    )


def under_way(sessions: Sequence[SessionRow], today: date) -> list[SessionRow]:
    """The sessions that today lies in: the school years among them, where there are any."""
    running = [row for row in sessions if _runs(row, today)]
    return [row for row in running if word(row.type) == "schoolyear"] or running


def _runs(row: SessionRow, today: date) -> bool:
    try:
        begins, ends = day(row.start_date, "startDate"), day(row.end_date, "endDate")
    except InvalidRow:
        return False
    return word(row.status or "active") == "active" and begins is not None and ends is not None and begins <= today < ends
