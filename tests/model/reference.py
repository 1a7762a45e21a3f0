"""What the roster should be: the documented rules, replayed as naively as possible, in memory and over everything each time.

Written from `docs/how-a-sync-decides.md`, not from the engine: no candidates, no fingerprints, no plans in a database. What the
engine does cleverly has to come out as it does here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from model.states import (
    NEVER,
    ORDER,
    OVER,
    Change,
    Key,
    Known,
    Rules,
    Seen,
    Told,
    Values,
    as_of,
    flat,
    is_identity,
    told,
    united,
)
from sis_connect.capabilities import Kind


@dataclass
class Reference:
    """A district's roster by the rules. `rows` is what each list said last, `local` the app's rows, `version` counts writes.

    `asked` are the questions that wait for a person, `answers` what people have said about two values.
    """

    rules: Rules = field(default_factory=Rules)
    rows: dict[str, dict[str, Told]] = field(default_factory=dict)
    bad: dict[str, set[str]] = field(default_factory=dict)
    local: dict[Key, Values] = field(default_factory=dict)
    version: dict[Key, int] = field(default_factory=dict)
    known: dict[Key, Known] = field(default_factory=dict)
    asked: dict[tuple[Kind, str, str], tuple[Any, Any]] = field(default_factory=dict)
    answers: dict[tuple[Kind, str, str], tuple[Any, Any, str, Any]] = field(default_factory=dict)
    pins: dict[tuple[Kind, str, str], date | None] = field(default_factory=dict)
    today: date = date.min

    # -- what the SIS says ---------------------------------------------------------------------------------------------

    def read(self, name: str, rows: Collection[Mapping[str, Any]], now: datetime, *, complete: bool, alone: bool = False) -> None:
        """One list was read. Who did not come is missing only where it was read to a proved end (promise P1).

        One student `alone` brings the latest word on the list's row; what waits of the list waits for the list.
        """
        known, bad = self.rows.setdefault(name, {}), {str(row["key"]) for row in rows if "bad" in row}
        waiting = self.bad.setdefault(name, set())
        for row in rows:
            if "bad" not in row:
                known[row["key"]] = Told({kind: flat(row[kind]) for kind in ORDER if kind in row})
        came = {str(row["key"]) for row in rows}
        for key, one in known.items():
            if key in came:
                one.missing, one.since = 0, None
            elif complete:
                one.missing, one.since = one.missing + 1, one.since or now
        if not alone:
            self.bad[name] = bad if complete else (waiting - (came - bad)) | bad

    def seen(self, kind: Kind, sis_id: str, today: date) -> Seen | None:
        """All that the lists say of a record now."""
        rows = [
            (name, row) for name, rows in self.rows.items() for row in rows.values()
            if kind in row.records and row.records[kind]["sis_id"] == sis_id
        ]  # fmt: skip
        lists = frozenset(name for name, _ in rows)
        said = "|".join(sorted(f"{sorted(row.records[kind].items())}{row.missing > 0}" for _, row in rows))
        if here := [row for _, row in rows if not row.missing]:
            return Seen(as_of(kind, united([row.records[kind] for row in here]), today), 0, None, lists, said)
        if rows:
            since = max(row.since for _, row in rows if row.since)
            document = as_of(kind, united([row.records[kind] for _, row in rows]), today)
            return Seen(document, min(row.missing for _, row in rows), since, lists, said)
        if (kind, sis_id) in self.known:
            return Seen(dict(self.known[kind, sis_id].sis), ended="no_longer_stated")
        return None

    def names(self, kind: Kind) -> list[str]:
        said = {row.records[kind]["sis_id"] for rows in self.rows.values() for row in rows.values() if kind in row.records}
        return sorted(said | {sis_id for owner, sis_id in self.known if owner == kind})

    # -- deciding ------------------------------------------------------------------------------------------------------

    def decide(self, kind: Kind, sis_id: str, seen: Seen, now: datetime) -> Change | None:
        """What to do about a record: nothing, or a change. Who is pinned is not withdrawn."""
        change = self._decide(kind, sis_id, seen, now)
        if change is not None and change.action == "withdraw" and self.pinned((kind, sis_id)):
            known = self.known[kind, sis_id]
            return Change("unchanged", known.status, known.sis, idle=True)
        return change

    def pinned(self, key: Key, name: str = "") -> bool:
        """Whether somebody holds on to a record, or to a field of it, today."""
        if (*key, name) not in self.pins:
            return False
        until = self.pins[*key, name]
        return until is None or self.today < until

    def _decide(self, kind: Kind, sis_id: str, seen: Seen, now: datetime) -> Change | None:
        key = kind, sis_id
        known, mine = self.known.get(key), self.local.get(key)
        if known is None:
            if seen.missing or seen.ended or seen.document["status"] == "inactive":
                return None
            return Change("create", seen.document["status"], seen.document)
        if known.status == "deleted":
            gone = seen.missing or seen.ended
            return self._final(known, "deleted", known.sis if gone else {**known.sis, **seen.document})
        if seen.missing or seen.ended:
            return self._gone(key, seen, known, mine, now)
        if mine is None:
            return self._deleted(key, seen, known)
        told_now = {name: None for name in ("exit_date", "end_date") if known.sis.get("exit_inferred") and name in known.sis}
        return self._merged(key, told_now | seen.document, known, mine, ended=seen.document["status_reason"] == "ended")

    def _gone(self, key: Key, seen: Seen, known: Known, mine: Values | None, now: datetime) -> Change | None:
        proved = not self.rules.grace or (seen.missing >= 2 and now - (seen.since or now) >= self.rules.grace)
        if known.status == "inactive":
            return self._gone_before(seen, known, mine or {}, proved)
        flags, reason = {"absent"}, seen.ended or "absence"
        if key[0] == "students" and not seen.ended and self.rules.leaving != "absence":
            flags.add("anomaly")
        elif not seen.ended and not proved:
            return None
        left = {"status": "inactive", "status_reason": reason}
        if mine is None:
            return self._final(known, "inactive", {**known.sis, **left})
        change = self._merged(key, left, known, mine)
        if change.action == "withdraw":
            change.flags |= flags
        return change

    def _gone_before(self, seen: Seen, known: Known, mine: Values, proved: bool) -> Change | None:
        """Who was withdrawn by a person, and is gone from the SIS as well, comes back when the SIS tells of him again."""
        if known.sis.get("status") == "inactive" or seen.ended not in ("", "no_longer_stated") or not (seen.ended or proved):
            return None
        document = {**known.sis, "status": "inactive", "status_reason": "absence"}
        for name in ("exit_date", "end_date"):
            if (ends := known.local.get(name)) and ends == mine.get(name) != known.sis.get(name):
                document |= {name: ends, "exit_inferred": True}
        return Change("unchanged", "inactive", document)

    def _deleted(self, key: Key, seen: Seen, known: Known) -> Change:
        """A row that somebody deleted is not silently made again."""
        document = {**known.sis, **seen.document}
        if document["status"] == "inactive":
            return self._final(known, "inactive", document)
        strategy, owner = self.rules.of(key[0], "*")
        if decided := self.answered(key, "*", document["status"], None):
            strategy, owner = {"sis": "sis_wins", "local": "local_wins"}[decided[0]], "shared"
        if owner == "sis" or (owner == "shared" and strategy == "sis_wins"):
            return Change("create", document["status"], document, settled={"*", *document})
        if owner == "local" or strategy == "local_wins":
            return self._final(known, "deleted", document)
        return Change(
            "conflict", known.status, known.sis, asked={"*": (document["status"], None)}, settled=set(document), idle=True
        )

    def _final(self, known: Known, status: str, document: Values) -> Change:
        """Nothing is left to write, or to ask."""
        return self._moved(known, Change("unchanged", status, document, settled={"*", *document}))

    def _merged(self, key: Key, sis: Values, known: Known, mine: Values, *, ended: bool = False) -> Change:
        """The table of the three-way merge, field by field."""
        change = Change("unchanged", known.status, {**known.sis, **sis}, settled={"*", *sis})
        open_still: set[str] = set()
        for name, s in sis.items():
            here, base = mine.get(name), known.sis.get(name, NEVER)
            s_changed, l_changed = s != base, here != known.local.get(name)
            strategy, owner = self.rules.of(key[0], name)
            if s == here or not (s_changed or l_changed):
                continue
            if self.pinned(key, name):
                open_still.add(name)
            elif owner == "sis" or (owner == "shared" and s_changed and not l_changed):
                change.writes[name] = s
            elif owner == "shared" and s_changed:
                if base is NEVER and (s is None or here is None):
                    change.writes |= {name: s} if here is None else {}
                elif decided := self.answered(key, name, s, here):
                    right = {"sis": s, "local": here, "value": decided[1]}[decided[0]]
                    change.writes |= {name: right} if right != here else {}
                elif strategy == "sis_wins":
                    change.writes[name] = s
                elif strategy != "local_wins":
                    change.asked[name] = s, here
                    open_still.add(name)
        self._let_reason_follow(key, change, sis, known, mine)
        change.sis = {name: value for name, value in change.sis.items() if name not in open_still}
        change.sis |= {name: known.sis[name] for name in open_still if name in known.sis}
        return self._moved(known, self.named(change, mine, ended=ended))

    def _let_reason_follow(self, key: Key, change: Change, sis: Values, known: Known, mine: Values) -> None:
        """A reason belongs to its status: what we wrote with the former one goes with it."""
        if "status" not in change.writes:
            if sis.get("status") != mine.get("status"):
                change.writes.pop("status_reason", None)
            return
        here = mine.get("status_reason")
        ours = here == known.local.get("status_reason") and not self.pinned(key, "status_reason")
        if ours and "status_reason" in sis and self.rules.of(key[0], "status_reason")[1] != "local":
            change.writes |= {"status_reason": sis["status_reason"]} if sis["status_reason"] != here else {}

    def named(self, change: Change, mine: Values, *, ended: bool = False) -> Change:
        """What a change is called, and what guards look at."""
        before, after = mine.get("status", "active"), change.writes.get("status", mine.get("status", "active"))
        change.status = str(after)
        if change.writes:
            change.action = "update"
        if before != "inactive" and after == "inactive":
            change.action, change.flags = "withdraw", set() if ended else {"removal"}
        elif before == "inactive" and after != "inactive":
            change.action = "reenroll"
        elif change.asked and not change.writes:
            change.action = "conflict"
        change.flags |= {"identity"} if any(is_identity(name) and mine.get(name) for name in change.writes) else set()
        blank = [name for name, value in told(mine).items() if name in change.writes and not told({name: change.writes[name]})]
        change.flags |= {f"blank:{name}" for name in blank if name != "status_reason"}
        return change

    def _moved(self, known: Known, change: Change) -> Change:
        change.idle = change.action in ("unchanged", "conflict") and change.status == known.status and change.sis == known.sis
        return change

    def ask(self, key: Key, change: Change) -> None:
        """What only a person can decide is asked; what is no question any more closes by itself."""
        for kind, sis_id, name in [asked for asked in self.asked if asked[:2] == key and asked[2] in change.settled]:
            del self.asked[kind, sis_id, name]
        self.asked |= {(*key, name): values for name, values in change.asked.items()}

    # -- what follows --------------------------------------------------------------------------------------------------

    def write(self, key: Key, change: Change) -> None:
        """Apply one change. What both sides agree on counts as written, too: a later difference is somebody's edit."""
        if change.action == "create":
            self.known[key] = Known(change.status, dict(change.sis), dict(change.sis))
            self.local[key], self.version[key] = dict(change.sis), self.version.get(key, 0) + 1
            return
        known = self.known[key]
        mine = self.local.get(key, {})
        agreed = {name: s for name, s in change.sis.items() if mine.get(name) == s and name not in change.asked}
        base_local = {**known.local, **agreed, **change.writes}
        self.known[key] = Known(change.status, dict(change.sis), base_local)
        if change.writes:
            self.local[key] = {**mine, **change.writes}
            self.version[key] += 1

    def overwrite(self, key: Key, writes: Values) -> None:
        """A person has decided what the app is to have. That is our write, and not the SIS's word."""
        known = self.known[key]
        self.known[key] = Known(writes.get("status", known.status), known.sis, {**known.local, **writes})
        self.local[key] = {**self.local[key], **writes}
        self.version[key] += 1

    def stands(self, key: Key, name: str) -> bool:
        """Whether both sides still say what a question is about."""
        seen, mine, values = self.seen(*key, self.today), self.local.get(key), self.asked[*key, name]
        if seen is None or (name == "*") is not (mine is None):
            return False
        if mine is None:
            return name == "*" and (seen.document["status"], None) == values
        return (seen.document.get(name), mine.get(name)) == values

    def answered(self, key: Key, name: str, s: Any, mine: Any) -> tuple[str, Any] | None:
        """What a person has decided about these two values."""
        known = self.answers.get((*key, name))
        return known[2:] if known is not None and known[:2] == (s, mine) and (*key, name) not in self.asked else None

    def answer(self, key: Key, name: str, take: str, value: Any) -> None:
        """A person answers a question: what the SIS says is decided on, and what is taken is written."""
        s, mine = self.asked.pop((*key, name))
        self.answers[*key, name] = s, mine, take, value
        known, seen = self.known[key], self.seen(*key, self.today)
        if name == "*" and seen is not None:
            document = {**known.sis, **seen.document}
            made = Change("create", document["status"], document)
            self.write(key, made if take == "sis" else Change("unchanged", "deleted", document))
            return
        known.sis = {**known.sis, name: s}
        right = {"sis": s, "local": mine, "value": value}[take]
        if right != mine:
            self.overwrite(key, {name: right})

    def edit(self, key: Key, name: str, value: Any) -> None:
        """Somebody changes the app's row."""
        if self.local[key].get(name) != value:
            self.local[key][name] = value
            self.version[key] += 1

    def delete(self, key: Key) -> None:
        """Somebody deletes the app's row."""
        del self.local[key]
        self.version[key] += 1

    def witness(self, key: Key) -> str:
        """What a plan was made on: it is applied only as long as this is the same."""
        seen, known = self.seen(*key, date.min), self.known.get(key)
        return f"{seen and seen.said} {key in self.local and self.version[key]} {known}"

    def active(self, kind: Kind) -> Iterator[tuple[str, Known]]:
        """Who counts as a member of the roster."""
        return ((sis_id, known) for (owner, sis_id), known in self.known.items() if owner == kind and known.status not in OVER)
