"""What the sandbox understands of a query: `limit`, `offset`, `sort`, `orderBy`, `filter`, `fields`.

The grammar of a filter: one comparison, or two joined by ` AND ` or ` OR `; a comparison is a name, a predicate and a value in
single quotes (a quote in it is doubled), without blanks between them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import parse_qsl

from sis_connect_oneroster.sandbox_rows import Link

LARGEST = 2**31 - 1
#: Of so many digits a number may be, leading zeros included.
LONGEST = 20
_CLAUSE = r"([A-Za-z_][\w.:-]*)(!=|>=|<=|=|>|<|~)'((?:[^']|'')*)'"
_FILTER = re.compile(rf"{_CLAUSE}(?: (AND|OR) {_CLAUSE})?")
_COMMON = ("sourcedId", "status", "dateLastModified", "metadata")
_USER = "enabledUser username userIds givenName familyName middleName identifier email sms phone agents grades password resources"
_USER_12 = "userMasterIdentifier preferredFirstName preferredMiddleName preferredLastName pronouns roles userProfiles primaryOrg"
#: The members of each class; version 1.1 and 1.2 differ in users only.
MEMBERS: Mapping[str, frozenset[str]] = {
    name: frozenset((*_COMMON, *members.split()))
    for name, members in {
        "org": "name type identifier parent children",
        "session": "title startDate endDate type parent children schoolYear",
        "course": "title schoolYear courseCode grades subjects subjectCodes org resources",
        "class": "title classCode classType location grades subjects subjectCodes periods course school terms resources",
        "enrollment": "user class school role primary beginDate endDate",
        "demographics": (
            "birthDate sex americanIndianOrAlaskaNative asian blackOrAfricanAmerican nativeHawaiianOrOtherPacificIslander "
            "white demographicRaceTwoOrMoreRaces hispanicOrLatinoEthnicity countryOfBirthCode stateOfBirthAbbreviation "
            "cityOfBirth publicSchoolResidenceStatus"
        ),
        "user 1.1": f"{_USER} role orgs",
        "user 1.2": f"{_USER} {_USER_12}",
    }.items()
}
_REFERENCES = "parent children schoolYear org course school terms user class orgs agents primaryOrg resources"
_REFERENCE = frozenset(("href", "sourcedId", "type"))
_INSIDE: Mapping[str, frozenset[str]] = {
    "roles": frozenset(("roleType", "role", "org", "userProfile", "beginDate", "endDate")),
    "userIds": frozenset(("type", "identifier")),
    **dict.fromkeys(_REFERENCES.split(), _REFERENCE),
}

Minor = Literal[
    "invalid_filter_field", "invalid_selection_field", "invalid_blank_selection_field", "invalid_sort_field", "invaliddata"
]


class QueryError(ValueError):
    """The server does not understand a query."""

    def __init__(self, minor: Minor, description: str) -> None:
        super().__init__(description)
        self.minor: Minor = minor


@dataclass(frozen=True, slots=True)
class Clause:
    path: tuple[str, ...]
    predicate: str
    value: str


@dataclass(frozen=True, slots=True)
class Filter:
    clauses: tuple[Clause, ...] = ()
    any_of: bool = False

    def holds(self, values: Callable[[tuple[str, ...]], list[Any]], *, ignore_case: bool) -> bool:
        """Whether an object has what is asked for; `values` are those at a path."""
        found = (_holds(clause, values(clause.path), ignore_case=ignore_case) for clause in self.clauses)
        return any(found) if self.any_of else all(found)


@dataclass(frozen=True, slots=True)
class Asked:
    limit: int
    offset: int
    filter: Filter
    sort: tuple[str, ...] | None = None
    descending: bool = False
    fields: frozenset[str] | None = None
    warnings: tuple[tuple[Minor, str], ...] = ()


def members(table: str, version: str) -> frozenset[str]:
    """The members that an object of a class may have."""
    return MEMBERS[f"user {version}" if table == "user" else table]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads a query as one version of the standard does; what is open in it is a setting."""

    version: str
    page_size: int = 100
    unknown_sort: str = "ignore"
    empty_filter: str = "accept"

    def read(self, query: str, table: str, known: Collection[str]) -> Asked:
        """The whole query of a collection."""
        pairs = parse_qsl(query, keep_blank_values=True)
        warnings: list[tuple[Minor, str]] = []
        descending = _once(pairs, "orderBy", "asc")
        if descending not in ("asc", "desc"):
            raise QueryError("invaliddata", "orderBy is asc or desc.")
        return Asked(
            _whole(pairs, "limit", self.page_size, 1),
            _whole(pairs, "offset", 0, 0),
            self._filter(pairs, known),
            self._sort(pairs, known, warnings),
            descending == "desc",
            self.selection(pairs, known, warnings),
            tuple(warnings),
        )

    def _filter(self, pairs: Sequence[tuple[str, str]], known: Collection[str]) -> Filter:
        text = _once(pairs, "filter", None)
        if text is None or (text == "" and self.empty_filter == "accept"):
            return Filter()
        match = _FILTER.fullmatch(text)
        if match is None:
            raise QueryError("invalid_filter_field", _fault(text))
        parts = [match.group(1, 2, 3), *([match.group(5, 6, 7)] if match[4] else [])]
        clauses = []
        for name, predicate, value in parts:
            path = tuple(name.split("."))
            if not _is_known(path, known):
                raise QueryError("invalid_filter_field", f"There is no field {name} to filter by.")
            clauses.append(Clause(path, predicate, _prepared(path, value.replace("''", "'"))))
        return Filter(tuple(clauses), match[4] == "OR")

    def _sort(
        self, pairs: Sequence[tuple[str, str]], known: Collection[str], warnings: list[tuple[Minor, str]]
    ) -> tuple[str, ...] | None:
        text = _once(pairs, "sort", "")
        if not text:
            return None
        path = tuple(text.split("."))
        if _is_known(path, known):
            return path
        if self.unknown_sort == "reject":
            raise QueryError("invaliddata", f"There is no field {text} to sort by.")
        warnings.append(("invalid_sort_field", f"There is no field {text} to sort by."))
        return None

    def selection(
        self, pairs: Sequence[tuple[str, str]], known: Collection[str], warnings: list[tuple[Minor, str]]
    ) -> frozenset[str] | None:
        """The names in `fields`, which may be there more than once; None: all."""
        texts = [value for name, value in pairs if name == "fields"]
        if not texts:
            return None
        names = frozenset(name.strip() for text in texts for name in text.split(",") if name.strip())
        if not names:
            raise QueryError(
                "invalid_blank_selection_field" if self.version == "1.1" else "invalid_selection_field", "fields names none."
            )
        unknown = sorted(names - frozenset(known))
        if unknown and self.version != "1.1":
            raise QueryError("invalid_selection_field", f"There is no field {unknown[0]} to select.")
        if unknown:
            warnings.append(("invalid_selection_field", f"There is no field {unknown[0]} to select."))
            return None
        return names


