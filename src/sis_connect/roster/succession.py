"""Succession of ids: a record that the SIS calls by another `sis_id` than before stays the same record.

Some SISs change all their ids at once, as with a new version of their interface, and tell with each record what it was called
before (`KindCapabilities.former_ids`). A new record takes over the mapping of its former self, with its local row and with all
that refers to it: nobody is created, nobody withdrawn. That is bookkeeping, done before anything is decided; what differs
otherwise between the two is decided about like any change.

It happens only where it is certain: everything of the kind that bears on it proved complete, the former id is gone from it, the
numbers that belong to one person only do not contradict it, and nobody else lays claim to it. Otherwise nobody takes over, and
what is new, or says now that it was somebody else, is held as a possible change of id.

Where somebody is told to have been somebody else whom we know apart from him, the two were one: the other one leaves as
`merged`. Where a new record is told to have been part of one that goes on, it comes as `split` from it. Both keep their history.

A run that may write nothing yet (`plan`, and a strict sync until its guards are content) takes nothing over either: it plans as
if all went by their former ids, and shows who will go by another one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect import audit
from sis_connect.capabilities import KINDS, Kind, KindCapabilities
from sis_connect.roster.cases import Case, decode, encode
from sis_connect.store.elsewhere import Elsewhere
from sis_connect.store.lease import check_fence
from sis_connect.store.renames import referring_to, rename_ids, rename_in_documents, renaming
from sis_connect.store.sql import fetch, write_many
from sis_connect.store.tables import mappings
from sis_connect.store.target import Renaming, RosterTarget

if TYPE_CHECKING:
    from sis_connect.roster.plan import Planner

#: Records, and the mapped ids by which the SIS says they went before, where that is news.
_CLAIMS = (
    "CROSS JOIN json_each(s.document, ?) f CROSS JOIN {mapping} m ON m.integration_id = s.integration_id AND m.sis_id = f.value "
    "LEFT JOIN {mapping} n ON n.integration_id = s.integration_id AND n.sis_id = s.sis_id "
    "WHERE s.integration_id = ? AND s.kind = ? AND s.whole = 1 AND s.missing_pulls = 0 AND f.value <> s.sis_id "
    "AND (n.sis_id IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(n.base_sis, ?) b WHERE b.value = f.value))"
)
_ANY = (
    "SELECT EXISTS (SELECT 1 FROM sis_candidate c CROSS JOIN sis_staged s ON s.integration_id = c.integration_id "
    f"AND s.kind = c.kind AND s.sis_id = c.sis_id {_CLAIMS})"
)
_STAGED = (
    "EXISTS (SELECT 1 FROM sis_staged t WHERE t.integration_id = s.integration_id AND t.kind = s.kind AND t.sis_id = {id} "
    "AND t.whole = 1 AND {what})"
)
_PROVEN = "(SELECT value FROM json_each(?))"
_HERE = _STAGED.format(id="f.value", what=f"t.missing_pulls = 0 AND t.stream_id IN {_PROVEN}")
_UNREAD = _STAGED.format(id="{id}", what=f"t.stream_id NOT IN {_PROVEN}")
_ALL = (
    f"SELECT s.sis_id, f.value, n.sis_id IS NOT NULL, {_HERE}, {_UNREAD.format(id='f.value')}, {_UNREAD.format(id='s.sis_id')}, "
    "json_extract(s.document, '$.ids'), json_extract(m.base_sis, '$.ids'), json_extract(n.base_sis, '$.ids') "
    f"FROM sis_staged s {_CLAIMS} AND s.sis_id > ? AND s.sis_id <= ?"
)
_PORTION = (
    "SELECT MAX(sis_id) FROM (SELECT sis_id FROM sis_staged WHERE integration_id = ? AND kind = ? AND sis_id > ? "
    "ORDER BY sis_id LIMIT 20000)"
)
#: From now on, whoever is referred to by the former id is found by it.
_KNOWN_AS = (
    "INSERT INTO sis_identifier (integration_id, kind, name, value, sis_id) SELECT ?, ?, 'sis_id', old, new FROM sis_renamed "
    "WHERE 1 ON CONFLICT (integration_id, kind, name, value) DO UPDATE SET sis_id = excluded.sis_id"
)
_LOOK_AT_THE_NEW = (
    "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) SELECT ?, ?, new, 'changed' FROM sis_renamed WHERE 1 "
    "ON CONFLICT (integration_id, kind, sis_id) DO NOTHING"
)
_FORGET_THE_FORMER = "DELETE FROM sis_candidate WHERE integration_id = ? AND kind = ? AND sis_id IN (SELECT old FROM sis_renamed)"


@dataclass(frozen=True, slots=True)
class Claim:
    """A record's claim to a former id: what became of that, and whether the claims to it are `certain` to be known.

    It is `contradicted` where their strong ids differ. One that `usurps` comes from a record that we know as somebody else.
    """

    new: str
    former: str
    fate: Literal["gone", "here", "unknown"]
    certain: bool
    contradicted: bool = False
    usurps: bool = False


def settle(claims: Sequence[Claim]) -> tuple[dict[str, str], set[str]]:
    """Which claims hold (former id: new id), and the ids of the others that may. Pure.

    Where two lay claim to one, or one to two, nobody takes over; nor where ids go round: whoever claims to have been somebody who
    claims to have been somebody else waits like him. Any other claim to an id that is still in use is none.
    """
    usurpers = {claim.new for claim in claims if claim.usurps}
    serious = [claim for claim in claims if claim.fate != "here" or claim.new in usurpers or claim.former in usurpers]
    new, former = Counter(claim.new for claim in serious), Counter(claim.former for claim in serious)
    renamed: dict[str, str] = {}
    contested: set[str] = set()
    for claim in serious:
        plain = not (claim.contradicted or claim.new in usurpers or claim.former in usurpers)
        if claim.fate == "gone" and claim.certain and plain and new[claim.new] == former[claim.former] == 1:
            renamed[claim.former] = claim.new
        else:
            contested |= {claim.new, claim.former}
    return renamed, contested


def parted(claims: Sequence[Claim]) -> set[str]:
    """New records that were part of another one: of one that goes on by its own id, or that several of them were. Pure."""
    former = Counter(claim.former for claim in claims)
    return {claim.new for claim in claims if not claim.usurps and (claim.fate == "here" or former[claim.former] > 1)}


def as_merged(case: Case) -> Case:
    """A record that is another one now: where it is gone, that is why, and nobody waits whether it comes back."""
    if case.source is None or not case.source.missing_pulls:
        return case
    return replace(case, source=replace(case.source, ended="merged"))


async def succeed(planner: Planner, *, integration: str, actor: str, carry_out: bool) -> None:
    """Let new records take over from what they were before, and tell the planner of whom that is true, or may be.

    Without `carry_out`, nothing is written: the planner is told what is to be carried out.
    """
    telling = [kind for kind in KINDS if planner.capabilities.of(kind).former_ids]
    if not telling:
        return
    async with planner.store.read() as connection:
        for kind in telling:
            capabilities = planner.capabilities.of(kind)
            claims, merged = await _claims(connection, planner.integration_id, kind, capabilities, planner.proven)
            renamed, contested = settle(claims)
            if merged:
                planner.merged[kind] = merged
            if split := parted(claims):
                planner.split[kind] = split
            if renamed and not isinstance(planner.target, Renaming):
                contested |= {*renamed, *renamed.values()}
            elif renamed:
                planner.awaiting[kind] = renamed
            if contested:
                planner.contested[kind] = contested
    planner.renamed = {kind: len(names) for kind, names in planner.awaiting.items()}
    if carry_out:
        await take_over(planner, integration=integration, actor=actor)
    else:
        await _announce(planner)


async def _announce(planner: Planner) -> None:
    """Show in the plan who will go by another id. The writer leaves these rows alone: they are no changes of it."""
    rows = [
        (
            planner.plan, kind, new, "unchanged", "renamed", "goes by another id", encode({"sis_id": former}).decode(),
            encode({"sis_id": new}).decode(), '{"conflicts":[],"status":""}', "", "renamed",
        )
        for kind, names in planner.awaiting.items()
        for former, new in names.items()
    ]  # fmt: skip
    columns = ("plan", "kind", "sis_id", "action", "reason", "rule", "before", "after", "evidence", "flags", "state")
    if rows:
        async with planner.store.write() as connection:
            await check_fence(connection, planner.lease)
            await write_many(connection, "sis_plan_row", columns, rows)


async def take_over(planner: Planner, *, integration: str, actor: str) -> None:
    """Carry out what awaits it, in one transaction."""
    if not planner.awaiting:
        return
    there = await _rename_there(planner)
    async with planner.store.write() as connection:
        await check_fence(connection, planner.lease)
        for kind, names in planner.awaiting.items():
            mine = {former: new for former, new in names.items() if former not in there.get(kind, ())}
            refused = [*there.get(kind, ()), *await _rename(connection, planner.target, planner.integration_id, kind, mine)]
            if refused:
                contested = {name for former in refused for name in (former, names[former])}
                planner.contested[kind] = {*planner.contested.get(kind, ()), *contested}
            planner.renamed[kind] -= len(refused)
        planner.renamed = {kind: number for kind, number in planner.renamed.items() if number}
        planner.awaiting = {}
        if planner.renamed:
            detail = {"reason": "renamed", "records": planner.renamed}
            at = planner.clock.now()
            await audit.record(connection, at=at, actor=actor, action="records.renamed", integration=integration, detail=detail)


async def _rename_there(planner: Planner) -> Mapping[Kind, Collection[str]]:
    """Rename what lies in somebody else's database, in a transaction of its own. Returns what cannot be renamed."""
    if not isinstance(planner.target, Elsewhere):
        return {}
    async with planner.store.read() as connection:
        await check_fence(connection, planner.lease)
    return {kind: await planner.target.rename_there(kind, names) for kind, names in planner.awaiting.items()}


