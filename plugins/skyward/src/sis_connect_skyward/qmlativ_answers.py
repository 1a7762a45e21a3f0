"""What Qmlativ answers, in the spelling of the documentation: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sis_connect.errors import ConfigurationError, UnexpectedResponse


def listed(body: bytes, name: str, known: Mapping[str, str], *, single: bool) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The rows of an answer about an object, fields over relations under dotted names, and where the next page is.

    `known` says how fields are spelled by their names in lower case, for other spellings are understood, too.
    """
    found = msgspec.json.decode(body)
    members = _lower(found)
    if not single and "objects" not in members:
        raise UnexpectedResponse(f"Qmlativ's answer about {name} has no Objects, it is about something else.")
    rows = [found] if single else members["objects"] or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UnexpectedResponse(f"Qmlativ's answer about {name} has something else where its objects belong.")
    spelled = [{known.get(field.lower(), field): value for field, value in flat(row).items()} for row in rows]
    following = _lower(members.get("paging")).get("next")
    return spelled, {"Next": following} if isinstance(following, str) else {}


def flat(row: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """A row with what came over relations under dotted names, whether it came so or nested."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return found


def current_year(metadata: Any, entity: int) -> Mapping[str, Any]:
    """The current school year of the district that an entity stands for, members in lower case; nothing where it is not told."""
    districts = _lower(_lower(metadata).get("system")).get("districts")
    told = [_lower(one) for one in districts] if isinstance(districts, list) else []
    told = [one for one in told if one.get("entityid") == entity] or told
    years = [_lower(one.get("schoolyearcurrent")) for one in told]
    if any(year != years[0] for year in years):
        raise ConfigurationError(
            "There are several districts in this Qmlativ, and they are not in the same school year.",
            remedy=f"Set entity to that of the district: {', '.join(str(one.get('entityid')) for one in told)}.",
        )
    return years[0] if years else {}


def _lower(members: Any) -> dict[str, Any]:
    """Members by their names in lower case; none where there are none."""
    return {name.lower(): value for name, value in members.items()} if isinstance(members, dict) else {}
