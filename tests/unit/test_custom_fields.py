"""Fields of a district's own: how they are declared, in which types they are kept, and that no others are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sis_connect.capabilities import KINDS, Capabilities, Kind, KindCapabilities
from sis_connect.custom_fields import CustomField, WrongType, picked, typed
from sis_connect.errors import ConfigurationError
from sis_connect.provider import CONTRACT, InvalidRow, ProviderInfo
from sis_connect.provider_settings import own_settings
from sis_connect.records import Record, SchoolEnrollment, Student
from sis_connect.rest_provider import Asked, Endpoint, RestProvider, Selection, build, part
from sis_connect.settings import SISProviderConfig, validated

WHERE = {"provider": "harbor", "base_url": "https://sis.example.org"}


def declared(custom: Any) -> tuple[CustomField, ...]:
    return validated({**WHERE, "custom": custom}, origin="a test").custom


# -- declaring ---------------------------------------------------------------------------------------------------------


def test_a_line_a_list_and_a_table_declare_the_same() -> None:
    fields = (
        CustomField(kind="students", name="bus_route", type="text"),
        CustomField(kind="students", name="locker", type="integer", source="U_LOCKER"),
    )
    assert declared("students.bus_route:text, students.locker:integer=U_LOCKER") == fields
    assert declared(["students.bus_route:text", "students.locker:integer=U_LOCKER"]) == fields
    assert declared({"students": {"bus_route": "text", "locker": {"type": "integer", "source": "U_LOCKER"}}}) == fields


def test_what_was_stored_is_read_back() -> None:
    config = SISProviderConfig.model_validate({**WHERE, "custom": "students.bus_route:text, vendor.key"})
    assert SISProviderConfig.model_validate(config.model_dump(mode="json")).custom == config.custom


def test_only_kinds_are_taken_for_kinds() -> None:
    assert declared("vendor.key, schools.colour") == (
        CustomField(name="vendor.key"),
        CustomField(kind="schools", name="colour"),
    )


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("students.bus:words", "'text', 'integer', 'number', 'boolean' or 'date'"),
        ("bus, bus:text", "declares bus twice"),
        ("bus, students.bus", "declares bus twice"),
        ({"pupils": {"bus": "text"}}, "'schools'"),
        ({"students": "bus"}, "must name kinds and their fields"),
        ("students.:text", "should match pattern"),
    ],
)
def test_what_cannot_be_meant_is_said(wrong: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        declared(wrong)


def info(**kinds: KindCapabilities) -> ProviderInfo:
    offered: dict[Kind, KindCapabilities] = {kind: kinds[kind] for kind in KINDS if kind in kinds}
    return ProviderInfo(name="harbor", label="Harbor", provider="x:y", contract=CONTRACT, capabilities=Capabilities(offered))


@pytest.mark.parametrize("custom", ["sections.colour", "courses.colour"])
def test_a_provider_that_reads_no_such_fields_of_a_kind_says_so(custom: str) -> None:
    able = info(students=KindCapabilities(offered=True, custom=True), sections=KindCapabilities(offered=True))
    own_settings(able, validated({**WHERE, "custom": "colour, students.bus"}, origin="a test"))
    with pytest.raises(ConfigurationError, match=r"reads no fields of a district's own of (sections|courses), such as 'colour'"):
        own_settings(able, validated({**WHERE, "custom": custom}, origin="a test"))
    with pytest.raises(ConfigurationError, match="reads no fields of a district's own, such as 'bus'"):
        own_settings(info(students=KindCapabilities(offered=True)), validated({**WHERE, "custom": "bus"}, origin="a test"))


# -- types -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "told", "kept"),
    [
        ("text", "007", "007"),
        ("text", 7, "7"),
        ("text", True, "true"),
        ("integer", "42", 42),
        ("integer", 42.0, 42),
        ("number", "2.5", 2.5),
        ("number", 3, 3),
        ("boolean", "Y", True),
        ("boolean", 0, False),
        ("date", "2026-09-30T00:00:00", "2026-09-30"),
        ("date", "0001-01-01", None),
        (None, 7, 7),
        (None, True, True),
        *((type_, blank, None) for type_ in ("text", "integer", "number", "boolean", "date") for blank in (None, "", "  ")),
    ],
)
def test_values_come_in_their_declared_type_however_they_are_written(type_: Any, told: Any, kept: Any) -> None:
    fields = (CustomField(name="x", type=type_),)
    found = typed(fields, {"x": told})
    assert found == {"x": kept}
    assert type(found["x"]) is type(kept)
    assert typed(fields, found) == found


@pytest.mark.parametrize(
    ("type_", "told"),
    [
        ("integer", "4.5"),
        ("integer", True),
        ("number", "inf"),
        ("number", "x"),
        ("boolean", "maybe"),
        ("date", "30/9/26"),
        ("text", []),
    ],
)
def test_p2_a_value_of_another_type_is_invalid_and_not_missing(type_: Any, told: Any) -> None:
    with pytest.raises(WrongType) as caught:
        typed((CustomField(name="x", type=type_),), {"x": told})
    assert str(caught.value) == f"custom.x is no {type_}"


def test_p2_what_is_missing_is_not_delivered() -> None:
    fields = (CustomField(name="x", type="text"), CustomField(name="y", type="text", source="Y"))
    assert typed(fields, picked(fields, {"Y": "7", "other": "never kept"})) == {"y": "7"}


# -- endpoints ---------------------------------------------------------------------------------------------------------


class StudentRow(msgspec.Struct):
    id: int
    name: str = "Ada Example"


def student(row: StudentRow, asked: Asked) -> Iterator[Record]:
    given, _, family = row.name.partition(" ")
    yield build(Student, sis_id=str(row.id), given_name=given, family_name=family)
    yield build(SchoolEnrollment, sis_id=f"stay-{row.id}", student=str(row.id), school="1", entry_date="2026-08-17")


def extra(row: StudentRow, asked: Asked) -> Iterator[Record]:
    yield part(Student, sis_id=str(row.id))


STUDENTS = Endpoint(
    name="students",
    path="/students",
    rows="",
    kinds=("students", "school_enrollments"),
    row=StudentRow,
    read=student,
    custom="extras",
    selects=Selection(param="with", always=("name",), by_field={"birth_date": ("born", "age")}, custom="extras.{name}"),
)
ROW = {"id": 1, "name": "Ada Example", "extras": {"U_BUS": "7", "secret": "never-kept"}}


def records(endpoint: Endpoint[Any], custom: str, row: Any) -> tuple[Record, ...]:
    asked = Asked({}, {kind: frozenset() for kind in KINDS}, custom=declared(custom))
    return endpoint.reader(asked)(json.dumps(row).encode()).records


def test_declared_fields_are_taken_out_of_the_rows_and_no_others() -> None:
    found, stay = records(STUDENTS, "students.bus_route:integer=U_BUS", ROW)
    assert (found.custom, stay.custom) == ({"bus_route": 7}, {})
    assert "custom" not in stay.model_fields_set
    assert "never-kept" not in repr([found.model_dump(), stay.model_dump()])
    assert all("custom" not in record.model_fields_set for record in records(STUDENTS, "", ROW))


@pytest.mark.parametrize("extras", [None, "", [], {"other": 1}])
def test_a_row_without_them_delivers_none(extras: Any) -> None:
    assert "custom" not in records(STUDENTS, "students.bus:text", {**ROW, "extras": extras})[0].model_fields_set


def test_they_may_stand_in_the_row_itself_or_wherever_a_function_finds_them() -> None:
    there = replace(STUDENTS, custom="")
    assert records(there, "students.bus:text", {"id": 1, "bus": 7})[0].custom == {"bus": "7"}
    named = replace(STUDENTS, custom=lambda row: {"initial": row.name[0]})
    assert records(named, "students.initial:text", ROW)[0].custom == {"initial": "A"}


def test_an_endpoint_may_bring_them_for_records_that_others_bring() -> None:
    own = Endpoint(
        name="extras", path="/x", rows="", kinds=("students",), row=StudentRow, read=extra, partial=True, custom="extras"
    )
    (found,) = records(own, "students.bus:text=U_BUS", ROW)
    assert found.model_dump(exclude_unset=True) == {"sis_id": "1", "custom": {"bus": "7"}}


def test_p2_p7_a_wrong_value_is_an_invalid_row_that_names_the_field_and_not_the_value() -> None:
    with pytest.raises(InvalidRow) as caught:
        records(STUDENTS, "students.bus:integer=U_BUS", {**ROW, "extras": {"U_BUS": "never-said"}})
    assert (caught.value.key, caught.value.fields) == ("1", ("custom.bus",))
    assert str(caught.value).startswith("custom.bus is no integer")
    assert "never-said" not in repr(caught.value)


def test_p7_what_a_mapping_keeps_undeclared_is_left_out() -> None:
    def careless(row: StudentRow, asked: Asked) -> Iterator[Record]:
        yield build(Student, sis_id=str(row.id), given_name="Ada", family_name="Example", custom={"secret": "x", "bus": " 7 "})

    own = Endpoint(name="s", path="/s", rows="", kinds=("students",), row=StudentRow, read=careless)
    assert records(own, "students.bus:text", ROW)[0].custom == {"bus": "7"}
    assert "custom" not in records(own, "", ROW)[0].model_fields_set


def test_requests_name_what_the_fields_asked_for_need() -> None:
    asked = Asked({}, {"students": frozenset({"birth_date"})}, custom=declared("students.bus:text=U_BUS, sections.colour"))
    assert STUDENTS.params_for(asked) == {"with": "age,born,extras.U_BUS,name"}
    assert STUDENTS.params_for(Asked({}, {})) == {"with": "name"}


def test_the_mapping_version_moves_with_what_is_declared() -> None:
    def version(custom: str) -> str:
        config = validated({**WHERE, "custom": custom}, origin="a test")
        return RestProvider(info(), config, transport=None, clock=None).version(STUDENTS)  # type: ignore[arg-type]

    assert len({version(""), version("students.bus"), version("students.bus:integer"), version("bus")}) == 4
