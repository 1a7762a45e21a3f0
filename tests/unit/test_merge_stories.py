"""What holds of the merge whatever happens: a field's history of changes, syncs and answers, told at random."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sis_connect.roster.conflict import STRATEGIES, Clocks, Filed, Policy, Said
from sis_connect.roster.merge import Merged, merge_fields
from sis_connect.settings import FieldPolicy, Owner

FIELDS = ("given_name", "school", "grade")
MORNING = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Timing:
    """What both sides tell of when they changed: nothing, the record's time, reliable or not, and the time of each field here."""

    told: bool = False
    reliable: bool = False
    by_field: bool = False


@dataclass
class World:
    """Both sides, what was agreed on, and the questions: what a sync keeps of one record."""

    policy: Policy
    timing: Timing = field(default_factory=Timing)
    sis: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(FIELDS, "a"))
    local: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(FIELDS, "a"))
    base_sis: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(FIELDS, "a"))
    base_local: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(FIELDS, "a"))
    filed: dict[str, Filed] = field(default_factory=dict)
    now: datetime = MORNING
    agreed_at: datetime = MORNING
    sis_at: dict[str, datetime] = field(default_factory=lambda: dict.fromkeys(FIELDS, MORNING))
    local_at: dict[str, datetime] = field(default_factory=dict)

    def change(self, side: str, name: str, value: Any) -> None:
        """One side changes a field; what is not different is no change."""
        values, times = (self.sis, self.sis_at) if side == "sis" else (self.local, self.local_at)
        if values[name] != value:
            self.now += timedelta(minutes=1)
            values[name], times[name] = value, self.now

    @property
    def clocks(self) -> Clocks:
        """As far as both sides tell. Of the app's edits, at least the last one's time is known, unless nothing is."""
        return Clocks(
            sis=max(self.sis_at.values()) if self.timing.told else None,
            sis_reliable=self.timing.reliable,
            base=self.agreed_at,
            local=max(self.local_at.values(), default=None) if self.timing.told else None,
            local_exact=False,
        )

    def sync(self, *, order: tuple[str, ...] = FIELDS, delivered: frozenset[str] = frozenset(FIELDS)) -> Merged:
        """Merge, and carry out what comes of it as the writer does."""
        self.now += timedelta(minutes=1)
        merged = merge_fields(
            "students",
            sis={name: self.sis[name] for name in order if name in delivered},
            local=self.local,
            base_sis=self.base_sis,
            base_local=self.base_local,
            policy=self.policy,
            clocks=self.clocks,
            edits=self.local_at if self.timing.told and self.timing.by_field else None,
            said=Said(filed=self.filed),
        )
        self.local |= merged.writes
        self.base_sis |= {name: self.sis[name] for name in delivered if name not in merged.undecided}
        agreed = {name: self.local[name] for name in delivered if self.local[name] == self.sis[name]}
        self.base_local |= agreed | merged.writes
        for name in merged.closes:
            del self.filed[name]
        for conflict in merged.conflicts:
            if conflict.decided == "ask":
                before = self.filed.get(conflict.field)
                at = before.filed_at if before is not None and not conflict.anew else self.now
                self.filed[conflict.field] = filed(conflict.sis, conflict.local, at=at)
        self.agreed_at = self.now
        return merged

    def answer(self, name: str, take: str) -> None:
        """A person decides an open question."""
        if name in self.filed and self.filed[name].state == "open":
            known = self.filed[name]
            self.filed[name] = filed(known.sis, known.local, take, known.filed_at)


def filed(sis: Any, local: Any, decision: str | None = None, at: datetime | None = None) -> Filed:
    state = "decided" if decision else "open"
    return Filed(id="q", state=state, base=None, sis=sis, local=local, decision=decision, value="z", filed_at=at)


names, values = st.sampled_from(FIELDS), st.sampled_from(["a", "b", "c", None])
timings = st.builds(Timing, st.booleans(), st.booleans(), st.booleans())
owners: st.SearchStrategy[Owner] = st.sampled_from(["shared", "sis", "local"])
policies = st.builds(
    Policy,
    st.sampled_from(sorted(STRATEGIES)),
    st.fixed_dictionaries({"students.school": st.builds(FieldPolicy, owner=owners), "students.grade": st.just(FieldPolicy())}),
)
steps = st.one_of(
    st.tuples(st.just("sis"), names, values),
    st.tuples(st.just("local"), names, values),
    st.tuples(st.just("answer"), names, st.sampled_from(["sis", "local", "value"])),
    st.tuples(st.just("sync"), names, st.none()),
)
stories = st.lists(steps, max_size=12)
changes = st.lists(st.tuples(st.sampled_from(["sis", "local"]), st.sampled_from(FIELDS[:2]), st.sampled_from("abc")), max_size=5)


def live(world: World, story: list[tuple[str, str, Any]]) -> World:
    for what, name, value in story:
        if what in ("sis", "local"):
            world.change(what, name, value)
        elif what == "answer":
            world.answer(name, value)
        else:
            world.sync()
    return world


