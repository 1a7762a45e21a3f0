"""Are values what the SIS means: names, identifiers, dates, grades, standing, and what records refer to?"""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Any

from sis_connect.capabilities import Kind
from sis_connect.records import RECORDS, clean_text
from sis_connect.testing.suite.bench import Bench
from sis_connect.testing.suite.check import Check, Failed, NotApplicable
from sis_connect.testing.suite.completeness import DATES, GRADES, IDENTIFIERS, NAMES, STANDING, explain
from sis_connect.testing.suite.identity import needs_truth
from sis_connect.testing.suite.outcome import ReadOutcome
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


def _found(bench: Bench, outcome: ReadOutcome, kind: Kind, fields: frozenset[str]) -> list[Difference]:
    return list(differences(roster_of(outcome, kind), by_id(bench.truth(kind)), fields=fields))


async def names_in_all_scripts(bench: Bench) -> None:
    outcome = await bench.roster()
    for kind in bench.told_kinds:
        explain(
            _found(bench, outcome, kind, NAMES),
            kind,
            "Text is UTF-8 from the socket to the record; legal and preferred names are kept apart, and nothing is re-spelled.",
        )
    if not any(_has_other_letters(record) for records in outcome.records.values() for record in records):
        raise NotApplicable("The sandbox has nobody whose name needs more than plain letters.")


def _has_other_letters(record: Any) -> bool:
    return any(not text.isascii() for name in NAMES if isinstance(text := getattr(record, name, None), str))


async def text_is_normal(bench: Bench) -> None:
    """Composed, trimmed, without control characters: as records check it where they are built in the right way."""
    outcome = await bench.roster()
    for kind, records in outcome.records.items():
        for record in records:
            for name in NAMES & record.model_fields_set:
                text = getattr(record, name)
                if isinstance(text, str) and _normal(text) != text:
                    raise Failed(
                        f"{kind} have text in {name} that is not composed (NFC), not trimmed, or holds control characters. "
                        "Make records with build(), which sees to that; not with model_construct()."
                    )


def _normal(text: str) -> str | None:
    try:
        return clean_text(text)
    except ValueError:
        return None


async def identifiers_are_kept(bench: Bench) -> None:
    outcome = await bench.roster()
    for kind in bench.told_kinds:
        explain(
            _found(bench, outcome, kind, IDENTIFIERS),
            kind,
            "Identifiers are text, to the letter: with leading zeros, never as numbers; other ids belong into `ids` by name.",
        )


async def references_are_right(bench: Bench) -> None:
    outcome = await bench.roster()
    for kind in bench.told_kinds:
        explain(
            _found(bench, outcome, kind, reference_names(kind)),
            kind,
            "A reference is the sis_id of its target, or Ref(kind, name=…) by another of its identifiers.",
        )


async def references_resolve(bench: Bench) -> None:
    outcome = await bench.roster()
    for kind in bench.kinds:
        records = gathered(outcome.records.get(kind, ()), kind)
        lost = orphans(outcome, kind)
        if kind in bench.told_kinds:
            lost &= {row["sis_id"] for row in bench.truth(kind)}
        if records and (lost if kind in bench.told_kinds else len(lost) == len(records)):
            needed = ", ".join(RECORDS[kind].required_references)
            raise Failed(
                f"{len(lost)} of {len(records)} {kind} refer to something that is not delivered (in {needed}), so that they "
                "would wait in quarantine for ever. Use the same id in the reference as in the record that it points at."
            )


async def dates_are_right(bench: Bench) -> None:
    for outcome, truths in await _days(bench):
        for kind, right in truths.items():
            found = list(differences(roster_of(outcome, kind), right, fields=DATES))
            explain(found, kind, _advice_on_dates(found))


async def _days(bench: Bench) -> list[tuple[ReadOutcome, dict[Kind, Roster]]]:
    """What was read on the first day and on a later one, each with what is right."""
    days = [(await bench.roster(), {kind: by_id(bench.truth(kind)) for kind in bench.told_kinds})]
    if not bench.recorded:
        later = await bench.later()
        days.append((later.outcome, later.truths))
    return days


def _advice_on_dates(found: list[Difference]) -> str:
    off = Counter(_days_off(difference) for difference in found)
    usual, _ = off.most_common(1)[0] if off else (None, 0)
    ends = {difference.field for difference in found} & {"exit_date", "end_date"}
    if usual == -1 and ends:
        return (
            "They are a day early: this SIS tells the last day in, and exit_date and end_date are the first day out. "
            "Add a day (values.day_after)."
        )
    if usual == 1 and ends:
        return "They are a day late: this SIS tells the first day out itself, so take it as it is (values.day)."
    return "Dates are calendar days of the district: take them as written, without time zones (values.day)."


def _days_off(difference: Difference) -> int | None:
    try:
        return (date.fromisoformat(difference.mine) - date.fromisoformat(difference.right)) // timedelta(days=1)
    except (TypeError, ValueError):
        return None


async def grades_are_codes(bench: Bench) -> None:
    outcome = await bench.roster()
    for kind in bench.told_kinds:
        explain(
            _found(bench, outcome, kind, GRADES),
            kind,
            "Grades are CEDS codes (PK, KG, 01 … 12); what the SIS itself writes is kept in grade_text.",
        )


async def standing_is_right(bench: Bench) -> None:
    for outcome, truths in await _days(bench):
        for kind, right in truths.items():
            explain(
                differences(roster_of(outcome, kind), right, fields=STANDING),
                kind,
                "Map every status that the API has: who has left, graduated or not yet come is not active.",
            )


async def values_have_their_types(bench: Bench) -> None:
    """Also where somebody went round what checks them."""
    for kind, records in (await bench.roster()).records.items():
        for record in records:
            given = {name: getattr(record, name) for name in record.model_fields_set}
            try:
                type(record).model_validate(given, strict=False)
            except ValueError:
                raise Failed(
                    f"{kind} are delivered with values that are not of the type that the record declares. "
                    "Make records with build(), which checks them; not with model_construct()."
                ) from None


CHECKS: tuple[Check[Bench], ...] = (
    Check(
        name="names_in_all_scripts",
        title="Names arrive letter by letter, in every script.",
        run=names_in_all_scripts,
        needs=needs_truth,
    ),
    Check(name="text_is_normal", title="Text is composed, trimmed and free of control characters.", run=text_is_normal),
    Check(
        name="values_have_their_types", title="Every value is of the type that its record declares.", run=values_have_their_types
    ),
    Check(
        name="identifiers_are_kept",
        title="Identifiers are kept to the letter, with their leading zeros.",
        run=identifiers_are_kept,
        needs=needs_truth,
    ),
    Check(
        name="references_are_right",
        title="Records refer to whom the SIS says.",
        run=references_are_right,
        needs=needs_truth,
    ),
    Check(name="references_resolve", title="What records refer to is delivered.", run=references_resolve, promise="P2"),
    Check(
        name="dates_are_right",
        title="Dates are right, on the first day and later: the last one is the first day out.",
        run=dates_are_right,
        needs=needs_truth,
    ),
    Check(name="grades_are_codes", title="Grades are CEDS codes.", run=grades_are_codes, needs=needs_truth),
    Check(
        name="standing_is_right",
        title="Who is active and who is not is as the SIS says, on the first day and later.",
        run=standing_is_right,
        needs=needs_truth,
    ),
)
