"""A year of random district life: whatever happens, after each sync the roster is what the documented rules make of it.

Hypothesis tells the stories; each seed is a test of its own, so that `-k seed007` tells its story again. The suite tells 20 of
them, `nox -s long` 500.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from model.model_desk import Faults, ModelDesk, open_model
from model.states import ORDER

SEEDS = int(os.environ.get("MODEL_SEEDS", "20"))
STEPS = int(os.environ.get("MODEL_STEPS", "6"))
#: What chance is made of. Hypothesis begins each run with the simplest story that there is: in it nothing happens.
chances = st.integers(0, 2**32)
hours = st.sampled_from((1, 5, 14, 24, 24, 50))
lists = st.sampled_from(("schools", "staff", "students", "students school=A", "school_enrollments", "sections", "enrollments"))
told: list[ModelDesk] = []


class DistrictLife(RuleBasedStateMachine):
    """One district: its life, its app, its office, and what goes wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.opened = AsyncExitStack()
        self.folder = tempfile.TemporaryDirectory()
        self.desk: ModelDesk | None = None

    @property
    def model(self) -> ModelDesk:
        assert self.desk is not None
        return self.desk

    @initialize(
        pupils=st.sampled_from((0, 8, 30, 40)),
        leaving=st.sampled_from(("absence", "status", "tobedeleted")),
        grace=st.sampled_from((0, 12)),
        by_school=st.booleans(),
    )
    def begin(self, pupils: int, leaving: str, grace: float, by_school: bool) -> None:
        if pupils:
            model = open_model(Path(self.folder.name), pupils=pupils, leaving=leaving, grace=grace, by_school=by_school)
            self.desk = self.runner.run(self.opened.enter_async_context(model))
            told.append(self.desk)

    @rule()
    @precondition(lambda self: self.desk is None)
    def nothing_happens(self) -> None:
        """In the simplest story."""

    @rule(hours=hours, events=st.integers(0, 6), chance=chances)
    @precondition(lambda self: self.desk is not None)
    def a_night(self, hours: float, events: int, chance: int) -> None:
        """Something happens, and all is read."""
        self._live(hours, events, chance)
        self.runner.run(self.model.sync())

    @rule(hours=hours, events=st.integers(0, 4), chance=chances)
    @precondition(lambda self: self.desk is not None)
    def a_night_after_edits(self, hours: float, events: int, chance: int) -> None:
        """People work in the app, too."""
        self.runner.run(self.model.edit(chance))
        self._live(hours, events, chance)
        self.runner.run(self.model.sync())

    @rule(hours=hours, events=st.integers(0, 4), chance=chances)
    @precondition(lambda self: self.desk is not None)
    def a_new_policy(self, hours: float, events: int, chance: int) -> None:
        """Other strategies and owners are in force."""
        self.model.decree(chance)
        self.runner.run(self.model.edit(chance))
        self._live(hours, events, chance)
        self.runner.run(self.model.sync())

    @rule(
        hours=hours, events=st.integers(0, 4), chance=chances, breaks=st.dictionaries(lists, st.integers(0, 2), max_size=2),
        unproven=st.sets(lists, max_size=3), empty=st.sets(lists, max_size=1),
    )  # fmt: skip
    @precondition(lambda self: self.desk is not None)
    def a_bad_night(
        self, hours: float, events: int, chance: int, breaks: dict[str, int], unproven: set[str], empty: set[str]
    ) -> None:
        """Lists break off, come without proof, or come empty."""
        self._live(hours, events, chance)
        self.runner.run(self.model.sync(Faults(breaks, unproven, empty)))

    @rule(
        hours=hours, events=st.integers(0, 4), chance=chances, minutes=st.sampled_from((1, 11)),
        pages=st.one_of(st.none(), st.integers(1, 24)), writes=st.integers(1, 36),
    )  # fmt: skip
    @precondition(lambda self: self.desk is not None)
    def a_crash(self, hours: float, events: int, chance: int, minutes: float, pages: int | None, writes: int) -> None:
        """The process is killed at some page or after some transaction, and started again."""
        self._live(hours, events, chance)
        self.runner.run(self.model.killed(pages, None if pages else writes, minutes))

    @rule(hours=hours, events=st.integers(0, 4), chance=chances, kinds=st.sets(st.sampled_from(ORDER), min_size=1, max_size=3))
    @precondition(lambda self: self.desk is not None)
    def only_some_kinds(self, hours: float, events: int, chance: int, kinds: set[Any]) -> None:
        self._live(hours, events, chance)
        self.runner.run(self.model.sync(kinds=tuple(kind for kind in ORDER if kind in kinds)))

    @rule(hours=hours, events=st.integers(0, 4), chance=chances, school=st.sampled_from("AB"))
    @precondition(lambda self: self.desk is not None)
    def only_one_school(self, hours: float, events: int, chance: int, school: str) -> None:
        self._live(hours, events, chance)
        self.runner.run(self.model.sync(school=school))

    @rule(hours=hours, events=st.integers(0, 4), chance=chances)
    @precondition(lambda self: self.desk is not None and not self.desk.life.by_school)
    def only_one_student(self, hours: float, events: int, chance: int) -> None:
        self._live(hours, events, chance)
        self.runner.run(self.model.sync(student=self.model.somebody(chance)))

    @rule(chance=chances, approve=st.booleans())
    @precondition(lambda self: self.desk is not None and self.desk.office.open)
    def a_decision_about_a_hold(self, chance: int, approve: bool) -> None:
        self.runner.run(self.model.decide_hold(chance, approve=approve))

    @rule(chance=chances)
    @precondition(lambda self: self.desk is not None and self.desk.reference.asked)
    def an_answer(self, chance: int) -> None:
        """A person answers a question, which may have moved on since."""
        self.runner.run(self.model.answer(chance))

    @rule(chance=chances)
    @precondition(lambda self: self.desk is not None)
    def a_pin(self, chance: int) -> None:
        """Somebody holds on to a record or a field of it, or lets go."""
        self.runner.run(self.model.pin(chance))

    @rule(chance=chances, leaves=st.booleans())
    @precondition(lambda self: self.desk is not None)
    def a_withdrawal(self, chance: int, leaves: bool) -> None:
        """Somebody is withdrawn by hand, and perhaps leaves the SIS as well, to come back later."""
        self.runner.run(self.model.withdraw(chance))
        pupil = self.model.life.pupils[self.model.anybody(chance)]
        for listed in (False, False, True) if leaves else ():
            pupil.listed = listed
            self._live(24, 0, chance)
            self.runner.run(self.model.sync())

    @rule(chance=chances, edited=st.booleans())
    @precondition(lambda self: self.desk is not None and self.desk.operation)
    def an_undo(self, chance: int, edited: bool) -> None:
        """The last sync is taken back, as far as nobody has worked on it since."""
        if edited:
            self.runner.run(self.model.edit(chance))
        self.runner.run(self.model.undo())

    def _live(self, hours: float, events: int, chance: int) -> None:
        self.model.wait(hours)
        self.model.live(events, chance)

    def teardown(self) -> None:
        self.runner.run(self.opened.aclose())
        self.runner.close()
        self.folder.cleanup()


@pytest.mark.parametrize("number", range(SEEDS), ids=lambda number: f"seed{number:03}")
def test_after_each_sync_the_roster_is_what_the_rules_make_of_it(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    told.clear()
    story = settings(
        max_examples=2, stateful_step_count=STEPS, deadline=None, database=None, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck), verbosity=Verbosity.quiet, print_blob=False, report_multiple_bugs=False,
    )  # fmt: skip
    run_state_machine_as_test(seed(number)(DistrictLife), settings=story)
    with capsys.disabled():
        syncs, happened = sum(model.syncs for model in told), sum(len(model.story) for model in told)
        print(f" seed {number}: {happened} things happened, {syncs} syncs agreed;", end="")
