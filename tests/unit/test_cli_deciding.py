"""What people decide on the command line reaches the service, and what waits is shown with both sides."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from sis_connect.cli import application
from sis_connect.cli.invocation import Invocation
from sis_connect.errors import ConfigurationError
from sis_connect.roster.pins import Pin
from sis_connect.roster.questions import Conflict
from sis_connect.roster.report import SyncReport
from sis_connect.store.edits import LocalEdit

QUESTION = Conflict(
    id="q-1", integration="lincoln", kind="school_enrollments", sis_id="a_1", field="grade", rule="newest_wins", state="open",
    base="05", sis=["06", "07"], local=None, sis_at=None, local_at="2026-11-22T07:00:00+00:00", local_by="ada", operation="op",
    filed_at="2026-11-23T07:00:00+00:00", decision=None, value=None, decided_by=None, decided_at=None,
)  # fmt: skip
PIN = Pin(
    id="p-1", integration="lincoln", kind="students", sis_id="s1", field="", reason="a while", actor="ada",
    created_at="2026-11-23T07:00:00+00:00", expires_on="2027-01-31",
)  # fmt: skip
EDIT = LocalEdit(kind="students", sis_id="s_1", field="given_name", at="2026-11-23T07:00:00+00:00", author=None)
Run = Callable[..., tuple[int, str, str]]


class Service:
    """Stands in for the service: answers as told and remembers what it was asked."""

    def __init__(self) -> None:
        report = SyncReport(operation="op-7", integration="lincoln", plan="plan-7")
        self.answers: dict[str, Any] = {
            "conflicts": [QUESTION], "resolve": report, "resolve_all": report, "pin": PIN, "unpin": PIN, "pins": [PIN],
            "edits": [EDIT], "revert": report,
        }  # fmt: skip
        self.asked: list[tuple[str, Any, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def answer(*arguments: Any, **options: Any) -> Any:
            await asyncio.sleep(0)
            options.pop("actor", None)
            self.asked.append((name, arguments, options))
            if isinstance(self.answers[name], BaseException):
                raise self.answers[name]
            return self.answers[name]

        return answer


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    it = Service()

    @asynccontextmanager
    async def opened(self: Invocation) -> AsyncIterator[Service]:
        yield it

    monkeypatch.setattr(Invocation, "service", opened)
    return it


@pytest.fixture
def run(service: Service, capfd: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            application.run(arguments)
        out, err = capfd.readouterr()
        return (left.value.code if isinstance(left.value.code, int) else 0, out, err)

    return call


def test_what_waits_is_shown_with_both_sides(service: Service, run: Run) -> None:
    code, out, _ = run("conflicts", "lincoln", "--kind", "school_enrollments", "--field", "grade")
    assert code == 0
    assert out.splitlines()[0] == "1 question:"
    assert re.split(r"\s{2,}", out.splitlines()[2]) == [
        "q-1", "school enrollments", "a_1", "grade", "05", '["06", "07"]', "-", "newest wins", "2026-11-23 07:00"
    ]  # fmt: skip
    assert service.asked == [("conflicts", ("lincoln",), {"kind": "school_enrollments", "field": "grade"})]
    (item,) = json.loads(run("conflicts", "--json")[1])["items"]
    assert (item["id"], item["sis"], item["local_by"], item["operation"]) == ("q-1", ["06", "07"], "ada", "op")
    service.answers["conflicts"] = []
    assert run("conflicts")[1] == "No question waits.\n"


def test_what_waits_says_how_to_answer_and_what_was_deleted_or_is_of_which_district(service: Service, run: Run) -> None:
    service.answers["conflicts"] = [replace(QUESTION, field="*", sis="active"), replace(QUESTION, integration="roosevelt")]
    lines = run("conflicts")[1].splitlines()
    assert re.split(r"\s{2,}", lines[1])[:3] == ["ID", "integration", "kind"]
    assert re.split(r"\s{2,}", lines[2])[4:8] == ["*", "05", "active", "(deleted)"]
    assert "roosevelt" in lines[3]
    assert lines[-1].startswith("Answer with `sis-connect resolve ID --take sis`")


def test_an_answer_reaches_the_service(service: Service, run: Run) -> None:
    assert run("resolve", "q-1", "--take", "sis")[0] == 0
    assert run("resolve", "q-1", "--value", "")[0] == 0
    rule = ["--kind", "students", "--field", "grade", "--take", "local"]
    assert run("resolve", "--all", "lincoln", *rule)[0] == 0
    about = {"kind": "students", "field": "grade", "take": "local"}
    assert service.asked == [
        ("resolve", ("q-1",), {"take": "sis"}),
        ("resolve", ("q-1",), {"value": ""}),
        ("resolve_all", ("lincoln",), {**about, "preview": False}),
    ]
    preview = json.loads(run("resolve", "--all", "lincoln", *rule, "--preview", "--json")[1])
    assert (preview["plan"], "operation" in preview) == ("plan-7", False)
    assert json.loads(run("resolve", "q-1", "--take", "sis", "--json")[1])["operation"] == "op-7"


def test_pins_and_edits_are_set_shown_and_given_up(service: Service, run: Run) -> None:
    assert run("pin", "lincoln", "students", "s1", "--expires", "2027-01-31")[1] == "Pinned s1 until 2027-01-31, as p-1.\n"
    assert run("pin", "lincoln", "students", "s1", "--field", "grade")[1].startswith("Pinned grade of s1 until")
    assert [options["expires_on"] for name, _, options in service.asked if name == "pin"] == [date(2027, 1, 31), None]
    assert "p-1  lincoln      students  s1             -      2027-01-31  ada  a while" in run("pins", "lincoln")[1]
    assert "The next sync decides about what it protected." in run("unpin", "p-1")[1]
    assert json.loads(run("unpin", "p-1", "--json")[1])["sis_id"] == "s1"
    assert "students  s_1            given_name  2026-11-23 07:00  -" in run("edits", "lincoln")[1]
    assert run("revert", "lincoln", "students", "s1", "--field", "grade")[0] == 0
    assert service.asked[-1] == ("revert", ("lincoln", "students", "s1"), {"fields": ("grade",)})
    service.answers |= {"pins": [], "edits": []}
    assert run("pins")[1] == "Nothing is pinned.\n"
    assert run("edits", "lincoln")[1] == "The app has edited nothing.\n"


def test_a_failure_has_the_shape_of_its_command(service: Service, run: Run) -> None:
    error = ConfigurationError("There is no such thing.")
    service.answers |= {"conflicts": error, "pins": error, "resolve": error}
    for name in ("conflicts", "pins"):
        code, out, _ = run(name, "--json")
        assert (code, json.loads(out)) == (1, {"items": [], "error": error.as_dict()})
    code, out, err = run("resolve", "q-1", "--take", "sis", "--json")
    assert (code, json.loads(out)["status"], err) == (1, "failed", f"Error: {error}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("resolve",),
        ("resolve", "q-1"),
        ("resolve", "q-1", "--take", "both"),
        ("resolve", "q-1", "--take", "sis", "--value", "06"),
        ("resolve", "q-1", "--all", "lincoln", "--take", "sis"),
        ("resolve", "q-1", "--take", "sis", "--preview"),
        ("conflicts", "--kind", "pupils"),
        ("conflicts", "--field", "graed"),
        ("resolve", "--all", "lincoln", "--field", "graed", "--take", "sis"),
        ("pin", "lincoln", "pupils", "s1"),
        ("pin", "lincoln", "students", "s1", "--expires", "soon"),
    ],
)
def test_a_wrong_call_is_a_usage_error(run: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "Error: " in err
