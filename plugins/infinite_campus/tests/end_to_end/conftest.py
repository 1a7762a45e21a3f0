"""A district of 200 students behind a sandbox for all these files, and an office that is connected to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from office import Office, expected
from sis_connect.capabilities import Kind
from sis_connect.discovery import discover
from sis_connect.testing.sandbox import RunningSandbox, ready_message, running_sandbox

OFFERED: tuple[Kind, ...] = ("schools", "terms", "courses", "staff", "students", "sections", "enrollments", "guardians")
Strayed = Callable[..., Any]


class CampusOffice(Office):
    """Connects with what the sandbox tells an administrator to copy; absence counts at once."""

    async def connect(self, name: str = "lincoln", *, sandbox: RunningSandbox | None = None, **more: Any) -> None:
        here = sandbox or self.sandbox
        copied = ready_message("infinite_campus", here._app, here._thread.server.base_url, None)
        told = {**copied["settings"], "base_url": copied["base_url"], "token_url": copied["token_url"], "absence_grace": "0"}
        await super().connect(name, sandbox=sandbox, **{**told, **more})

    async def strayed(self, *fields: str) -> dict[str, list[str]]:
        """Where the local roster is not what the SIS tells. Who was never here need not be; what is gone is inactive."""
        found: dict[str, list[str]] = {}
        for kind in OFFERED:
            if kind == "guardians" and "guardians" not in fields:
                continue
            truth, local = expected(self.sandbox, kind, fields), await self.roster(kind)
            lines = [f"{sis_id} is still {local[sis_id]['status']}" for sis_id in _present(local) - truth.keys()]
            for sis_id, row in truth.items():
                lines += _differences(sis_id, local.get(sis_id), row)
            if lines:
                found[kind] = lines
        return found


def _present(local: dict[str, dict[str, Any]]) -> set[str]:
    return {sis_id for sis_id, row in local.items() if row["status"] != "inactive"}


def _differences(sis_id: str, mine: dict[str, Any] | None, truth: dict[str, Any]) -> list[str]:
    gone = truth["status"] in ("inactive", "tobedeleted")
    if mine is None:
        return [] if gone else [f"{sis_id} is missing"]
    if gone:
        return [] if mine["status"] == "inactive" else [f"{sis_id} is still {mine['status']}"]
    return [
        f"{sis_id}.{name}: {mine.get(name)!r} where the SIS has {value!r}"
        for name, value in truth.items()
        if (mine.get(name) or None) != (value or None)
    ]


@pytest.fixture(scope="session")
def district() -> Iterator[RunningSandbox]:
    with running_sandbox(discover().info("infinite_campus"), students=200) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(district: RunningSandbox) -> Iterator[RunningSandbox]:
    """The district on day 0, without faults; and so it is left."""
    unchanged = dict(district._app.sandbox.settings)
    yield district
    district.clear_faults()
    district.set(**unchanged)
    if district.district.day:
        district.set_day(0)


@pytest.fixture
def office(sandbox: RunningSandbox, tmp_path: Path) -> CampusOffice:
    """An office with an empty database."""
    return CampusOffice(sandbox, tmp_path / "roster.db")
