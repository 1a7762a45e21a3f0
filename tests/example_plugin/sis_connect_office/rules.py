"""Rules of this office: pure functions, which need neither a database nor an SIS."""

from collections.abc import Iterator

from sis_connect.guards import Changes, Population, Stop
from sis_connect.strategies import Clash, Side

CROWD = 20


def longer_wins(clash: Clash) -> Side:
    """Of two texts, the one that says more; anything else is for a person."""
    if not (isinstance(clash.sis, str) and isinstance(clash.local, str)):
        return "ask"
    return "sis" if len(clash.sis) > len(clash.local) else "local"


def no_crowd(changes: Changes, population: Population) -> Iterator[Stop]:
    """At no school, more new students than there are already come at once without anybody looking, if they are many."""
    for school in changes.schools("students", "create"):
        new = changes.number("students", "create", school=school)
        if new >= CROWD and new > population.number("students", school=school):
            yield Stop(kind="students", action="create", school=school, limit=f"{CROWD} new at once")
