"""Recognising people whom the app knew before the SIS told of them.

An identifier that belongs to one person only tells who somebody is, if it finds exactly one row, nothing else contradicts it, and
nobody else in the district goes by it: numbers are issued again, and are shared by mistake. Anything less is a question. Names
and a birth date are never more than that.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.roster.cases import Case, encode
from sis_connect.roster.documents import Values, flatten, nest
from sis_connect.roster.questions import IDENTITY, Filed, Question, load_questions
from sis_connect.store.elsewhere import Elsewhere
from sis_connect.store.sql import fetch
from sis_connect.store.tables import mappings
from sis_connect.store.target import RosterTarget
from sis_connect.store.unclaimed import Matching

#: Identifiers that tell who somebody is, in the order in which they are believed.
NUMBERS: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {"students": ("ids.student_number", "ids.state_id"), "staff": ("ids.staff_number", "ids.state_id")}
)
EMAIL: Mapping[Kind, str] = MappingProxyType({"students": "emails", "staff": "email"})
#: Everybody in the district, told of now or known from before, with the values that they have in a field.
_BEARERS = (
    "SELECT s.sis_id, CASE e.type WHEN 'object' THEN json_extract(e.value, '$.address') ELSE e.value END AS value "
    "FROM {rows} s CROSS JOIN json_each(s.{document}, ?) e WHERE s.integration_id = ?{which}"
)


@dataclass(frozen=True, slots=True)
class Recognised:
    """Rows of the app that may be a person, by local id, and what speaks for it. `certain`: it is the only one."""

    local_ids: tuple[str, ...]
    rule: str
    certain: bool


def recognise(kind: Kind, person: Values, known: Mapping[str, Values], *, by_email: bool) -> Recognised | None:
    """Which of the app's rows a person may be. All values are flat. Pure."""
    fields = [*NUMBERS[kind], *([EMAIL[kind]] if by_email else [])]
    found: dict[str, str] = {}
    for name in fields:
        mine = values_of(person, name)
        for local_id, row in sorted(known.items()):
            if mine & values_of(row, name):
                found.setdefault(local_id, name)
    if len(found) > 1:
        return Recognised(tuple(sorted(found)), f"several people have the {_list(found.values())}", certain=False)
    for local_id, name in found.items():
        against = _contradiction(person, known[local_id], fields)
        rule = f"the same {_word(name)}" + (f", but another {against}" if against else "")
        return Recognised((local_id,), rule, certain=not against)
    alike = tuple(sorted(local_id for local_id, row in known.items() if _same_name_and_birth(person, row)))
    return Recognised(alike, "the same name and birth date", certain=False) if alike else None


def values_of(person: Values, name: str) -> frozenset[str]:
    """The values that somebody has in a field, as they are compared."""
    value = person.get(name)
    items = value if isinstance(value, (list, tuple)) else [value]
    plain = [item.get("address") if isinstance(item, Mapping) else item for item in items]
    return frozenset(_folded(item) if name in EMAIL.values() else str(item).strip() for item in plain if item)


def _contradiction(person: Values, row: Values, fields: Iterable[str]) -> str:
    for name in (*(name for name in fields if name.startswith("ids.")), "birth_date"):
        mine, theirs = values_of(person, name), values_of(row, name)
        if mine and theirs and not mine & theirs:
            return _word(name)
    names = [name for name in ("given_name", "family_name") if person.get(name) and row.get(name)]
    return "name" if len(names) == 2 and not any(_folded(person[name]) == _folded(row[name]) for name in names) else ""


def _same_name_and_birth(person: Values, row: Values) -> bool:
    named = all(row.get(name) for name in ("birth_date", "given_name", "family_name"))
    return (
        named
        and person.get("birth_date") == row["birth_date"]
        and _folded(person.get("family_name")) == _folded(row["family_name"])
        and _folded(row["given_name"]) in {_folded(person.get("given_name")), _folded(person.get("preferred_given_name"))}
    )


def _folded(text: Any) -> str:
    return str(text or "").strip().casefold()


def _word(name: str) -> str:
    return {"emails": "e-mail address", "email": "e-mail address"}.get(name, name.removeprefix("ids.").replace("_", " "))


def _list(names: Iterable[str]) -> str:
    return " or ".join(sorted({_word(name) for name in names}))


# -- in a plan ---------------------------------------------------------------------------------------------------------


async def match(
    connection: AsyncConnection, target: RosterTarget, integration_id: int, kind: Kind, cases: Sequence[Case]
) -> tuple[Sequence[Case], Sequence[Question]]:
    """The same records, those whom the app knows with their local rows; and the questions about those who may be known.

    A record that a question was asked about is left out: it waits for the answer.
    """
    if isinstance(target, Elsewhere) and target.keeps(kind):
        _disregard(cases, target.fields(kind))
    if kind not in NUMBERS or not isinstance(target, Matching):
        return cases, ()
    unknown = [case for case in cases if _is_new(case)]
    if not unknown or not await target.any_unclaimed(connection, kind):
        return cases, ()
    new = {case.sis_id: flatten(case.source.document) for case in unknown if case.source is not None}
    wanted = [*NUMBERS[kind], "birth_date", *([EMAIL[kind]] if target.match_email else [])]
    sought = {name: {value for person in new.values() for value in values_of(person, name)} for name in wanted}
    known = await target.find_unclaimed(connection, kind, sought)
    recognised = _among(kind, new, {local_id: flatten(row.document) for local_id, row in known.items()}, target.match_email)
    doubted = await _doubted(connection, integration_id, kind, new, recognised)
    filed = {sis_id: theirs[IDENTITY] for sis_id, theirs in (await _filed(connection, integration_id, kind, new)).items()}
    answered = {sis_id: answer for sis_id, one in filed.items() if (answer := _answer(one)) is not None}
    known |= await target.load_unclaimed(connection, kind, [local_id for local_id in answered.values() if local_id])
    waiting: dict[str, Question] = {}
    for case in unknown:
        may_be = recognised.get(case.sis_id)
        adopts = answered.get(case.sis_id)
        if adopts is None and may_be is not None and case.sis_id not in doubted and may_be.certain:
            adopts = may_be.local_ids[0]
        if adopts is not None and adopts in known:
            case.take(known[adopts])
            case.adopts = adopts
        elif may_be is not None and adopts != "":
            waiting[case.sis_id] = _question(case.sis_id, may_be, doubted.get(case.sis_id))
    return [case for case in cases if case.sis_id not in waiting] if waiting else cases, list(waiting.values())