def state(world: World) -> tuple[Any, ...]:
    questions = {name: (it.state, it.sis, it.local) for name, it in world.filed.items() if it.state == "open"}
    return dict(world.local), dict(world.base_sis), dict(world.base_local), questions


@settings(max_examples=60, deadline=None)
@given(policies, timings, stories)
def test_p5_a_second_sync_changes_nothing_and_asks_nothing(
    policy: Policy, timing: Timing, story: list[tuple[str, str, Any]]
) -> None:
    world = live(World(policy, timing), story)
    world.sync()
    before = state(world)
    again = world.sync()
    assert (again.writes, [conflict for conflict in again.conflicts if conflict.anew], state(world)) == ({}, [], before)


@settings(max_examples=60, deadline=None)
@given(policies, timings, stories)
def test_what_is_left_different_is_an_edit_that_the_app_may_keep_or_a_question(
    policy: Policy, timing: Timing, story: list[tuple[str, str, Any]]
) -> None:
    world = live(World(policy, timing), story)
    world.sync()
    for name in FIELDS:
        open_ = name in world.filed and world.filed[name].state == "open"
        owner = policy.of("students", name)[1]
        if owner == "sis":
            assert world.local[name] == world.sis[name]
        if open_:
            assert (world.filed[name].sis, world.filed[name].local) == (world.sis[name], world.local[name])
            assert owner == "shared"
        assert open_ or world.base_sis[name] == world.sis[name]


@settings(max_examples=60, deadline=None)
@given(policies, timings, stories, names, st.sampled_from(["d", None]), st.sampled_from(["sis", "local"]))
def test_a_value_that_only_one_side_changed_is_never_lost(
    policy: Policy, timing: Timing, story: list[tuple[str, str, Any]], name: str, value: Any, side: str
) -> None:
    world = live(World(policy, timing), story)
    world.sync()
    owner = policy.of("students", name)[1]
    alike = world.sis[name] == world.local[name]
    if side == "sis" and owner != "local" and alike:
        world.change("sis", name, value)
    elif side == "local" and owner != "sis" and name not in world.filed:
        world.change("local", name, value)
    else:
        return
    expected = world.sis[name] if side == "sis" else world.local[name]
    assert name not in [conflict.field for conflict in world.sync().conflicts]
    assert world.local[name] == expected


@settings(max_examples=60, deadline=None)
@given(policies, timings, stories, st.permutations(FIELDS))
def test_the_order_of_fields_is_irrelevant(
    policy: Policy, timing: Timing, story: list[tuple[str, str, Any]], order: list[str]
) -> None:
    one, other = live(World(policy, timing), story), live(World(policy, timing), story)
    one.sync()
    other.sync(order=tuple(order))
    assert state(one) == state(other)


@settings(max_examples=60, deadline=None)
@given(policies, timings, stories, stories, st.frozensets(names))
def test_p2_what_is_not_delivered_stays_as_it_is(
    policy: Policy, timing: Timing, story: list[tuple[str, str, Any]], more: list[tuple[str, str, Any]], delivered: frozenset[str]
) -> None:
    world = live(World(policy, timing), story)
    world.sync()
    live(world, more)
    before, questions = state(world), dict(world.filed)
    world.sync(delivered=delivered)
    for name in set(FIELDS) - delivered:
        assert [known[name] for known in state(world)[:3]] == [known[name] for known in before[:3]]
        assert world.filed.get(name) == questions.get(name)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["sis_wins", "local_wins"]), stories, stories)
def test_two_histories_that_end_alike_converge_where_no_person_is_needed(
    strategy: str, story: list[tuple[str, str, Any]], other: list[tuple[str, str, Any]]
) -> None:
    """Once the SIS has said its last and the app has said nothing since, all that was ever synchronised is the same."""
    worlds = [live(World(Policy(strategy)), it) for it in (story, other)]
    for world in worlds:
        world.sync()
        world.local = dict(world.sis)  # the app gives up its edits
        world.sync()
        world.sis = dict.fromkeys(FIELDS, "final")
        world.sync()
    assert state(worlds[0]) == state(worlds[1])
    assert worlds[0].local == dict.fromkeys(FIELDS, "final")


@settings(max_examples=300, deadline=None)
@given(st.booleans(), stories, changes)
def test_where_the_newest_wins_nothing_older_does(
    by_field: bool, story: list[tuple[str, str, Any]], more: list[tuple[str, str, Any]]
) -> None:
    """Whatever was synchronised, asked and answered in between."""
    world = live(World(Policy("newest_wins"), Timing(told=True, reliable=True, by_field=by_field)), story)
    world.sync()
    for conflict in live(world, more).sync().conflicts:
        later = "sis" if world.sis_at[conflict.field] > world.local_at[conflict.field] else "local"
        assert conflict.rule != "newest_wins" or conflict.decided in (later, "ask")
