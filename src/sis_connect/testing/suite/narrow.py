"""Does a read bring what was asked for, and nothing else: kinds, fields, schools, single students?"""

from __future__ import annotations

from collections import Counter

from sis_connect.capabilities import KINDS
from sis_connect.provider import InvalidRow, Scope, Stream
from sis_connect.records import is_whole, on_request
from sis_connect.testing.suite.bench import Bench
from sis_connect.testing.suite.check import Check, Failed, NotApplicable, either, listed
from sis_connect.testing.suite.identity import needs_sandbox
from sis_connect.testing.suite.outcome import ReadOutcome
from sis_connect.testing.suite.quoting import such_as

#: No school and no student has this id.
NOBODY = "0-nobody-0"


def needs_students(bench: Bench) -> str | None:
    """For checks of single schools and students."""
    return None if "students" in bench.kinds else f"{bench.info.label} does not offer students."


async def only_what_is_offered(bench: Bench) -> None:
    for kind, records in (await bench.roster()).records.items():
        if records and kind not in bench.kinds:
            raise Failed(
                f"{len(records)} records of {kind} are delivered, which ProviderInfo.capabilities do not offer. "
                "Offer the kind, or make no records of it."
            )


async def only_what_is_asked_for(bench: Bench) -> None:
    for kind in {"students", bench.kinds[0]} & set(bench.kinds):
        outcome = await bench.read({kind})
        spoken = {other for page in outcome.pages for other in page.kinds} - {kind}
        if spoken:
            raise Failed(
                f"Asked for {kind} alone, pages say that they speak for {listed(sorted(spoken))}, too. Page.kinds are those of "
                "the kinds asked for that this request speaks for: what is missing on it counts as missing."
            )
        if not outcome.ids(kind):
            raise Failed(f"Asked for {kind} alone, nothing comes. Each kind must be readable without the others.")


async def pages_name_their_kinds(bench: Bench) -> None:
    for page in (await bench.roster()).pages:
        for raw in page.rows:
            try:
                records = page.read(raw).records
            except InvalidRow:
                continue
            silent = {record.kind for record in records if is_whole(record)} - set(page.kinds)
            if silent & set(bench.kinds):
                raise Failed(
                    f"Rows of {page.endpoint!r} make {listed(sorted(silent))}, which the page does not name in Page.kinds. "
                    "Name every kind that the rows feed (Endpoint.kinds), or nobody can tell when one of them is missing."
                )


async def no_other_kinds(bench: Bench) -> None:
    """The provider itself, asked for what it does not offer: it says so, or brings nothing."""
    lacking = [kind for kind in KINDS if kind not in bench.kinds]
    if not lacking:
        raise NotApplicable("Every kind is offered.")
    outcome = await bench.read(lacking)
    for kind in lacking:
        if any(is_whole(record) for record in outcome.records.get(kind, ())):
            raise Failed(
                f"Asked for {kind}, which ProviderInfo.capabilities do not offer, records of it come. Offer the kind, or raise "
                "NotOffered."
            )


async def nothing_unasked(bench: Bench) -> None:
    for kind, records in (await bench.roster()).records.items():
        if kind == "guardians":
            continue
        held = Counter(name for record in records for name in record.model_fields_set & on_request(kind) if getattr(record, name))
        if held:
            raise Failed(
                f"{listed(held)} of {kind} are delivered though the settings do not ask for them. Fill these fields only where "
                "Asked.fields names them: a pupil's data that nobody asked for is not kept."
            )


async def one_field_alone(bench: Bench) -> None:
    fields = [name for name in bench.fields() if name.startswith("students.")]
    if not fields:
        raise NotApplicable("The sandbox delivers no field of students that is read on request only.")
    wanted = fields[0].removeprefix("students.")
    outcome = await bench.read({"students"}, fields=fields[0])
    held = Counter(
        name
        for record in outcome.records["students"]
        for name in record.model_fields_set & on_request("students") - {wanted}
        if getattr(record, name)
    )
    if held:
        raise Failed(
            f"Where the settings ask for {fields[0]} only, {listed(held)} are delivered, too. Look for each field by its own "
            "name in Asked.fields."
        )


def _distinct(outcome: ReadOutcome) -> dict[Stream, set[bytes]]:
    rows: dict[Stream, set[bytes]] = {}
    for page in outcome.pages:
        rows.setdefault(page.stream, set()).update(bytes(row) for row in page.rows)
    return rows


async def _own_streams(bench: Bench, outcome: ReadOutcome, what: str) -> None:
    """A narrowed list is not the whole list: under one name, the difference would be withdrawn."""
    whole = _distinct(await bench.roster())
    for stream, rows in _distinct(outcome).items():
        fewer = len(rows) < len(whole.get(stream, ()))
        if fewer and outcome.verdicts[stream].complete:
            raise Failed(
                f"Limited to {what}, the list {stream[0]!r} has {len(rows)} of {len(whole[stream])} rows, and its pages have the "
                "same endpoint and context as when everything is read: all the others would count as gone. Name what a request "
                "was limited to in Page.context (RestProvider does where the path or filters take it from the scope)."
            )


