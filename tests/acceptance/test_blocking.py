"""The same without async: in scripts, in notebooks where a loop is running already, and with nothing left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from sis_connect import SISProviderConfig, blocking
from sis_connect.discovery import discover
from sis_connect.errors import ConfigurationError, UnexpectedResponse
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox

PROVIDER = "powerschool"


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(discover().info(PROVIDER), students=80) as running:
        yield running


def connect(sandbox: RunningSandbox, **settings: Any) -> blocking.Connection:
    values: dict[str, Any] = {"base_url": sandbox.base_url, "rate_limit": "off", "max_attempts": 1}
    values |= {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
    return blocking.connect(PROVIDER, **(values | settings))


def test_a_script_reads_a_roster(sandbox: RunningSandbox) -> None:
    with connect(sandbox) as sis:
        assert {student.sis_id for student in sis.students()} == {record["sis_id"] for record in sandbox.truth("students")}
        assert [finding.level for finding in sis.check()].count("error") == 0
        assert sis.info.name == PROVIDER


async def test_it_works_where_a_loop_is_running_already(sandbox: RunningSandbox) -> None:
    with connect(sandbox) as sis:
        assert len(list(sis.schools())) == len(sandbox.truth("schools"))


def test_no_thread_is_left_behind(sandbox: RunningSandbox) -> None:
    before = set(threading.enumerate())
    with connect(sandbox) as sis:
        for _ in sis.enrollments():
            break  # a loop left early must not keep anything open either
        unfinished = sis.students()
        next(unfinished)
    assert set(threading.enumerate()) == before


def test_errors_come_through_as_they_are_after_what_came_before_them() -> None:
    with running_sandbox(discover().info(PROVIDER), students=80, settings={"page_size": "10"}) as sandbox:
        sandbox.fault("truncate", path="/ws/v1/district/student?*page=4*")
        with connect(sandbox) as sis:
            students = sis.students()
            assert len([next(students) for _ in range(30)]) == 30
            with pytest.raises(UnexpectedResponse, match="cut off"):
                next(students)


def test_an_error_on_opening_leaves_nothing_open() -> None:
    before = set(threading.enumerate())
    with (
        pytest.raises(ConfigurationError, match="needs a client id"),
        blocking.connect(PROVIDER, base_url="https://sis.example.org"),
    ):
        pass
    assert set(threading.enumerate()) == before


def test_it_is_used_inside_its_with_block(sandbox: RunningSandbox) -> None:
    sis = connect(sandbox)
    with pytest.raises(RuntimeError, match="inside its `with`"):
        sis.students()
    with sis:
        students = sis.students()
        assert "open" in repr(sis)
    with pytest.raises(RuntimeError, match="inside its `with`"):
        next(students)
    with pytest.raises(RuntimeError, match="make a new one"):
        sis.__enter__()
    assert repr(sis) == "<blocking, closed>"


def test_a_service_plans_and_syncs(sandbox: RunningSandbox, tmp_path: Path) -> None:
    config = SISProviderConfig(
        provider=PROVIDER,
        base_url=sandbox.base_url,
        client_id=sandbox.client_id,
        client_secret=SecretStr(sandbox.client_secret),
        rate_limit="off",
    )
    phases: list[str] = []
    with blocking.SISService.open(f"sqlite:///{tmp_path / 'roster.db'}", today=sandbox.date) as service:
        service.create_integration("lincoln", config)
        report = service.sync("lincoln", progress=lambda progress: phases.append(progress.phase))
        assert report.status == "succeeded"
        assert {row["sis_id"] for row in service.export("lincoln", "schools")} == {
            record["sis_id"] for record in sandbox.truth("schools")
        }
        assert [integration.name for integration in service.integrations()] == ["lincoln"]
    assert "applying" in phases
