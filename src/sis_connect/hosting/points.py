"""The entry points of the plugins that are installed, and the distributions that they are from. Nothing is imported here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions

from sis_connect.hosting.policy import same_name
from sis_connect.hosting.quiet import undisturbed

UNKNOWN = "an unknown distribution"


@dataclass(frozen=True, slots=True)
class Point:
    """An entry point, and where it is from, as far as that can be told."""

    entry: EntryPoint
    name: str
    distribution: str
    version: str

    @classmethod
    def of(cls, entry: EntryPoint) -> Point:
        """With what its distribution says of itself."""
        return cls(entry, entry.name, *_origin(entry.dist))


def installed(group: str) -> tuple[list[Point], list[str]]:
    """The entry points of a group, and the distributions whose entry points cannot be read: those take them from nobody else."""
    points: list[Point] = []
    unreadable: list[str] = []
    seen: set[str] = set()
    for distribution in distributions():
        found = None
        with undisturbed():
            found = [Point.of(entry) for entry in distribution.entry_points.select(group=group)]
        if found is None:
            unreadable.append(_origin(distribution)[0])
            continue
        names = {same_name(point.distribution) for point in found if point.distribution != UNKNOWN}
        if not names & seen:  # of two copies, the first is the one that would be imported
            points += found
        seen |= names
    return points, unreadable


def rivals(point: Point, points: Iterable[Point]) -> list[str]:
    """The other distributions that have an entry point of the same name. One that cannot be told is another one."""
    return [
        it.distribution
        for it in points
        if it is not point
        and same_name(it.name) == same_name(point.name)
        and (it.distribution == UNKNOWN or same_name(it.distribution) != same_name(point.distribution))
    ]


def _origin(distribution: Distribution | None) -> tuple[str, str]:
    """The name and version of a distribution. A removal that broke off leaves one without either."""
    name = version = ""
    with undisturbed():
        if distribution is not None:
            name, version = (str(distribution.metadata[it]) if it in distribution.metadata else "" for it in ("Name", "Version"))
    return name or UNKNOWN, version or "?"
