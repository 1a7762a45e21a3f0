"""The command line against a district behind a real socket, in processes of its own."""

from __future__ import annotations

import csv
import io
import json
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from acceptance.conftest import CommandLine
from sis_connect.testing.sandbox import RunningSandbox

KEYS = {
    *("integration", "status", "requests", "bytes", "seconds", "records", "changes", "held"),
    *("conflicts", "quarantined", "holds", "error"),
}


def present(sandbox: RunningSandbox) -> set[str]:
    """The students who are there: who had left before we came is never taken in."""
    return {row["sis_id"] for row in sandbox.truth("students") if row["status"] == "active"}


@pytest.fixture
def lincoln(sis_connect: CommandLine, sandbox: RunningSandbox) -> CommandLine:
    """The command line with one district connected."""
    assert sis_connect.add(sandbox).code == 0
    return sis_connect


def test_a_district_is_connected_read_and_left_as_it_is(lincoln: CommandLine, sandbox: RunningSandbox) -> None:
    assert "lincoln" in lincoln("list").out
    assert lincoln("doctor", "lincoln").code == 0
    first = lincoln("sync", "lincoln", "--json")
    assert first.code == 0, first.err
    assert first.document["changes"]["students"]["create"] == len(present(sandbox))
    assert "reading" in first.err
    second = lincoln("sync", "lincoln", "--json").document
    assert {action for changes in second["changes"].values() for action, count in changes.items() if count} == {"unchanged"}
    assert [item["status"] for item in lincoln("operations", "--json").document["items"]] == ["succeeded", "succeeded"]
    assert [item["last_status"] for item in lincoln("list", "--json").document["items"]] == ["succeeded"]
    assert lincoln("health", "lincoln").code == 0
    assert lincoln("remove", "lincoln").code == 0
    assert lincoln("list", "--json").document == {"items": []}


def test_p3_a_plan_writes_nothing_and_is_applied_as_it_was_shown(lincoln: CommandLine) -> None:
    planned = lincoln("plan", "lincoln", "--json")
    assert (planned.code, set(planned.document) >= KEYS | {"plan"}) == (0, True)
    assert lincoln("export", "lincoln", "students", "--format", "jsonl").out == ""
    applied = lincoln("apply", planned.document["plan"], "--json")
    assert (applied.code, set(applied.document) >= KEYS | {"operation"}) == (0, True)
    assert applied.document["changes"]["students"]["create"] == planned.document["changes"]["students"]["create"]
    again = lincoln("apply", planned.document["plan"], "--json").document
    assert "create" not in again["changes"].get("students", {})


def test_an_export_is_the_roster_in_each_format(lincoln: CommandLine, sandbox: RunningSandbox) -> None:
    from pyarrow import parquet

    assert lincoln("sync", "lincoln", "--quiet").err == ""
    truth = present(sandbox)
    lines = lincoln("export", "lincoln", "students", "--format", "jsonl").out.splitlines()
    assert {json.loads(line)["sis_id"] for line in lines} == truth
    assert {row["sis_id"] for row in csv.DictReader(io.StringIO(lincoln("export", "lincoln", "students").out))} == truth
    assert lincoln("export", "lincoln", "students", "--format", "parquet", "--output", "s.parquet").code == 0
    assert set(parquet.read_table(lincoln.folder / "s.parquet").column("sis_id").to_pylist()) == truth


def test_p9_a_district_that_has_become_empty_is_held_for_a_person(lincoln: CommandLine, sandbox: RunningSandbox) -> None:
    assert lincoln("sync", "lincoln").code == 0
    before = lincoln("export", "lincoln", "students", "--format", "jsonl").out
    sandbox.fault("empty", path="/ws/v1/district/student")
    held = lincoln("sync", "lincoln", "--json")
    assert (held.code, held.document["status"]) == (3, "held")
    [first, *_] = lincoln("holds", "lincoln", "--json").document["items"]
    assert first["state"] == "open"
    assert lincoln("export", "lincoln", "students", "--format", "jsonl").out == before
    assert "approve" in lincoln("sync", "lincoln").out
    sandbox.clear_faults()
    assert lincoln("sync", "lincoln").code == 0


def test_a_school_that_answers_500_for_ever_makes_the_run_incomplete(lincoln: CommandLine, sandbox: RunningSandbox) -> None:
    assert lincoln("sync", "lincoln").code == 0
    school = sandbox.truth("schools")[0]["sis_id"]
    sandbox.fault("status", "500", path=f"/ws/v1/school/{school}/section")
    run = lincoln("sync", "lincoln", "--full", "--json")
    assert (run.code, run.document["status"]) == (4, "incomplete")
    assert not any(changes.get("withdraw") for changes in run.document["changes"].values())


def test_p9_a_wrong_secret_fails_in_a_sentence(sis_connect: CommandLine, sandbox: RunningSandbox) -> None:
    sis_connect.add(sandbox)
    sis_connect.environment["SIS_CONNECT_LINCOLN_CLIENT_SECRET"] = "hunter2"
    run = sis_connect("sync", "lincoln", "--json")
    assert (run.code, run.document["status"], run.document["error"]["category"]) == (1, "failed", "authentication")
    assert "hunter2" not in run.out + run.err
    assert sis_connect("doctor", "lincoln").code == 1