#: What a filter may look like, where what is quoted in it has become two quotes, and what it says about the grammar.
_FAULTS: tuple[tuple[str, str], ...] = (
    (r"^[^']*(?:''[^']*)*'[^']*$", "A quote in the filter has no end; inside a value a quote is doubled."),
    (r"[()]", "A filter has no brackets."),
    (r"(?i)^NOT\b|\sNOT\s", "A filter has no NOT."),
    (r"(?i)\s(AND|OR)\s.*\s(AND|OR)\s", "A filter has at most one AND or OR."),
    (r"\s(?!AND\b|OR\b)(?i:AND|OR)\s", "AND and OR are written in capitals in a filter."),
    (r"\s[=!<>~]|[=!<>~]\s", "In a filter there are no blanks around a predicate."),
    (r"\s\s|^\s|\s$", "In a filter there is one blank on each side of AND and OR, and no other."),
    (r"[=<>~][^'=<>~]", "A value in a filter stands in single quotes."),
)


def _fault(text: str) -> str:
    """What is wrong with a filter."""
    bare = re.sub(r"'(?:[^']|'')*'", "''", text)
    usual = "A comparison in a filter is a name, one of = != > >= < <= ~, and a value in single quotes."
    return next((said for pattern, said in _FAULTS if re.search(pattern, bare)), usual)