async def one_school(bench: Bench) -> None:
    here = Counter(row["school"] for row in bench.truth("students") if row.get("school") and row.get("status") != "inactive")
    if len(here) < 2:
        raise NotApplicable("The sandbox has no two schools with students, or does not say which one somebody attends.")
    ((school, _),) = here.most_common(1)
    outcome = await bench.read({"students"}, scope=Scope(schools=frozenset({school})))
    mine = outcome.ids("students")
    theirs = {row["sis_id"]: row for row in bench.truth("students") if row.get("status", "active") == "active"}
    missing = {sis_id for sis_id, row in theirs.items() if row.get("school") == school} - mine
    elsewhere = {sis_id for sis_id, row in theirs.items() if row.get("school") not in (None, school)}
    if missing and not outcome.errors:
        raise Failed(
            f"Limited to one school, {len(missing)} of its students are missing{such_as(sorted(missing))}. "
            "Ask for the school by the sis_id that Scope.schools gives."
        )
    if len(elsewhere & mine) > len(elsewhere) / 2:
        raise Failed(
            f"Limited to one school, {len(elsewhere & mine)} students of other schools come as well. Ask the API for "
            "Scope.schools only, or read the endpoint school by school."
        )
    await _own_streams(bench, outcome, "one school")
    several = [school for school, _ in here.most_common(2)]
    outcome = await bench.read({"students"}, scope=Scope(schools=frozenset(several)))
    missing = {sis_id for sis_id, row in theirs.items() if row.get("school") in several} - outcome.ids("students")
    if missing and not outcome.errors:
        raise Failed(
            f"Limited to two of {len(here)} schools, {len(missing)} of their students are missing{such_as(sorted(missing))}. "
            "Scope.schools may name several: ask for each of them."
        )


async def unknown_school(bench: Bench) -> None:
    outcome = await bench.read({"students"}, scope=Scope(schools=frozenset({NOBODY})))
    if outcome.ids("students"):
        raise Failed(
            f"Limited to a school that does not exist, {len(outcome.ids('students'))} students come. A scope that the SIS cannot "
            "follow brings nobody, or an error; never everybody."
        )
    await _own_streams(bench, outcome, "a school that does not exist")


async def one_student(bench: Bench) -> None:
    known = sorted((await bench.roster()).ids("students"))
    if not known:
        raise NotApplicable("There are no students.")
    student = known[len(known) // 2]
    outcome = await bench.read({"students"}, scope=Scope(students=frozenset({student})))
    others = outcome.ids("students") - {student}
    if others:
        raise Failed(
            f"Limited to one student, {len(others)} others come as well. Read single students by an endpoint of their own "
            '(only="students"), or not at all.'
        )
    if bench.info.capabilities.of("students").single_read and student not in outcome.ids("students"):
        raise Failed(
            "Capabilities declare single_read of students, and a read that is limited to one student does not bring that "
            'student. Add an endpoint with only="students" whose path has {student}, or do not declare it.'
        )
    await _own_streams(bench, outcome, "one student")


_SCHOOL = either(needs_sandbox, needs_students)

CHECKS: tuple[Check[Bench], ...] = (
    Check(
        name="only_what_is_offered",
        title="No records come of a kind that is not offered.",
        run=only_what_is_offered,
        promise="P9",
    ),
    Check(
        name="only_what_is_asked_for",
        title="Each kind can be read alone, and pages speak for no other.",
        run=only_what_is_asked_for,
        promise="P1",
        needs=needs_sandbox,
    ),
    Check(name="pages_name_their_kinds", title="Pages name the kinds that they feed.", run=pages_name_their_kinds, promise="P1"),
    Check(
        name="no_other_kinds", title="A kind that is not offered is refused, or brings nothing.", run=no_other_kinds, promise="P9"
    ),
    Check(name="nothing_unasked", title="No field comes that has to be asked for.", run=nothing_unasked, promise="P7"),
    Check(
        name="one_field_alone",
        title="Asked for one field, no other comes with it.",
        run=one_field_alone,
        promise="P7",
        needs=_SCHOOL,
    ),
    Check(
        name="one_school",
        title="A read of one school brings its students, and does not pass for one of all.",
        run=one_school,
        promise="P1",
        needs=_SCHOOL,
    ),
    Check(
        name="unknown_school", title="A school that is not there brings nobody.", run=unknown_school, promise="P1", needs=_SCHOOL
    ),
    Check(
        name="one_student",
        title="A read of one student brings nobody else, and does not pass for one of all.",
        run=one_student,
        promise="P1",
        needs=_SCHOOL,
    ),
)
