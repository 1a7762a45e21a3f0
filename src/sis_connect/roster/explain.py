"""Why a student is on a roster, or is not: the chain from what the SIS said to what was decided, in words for an office."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Capabilities, Kind, Leaving
from sis_connect.errors import ConfigurationError
from sis_connect.guards import in_words
from sis_connect.roster.standing import Standing, find_belonging, find_ids, find_refused_row, find_same_person, standings
from sis_connect.roster.withdrawing import RULE as BY_HAND
from sis_connect.store.target import RosterTarget

#: `on` the roster, `off` it, `unknown`: the SIS never told of the student; `unreadable`: it did, and it could not be read.
Verdict = Literal["on", "off", "unknown", "unreadable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a student is on a roster, or is not: of the district, or with `section`, of that section.

    `asked` is the id that was asked for. `student`, `stays` (at schools) and `enrollments` (in sections) are the records that
    bear on it, each with its chain; `quarantined` is the row that could not be read, where nothing else is known. `sentences`
    say it for a person. `same_person` are the
    ids of staff records of the same person (the same `ids.person`). None of it holds a name or any other field of the student.
    """

    integration: str
    asked: str = field(repr=False)
    verdict: Verdict
    sentences: Sequence[str] = field(repr=False)
    student: Standing | None = None
    stays: Sequence[Standing] = ()
    section: Standing | None = None
    enrollments: Sequence[Standing] = ()
    quarantined: dict[str, Any] | None = field(default=None, repr=False)
    same_person: Sequence[str] = field(default=(), repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "integration": self.integration,
            "asked": self.asked,
            "verdict": self.verdict,
            "sentences": list(self.sentences),
            "student": self.student.as_dict() if self.student else None,
            "stays": [one.as_dict() for one in self.stays],
            "section": self.section.as_dict() if self.section else None,
            "enrollments": [one.as_dict() for one in self.enrollments],
            "quarantined": self.quarantined,
            "same_person": list(self.same_person),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Explainer:
    """Explains where students of one integration stand. `grace` is hours, `today` the school date."""

    integration_id: int
    integration: str
    target: RosterTarget
    capabilities: Capabilities
    grace: float
    today: date

    async def explain(self, connection: AsyncConnection, student: str, section: str | None = None) -> Explanation:
        """Explain about one student, by any of their ids; with `section`, about their place in that section."""
        found = await self._one(connection, "students", student)
        if found is None:
            return await self._nobody(connection, student)
        stays = await find_belonging(connection, self.integration_id, "school_enrollments", student=found)
        records: list[tuple[Kind, str]] = [("students", found), *(("school_enrollments", stay) for stay in stays)]
        at = await self._one(connection, "sections", section) if section is not None else None
        if at is not None:
            places = await find_belonging(connection, self.integration_id, "enrollments", user=found, section=at)
            records += [("sections", at), *(("enrollments", place) for place in places)]
        same = await find_same_person(connection, self.integration_id, found)
        known = await standings(connection, self.target, self.integration_id, records, self.today)
        chain = Chain(
            student=known[0],
            stays=[one for one in known if one.kind == "school_enrollments"],
            section=next((one for one in known if one.kind == "sections"), None),
            enrollments=[one for one in known if one.kind == "enrollments"],
        )
        return Explanation(
            integration=self.integration,
            asked=student,
            verdict=_verdict(chain, section),
            sentences=[*_sentences(chain, section, self), *map(_same_person, same)],
            student=chain.student,
            stays=chain.stays,
            section=chain.section,
            enrollments=chain.enrollments,
            same_person=same,
        )

    async def _one(self, connection: AsyncConnection, kind: Kind, asked: str) -> str | None:
        found = await find_ids(connection, self.integration_id, kind, asked)
        if len(found) > 1:
            # Their ids are pupils' data (promise P7).
            raise ConfigurationError(
                f"{len(found)} {kind} go by this id.",
                remedy=f"Ask for one of them by its id in the SIS: see `sis-connect export NAME {kind}`.",
            )
        return found[0] if found else None

    async def _nobody(self, connection: AsyncConnection, asked: str) -> Explanation:
        row = await find_refused_row(connection, self.integration_id, "students", asked)
        if row is None:
            sentence = (
                f"Nobody goes by {asked}: in all that was read, the SIS has not told of such a student, and there is none on the "
                "roster. Check the number, and whether this connection may read the student's school."
            )
            return Explanation(integration=self.integration, asked=asked, verdict="unknown", sentences=[sentence])
        sentences = [f"The student {asked} is not on the roster.", _waiting(row)]
        return Explanation(integration=self.integration, asked=asked, verdict="unreadable", sentences=sentences, quarantined=row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The records that bear on a student's place."""

    student: Standing
    stays: Sequence[Standing]
    section: Standing | None
    enrollments: Sequence[Standing]


def _verdict(chain: Chain, section: str | None) -> Verdict:
    people = chain.enrollments if section is not None else [chain.student]
    return "on" if any(one.local_status == "active" for one in people) else "off"


# -- sentences ---------------------------------------------------------------------------------------------------------

_NOUNS: dict[Kind, str] = {
    "students": "the student",
    "school_enrollments": "the stay",
    "sections": "the section",
    "enrollments": "the place",
}
_REASONS = {
    "new": "the SIS told of it for the first time",
    "history": "the SIS told of it as over",
    "absence": "the SIS did not deliver it any more",
    "no_longer_stated": "the SIS did not speak of it any more",
    "transfer": "the SIS says that the student went to another school",
    "withdrawal": "the SIS says so",
    "graduation": "the SIS says that the student has graduated",
    "ended": "the last day had come",
    "began": "the first day had come",
    "no_show": "the student never came",
    "re_entry": "the SIS says that this is in force again",
    "correction": "the SIS has corrected something",
    "promotion": "the SIS says that the student is in another grade",
    "section_withdrawn": "the section has ended",
    "school_withdrawn": "the school has ended",
    "rollover": "the school year has ended",
    "undone": "a person has taken back what was done before",
    "merged": "the SIS says that this is the same person as another one",
    "split": "the SIS says that these are two persons, who were one before",
    "resolved": "a person has answered a question about it",
    "reverted": "a person has given up what the app had edited",
    "first_contact": "the app knew of it before the SIS told of it",
    "remapped": "what the SIS says is read in another way than before",
    "role": "the SIS says that the person has another role there",
    "deleted_locally": "the app had deleted it, and the SIS still tells of it",
    "pinned": "a person protects it",
    "deleted": "the SIS has deleted it",
    "inactive": "the SIS says that it is not in force any more",
    "pre_registered": "the SIS says that the student is only registered so far",
}
_DONE = {"create": "put on the roster", "update": "changed", "withdraw": "withdrawn", "reenroll": "put back on the roster"}
_WANTED = {"create": "a new record", "update": "a change", "withdraw": "a withdrawal", "reenroll": "a return"}


def _sentences(chain: Chain, section: str | None, explainer: Explainer) -> Iterator[str]:
    if section is not None:
        yield from _in_section(chain, section, explainer)
    for one in (chain.student, *chain.stays):
        yield from _about(one, explainer)


def _in_section(chain: Chain, section: str, explainer: Explainer) -> Iterator[str]:
    student = chain.student.sis_id
    if chain.section is None:
        yield f"There is no section {section}: the SIS has not told of it, so nobody can be in it."
        return
    there = _verdict(chain, section) == "on"
    yield f"The student {student} is {'' if there else 'not '}in the section {chain.section.sis_id}."
    if not chain.enrollments:
        yield "In all that was read, the SIS has not told that the student is in this section."
    for one in (*([chain.section] if chain.section.local_status != "active" else []), *chain.enrollments):
        yield from _about(one, explainer)


def _about(one: Standing, explainer: Explainer) -> Iterator[str]:
    """The chain of one record: where it stands, what the SIS says, what was decided last, and what it waits for."""
    yield _stands(one)
    yield from _told(one, explainer)
    if one.history:
        yield _happened(one)
    elif one.decided_at is not None:
        yield f"That was decided on {moment(one.decided_at)}; the details are not kept any more."
    if one.due is not None:
        yield f"On {day(one.due)} that changes by itself, since the SIS gave that day."
    yield from _waits_for(one)


def _subject(one: Standing) -> str:
    return _NOUNS[one.kind].capitalize()


def _name(one: Standing) -> str:
    dates = " ".join(f"{word} {day(value)}" for word, value in (("from", one.begins), ("to", one.ends)) if value is not None)
    # The id of a stay is often one that we made: its school and dates say more.
    which = f"at school {one.school}" if one.kind == "school_enrollments" and one.school else one.sis_id
    return f"{_subject(one)} {which}" + (f" ({dates})" if dates else "")


def _stands(one: Standing) -> str:
    name = _name(one)
    if one.local_status is None:
        if one.status is None:
            return f"{name} is not on the roster, and never was."
        return f"{name} is not on the roster: the app has deleted the record."
    if one.local_status == "inactive":
        return f"{name} is not on the roster any more."
    return f"{name} is {'on the roster' if one.local_status == 'active' else 'expected on the roster, but not there yet'}."


def _told(one: Standing, explainer: Explainer) -> Iterator[str]:
    noun = _NOUNS[one.kind]
    if not one.told:
        yield f"The lists that were read last do not speak of {noun}."
        return
    newest = max(one.told, key=lambda row: row["read_at"] or "")
    read = f"the list {newest['endpoint']}" + (f", last read on {moment(newest['read_at'])}" if newest["read_at"] else "")
    if one.missing_since is None:
        says = {"active": "is active", "scheduled": "is still to begin", None: "is active"}.get(one.sis_status, "is over")
        if one.kind == "students" and says == "is over":
            says = "has left"
        why = f" ({one.sis_reason.replace('_', ' ')})" if one.sis_reason else ""
        yield f"The SIS says that {noun} {says}{why}: {read}."
        return
    times = "one complete read" if one.missing_pulls == 1 else f"{one.missing_pulls} complete reads in a row"
    yield f"The SIS has not delivered {noun} since {moment(one.missing_since)}, in {times}: {read}."
    if one.local_status == "active" and not (one.holds or one.refused):
        yield _absence(explainer.capabilities.of(one.kind).leaving, explainer.grace)


def _absence(leaving: Leaving, grace: float) -> str:
    if leaving != "absence":
        return "This SIS says so when somebody leaves: what only vanishes is not withdrawn before a person approves it."
    if grace <= 0:
        return "The next complete read without it is followed by a withdrawal."
    return f"A withdrawal follows once another complete read, {grace:g} hours after the first, comes without it, too."


def _happened(one: Standing) -> str:
    last = one.history[-1]
    reason = last["reason"] or ""
    why = _REASONS.get(reason, f'the reason given is "{reason.replace("_", " ")}"' if reason else "")
    by = f" of {last['actor']}" if last["actor"] else ""
    run = f"the {last['type'] or 'run'}{by} ({last['operation'][:8]})"
    because = f", because {why}" if why and last["rule"] != BY_HAND else ""  # the rule says so: it was a person, not the SIS
    rule = f" The rule: {last['rule']}." if last["rule"] and reason != "new" else ""
    return f"{_subject(one)} was {_DONE[last['action']]} on {moment(last['at'])} by {run}{because}.{rule}"


def _waits_for(one: Standing) -> Iterator[str]:
    for row in one.quarantine:
        yield _waiting(row)
    for hold in one.holds:
        wanted, guard = _WANTED.get(hold["action"], "a change"), in_words(hold["guard"])
        yield (
            f"The guard {guard} holds {wanted} since {moment(hold['created_at'])}, together with others: "
            f"a person approves or rejects the hold {hold['id']}."
        )
    for refusal in one.refused:
        yield (
            f"{refusal['actor'] or 'Somebody'} has refused a change on {moment(refusal['at'])}. "
            "It does not come back until the SIS says something else."
        )
    for question in one.questions:
        what = "whether it is there" if question["field"] == "*" else question["field"]
        since = moment(question["filed_at"])
        yield f"SIS and app disagree on {what} since {since}: a person answers the question {question['id']}."
    for pin in one.pins:
        what = f"the app's {pin['field']}" if pin["field"] else f"{_NOUNS[one.kind]} from being withdrawn"
        until = f" before {day(pin['expires_on'])}" if pin["expires_on"] else ""
        why = f" ({pin['reason']})" if pin["reason"] else ""
        yield f"{pin['actor'] or 'Somebody'} protects {what}{until}{why}."
    if one.edits:
        yield f"The app has changed these fields itself: {', '.join(str(edit['field']) for edit in one.edits)}."
    if one.waits is not None and not (one.holds or one.refused or one.quarantine or one.missing_since):
        yield "The next sync looks at this again."


def _same_person(staff: str) -> str:
    return f"The same person works here, too, as {staff} of the staff: these are two records, each with its own chain."


def _waiting(row: dict[str, Any]) -> str:
    named = f" (fields: {', '.join(row['fields'])})" if row["fields"] else ""
    where = f" in the list {row['endpoint']}" if row["endpoint"] else ""
    return (
        f"What the SIS delivers{where} waits in quarantine since {moment(row['since'])}: {row['reason']}{named}. "
        "What is on the roster stays as it was, until the SIS delivers this in order; then it is taken by itself."
    )


def moment(value: str) -> str:
    """A time for a person."""
    at = datetime.fromisoformat(value)
    return f"{day(value[:10])}, {at:%H:%M} UTC"


def day(value: str) -> str:
    """A day for a person."""
    at = date.fromisoformat(value)
    return f"{at.day} {at:%B %Y}"
