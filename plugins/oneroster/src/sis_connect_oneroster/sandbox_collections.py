"""Which paths there are, and what is behind them: collections, single objects, and collections below another object."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sis_connect_oneroster.sandbox_roster import Entry, Roster


@dataclass(frozen=True, slots=True)
class Collection:
    """All objects of a class, or those among them where a facet has one of some values."""

    table: str
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def holds(self, entry: Entry) -> bool:
        return all(any(value in entry.links.get(facet, ()) for value in values) for facet, values in self.where.items())


class Found(NamedTuple):
    """What a path stands for: objects of a class, as a list (`name` of the collection) or one alone."""

    name: str
    table: str
    entries: list[Entry]
    single: bool = False


#: The keys of a list and of one object.
KEYS: Mapping[str, tuple[str, str]] = {
    "session": ("academicSessions", "academicSession"),
    "org": ("orgs", "org"),
    "course": ("courses", "course"),
    "class": ("classes", "class"),
    "enrollment": ("enrollments", "enrollment"),
    "user": ("users", "user"),
    "demographics": ("demographics", "demographics"),
}
COLLECTIONS: Mapping[str, Collection] = {
    "academicSessions": Collection("session"),
    "terms": Collection("session", {"type": ("term",)}),
    "gradingPeriods": Collection("session", {"type": ("gradingPeriod",)}),
    "orgs": Collection("org"),
    "schools": Collection("org", {"type": ("school",)}),
    "courses": Collection("course"),
    "classes": Collection("class"),
    "enrollments": Collection("enrollment"),
    "users": Collection("user"),
    "students": Collection("user", {"role": ("student",)}),
    "teachers": Collection("user", {"role": ("teacher",)}),
    "demographics": Collection("demographics"),
}


def pattern(parts: Sequence[str]) -> str:
    """A path whatever the sourcedIds in it, such as `schools/*/courses`."""
    return "/".join("*" if place % 2 else part for place, part in enumerate(parts))


class Places:
    """Finds what a path below the base stands for."""

    def __init__(self, roster: Roster, collections: Mapping[str, Collection]) -> None:
        self.roster, self.collections = roster, collections
        self._lists: dict[tuple[str, ...], list[Entry]] = {}

    def find(self, parts: Sequence[str]) -> Found | None:
        """None where there is nothing: an unknown path, an unknown object, or an object of another class."""
        match parts:
            case [name] if name in self.collections:
                return self._list(parts, name, lambda: self.roster.entries(self.collections[name].table).values())
            case [name, sourced_id] if name in self.collections:
                entry = self._one(name, sourced_id)
                return Found(name, entry.table, [entry], single=True) if entry else None
            case [parent, sourced_id, child]:
                below = self._below(parent, child)
                if below is None or self._one(parent, sourced_id) is None:
                    return None
                return self._list(parts, child, lambda: below(self.roster, sourced_id, self.collections[child]))
            case ["schools", school, "classes", sourced_id, child]:
                taught, list_of = self._one("classes", sourced_id), _BELOW_CLASS.get(child)
                here = taught is not None and self._one("schools", school) is not None and school in taught.links["school"]
                if list_of is None or not here:
                    return None
                return self._list(parts, child, lambda: list_of(self.roster, sourced_id, self.collections[child]))
        return None

    def offers(self, parts: Sequence[str]) -> bool:
        """Whether there is such a path at all, whatever the sourcedIds in it."""
        match parts:
            case [name] | [name, _]:
                return name in self.collections
            case [parent, _, child]:
                return self._below(parent, child) is not None
            case ["schools", _, "classes", _, child]:
                return child in _BELOW_CLASS
        return False

    def _one(self, name: str, sourced_id: str) -> Entry | None:
        entry = self.roster.entries(self.collections[name].table).get(sourced_id)
        return entry if entry is not None and self.collections[name].holds(entry) else None

    def _list(self, parts: Sequence[str], name: str, make: Callable[[], Iterable[Entry]]) -> Found:
        collection, key = self.collections[name], tuple(parts)
        if key not in self._lists:
            unique = {entry.sourced_id: entry for entry in make() if collection.holds(entry)}
            self._lists[key] = list(unique.values())
        return Found(name, collection.table, self._lists[key])

    def _below(self, parent: str, child: str) -> Callable[[Roster, str, Collection], Iterable[Entry]] | None:
        if child not in self.collections or parent not in self.collections:
            return None
        table = self.collections[child].table
        # Below another object people are listed by role only.
        if table == "user" and "role" not in self.collections[child].where:
            return None
        return _BELOW.get((parent, child)) or _BELOW_TABLES.get((parent, table))


def _by(table: str, facet: str) -> Callable[[Roster, str, Collection], Iterable[Entry]]:
    return lambda roster, sourced_id, child: roster.index(table, facet).get(sourced_id, [])


def _counts(roster: Roster, link: Entry) -> bool:
    """Whether an enrolment or a class makes what it names belong to a list, in which itself is not to be seen."""
    return link.listed == "active" or roster.settings.get("nested") == "all"


def _classes_of_user(*roles: str) -> Callable[[Roster, str, Collection], Iterable[Entry]]:
    def classes(roster: Roster, sourced_id: str, child: Collection) -> Iterable[Entry]:
        known = roster.entries("class")
        for enrollment in roster.index("enrollment", "user").get(sourced_id, ()):
            if _counts(roster, enrollment) and (not roles or enrollment.links["role"][0] in roles):
                yield known[enrollment.links["class"][0]]

    return classes


def _users_of_class(roster: Roster, sourced_id: str, child: Collection) -> Iterable[Entry]:
    known = roster.entries("user")
    for enrollment in roster.index("enrollment", "class").get(sourced_id, ()):
        user = enrollment.links["user"][0]
        if _counts(roster, enrollment) and enrollment.links["role"][0] in child.where["role"] and user in known:
            yield known[user]


def _users_of_school(roster: Roster, sourced_id: str, child: Collection) -> Iterable[Entry]:
    for role in child.where["role"]:
        yield from roster.index("user", f"as {role}").get(sourced_id, ())


def _courses_of_school(roster: Roster, sourced_id: str, child: Collection) -> Iterable[Entry]:
    known = roster.entries("course")
    for taught in roster.index("class", "school").get(sourced_id, ()):
        if _counts(roster, taught):
            yield known[taught.links["course"][0]]


_BELOW: Mapping[tuple[str, str], Callable[[Roster, str, Collection], Iterable[Entry]]] = {
    ("terms", "gradingPeriods"): _by("session", "parent"),
    ("terms", "classes"): _by("class", "term"),
    ("courses", "classes"): _by("class", "course"),
    ("users", "classes"): _classes_of_user(),
    ("students", "classes"): _classes_of_user("student"),
    ("teachers", "classes"): _classes_of_user("teacher"),
    ("schools", "classes"): _by("class", "school"),
    ("schools", "terms"): _by("session", "school"),
    ("schools", "courses"): _courses_of_school,
    ("classes", "students"): _users_of_class,
    ("classes", "teachers"): _users_of_class,
}
_BELOW_CLASS: Mapping[str, Callable[[Roster, str, Collection], Iterable[Entry]]] = {
    "enrollments": _by("enrollment", "class"),
    "students": _users_of_class,
    "teachers": _users_of_class,
}
#: Below a school, also lists that a vendor adds.
_BELOW_TABLES: Mapping[tuple[str, str], Callable[[Roster, str, Collection], Iterable[Entry]]] = {
    ("schools", "enrollment"): _by("enrollment", "school"),
    ("schools", "user"): _users_of_school,
}