def _disregard(cases: Sequence[Case], kept: Collection[str]) -> None:
    """What the app has no place for is no difference between it and the SIS."""
    for case in cases:
        if case.local is None or case.source is None:
            continue
        unkept = {name: value for name, value in flatten(case.source.document).items() if name not in kept}
        case.local = replace(case.local, document=nest({**flatten(case.local.document), **unkept}))


def _is_new(case: Case) -> bool:
    here = case.source is not None and not case.source.absent and case.source.document.get("status") != "inactive"
    return here and case.mapping is None and case.row is None


def _among(kind: Kind, new: Mapping[str, Values], known: Mapping[str, Values], by_email: bool) -> dict[str, Recognised]:
    """Whom each of these people may be, of those who have anything in common with them."""
    fields = (*NUMBERS[kind], "birth_date", *([EMAIL[kind]] if by_email else []))
    bearers: dict[tuple[str, str], set[str]] = defaultdict(set)
    for local_id, row in known.items():
        for name in fields:
            for value in values_of(row, name):
                bearers[name, value].add(local_id)
    recognised = {}
    for sis_id, person in new.items():
        theirs = {one for name in fields for value in values_of(person, name) for one in bearers.get((name, value), ())}
        found = recognise(kind, person, {one: known[one] for one in theirs}, by_email=by_email) if theirs else None
        if found is not None:
            recognised[sis_id] = found
    return recognised


async def _doubted(
    connection: AsyncConnection, integration_id: int, kind: Kind, new: Mapping[str, Values], recognised: Mapping[str, Recognised]
) -> dict[str, str]:
    """Those who were recognised by what is not theirs alone, and why that is: whoever else goes by it may be meant."""
    certain = {sis_id: found.local_ids[0] for sis_id, found in recognised.items() if found.certain}
    claims = Counter(certain.values())
    doubted = {sis_id: "claimed by several" for sis_id, local_id in certain.items() if claims[local_id] > 1}
    for name in (*NUMBERS[kind], EMAIL[kind]):
        values = {value for sis_id in certain for value in values_of(new[sis_id], name)}
        if not values:
            continue
        others = await _bearers(connection, integration_id, kind, name, values)
        for sis_id in certain:
            if any(others[value] - {sis_id} for value in values_of(new[sis_id], name)):
                doubted.setdefault(sis_id, f"somebody else in the district has the same {_word(name)}")
    return doubted


async def _bearers(
    connection: AsyncConnection, integration_id: int, kind: Kind, name: str, values: Collection[str]
) -> Mapping[str, set[str]]:
    """Who in the district has one of these values in a field."""
    staged = _BEARERS.format(rows="sis_staged", document="document", which=" AND s.kind = ? AND s.whole = 1")
    mapped = _BEARERS.format(rows=mappings[kind].name, document="base_sis", which="")
    folded = "lower(value)" if name in EMAIL.values() else "value"
    query = f"SELECT sis_id, {folded} FROM ({staged} UNION {mapped}) WHERE {folded} IN (SELECT value FROM json_each(?))"
    path = "$." + ".".join(f'"{part}"' for part in name.split("."))
    asked = encode(sorted(values)).decode()
    found: dict[str, set[str]] = defaultdict(set)
    for sis_id, value in await fetch(connection, query, (path, integration_id, kind, path, integration_id, asked)):
        found[value].add(sis_id)
    return found


async def _filed(
    connection: AsyncConnection, integration_id: int, kind: Kind, new: Collection[str]
) -> dict[str, Mapping[str, Filed]]:
    filed = await load_questions(connection, integration_id, kind, sorted(new))
    return {sis_id: theirs for sis_id, theirs in filed.items() if IDENTITY in theirs and sis_id in new}


def _answer(filed: Filed) -> str | None:
    """What a person has decided: whose row it is, none at all (empty), or nothing yet."""
    if filed.state != "decided":
        return None
    if filed.decision == "sis":
        return ""
    chosen = filed.local if filed.decision == "local" else filed.value
    return chosen if isinstance(chosen, str) else None


def _question(sis_id: str, may_be: Recognised, doubt: str | None) -> Question:
    local = may_be.local_ids[0] if len(may_be.local_ids) == 1 else list(may_be.local_ids)
    return Question(
        sis_id=sis_id, field=IDENTITY, rule=f"{may_be.rule}, and {doubt}" if doubt else may_be.rule, sis=sis_id, local=local
    )
