"""How long a change in the SIS takes to the roster: told by the sandbox, taken by the web application, read again and written.

    python tests/benchmarks/latency.py [--students 10000] [--changes 50] [--storm 500]

Everything goes over loopback sockets, in one process. Then a storm: so many deliveries at once, and how few requests they become.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from sis_connect.service import SISService
from sis_connect.settings import validated
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox
from sis_connect.web.server import serve

PROVIDER = "powerschool"
#: How often the roster is looked at, in seconds.
LOOK = 0.01


class Roster:
    """The built-in roster, looked at from outside."""

    def __init__(self, database: Path) -> None:
        self.database = database

    def names(self, sis_ids: list[str]) -> set[str]:
        marks = ", ".join("?" * len(sis_ids))
        query = f"SELECT family_name FROM roster_students WHERE sis_id IN ({marks})"
        with closing(sqlite3.connect(self.database)) as connection:
            return {name for (name,) in connection.execute(query, sis_ids)}

    async def until(self, sis_ids: list[str], name: str) -> None:
        while True:
            if self.names(sis_ids) == {name}:
                return
            await asyncio.sleep(LOOK)


async def one_by_one(sandbox: RunningSandbox, roster: Roster, students: list[str], changes: int) -> None:
    seconds = []
    before = sandbox.stats()["requests"]
    for number in range(changes):
        student = students[number % len(students)]
        name = f"Changed {number}"
        started = time.perf_counter()
        await asyncio.to_thread(sandbox.change, "students", student, family_name=name)
        await roster.until([student], name)
        seconds.append(time.perf_counter() - started)
        await asyncio.sleep(0.05)  # until the run has written its report
    requests = sandbox.stats()["requests"] - before
    ordered = sorted(seconds)
    print(f"a change reaches the roster: median {statistics.median(seconds) * 1000:.0f} ms, slowest {ordered[-1] * 1000:.0f} ms")
    print(f"95 % within {ordered[int(len(ordered) * 0.95) - 1] * 1000:.0f} ms, {requests / changes:.2f} requests for each")


async def storm(sandbox: RunningSandbox, roster: Roster, students: list[str], deliveries: int) -> None:
    before = sandbox.stats()["requests"]
    started = time.perf_counter()
    last = ""
    for number in range(deliveries // len(students)):
        last = f"Storm {number}"
        for student in students:
            await asyncio.to_thread(sandbox.change, "students", student, family_name=last)
    await roster.until(students, last)
    took, requests = time.perf_counter() - started, sandbox.stats()["requests"] - before
    print(f"{deliveries} deliveries about {len(students)} students: {took:.1f} s, {requests} requests")


async def measure(students: int, changes: int, deliveries: int) -> None:
    with tempfile.TemporaryDirectory() as folder, _sandbox(students) as sandbox:
        database = Path(folder) / "roster.db"
        async with SISService.open(f"sqlite:///{database}", today=sandbox.date) as service:
            given: dict[str, Any] = {"provider": PROVIDER, "base_url": sandbox.base_url, "client_id": sandbox.client_id}
            given |= {"client_secret": sandbox.client_secret, **sandbox.settings}
            await service.create_integration("lincoln", validated(given, origin="the sandbox"))
            started = time.perf_counter()
            report = await service.sync("lincoln")
            print(f"first sync of {students} students: {time.perf_counter() - started:.1f} s, {report.status}")
            ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            serving = asyncio.create_task(serve(service, host="127.0.0.1", port=0, on_ready=ready.set_result))
            await service.subscribe("lincoln", await ready)
            chosen = [row["sis_id"] for row in sandbox.truth("students") if row["status"] == "active"][:10]
            await one_by_one(sandbox, Roster(database), chosen, changes)
            await storm(sandbox, Roster(database), chosen, deliveries)
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving


def _sandbox(students: int) -> running_sandbox:
    from sis_connect.discovery import discover

    return running_sandbox(discover().info(PROVIDER), students=students, settings={"package": "installed"})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--students", type=int, default=10_000)
    parser.add_argument("--changes", type=int, default=50)
    parser.add_argument("--storm", type=int, default=500)
    options = parser.parse_args()
    asyncio.run(measure(options.students, options.changes, options.storm))


if __name__ == "__main__":
    main()