async def _claims(
    connection: AsyncConnection, integration_id: int, kind: Kind, capabilities: KindCapabilities, proven: Set[int]
) -> tuple[list[Claim], dict[str, str]]:
    """The claims to former ids, and those who have become others whom we know already (former id: that one)."""
    mapping, strong = mappings[kind].name, capabilities.strong_ids
    streams = encode(sorted(proven)).decode()
    found: dict[tuple[str, str], Claim] = {}
    merged: dict[str, str] = {}
    for name in capabilities.former_ids:
        path = f'$.ids."{name}"'
        values = (path, integration_id, kind, path)
        if not (await fetch(connection, _ANY.format(mapping=mapping), values))[0][0]:
            continue  # as a rule
        after = ""
        while last := (await fetch(connection, _PORTION, (integration_id, kind, after)))[0][0]:
            rows = await fetch(connection, _ALL.format(mapping=mapping), (*[streams] * 3, *values, after, last))
            for new, former, mapped, here, unread, unsure, ids, theirs, own in rows:
                claim = Claim(
                    new,
                    former,
                    "here" if here else "unknown" if unread else "gone",
                    certain=not unsure,
                    contradicted=_same(ids, theirs, strong) is False,
                    usurps=bool(mapped) and _same(ids, own, strong) is not True,
                )
                if mapped and not claim.usurps:
                    if claim.fate == "gone" and claim.certain:
                        merged[former] = new
                    continue  # who he is, is known
                if (new, former) not in found or found[new, former].contradicted:
                    found[new, former] = claim
            after = last
    return list(found.values()), merged