def at(row: Mapping[str, Any], path: Sequence[str]) -> list[Any]:
    """What is at a path of an object: one value, several, or none."""
    if path[0] == "metadata":
        inside = row.get("metadata") or {}
        return _flat([inside.get(".".join(path[1:]))] if path[1:] else [inside])
    found: list[Any] = [row]
    for name in path:
        found = [_member(value, name) for value in found]
        found = _flat(found)
    return found


def _flat(values: Sequence[Any]) -> list[Any]:
    flat: list[Any] = []
    for value in values:
        if isinstance(value, list):
            flat += value
        elif value is not None:
            flat.append(value)
    return flat


def _member(value: Any, name: str) -> Any:
    if isinstance(value, Link):
        return {"sourcedId": value.sourced_id, "type": value.type, "href": f"{value.collection}/{value.sourced_id}"}.get(name)
    return value.get(name) if isinstance(value, Mapping) else None


def as_text(value: Any) -> str:
    """How a value compares: truth values as they are written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.sourced_id if isinstance(value, Link) else str(value)


def _holds(clause: Clause, values: list[Any], *, ignore_case: bool) -> bool:
    found = [as_text(value) for value in values]
    match clause.predicate:
        case "=" | "!=" if len(clause.path) == 1 and clause.path[0] in _LISTS:
            return (frozenset(found) == frozenset(_items(clause.value))) == (clause.predicate == "=")
        case "~" if len(clause.path) == 1 and clause.path[0] in _LISTS:
            return any(item in found for item in _items(clause.value))
        case "=":
            return clause.value in found
        case "!=":
            return clause.value not in found
        case "~" if ignore_case:
            return any(clause.value.lower() in text.lower() for text in found)
        case "~":
            return any(clause.value in text for text in found)
    compare = _ORDERS[clause.predicate]
    return any(compare(text, clause.value) for text in found)


_LISTS = frozenset(("grades", "subjects", "subjectCodes", "periods"))
_ORDERS: Mapping[str, Callable[[str, str], bool]] = {
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
}


def _items(text: str) -> Iterator[str]:
    return (item.strip() for item in text.split(","))


def _is_known(path: Sequence[str], known: Collection[str]) -> bool:
    if path[0] not in known or path[0] == "metadata":
        return path[0] == "metadata"
    if len(path) == 1:
        return True
    if path[0] == "roles" and path[1] == "org" and len(path) == 3:
        return path[2] in _REFERENCE
    return len(path) == 2 and path[1] in _INSIDE.get(path[0], ())


def _prepared(path: Sequence[str], value: str) -> str:
    """A point in time as rows have it, so that texts compare as times do."""
    if path[-1] != "dateLastModified":
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise QueryError("invalid_filter_field", "dateLastModified is compared with a date-time.") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _once(pairs: Sequence[tuple[str, str]], name: str, default: Any) -> Any:
    values = [value for key, value in pairs if key == name]
    if len(values) > 1:
        raise QueryError("invaliddata", f"{name} is there twice.")
    return values[0] if values else default


def _whole(pairs: Sequence[tuple[str, str]], name: str, default: int, least: int) -> int:
    text = str(_once(pairs, name, default))
    if not re.fullmatch(r"[0-9]+", text) or int(text[:LONGEST]) < least:
        raise QueryError("invaliddata", f"{name} is a whole number from {least} on.")
    if len(text) > LONGEST or int(text) > LARGEST:
        raise QueryError("invaliddata", f"{name} is at most {LARGEST}.")
    return int(text)
