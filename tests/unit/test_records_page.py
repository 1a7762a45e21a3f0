"""The page about records says of every field what is so."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import get_args

import pytest

from sis_connect import values
from sis_connect.capabilities import KINDS, Kind
from sis_connect.records import RECORDS, Record, on_request
from sis_connect.testing.district import District
from sis_connect.testing.district_roster import DistrictRoster
from sis_connect.testing.district_values import REASONS

PAGE = (Path(__file__).parents[2] / "docs" / "records.md").read_text(encoding="utf-8")


def rows(heading: str) -> dict[str, str]:
    """The table below a heading: what is said of each name."""
    section = re.split(r"^## ", PAGE.partition(f"## {heading}\n")[2], flags=re.MULTILINE)[0]
    return {row[1]: row[2] for row in re.finditer(r"^\| `(\w+)(?:\([^`]*\))?` \| (.*) \|$", section, re.MULTILINE)}


def test_what_all_records_have_is_told() -> None:
    assert list(rows("What all have")) == list(Record.model_fields)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_a_kind_is_told_and_whether_it_is_required_or_on_request(kind: Kind) -> None:
    model = RECORDS[kind]
    own = {name: field for name, field in model.model_fields.items() if name not in Record.model_fields}
    told = rows(kind)
    assert told.pop(model.__name__)
    assert sorted(told) == sorted(own)
    assert {name for name, words in told.items() if "required" in words} == {n for n, f in own.items() if f.is_required()}
    assert {name for name, words in told.items() if "on request" in words} == on_request(kind) - {"custom"}
    assert {name for name, words in told.items() if "reference" in words} - {"user"} == set(model.references)


def test_every_function_that_reads_values_is_told() -> None:
    public = {name for name, found in vars(values).items() if inspect.isfunction(found) and found.__module__ == values.__name__}
    assert set(rows("Reading values")) == public


def test_the_examples_hold() -> None:
    for example in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(example, "<example>", "exec", dont_inherit=True), {})  # noqa: S102 - the documentation's own


def words(lead: str) -> set[str]:
    """The words in the table behind a lead such as `**`type`** of terms`."""
    return set(
        re.findall(r"^\| `(\w+)` \|", PAGE.partition(f"\n{lead}")[2].partition("\n**")[0].partition("\n## ")[0], re.MULTILINE)
    )


@pytest.mark.parametrize(
    ("lead", "kind", "field"),
    [
        ("**`status`**", "students", "status"),
        ("**`type`** of terms", "terms", "type"),
        ("**`role`** of enrollments", "enrollments", "role"),
        ("**`role`** of staff", "staff", "role"),
    ],
)
def test_every_word_that_a_field_may_hold_is_told_and_no_other(lead: str, kind: Kind, field: str) -> None:
    annotation = RECORDS[kind].model_fields[field].annotation
    literals = [annotation, *get_args(annotation)]
    assert words(lead) == {word for literal in literals for word in get_args(literal) if isinstance(word, str)}


def test_the_reasons_are_those_that_the_synthetic_district_gives() -> None:
    roster = DistrictRoster(District(students=60))
    said = {kind: {entry.record.status_reason for entry in roster.entries(kind)} - {None} for kind in KINDS}
    of_students, of_others = words("**`status_reason`** of students"), words("**`status_reason`** of school_enrollments")
    assert said.pop("students") <= of_students == set(REASONS.values())
    assert set().union(*said.values()) == of_others


def test_the_fields_on_request_are_named_and_are_those_of_students() -> None:
    sentence = PAGE.partition("## On request\n")[2].partition("names them:")[2].partition(".")[0]
    assert set(re.findall(r"`(\w+)`", sentence)) == on_request("students") - {"custom"}
    assert {kind for kind in KINDS if on_request(kind) - {"custom"}} == {"students"}
