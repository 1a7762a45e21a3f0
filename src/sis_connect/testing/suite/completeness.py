"""Does the read bring what the SIS has: every record, every value, and the proof that nothing is lacking?"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sis_connect.capabilities import Kind
from sis_connect.provider import Stream
from sis_connect.records import on_request
from sis_connect.testing.suite.bench import Bench
from sis_connect.testing.suite.check import Check, Failed, NotApplicable, listed
from sis_connect.testing.suite.identity import needs_sandbox, needs_truth
from sis_connect.testing.suite.outcome import ReadOutcome
from sis_connect.testing.suite.quoting import such_as, told
from sis_connect.testing.suite.rosters import (
    Difference,
    Roster,
    by_id,
    differences,
    gathered,
    orphans,
    reference_names,
    roster_of,
)

#: Fields that have checks of their own, so that a mistake in them has one name.
NAMES = frozenset(
    (
        *("name", "title", "given_name", "middle_name", "family_name", "username"),
        *("preferred_given_name", "preferred_middle_name", "preferred_family_name"),
    )
)
DATES = frozenset(("entry_date", "exit_date", "begin_date", "end_date", "start_date"))
GRADES = frozenset(("grade", "grades", "grade_text"))
IDENTIFIERS = frozenset(("ids", "identifier", "course_code", "section_number"))
STANDING = frozenset(("status", "status_reason"))


async def every_kind_comes(bench: Bench) -> None:
    outcome = await bench.roster()
    if outcome.errors:
        raise Failed(
            f"A read of everything, with nothing wrong at the server, ends in an error: {outcome.errors[0]}{bench.notes()}"
        )
    missing = [kind for kind in bench.kinds if kind != "guardians" and not outcome.ids(kind)]
    if missing:
        raise Failed(
            f"Nothing is delivered of {listed(missing)}, which ProviderInfo.capabilities offer. Add an endpoint whose rows feed "
            "these records, or do not offer them."
        )


async def the_end_is_proved(bench: Bench) -> None:
    outcome = await bench.roster()
    unproved = [(stream, verdict) for stream, verdict in outcome.verdicts.items() if not verdict.complete]
    if unproved:
        (endpoint, context), verdict = unproved[0]
        raise Failed(
            f"The list {endpoint!r}{told(f' ({context})') if context else ''} was read in full, and its pages do not prove it: "
            f"{verdict.reason}. Say in Page what the server tells: the total (Endpoint.total_at), or that it points to a next "
            "page, or how many rows its pages hold (Endpoint.page_size and RestProvider.page_sizes: a list that fits on one page "
            "is known by that); where it tells nothing, go on until an empty page. Nobody is ever withdrawn on less."
        )


async def lists_end_once(bench: Bench) -> None:
    ended: set[Stream] = set()
    for page in (await bench.roster()).pages:
        if page.stream in ended:
            raise Failed(
                f"After the last page of the list {page.endpoint!r}{told(f' ({page.context})') if page.context else ''} comes "
                "another one under the same name: what the first brought would count as missing from the second. Tell lists "
                "apart by Page.context (one of each school, say), and set Page.more on every page but the last."
            )
        if not page.more:
            ended.add(page.stream)


def same_records(outcome: ReadOutcome, right: Roster, kind: Kind) -> None:
    """Neither too few nor too many. What refers to nobody is for the engine to see."""
    mine = gathered(outcome.records.get(kind, ()), kind)
    missing, surplus = sorted(right.keys() - mine.keys()), sorted(mine.keys() - right.keys() - orphans(outcome, kind))
    if missing:
        raise Failed(
            f"{len(missing)} of {len(right)} {kind} that the SIS lists are not delivered{such_as(missing)}, though the "
            "read says that it is complete. Read every page of every list, and drop no row: one that cannot be read is an "
            "InvalidRow, which waits in quarantine."
        )
    if surplus:
        raise Failed(
            f"{len(surplus)} {kind} are delivered that the SIS does not have{such_as(surplus)}. Where the truth of the "
            "sandbox is right, rows are read that stand for something else; skip them by what they say of themselves."
        )


def explain(found: Iterable[Difference], kind: Kind, advice: str) -> None:
    """Fail with the first differences, if there are any."""
    every = list(found)
    if every:
        first = every[0]
        where = listed(dict.fromkeys(difference.field for difference in every))
        example = told(f": {kind} {first.sis_id} has {first.field} {first.mine!r} where it should be {first.right!r}")
        raise Failed(f"{len(every)} values of {kind} are not what the SIS has, in {where}{example}. {advice}")


async def all_records_come(bench: Bench) -> None:
    outcome = await bench.roster()
    for kind in bench.told_kinds:
        same_records(outcome, by_id(bench.truth(kind)), kind)


async def all_values_come(bench: Bench) -> None:
    outcome = await bench.roster()
    for kind in bench.told_kinds:
        aside = NAMES | DATES | GRADES | IDENTIFIERS | STANDING | reference_names(kind)
        found = differences(roster_of(outcome, kind), by_id(bench.truth(kind)))
        explain(
            (difference for difference in found if difference.field not in aside),
            kind,
            "Correct the mapping; or, where the API does not tell this field, what the sandbox delivers.",
        )


async def requested_fields_come(bench: Bench) -> None:
    fields = bench.fields()
    if not fields:
        raise NotApplicable("The sandbox delivers no field that is read on request only.")
    outcome = await bench.full_roster()
    for kind in bench.kinds:
        mine, right = roster_of(outcome, kind), by_id(bench.truth(kind, fields=None))
        if kind == "guardians":
            same_records(outcome, right, kind)
            explain(differences(mine, right), kind, "Correct the mapping of guardians.")
            continue
        explain(
            differences(mine, right, fields=on_request(kind) - {"custom"}),
            kind,
            "These fields are read where the settings name them: Asked.fields tells a mapping which are asked for.",
        )


def later_is_true(outcome: ReadOutcome, truths: dict[Kind, Roster], kinds: Collection[Kind]) -> None:
    """The same on a later day."""
    for kind in kinds:
        mine = roster_of(outcome, kind)
        same_records(outcome, truths[kind], kind)
        explain(
            differences(mine, truths[kind]),
            kind,
            "It was right on the first day: look at what the SIS does to rows of somebody who moves, leaves or comes back.",
        )


async def later_days_are_true(bench: Bench) -> None:
    later = await bench.later()
    later_is_true(later.outcome, later.truths, bench.told_kinds)


CHECKS: tuple[Check[Bench], ...] = (
    Check(
        name="every_kind_comes",
        title="Of each kind that is offered something is delivered, without errors.",
        run=every_kind_comes,
        promise="P9",
    ),
    Check(
        name="the_end_is_proved",
        title="A read of everything says enough for the engine to call it complete.",
        run=the_end_is_proved,
        promise="P1",
    ),
    Check(name="lists_end_once", title="Each list is told apart, and ends once.", run=lists_end_once, promise="P1"),
    Check(
        name="all_records_come",
        title="The records are those that the SIS has, no more and no fewer.",
        run=all_records_come,
        promise="P1",
        needs=needs_truth,
    ),
    Check(
        name="all_values_come",
        title="The values are those that the SIS has.",
        run=all_values_come,
        promise="P2",
        needs=needs_truth,
    ),
    Check(
        name="requested_fields_come",
        title="Fields that are read on request are delivered where they are asked for, and so are guardians.",
        run=requested_fields_come,
        promise="P7",
        needs=needs_sandbox,
    ),
    Check(
        name="later_days_are_true",
        title="When people have moved, left and come, the roster is what the SIS has.",
        run=later_days_are_true,
        promise="P1",
        needs=needs_sandbox,
    ),
)
