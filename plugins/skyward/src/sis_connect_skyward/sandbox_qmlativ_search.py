"""Searching in Qmlativ: conditions in the body of a POST."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Test = Callable[[Callable[[str], Any]], bool]


class SearchError(Exception):
    """A search that the server does not understand."""


_KINDS = ("longsearchcondition", "stringsearchcondition")
#: The server misspells two of them, and knows no others.
_BETWEEN = {"betweeninclusive": (True, True), "notbetweninclusive": (False, True), "betweenexclusive": (True, False)}
_BETWEEN["notbetwenexclusive"] = (False, False)


def condition(body: Any) -> tuple[set[str], Test]:
    """The fields that a search names, and what it asks of a row's values."""
    members = _lower(body)
    search = _lower(members.get("searchcondition"))
    if not search:
        return set(), lambda value: True
    group = _lower(search.get("searchconditiongroup")) if "searchconditiongroup" in search else None
    if group is None:
        return _single(search)
    named, tests = set(), []
    for one in group.get("conditions") or ():
        fields, test = condition({"SearchCondition": one})
        named |= fields
        tests.append(test)
    together = {"and": all, "or": any}.get(str(group.get("conditiongrouptype", "")).lower())
    if together is None:
        raise SearchError("The ConditionGroupType is neither And nor Or.")
    return named, lambda value: together(test(value) for test in tests)


def order(body: Any) -> list[tuple[str, bool]]:
    """What to sort by, and whether downwards."""
    sorts = _lower(body).get("searchsort") or ()
    return [(str(one.get("fieldname")), bool(one.get("descending"))) for one in map(_lower, sorts)]


def _single(search: Mapping[str, Any]) -> tuple[set[str], Test]:
    kind = next((kind for kind in _KINDS if kind in search), None)
    if kind is None:
        raise SearchError("There is no such condition.")
    asked = _lower(search[kind])
    field, name = str(asked.get("fieldname")), str(asked.get("conditiontype", "")).lower()
    read = _number if kind == _KINDS[0] else _text
    test = _test(name, asked, read)
    return {field}, lambda value: test(read(value(field)))


def _test(name: str, asked: Mapping[str, Any], read: Callable[[Any], Any]) -> Callable[[Any], bool]:
    wanted, many = read(asked.get("value")), [read(one) for one in asked.get("list") or ()]
    low, high = read(asked.get("lowvalue")), read(asked.get("highvalue"))
    known: dict[str, Callable[[Any], bool]] = {
        "equal": lambda found: found == wanted,
        "notequal": lambda found: found != wanted,
        "less": lambda found: found is not None and found < wanted,
        "lessequal": lambda found: found is not None and found <= wanted,
        "greater": lambda found: found is not None and found > wanted,
        "greaterequal": lambda found: found is not None and found >= wanted,
        "null": lambda found: found is None,
        "notnull": lambda found: found is not None,
        "list": lambda found: found in many,
        "notlist": lambda found: found not in many,
    }
    texts: dict[str, Callable[[str, str], bool]] = {
        "like": lambda found, part: part.strip("%") in found,
        "begins": str.startswith,
        "contains": lambda found, part: part in found,
        "ends": str.endswith,
    }
    if name in known:
        return known[name]
    if name in _BETWEEN:
        within, inclusive = _BETWEEN[name]
        return lambda found: found is not None and ((low <= found <= high) if inclusive else (low < found < high)) is within
    if name.removeprefix("not") in texts:
        text, expected = texts[name.removeprefix("not")], not name.startswith("not")
        return lambda found: found is not None and text(str(found), str(wanted)) is expected
    raise SearchError("There is no such ConditionType.")


def _number(value: Any) -> int | None:
    try:
        return None if value is None or value == "" else int(value)
    except (TypeError, ValueError):
        raise SearchError("A LongSearchCondition is about numbers.") from None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _lower(value: Any) -> dict[str, Any]:
    """Members are read without regard to case."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SearchError("The search is not an object.")
    return {str(name).lower(): member for name, member in value.items()}
