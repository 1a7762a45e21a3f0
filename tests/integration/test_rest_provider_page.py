"""The page about REST interfaces: its code runs as printed, and reads the sandbox of the SIS that it is about."""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import harbor_sandbox
from manual_clock import ManualClock
from sis_connect.connection import open_provider
from sis_connect.errors import NotOffered
from sis_connect.provider import BaseSISProvider, ProviderInfo, Scope
from sis_connect.settings import SISProviderConfig, validated
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox

PAGE = (Path(__file__).parents[2] / "docs" / "rest-provider.md").read_text(encoding="utf-8")


def blocks(language: str, title: str = "") -> list[str]:
    named = rf' title="{re.escape(title)}"' if title else ""
    return re.findall(rf"^```{language}{named}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """A module of all the Python code of the page, in its order."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "harbor_page.py").write_text("\n".join(blocks("python")), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield importlib.import_module("harbor_page")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(harbor_sandbox.INFO, students=40) as running:
        yield running


@asynccontextmanager
async def opened(page: ModuleType, sandbox: RunningSandbox, **settings: Any) -> AsyncIterator[BaseSISProvider]:
    """The provider of the page, at the sandbox."""
    info: ProviderInfo = page.INFO
    told = {name: getattr(sandbox, name) for name in ("base_url", "token_url", "client_id", "client_secret")}
    config = validated({"provider": "harbor", "rate_limit": "off", **told, **settings}, origin="a test")
    async with open_provider(replace(info, provider="harbor_page:HarborProvider"), config) as it:
        yield it.provider


async def read(
    page: ModuleType, sandbox: RunningSandbox, *kinds: Any, scope: Scope | None = None, **settings: Any
) -> dict[str, dict[str, Any]]:
    """The records by kind and id."""
    found: dict[str, dict[str, Any]] = {kind: {} for kind in kinds}
    async with opened(page, sandbox, **settings) as provider:
        async for each in provider.pages(set(kinds), scope=scope or Scope()):
            assert each.error is None
            for record in each.records():
                if record.kind in kinds:
                    found[record.kind][record.sis_id] = record
    return found


async def test_the_example_reads_the_whole_roster(page: ModuleType, sandbox: RunningSandbox) -> None:
    found = await read(page, sandbox, "schools", "students", "sections", "enrollments", fields="birth_date")
    for kind in found:
        truth = {row["sis_id"]: row for row in sandbox.truth(kind)}
        known = {None, *found["students"]}
        orphans = {sis_id for sis_id, record in found[kind].items() if getattr(record, "user", None) not in known}
        assert found[kind].keys() - orphans == truth.keys(), kind
    truth = {row["sis_id"]: row for row in sandbox.truth("students", fields=["birth_date"])}
    for sis_id, student in found["students"].items():
        told = student.model_dump(mode="json", exclude_unset=True)
        assert {name: told[name] for name in ("given_name", "grade", "birth_date", "school")} == {
            name: truth[sis_id].get(name) for name in ("given_name", "grade", "birth_date", "school")
        }


async def test_of_some_schools_only_their_students_and_sections_come(page: ModuleType, sandbox: RunningSandbox) -> None:
    one, other = sorted(row["sis_id"] for row in sandbox.truth("schools"))[:2]
    found = await read(page, sandbox, "students", "sections", "enrollments", schools=[one, other])
    for kind in ("students", "sections"):
        theirs = {row["sis_id"] for row in sandbox.truth(kind) if row["school"] in (one, other)}
        assert found[kind].keys() == theirs, kind
    assert {record.section for record in found["enrollments"].values()} == found["sections"].keys()


async def test_a_single_student_is_read_alone_and_one_whom_the_sis_does_not_know_is_told_of(
    page: ModuleType, sandbox: RunningSandbox
) -> None:
    known = sandbox.truth("students")[0]["sis_id"]
    assert (await read(page, sandbox, "students", scope=Scope(students=frozenset((known,)))))["students"].keys() == {known}
    async with opened(page, sandbox) as provider:
        (error,) = [each.error async for each in provider.pages({"students"}, scope=Scope(students=frozenset(("99",))))]
    assert isinstance(error, NotOffered)
    assert error.message == "The SIS knows no student of this id (404)."


async def test_doctor_warns_of_fields_that_are_asked_for_in_vain(page: ModuleType, sandbox: RunningSandbox) -> None:
    async with opened(page, sandbox, fields="birth_date,gender") as provider:
        (finding,) = [finding for finding in await provider.check() if finding.topic == "fields"]
    assert finding.message == "Harbor does not tell gender, so that nothing will stand there."


async def test_fields_of_the_districts_own_are_kept_where_they_are_declared(page: ModuleType, sandbox: RunningSandbox) -> None:
    plain = await read(page, sandbox, "students")
    assert not any(student.custom for student in plain["students"].values())
    found = await read(page, sandbox, "students", custom="students.stand:text=standing")
    assert {student.custom["stand"] for student in found["students"].values()} <= {"enrolled", "left"}


def test_the_file_declares_what_the_line_declares() -> None:
    (file,) = blocks("toml")[:1]
    (line,) = re.findall(r"`custom=(students\.\S+)`", PAGE)
    where = {"provider": "harbor", "base_url": "https://sis.example.org"}
    table = tomllib.loads(file)["lincoln"]["custom"]
    assert (
        SISProviderConfig.model_validate({**where, "custom": table}).custom
        == validated({**where, "custom": line}, origin="x").custom
    )


def test_requests_hold_what_is_asked_for(page: ModuleType) -> None:
    config = validated({"provider": "harbor", "base_url": "https://sis.example.org", "fields": "birth_date"}, origin="a test")
    provider = page.HarborProvider(page.INFO, config, transport=None, clock=ManualClock())
    assert page.STUDENTS.params_for(provider.asked({})) == {"include": "personal"}


@pytest.mark.parametrize(("language", "name"), [("python", "__init__.py"), ("toml", "harbor.toml")])
def test_the_declared_provider_of_the_page_is_the_one_that_is_tested(language: str, name: str) -> None:
    tested = Path(__file__).parents[1] / "declared_harbor" / name
    assert blocks(language, f"sis_connect_harbor/{name}") == [tested.read_text(encoding="utf-8")]
