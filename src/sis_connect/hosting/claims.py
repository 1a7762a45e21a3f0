"""Whose name is whose: a name that several plugins claim goes to the one that has the best right to it. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, requires

from sis_connect.hosting.policy import same_name

OURS = "sis-connect"


def rightful(name: str) -> str:
    """The distribution that a name belongs to by itself: `harbor_bay` to `sis-connect-harbor-bay`."""
    return f"{OURS}-{same_name(name)}"


def reserved_by(requirements: Iterable[str]) -> Mapping[str, str]:
    """The distributions of our own extras, by the names that are theirs, installed or not."""
    found = (re.match(rf"({OURS}-[a-z0-9-]+)[^;]*;.*\bextra\b", line) for line in requirements)
    distributions = {match[1] for match in found if match}
    return {it.removeprefix(f"{OURS}-").replace("-", "_"): it for it in distributions}


@cache
def reserved() -> Mapping[str, str]:
    """The same for the version that is installed."""
    try:
        return reserved_by(requires(OURS) or ())
    except PackageNotFoundError:
        return {}


def right_to(name: str, distribution: str, own: Mapping[str, str]) -> int:
    """How good a right a distribution has to a name, 0 being the best: ours, one called after it, anybody."""
    if same_name(distribution) in own.values():
        return 0
    return 1 if same_name(distribution) == rightful(name) else 2


def reserved_for_another(name: str, distribution: str, own: Mapping[str, str]) -> str | None:
    """Why a name cannot be this distribution's, whoever else is installed."""
    owner = own.get(name)
    if owner is None or same_name(distribution) in own.values():
        return None
    return f"the name {name!r} belongs to {owner}."


def owner_of(entry_point: str, distributions: Collection[str], own: Mapping[str, str]) -> str | None:
    """Of the distributions that have an entry point of this name, the one whose name it is; none where it is nobody's.

    All that a plugin brings beside providers is chosen by it. So a name of ours is nobody else's, as with providers.
    """
    first = min(distributions, key=lambda it: right_to(entry_point, it, own), default="")
    if right_to(entry_point, first, own) < 2:
        return first
    return own.get(same_name(entry_point).replace("-", "_"))
