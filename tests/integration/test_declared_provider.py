"""A provider that is declared in one file: it reads like any other, and what is wrong in the file is said."""

from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import declared_harbor
from sis_connect.connection import open_provider
from sis_connect.declared.mapping import natural
from sis_connect.declared.reading import declared_in
from sis_connect.discovery import Registry, discover
from sis_connect.errors import ConfigurationError
from sis_connect.provider import BaseSISProvider, InvalidRow, Scope
from sis_connect.records import Record
from sis_connect.rest_provider import Asked
from sis_connect.settings import validated
from sis_connect.testing import check_provider
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox

(INFO,) = declared_harbor.sis_connect_providers()
FILE = (Path(declared_harbor.__file__).parent / "harbor.toml").read_text(encoding="utf-8")
ADA = b'{"id": 7, "number": "0012", "first": "Ada", "last": "Example", "year_group": "K", "school_id": 3, "born": "2019-05-06"%s}'


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(INFO, students=40) as running:
        yield running


@asynccontextmanager
async def opened(sandbox: RunningSandbox, **settings: Any) -> AsyncIterator[BaseSISProvider]:
    told = {name: getattr(sandbox, name) for name in ("base_url", "token_url", "client_id", "client_secret")}
    config = validated({"provider": "harbor", "rate_limit": "off", **told, **settings}, origin="a test")
    async with open_provider(INFO, config) as it:
        yield it.provider


async def read(sandbox: RunningSandbox, *kinds: Any, **settings: Any) -> dict[str, dict[str, Record]]:
    found: dict[str, dict[str, Record]] = {kind: {} for kind in kinds}
    async with opened(sandbox, **settings) as provider:
        async for page in provider.pages(set(kinds), scope=Scope()):
            assert page.error is None
            for record in page.records():
                found[record.kind][record.sis_id] = record
    return found


async def test_everything_arrives_as_it_is(sandbox: RunningSandbox) -> None:
    found = await read(sandbox, "schools", "students", "sections", "enrollments", fields="birth_date", custom="students.code")
    for kind in found:
        truth = {row["sis_id"]: row for row in sandbox.truth(kind, fields=["birth_date"])}
        orphans = {
            sis_id for sis_id, record in found[kind].items() if getattr(record, "user", None) not in {None, *found["students"]}
        }
        assert found[kind].keys() - orphans == truth.keys()
        for sis_id, expected in truth.items():
            told = found[kind][sis_id].model_dump(mode="json")
            assert {name: told[name] for name in expected.keys() - {"key", "updated_at"}} == {
                name: value for name, value in expected.items() if name not in ("key", "updated_at")
            }


async def test_p7_what_is_not_asked_for_is_not_delivered(sandbox: RunningSandbox) -> None:
    students = (await read(sandbox, "students"))["students"].values()
    assert not any("birth_date" in student.model_fields_set or student.custom for student in students)


async def test_a_list_of_the_district_may_be_read_for_some_schools(sandbox: RunningSandbox) -> None:
    school = sandbox.truth("schools")[0]["sis_id"]
    found = await read(sandbox, "students", "sections", schools=[school])
    for kind in found:
        assert found[kind].keys() == {row["sis_id"] for row in sandbox.truth(kind) if row["school"] == school}, kind


@pytest.mark.parametrize(("told", "counts"), [(b"3", True), (b"4", False), (b"[4, 3]", True), (b"null", True)])
def test_a_row_is_of_the_schools_that_its_member_names(told: bytes, counts: bool) -> None:
    text = FILE.replace('within = "school_id"', 'within = "at.school"')
    _, provider = declared_in(tomllib.loads(text), provider="x:declared", file="harbor.toml")
    sections = next(each for each in provider.endpoints if each.name == "sections")
    row = b'{"id": 1, "name": "Art", "school_id": 4, "at": {"school": %s}}' % told
    assert bool(sections.reader(Asked({}, {}), "3")(row).records) is counts


async def test_doctor_warns_of_fields_that_no_list_has(sandbox: RunningSandbox) -> None:
    async with opened(sandbox, fields="birth_date,students.gender") as provider:
        (finding,) = [finding for finding in await provider.check() if finding.topic == "fields"]
    assert finding.message == "Harbor does not tell students.gender, so that nothing will stand there."


def test_what_it_can_do_follows_from_the_lists() -> None:
    of = INFO.capabilities.of
    assert INFO.capabilities.offered() == ("schools", "students", "sections", "enrollments")
    assert (of("students").leaving, of("enrollments").leaving) == ("status", "absence")
    assert (of("students").delta, of("schools").delta) == ("updated_at", "none")
    assert (of("students").custom, of("sections").custom) == (True, False)
    assert of("students").single_read


