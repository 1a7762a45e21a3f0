"""`as-of` and `withdraw`: what is asked for reaches the service, and the answer is what the reader wants."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sis_connect.cli import application
from sis_connect.cli.invocation import Invocation
from sis_connect.cli.presence import SHOWN, listed
from sis_connect.errors import ConfigurationError
from sis_connect.roster.report import SyncReport
from sis_connect.roster.whereabouts import Whereabouts

Run = Callable[..., tuple[int, str, str]]


def somebody(number: int) -> Whereabouts:
    return Whereabouts(
        person=f"s{number}", local_id=str(number), given_name="Ada", family_name="Vale", role="co_teacher", primary=False,
        school="A", section="x", begins=date(2026, 8, 12), ends=None, record=f"e{number}",
    )  # fmt: skip


@dataclass
class Service:
    """Stands in for the service: answers with so many people, and remembers what it was asked."""

    people: int = 2
    asked: dict[str, Any] = field(default_factory=dict)

    async def as_of(self, name: str, day: date, **where: str | None) -> AsyncIterator[Whereabouts]:
        if where["school"] == "Z":
            raise ConfigurationError("The roster has no such school.")
        self.asked = {"name": name, "day": day, **where}
        for number in range(self.people):
            yield somebody(number)

    async def withdraw(self, name: str, **said: Any) -> SyncReport:
        self.asked = {"name": name, **said}
        return SyncReport(operation="op-7", integration=name, plan="p-7", changes={"students": {"withdraw": 2}})


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    it = Service()

    @asynccontextmanager
    async def opened(self: Invocation) -> AsyncIterator[Service]:
        yield it

    monkeypatch.setattr(Invocation, "service", opened)
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    return it


@pytest.fixture
def run(service: Service, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process: exit code, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            application.run(arguments)
        out, err = capfd.readouterr()
        return (left.value.code if isinstance(left.value.code, int) else 0, out, err)

    return call


def test_p7_a_terminal_is_shown_ids_and_no_names(run: Run, service: Service) -> None:
    code, out, _ = run("as-of", "lincoln", "2026-10-04", "--section", "x")
    assert (code, service.asked) == (0, {"name": "lincoln", "day": date(2026, 10, 4), "school": None, "section": "x"})
    assert out.splitlines() == [
        "id in the SIS  role        school  section  first day   first day out",
        "s0             co teacher  A       x        2026-08-12  -",
        "s1             co teacher  A       x        2026-08-12  -",
        "",
        "2 people.",
    ]
    service.people = 0
    assert run("as-of", "lincoln", "2026-10-04")[1] == "Nobody.\n"


def test_of_many_people_the_first_are_shown_and_all_are_written(run: Run, service: Service, tmp_path: Path) -> None:
    service.people = SHOWN + 1234
    out = run("as-of", "lincoln", "2026-10-04")[1]
    assert out.endswith("\n… 1,234 more: --format csv writes all.\n\n1,274 people.\n")
    file = tmp_path / "there.csv"
    assert run("as-of", "lincoln", "2026-10-04", "--output", str(file)) == (0, "", f"1,274 people in {file}.\n")
    with file.open(encoding="utf-8", newline="") as written:
        assert len(list(csv.DictReader(written))) == 1274


def test_an_answer_is_given_as_json_too(run: Run, service: Service) -> None:
    items = [somebody(number).as_dict() for number in range(2)]
    assert json.loads(run("as-of", "lincoln", "2026-10-04", "--json")[1]) == {"items": items}
    lines = run("as-of", "lincoln", "2026-10-04", "--format", "jsonl")[1].splitlines()
    assert [json.loads(line) for line in lines] == items
    code, out, err = run("as-of", "lincoln", "2026-10-04", "--school", "Z", "--json")
    assert (code, json.loads(out)["items"], "no such school" in err) == (1, [], True)
    assert run("as-of", "lincoln", "last week")[0] == 2
    assert run("as-of", "lincoln", "2026-10-04", "--school", " ")[0] == 2


def test_who_is_to_be_withdrawn_is_named_one_by_one_or_in_a_file(run: Run, service: Service, tmp_path: Path) -> None:
    leavers = tmp_path / "leavers.txt"
    leavers.write_text("\ufeff# the programme\n 17 \n\n18\n", encoding="utf-8")
    assert listed(leavers) == ["17", "18"]
    given = ["--student", "5", "--student", "6", "--from", str(leavers), "--reason", "transfer", "--date", "2026-11-20"]
    code, out, _ = run("withdraw", "lincoln", *given)
    assert code == 0
    assert service.asked == {
        "name": "lincoln", "students": ["5", "6", "17", "18"], "school": None, "reason": "transfer", "day": date(2026, 11, 20),
        "preview": False, "actor": "ada",
    }  # fmt: skip
    assert "students" in out
    assert run("withdraw", "lincoln", "--student", "")[0] == 2
    code, _, err = run("withdraw", "lincoln")
    assert (code, "Name some students with --student or --from" in err) == (2, True)


def test_a_preview_is_a_plan(run: Run, service: Service) -> None:
    code, out, _ = run("withdraw", "lincoln", "--school", "B", "--preview")
    assert (code, service.asked["school"], service.asked["preview"]) == (0, "B", True)
    assert "Apply it with: sis-connect apply p-7" in out
    told = json.loads(run("withdraw", "lincoln", "--school", "B", "--preview", "--json")[1])
    assert (told["plan"], "operation" in told) == ("p-7", False)
    assert json.loads(run("withdraw", "lincoln", "--school", "B", "--json")[1])["operation"] == "op-7"
