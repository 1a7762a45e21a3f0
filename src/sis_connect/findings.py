"""What `doctor` says in the same words about any SIS: pure functions, for providers to use."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date

from sis_connect.provider import Finding

#: An export that is older than so many days may not run any more.
STALE_AFTER = 7


def spoken_year(year: int) -> str:
    """A school year, by the one that it ends in, as people say it: `2026-27`."""
    return f"{year - 1}-{year % 100:02}"


def untold_fields(fields: Sequence[str], told: Collection[str], label: str) -> list[Finding]:
    """Which fields are asked for in vain."""
    untold = [name for name in fields if name.rpartition(".")[2] not in told]
    if not untold:
        return []
    message = f"{label} does not tell {', '.join(untold)}, so that nothing will stand there."
    return [Finding(topic="fields", level="warning", message=message, remedy="Take it out of fields; nothing is lost by that.")]


def time_zone(name: str | None, label: str) -> Finding:
    """Whether we know when a school day begins, where no server of this kind tells."""
    if name:
        return Finding(topic="time_zone", level="ok", message=f"The district's time zone is {name}.", facts={"time_zone": name})
    return Finding(
        topic="time_zone",
        level="warning",
        message=f"{label} does not tell the district's time zone; school days are counted in UTC.",
        remedy="Name it in the setting time_zone, such as America/Denver.",
    )


def rows(counts: Mapping[str, int]) -> Finding:
    """How many rows each list or file has."""
    message = f"It has {', '.join(f'{count:,} {name}' for name, count in counts.items())}."
    if not all(counts.values()):
        remedy = "Have the export made again, unless this is as it should be."
        return Finding(topic="rows", level="warning", message=message, remedy=remedy, facts={**counts})
    return Finding(topic="rows", level="ok", message=message, facts=counts)


def age(made: date | None, today: date) -> Finding:
    """Whether the export still comes."""
    if made is None:
        return Finding(topic="age", level="warning", message="The newest package does not say when it was made.")
    days = max(0, (today - made).days)
    message = f"The newest package was made on {made}, {days} day{'' if days == 1 else 's'} ago."
    if days > STALE_AFTER:
        remedy = "See whether the district's export still runs, and whether it arrives here."
        return Finding(topic="age", level="warning", message=message, remedy=remedy, facts={"days": days})
    return Finding(topic="age", level="ok", message=message, facts={"days": days})
