"""Each check about data, settings and declarations catches the mistake that it was made for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from conformance import wrong_data as wrong
from conformance.right_provider import INFO
from conformance.test_mistakes import MISTAKES as OTHERS
from sis_connect.capabilities import Capabilities, Kind, KindCapabilities
from sis_connect.provider import ProviderInfo
from sis_connect.testing import check_provider
from sis_connect.testing.suite.running import provider_checks


def by(provider: type) -> ProviderInfo:
    """Harbor, read by a provider that is wrong."""
    return replace(INFO, provider=f"{provider.__module__}:{provider.__name__}")


def declaring(**kinds: KindCapabilities | None) -> Capabilities:
    """Harbor's capabilities with other ones for some kinds; None takes a kind away."""
    merged: dict[str, Any] = {**dict(INFO.capabilities.kinds.items()), **kinds}
    return Capabilities({kind: own for kind, own in merged.items() if own is not None})  # type: ignore[misc]


def otherwise(kind: Kind, **values: Any) -> ProviderInfo:
    """Harbor, where something else is declared of a kind."""
    return replace(INFO, capabilities=declaring(**{kind: replace(INFO.capabilities.of(kind), **values)}))


STAYS = KindCapabilities(offered=True, leaving="absence", stint_history=True, omission_means_blank=True)
MISTAKES: tuple[tuple[str, ProviderInfo, str], ...] = (
    ("it cannot be made", by(wrong.CannotBeMade), "something_comes"),
    ("no row is understood", by(wrong.UnderstandsNothing), "something_comes"),
    ("a part is missing", replace(INFO, read_error="nowhere:nothing"), "parts_are_there"),
    ("it has no check()", by(wrong.HasNoCheck), "provider_is_one"),
    ("any setting is accepted", replace(INFO, settings="conformance.wrong_data:LooseSettings"), "unknown_settings_are_refused"),
    ("settings stumble", replace(INFO, settings="conformance.wrong_data:FragileSettings"), "bad_settings_are_refused"),
    ("rows are no bytes", by(wrong.HandsOnRecords), "pages_keep_their_form"),
    ("one name for all lists", by(wrong.OneNameForAll), "lists_end_once"),
    ("nothing is found", by(wrong.FindsNothing), "healthy_is_found_healthy"),
    ("all is always well", by(wrong.IsAlwaysWell), "refusal_is_found"),
    ("the check fails", by(wrong.FailsToCheck), "outage_is_found"),
    ("ids have the address in them", by(wrong.IdsOfThisServer), "ids_elsewhere"),
    ("ids are places in a list", by(wrong.IdsByPlace), "ids_next_day"),
    ("a kind is offered in vain", replace(INFO, capabilities=declaring(terms=STAYS)), "every_kind_comes"),
    ("pages prove nothing", by(wrong.ProvesNothing), "the_end_is_proved"),
    ("a value is made up", by(wrong.AllArePrimary), "all_values_come"),
    ("a field is not read", by(wrong.KnowsNoBirthDates), "requested_fields_come"),
    ("who left is dropped", by(wrong.ForgetsWhoLeft), "later_days_are_true"),
    ("a single row is none", by(wrong.LosesSingleRows), "one_element"),
    ("nothing is what was", by(wrong.Remembers), "empty_lists"),
    ("it reads on for ever", by(wrong.NeverSatisfied), "repeated_page"),
    ("repeated rows are sorted out", by(wrong.SortsOutRepeatedRows), "inserted_row"),
    ("it stops at the total", by(wrong.StopsAtTheTotal), "wrong_total"),
    ("it counts by itself", by(wrong.CountsByItself), "no_total"),
    ("text has blanks", by(wrong.LeavesBlanks), "text_is_normal"),
    ("values are not checked", by(wrong.HasGradesOfItsOwn), "values_have_their_types"),
    ("references are left out", by(wrong.NobodyAttends), "references_are_right"),
    ("names are decorated", by(wrong.CallsSchoolsOtherwise), "names_in_all_scripts"),
    ("pages speak for all kinds", by(wrong.SpeaksForAll), "only_what_is_asked_for"),
    ("pages hide a kind", by(wrong.SaysNothingOfSections), "pages_name_their_kinds"),
    ("an unknown kind comes", by(wrong.BringsThemAlways), "no_other_kinds"),
    ("one field brings another", by(wrong.BringsMoreFields), "one_field_alone"),
    ("the scope is ignored: school", by(wrong.ReadsEverybody), "unknown_school"),
    ("the scope is ignored: student", by(wrong.ReadsEverybody), "one_student"),
    ("classes without schools", replace(INFO, capabilities=declaring(schools=None)), "what_is_needed_is_offered"),
    ("they vanish", otherwise("enrollments", leaving="status"), "leaving_is_as_declared"),
    (
        "stays are made up",
        replace(by(wrong.MakesUpStays), capabilities=declaring(school_enrollments=STAYS)),
        "former_stays_come",
    ),
    ("totals are kept back", by(wrong.TellsNoTotals), "totals_are_told"),
    ("changes have no time", by(wrong.NeverChanges), "time_stamps_move_with_changes"),
    ("a strong id is missing", otherwise("students", strong_ids=("state_id",)), "named_ids_come"),
    ("custom fields are not read", by(wrong.KnowsNoCustomFields), "custom_fields_come"),
    ("undeclared fields are kept", by(wrong.KeepsAllCustomFields), "custom_fields_come"),
    ("untold is blank", otherwise("schools", omission_means_blank=False), "blank_is_not_untold"),
    ("good rows are refused", by(wrong.KnowsNoPreschool), "good_rows_are_valid"),
    ("an odd row ends the read", by(wrong.StumblesOverGrades), "odd_rows_end_nothing"),
    ("keys are lost", by(wrong.LosesKeys), "keys_of_odd_rows"),
)


def test_every_check_has_a_mistake_that_it_catches() -> None:
    caught = {check for _, _, check in MISTAKES} | {check for _, check in OTHERS}
    assert {check.name for check in provider_checks()} - caught == set()


@pytest.mark.parametrize(("info", "check"), [mistake[1:] for mistake in MISTAKES], ids=[mistake[0] for mistake in MISTAKES])
async def test_the_mistake_is_caught(info: ProviderInfo, check: str) -> None:
    report = await check_provider(info, students=30, only=[check])
    (outcome,) = report.outcomes
    assert outcome.state == "failed", outcome
    assert len(outcome.detail) > 40
