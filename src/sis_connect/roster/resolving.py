"""Carrying out what a person has decided about fields that changed on both sides.

An answer is remembered before anything is planned, and the merge heeds it: a run that is killed in between, or held by a guard,
is finished by the next sync.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from sis_connect.capabilities import KINDS, Kind
from sis_connect.errors import ConflictError
from sis_connect.roster.answers import Answer, Answered, plan_answer, remember
from sis_connect.roster.cases import Case, load
from sis_connect.roster.conflict import Filed, Said
from sis_connect.roster.documents import flatten
from sis_connect.roster.merge import WHOLE, Decision, answered, delivered, given_back
from sis_connect.roster.plan import Planner
from sis_connect.roster.questions import IDENTITY, Conflict, load_questions
from sis_connect.roster.report import SyncReport
from sis_connect.roster.sync import Proposal, Synchroniser
from sis_connect.store.lease import check_fence

__all__ = ["MOVED_ON", "Answer", "give_back", "resolve"]

#: How many records are decided about together.
BATCH = 1000
MOVED_ON = "The SIS or the app has changed its mind since this question was asked."


async def resolve(
    run: Synchroniser, questions: Sequence[Conflict], answer: Answer, *, actor: str, preview: bool = False
) -> SyncReport:
    """Decide about open questions and carry that out. One that has moved on since is left out; where it is the only one, that
    is an error. With `preview` it is only planned."""

    async def propose(planner: Planner) -> Proposal:
        moved: dict[Kind, Counter[str]] = defaultdict(Counter)
        pinned = 0
        for kind, portion in _portions(questions):
            answering = Answering(planner, kind, answer, actor, run.integration, preview)
            left_out = await answering.carry_out(portion)
            pinned += answering.pinned
            if left_out and len(questions) == 1:
                raise ConflictError(MOVED_ON, remedy="Sync, and look at `sis-connect conflicts` again.", retryable=False)
            if left_out:
                moved[kind]["conflict"] += left_out
        return Proposal(skipped=moved, warnings=[_waits_for_pins(pinned)] if pinned else ())

    only = _records([question for question in questions if question.field == IDENTITY])
    return await run.carry_out("plan" if preview else "resolve", actor, propose, only=only or None, only_plan=preview)


def _portions(questions: Sequence[Conflict]) -> Iterator[tuple[Kind, Sequence[Conflict]]]:
    """The questions by kind, those of one record together, some records at a time."""
    for kind in KINDS:
        theirs = sorted((question for question in questions if question.kind == kind), key=lambda question: question.sis_id)
        records = [list(group) for _, group in groupby(theirs, key=lambda question: question.sis_id)]
        for start in range(0, len(records), BATCH):
            yield kind, [question for record in records[start : start + BATCH] for question in record]


def _records(questions: Collection[Conflict]) -> dict[Kind, set[str]]:
    found: dict[Kind, set[str]] = defaultdict(set)
    for question in questions:
        found[question.kind].add(question.sis_id)
    return found


def _waits_for_pins(number: int) -> dict[str, Any]:
    what = "record is pinned: the answer about it is" if number == 1 else "records are pinned: the answers about them are"
    return {"warning": "pinned", "message": f"{number} {what} carried out when the pin has ended.", "count": number}


@dataclass(slots=True)
class Answering:
    """Some questions about one kind of records, on the way into a plan. `pinned` of them wait there for the end of a pin."""

    planner: Planner
    kind: Kind
    answer: Answer
    actor: str
    integration: str
    preview: bool
    pinned: int = 0

    async def carry_out(self, questions: Sequence[Conflict]) -> int:
        """Remember the answers and put what they come to into the plan. Returns how many questions have moved on."""
        planner, kind = self.planner, self.kind
        ids = sorted({question.sis_id for question in questions})
        async with planner.store.write() as connection:
            await check_fence(connection, planner.lease)
            cases = await load(
                connection, planner.target, planner.integration_id, kind, ids, planner.today, unasked=planner.unasked[kind]
            )
            filed = await load_questions(connection, planner.integration_id, kind, ids)
            said = {sis_id: self._heard(questions, cases[sis_id], filed.get(sis_id, {})) for sis_id in ids if sis_id in cases}
            names = [(sis_id, name) for sis_id, answers in said.items() for name in answers]
            answered_ids = [said[sis_id][name].id for sis_id, name in names]
            await plan_answer(connection, planner.plan, answered_ids, self.answer)
            if answered_ids and not self.preview:
                by = Answered(integration=self.integration, actor=self.actor, at=planner.clock.now())
                await remember(connection, kind, answered_ids, self.answer, by)
        rules = planner.rules(kind)
        decided: list[tuple[Case, Decision]] = []
        for sis_id, answers in said.items():
            case = cases[sis_id]
            about = answers.keys() - {IDENTITY}
            if about and case.source is not None:
                theirs = Said(filed=answers)
                decided.append((case, answered(kind, case.source, case.local, case.mapped, rules, theirs, about)))
        self.pinned = len(await planner.put(kind, decided))
        if any(IDENTITY in answers for answers in said.values()):
            await planner.decide((kind,))
        return len(questions) - len(names)

    def _heard(self, questions: Sequence[Conflict], case: Case, filed: Mapping[str, Filed]) -> dict[str, Filed]:
        """The questions about a record as they are answered now, without those that were not waiting any more."""
        wanted = {question.id for question in questions if question.sis_id == case.sis_id}
        answers = {"state": "decided", "decision": self.answer.take, "value": self.answer.value}
        return {
            name: replace(known, **answers)
            for name, known in filed.items()
            if known.id in wanted and known.state == "open" and _stands(known, name, case)
        }


def _stands(filed: Filed, name: str, case: Case) -> bool:
    """Whether both sides still say what the question is about."""
    if name == IDENTITY:
        return True
    if case.source is None or (name == WHOLE) is not (case.local is None):
        return False
    if case.local is None:
        return filed.about(case.source.document["status"], None)
    return filed.about(delivered(case.source, case.mapped).get(name), flatten(case.local.document).get(name))


async def give_back(run: Synchroniser, kind: Kind, sis_id: str, fields: Collection[str], *, actor: str) -> SyncReport:
    """Give up what the app edited: fields of a record, or all that it edited, become what the SIS says. That answers what was
    asked about them."""

    async def propose(planner: Planner) -> Proposal:
        async with run.store.read() as connection:
            cases = await load(
                connection, planner.target, planner.integration_id, kind, [sis_id], planner.today, unasked=planner.unasked[kind]
            )
            filed = (await load_questions(connection, planner.integration_id, kind, [sis_id])).get(sis_id, {})
        case = cases[sis_id]
        if case.source is None or case.local is None or case.mapped is None:
            raise ConflictError(
                "This record is not on both sides, so there is nothing to give back.",
                remedy="Sync first; `sis-connect explain` says where it stands.",
                retryable=False,
            )
        decision = given_back(case.source, case.local, case.mapped, fields)
        if await planner.put(kind, [(case, decision)]):
            pinned = {"warning": "pinned", "message": "1 record is pinned, and is not reverted.", "count": 1}
            return Proposal(skipped={kind: {decision.action: 1}}, warnings=[pinned])
        answers = [known.id for name, known in filed.items() if known.state == "open" and name in decision.writes]
        if answers:
            by = Answered(integration=run.integration, actor=actor, at=planner.clock.now())
            async with run.store.write() as connection:
                await check_fence(connection, planner.lease)
                await plan_answer(connection, planner.plan, answers, Answer(take="sis"))
                await remember(connection, kind, answers, Answer(take="sis"), by)
        return Proposal()

    return await run.carry_out("revert", actor, propose)
