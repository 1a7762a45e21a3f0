"""The whole table of the merge: what both sides say, against every owner, strategy, pair of clocks, answer and pin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from sis_connect.roster.conflict import STRATEGIES, Clocks, Filed, Policy, Said
from sis_connect.roster.merge import Merged, merge_fields
from sis_connect.settings import FieldPolicy, Owner

NEVER: Any = object()
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)

#: What both last agreed on, S, L: and what comes of it where nobody owns the field. `differ` is a clash.
ROWS = {
    "nothing has changed": ("05", "05", "05", "same"),
    "the SIS has changed": ("05", "06", "05", "take"),
    "the SIS has blanked it": ("05", None, "05", "take"),
    "the SIS has filled it": (None, "06", None, "take"),
    "the app has changed": ("05", "05", "07", "keep"),
    "the app has blanked it": ("05", "05", None, "keep"),
    "both have changed alike": ("05", "06", "06", "same"),
    "both have changed": ("05", "06", "07", "differ"),
    "the SIS has blanked what the app changed": ("05", None, "07", "differ"),
    "the SIS has changed what the app blanked": ("05", "06", None, "differ"),
    "first contact, both have it": (NEVER, "06", "07", "differ"),
    "first contact, alike": (NEVER, "06", "06", "same"),
    "first contact, only the SIS has it": (NEVER, "06", None, "take"),
    "first contact, only the app has it": (NEVER, None, "07", "keep"),
}
#: When both sides last agreed, when the SIS changed the record, when the app edited, whether this very field; and who was later.
CLOCKS = {
    "none": (Clocks(), "ask"),
    "the SIS tells no time": (Clocks(sis_reliable=True, base=NOON, local=NOON), "ask"),
    "the time of the SIS always moves": (Clocks(sis=NOON + HOUR, base=NOON, local=NOON), "ask"),
    "the app tells no time": (Clocks(sis=NOON, sis_reliable=True, base=NOON), "ask"),
    "edited before both agreed": (Clocks(sis=NOON + HOUR, sis_reliable=True, base=NOON, local=NOON), "sis"),
    "edited after the record changed": (Clocks(sis=NOON, sis_reliable=True, base=NOON - HOUR, local=NOON + HOUR), "local"),
    "some field was": (Clocks(sis=NOON, sis_reliable=True, base=NOON - HOUR, local=NOON + HOUR, local_exact=False), "ask"),
    "edited in between": (Clocks(sis=NOON + HOUR, sis_reliable=True, base=NOON - HOUR, local=NOON), "ask"),
}
SETTLED = {"sis_wins": "sis", "local_wins": "local", "manual": "ask"}
#: What a person has said about these two values, or about others.
ANSWERS = (None, "open", "sis", "local", "value", "about other values")


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    row: str
    owner: Owner
    strategy: str
    clocks: str
    answer: str | None
    pinned: bool

    def merge(self) -> Merged:
        base, s, mine, _ = ROWS[self.row]
        known = None if base is NEVER else {"grade": base}
        state = "open" if self.answer == "open" else "decided"
        filed = Filed(
            id="q", state=state, base=None, sis="11" if self.answer == "about other values" else s, local=mine,
            decision=self.answer if self.answer in ("sis", "local", "value") else "sis", value="09", filed_at=NOON,
        )  # fmt: skip
        return merge_fields(
            "students",
            sis={"grade": s},
            local={"grade": mine},
            base_sis=known,
            base_local=known,
            policy=Policy(self.strategy, {"students.grade": FieldPolicy(owner=self.owner)}),
            clocks=CLOCKS[self.clocks][0],
            said=Said(filed={"grade": filed} if self.answer else {}, pinned=frozenset(["grade"]) if self.pinned else frozenset()),
        )

    def expected(self) -> tuple[Any, bool, str]:
        """What the app has afterwards, whether that was decided for good, and how a clash was settled."""
        _, s, mine, comes_to = ROWS[self.row]
        if comes_to == "same":
            return mine, True, ""
        if self.pinned:
            return mine, False, ""
        if self.owner != "shared":
            return (s if self.owner == "sis" else mine), True, ""
        if comes_to != "differ":
            return (s if comes_to == "take" else mine), True, ""
        if self.answer in ("sis", "local", "value"):
            return {"sis": s, "local": mine, "value": "09"}[self.answer], True, self.answer
        newest = CLOCKS[self.clocks][1]
        if self.answer == "open" and newest == "sis":
            newest = "ask"  # since then, nothing was agreed on
        side = SETTLED.get(self.strategy, newest)
        return (s if side == "sis" else mine), side != "ask", side


def lines() -> Iterator[Line]:
    owners: tuple[Owner, ...] = ("shared", "sis", "local")
    for cells in product(ROWS, owners, STRATEGIES, CLOCKS, ANSWERS, (False, True)):
        yield Line(*cells)


def test_every_line_of_the_table_comes_out_as_it_says() -> None:
    for line in lines():
        merged, (_, _, mine, _) = line.merge(), ROWS[line.row]
        stands, decided, side = line.expected()
        assert merged.writes.get("grade", mine) == stands, line
        assert ("grade" not in merged.undecided) is decided, line
        assert [conflict.decided for conflict in merged.conflicts] == ([side] if side else []), line


def test_p5_no_line_writes_what_stands_there_already() -> None:
    for line in lines():
        _, _, mine, _ = ROWS[line.row]
        assert line.merge().writes.get("grade", NEVER) != mine, line


def test_an_open_question_is_closed_by_every_line_that_does_not_ask_it_again() -> None:
    for line in lines():
        if line.answer == "open":
            merged = line.merge()
            asked = [conflict for conflict in merged.conflicts if conflict.decided == "ask"]
            assert (merged.closes == {"grade"}) is not bool(asked), line
            assert not [conflict for conflict in asked if conflict.anew], line