def _same(ids: str | None, others: str | None, names: Collection[str]) -> bool | None:
    """Whether two are one by the ids that belong to one only: one that agrees settles it. None where there are none."""
    mine, theirs = (decode(told) if told else {} for told in (ids, others))
    shared = [name for name in names if mine.get(name) and theirs.get(name)]
    return any(_listed(mine[name]) & _listed(theirs[name]) for name in shared) if shared else None


def _listed(value: str | Sequence[str]) -> set[str]:
    return {value} if isinstance(value, str) else set(value)


async def _rename(
    connection: AsyncConnection, target: RosterTarget, integration_id: int, kind: Kind, names: Mapping[str, str]
) -> Collection[str]:
    """Move everything that goes by the former ids. Returns those that the target cannot rename."""
    refused = await target.rename(connection, kind, names) if isinstance(target, Renaming) else list(names)
    names = {former: new for former, new in names.items() if former not in refused}
    ours, here, of_kind = (integration_id,), "integration_id = ?", (integration_id, kind)
    async with renaming(connection, names):
        await rename_ids(connection, mappings[kind].name, ours, where=here)
        for table in ("sis_rejection", "sis_identifier", "sis_conflict", "sis_pin"):
            await rename_ids(connection, table, of_kind, where=f"{here} AND kind = ?")
        of_owner = {"where": f"{here} AND owner_kind = ?", "column": "owner_id"}
        await rename_ids(connection, "sis_rejection", of_kind, **of_owner)
        await rename_ids(connection, "sis_quarantine", of_kind, where=f"{here} AND kind = ? AND stream_id = 0", column="key")
        for statement in (_KNOWN_AS, _LOOK_AT_THE_NEW):
            await connection.exec_driver_sql(statement, of_kind)
        await connection.exec_driver_sql(_FORGET_THE_FORMER, of_kind)
        for by in referring_to(kind):
            mapping = mappings[by.kind].name
            if by.field == "school":
                await rename_ids(connection, mapping, ours, where=here, column="school")
            for column in ("base_sis", "base_local"):
                await rename_in_documents(connection, mapping, ours, where=here, column=column, by=by)
            staged = {"where": f"{here} AND kind = ?", "column": "document"}
            await rename_in_documents(connection, "sis_staged", (integration_id, by.kind), by=by, **staged)
    return refused