def reading(row: bytes) -> tuple[Record, ...]:
    _, provider = declared_in(tomllib.loads(FILE), provider="x:declared", file="harbor.toml")
    return next(each for each in provider.endpoints if each.name == "students").reader(Asked({}, {}))(row).records


@pytest.mark.parametrize(
    ("member", "field"),
    [(b', "school_id": [3]', "school_id"), (b', "first": {"a": 1}', "first"), (b', "first": ""', "given_name")],
)
def test_p2_p7_a_row_that_cannot_be_understood_names_its_key_and_the_field_only(member: bytes, field: str) -> None:
    with pytest.raises(InvalidRow) as caught:
        reading(ADA % member)
    assert (caught.value.key, caught.value.fields) == ("7", (field,))
    assert "Example" not in str(caught.value)


def test_a_word_that_nobody_knows_is_what_the_file_says_or_invalid() -> None:
    (ada,) = reading(ADA % b', "standing": "on leave", "year_group": "Post"')
    assert ada.model_dump(include={"status", "grade", "grade_text"}) == {
        "status": "inactive",
        "grade": None,
        "grade_text": "Post",
    }
    _, provider = declared_in(
        tomllib.loads(FILE.replace(', otherwise = "inactive"', "")), provider="x:declared", file="harbor.toml"
    )
    with pytest.raises(InvalidRow, match="standing is none of the words that are known"):
        provider.endpoints[1].reader(Asked({}, {}))(ADA % b', "standing": "on leave"')


def test_fields_are_read_as_what_they_are() -> None:
    assert [natural(*it) for it in (("students", "birth_date"), ("students", "updated_at"), ("enrollments", "primary"))] == [
        "day",
        "moment",
        "truth",
    ]
    assert [natural(*it) for it in (("terms", "school_year"), ("students", "ids.x"), ("sections", "school"))] == [
        "number",
        "text",
        "text",
    ]


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ('given_name = "first"\n', "", "lists.students.students: given_name is missing"),
        ('given_name = "first"', 'first_name = "first"', "there is no field 'first_name' for a file to fill"),
        ('parent = "sections"', 'parent = "classes"', "lists.members: its parent 'classes' is no list that gives an id"),
        ('words = "grades"', 'words = "levels"', "lists.students.students.grade: there is no table words.levels"),
        ('{ context = "section" }', '{ context = "class" }', "lists.members.enrollments.section: no list gives 'class'"),
        ('{ value = "student" }', "{}", "needs exactly one of from, context, value and parts"),
        ("[kinds.students]", "[kinds.staff]", "kinds: no list brings staff"),
        ("concurrency = 2", "concurency = 2", "lists.members.concurency: Extra inputs are not permitted"),
        ('name = "harbor"\n', "", "name: Field required"),
    ],
)
def test_what_is_wrong_in_the_file_is_said(before: str, after: str, why: str) -> None:
    assert before in FILE
    with pytest.raises(ConfigurationError) as caught:
        declared_in(tomllib.loads(FILE.replace(before, after, 1)), provider="x:declared", file="harbor.toml")
    assert why in caught.value.message
    assert caught.value.message.startswith("harbor.toml declares no provider: ")


async def test_a_declared_page_size_proves_the_end_of_a_list_without_totals() -> None:
    text = FILE.replace('total = "total"', 'by = "cursor"\nnext = "next"\nmost = 100')
    info, provider = declared_in(tomllib.loads(text), provider="x:declared", file="harbor.toml")
    config = validated({"provider": "harbor", "base_url": "https://sis.example.org"}, origin="a test")
    made = provider(info, config, transport=None, clock=None)  # type: ignore[arg-type]
    assert (await made.page_sizes())[made.endpoints[0].page_size or ""] == 100
    assert not info.capabilities.of("schools").total_count


def found(module: str) -> Registry:
    return discover([EntryPoint(name="harbor", value=module, group="sis_connect.plugins")])


def test_it_is_registered_like_any_other_plugin() -> None:
    assert found("declared_harbor").info("harbor") == INFO


def test_p12_a_file_that_declares_no_provider_is_refused_for_what_is_wrong_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "mistaken_harbor"
    package.mkdir()
    (package / "__init__.py").write_text(Path(declared_harbor.__file__).read_text(encoding="utf-8"), encoding="utf-8")
    (package / "harbor.toml").write_text(FILE.replace('given_name = "first"\n', ""), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = found("mistaken_harbor")
    assert "harbor" not in registry.installed
    assert "lists.students.students: given_name is missing" in registry.refused[0].reason


async def test_the_suite_runs_on_it_as_on_any_other() -> None:
    report = await check_provider(
        INFO,
        students=40,
        only=("one_school", "one_student", "unknown_school", "blank_is_not_untold", "dates_are_right", "three_pages"),
    )
    told = report.as_dict()
    assert (told["passed"], told["failed"], told["not_applicable"]) == (6, 0, 0)