@pytest.mark.parametrize(
    ("base_url", "category"),
    [
        ("sis.example.org", "configuration"),
        ("http://sis.example.org", "configuration"),
        ("https://sis.example.org/district", "configuration"),
        ("https://sis.example.org:1", "network"),
    ],
)
def test_a_base_url_that_leads_nowhere_is_explained(sis_connect: CommandLine, base_url: str, category: str) -> None:
    sis_connect.environment["SIS_CONNECT_CLIENT_SECRET"] = "hunter2"
    added = sis_connect("add", "lincoln", "--provider", "powerschool", "--base-url", base_url, "--client-id", "x", "--json")
    run = added if added.code else sis_connect("sync", "lincoln", "--json")
    assert (run.code, run.document["error"]["category"]) == (1, category)
    assert "Error: " in run.err


@pytest.mark.parametrize("command", ["sync", "plan", "doctor", "remove"])
def test_a_name_that_nobody_has_is_explained(sis_connect: CommandLine, command: str) -> None:
    run = sis_connect(command, "nowhere", "--json")
    assert (run.code, run.document["error"]["category"]) == (1, "configuration")
    assert "nowhere" in run.err


@pytest.mark.parametrize(
    "arguments", [("apply", "p-0"), ("approve", "h-0"), ("reject", "h-0"), ("export", "nowhere", "students")]
)
def test_an_id_that_nobody_gave_is_explained(sis_connect: CommandLine, arguments: tuple[str, ...]) -> None:
    run = sis_connect(*arguments)
    assert (run.code, run.out) == (1, "")
    assert run.err.startswith("Error: ")


def no_database(path: Path) -> None:
    path.write_bytes(b"This is no database. " * 100)


def newer_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE sis_schema_version (version_num TEXT)")
        connection.execute("INSERT INTO sis_schema_version VALUES ('9999')")
    connection.close()


@pytest.mark.parametrize("spoil", [no_database, newer_database, Path.mkdir])
def test_a_database_that_cannot_be_used_is_explained(sis_connect: CommandLine, spoil: object) -> None:
    assert callable(spoil)
    spoil(sis_connect.folder / "sis-connect.db")
    run = sis_connect("list", "--json")
    assert (run.code, run.document["error"]["category"]) == (1, "storage")
    assert run.err.startswith("Error: ")


def test_p10_two_syncs_at_once_end_as_one_after_the_other(lincoln: CommandLine) -> None:
    both = [lincoln.start("sync", "lincoln", "--json") for _ in range(2)]
    ends = [lincoln.end(process) for process in both]
    assert [end.code for end in ends] == [0, 0], ends
    created = sorted(end.document["changes"]["students"].get("create", 0) for end in ends)
    assert created[0] == 0 < created[1]


def test_p4_stopping_is_clean_and_the_next_sync_finishes_the_work(sis_connect: CommandLine, sandbox: RunningSandbox) -> None:
    sandbox.fault("slow", "0.05")
    sis_connect.add(sandbox)
    process = sis_connect.start("sync", "lincoln", "--json")
    while sandbox.stats()["requests"] < 10 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stopped = sis_connect.end(process)
    assert (stopped.code, stopped.document["status"]) == (1, "failed")
    assert "Stopped before the end" in stopped.err
    sandbox.clear_faults()
    finished = sis_connect("sync", "lincoln", "--json")
    assert finished.code == 0
    assert finished.document["changes"]["students"]["create"] == len(present(sandbox))


def test_p7_a_secret_is_nowhere_in_what_is_stored_and_printed(lincoln: CommandLine, sandbox: RunningSandbox) -> None:
    printed = [lincoln("--verbose", *words) for words in (["doctor", "lincoln"], ["sync", "lincoln"], ["list", "--json"])]
    assert not any(sandbox.client_secret in run.out + run.err for run in printed)
    stored = b"".join(path.read_bytes() for path in lincoln.folder.glob("sis-connect.db*"))
    assert sandbox.client_secret.encode() not in stored


def test_one_school_alone_can_be_synchronised(lincoln: CommandLine, sandbox: RunningSandbox) -> None:
    school = sandbox.truth("students")[0]["school"]
    run = lincoln("sync", "lincoln", "--school", school, "--json")
    assert run.code == 0, run.err
    students = [json.loads(line) for line in lincoln("export", "lincoln", "students", "--format", "jsonl").out.splitlines()]
    assert {student["school"] for student in students} == {school}


def test_a_closed_pipe_is_no_accident(lincoln: CommandLine) -> None:
    assert lincoln("sync", "lincoln").code == 0
    process = lincoln.start("export", "lincoln", "enrollments")
    process.stdout.readline()
    process.stdout.close()
    assert "Error" not in lincoln.end(process).err
