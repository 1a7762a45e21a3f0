"""What a district has to mend is shown so that somebody can mend it, and sent to those who can."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from sis_connect.cli import application
from sis_connect.cli.invocation import Invocation
from sis_connect.errors import ConfigurationError
from sis_connect.roster.integrity import IntegrityFinding
from sis_connect.roster.waiting import Quarantined

NO_TEACHER = "This active section has no teacher."
Run = Callable[..., tuple[int, str, str]]


@dataclass
class Service:
    """A roster with so many sections that nobody teaches, and one bad row."""

    sections: int = 3

    async def integrity(self, name: str, check: str | None = None) -> AsyncIterator[IntegrityFinding]:
        if check == "nonsense":
            raise ConfigurationError("There is no check 'nonsense'.")
        for number in range(self.sections):
            yield IntegrityFinding(
                check="sections_without_teacher", kind="sections", sis_id=f"{number:03}", school="7", message=NO_TEACHER
            )

    async def quarantine(self, name: str) -> AsyncIterator[Quarantined]:
        since = "2026-11-23T07:00:00+00:00"
        if self.sections:
            yield Quarantined(
                kind="students", key="dcid=5", fields=("grade",), reason="grade is not a grade", since=since, endpoint="students"
            )


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
    """Run the command line in this process: exit code, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            application.run(arguments)
        out, err = capfd.readouterr()
        return (left.value.code if isinstance(left.value.code, int) else 0, out, err)

    return call


def test_findings_are_shown_check_by_check(run: Run) -> None:
    code, out, _ = run("integrity", "lincoln")
    assert code == 0
    assert out.splitlines() == [
        "lincoln: 3 findings for the district to mend.",
        "",
        "sections_without_teacher (3)",
        "  kind      id in the SIS  school  what is wrong",
        *[f"  sections  00{number}            7       {NO_TEACHER}" for number in range(3)],
    ]


def test_of_many_findings_the_first_are_shown_and_how_to_get_the_rest(run: Run, service: Service) -> None:
    service.sections = 1234
    out = run("integrity", "lincoln")[1]
    assert out.splitlines()[-3:] == [
        "  and 1,226 more",
        "",
        "All of them, as a list to send to the district: sis-connect integrity lincoln --output FILE",
    ]
    assert len(run("integrity", "lincoln", "--check", "sections_without_teacher")[1].splitlines()) == 1234 + 4


def test_findings_are_given_as_json_and_written_to_a_file_to_send(run: Run, tmp_path: Path) -> None:
    items = json.loads(run("integrity", "lincoln", "--json")[1])["items"]
    assert items[0] == {
        "check": "sections_without_teacher", "kind": "sections", "sis_id": "000", "school": "7", "message": NO_TEACHER,
    }  # fmt: skip
    code, out, err = run("integrity", "lincoln", "--output", str(tmp_path / "mend.csv"))
    assert (code, out, err) == (0, "", f"3 findings in {tmp_path / 'mend.csv'}.\n")
    with (tmp_path / "mend.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == items
    lines = run("integrity", "lincoln", "--format", "jsonl")[1].splitlines()
    assert [json.loads(line) for line in lines] == items


def test_a_roster_in_order_is_told_in_a_line(run: Run, service: Service) -> None:
    service.sections = 0
    assert run("integrity", "lincoln")[:2] == (0, "lincoln: nothing to mend.\n")
    assert run("quarantine", "lincoln")[:2] == (0, "Nothing waits in quarantine.\n")


def test_a_check_that_does_not_exist_is_a_failure_in_the_shape_of_a_list(run: Run) -> None:
    code, out, err = run("integrity", "lincoln", "--check", "nonsense", "--json")
    assert (code, json.loads(out)["items"]) == (1, [])
    assert err.startswith("Error: There is no check 'nonsense'.")


def test_what_waits_in_quarantine_is_listed_without_its_values(run: Run) -> None:
    assert run("quarantine", "lincoln")[1].splitlines() == [
        "kind      key in the SIS  fields  since (UTC)       why",
        "students  dcid=5          grade   2026-11-23 07:00  grade is not a grade",
    ]
    [item] = json.loads(run("quarantine", "lincoln", "--json")[1])["items"]
    assert item == {
        "kind": "students", "key": "dcid=5", "fields": ["grade"], "reason": "grade is not a grade",
        "since": "2026-11-23T07:00:00+00:00", "endpoint": "students",
    }  # fmt: skip
