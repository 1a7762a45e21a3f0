"""What a district of 10,000 students costs to read from the service, and how long the program takes to start.

    python tests/benchmarks/reads.py [--students 10000] [--rounds 20]

Syncs a district from the sandbox over loopback, then calls every read of `SISService` many times and prints the 95th percentile;
then the time to import and to show help, as ratios of starting bare Python.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from sis_connect.service import SISService
from sis_connect.settings import validated
from sis_connect.testing.sandbox import running_sandbox

PROVIDER = "powerschool"


async def timed(rounds: int, read: Callable[[], Awaitable[object]]) -> float:
    """The 95th percentile of one read, in seconds."""
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        await read()
        seconds.append(time.perf_counter() - started)
    return statistics.quantiles(seconds, n=20)[18]


async def service_reads(students: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with SISService.open(f"sqlite:///{Path(folder) / 'roster.db'}") as service:
            info = service.registry.info(PROVIDER)
            with running_sandbox(info, students=students) as sandbox:
                settings = {**sandbox.settings, "provider": PROVIDER, "base_url": sandbox.base_url}
                settings |= {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
                await service.create_integration("lincoln", validated(settings, origin="the sandbox"))
                started = time.perf_counter()
                plan = await service.plan("lincoln")
                report = await service.apply(plan)
                print(f"plan and apply: {time.perf_counter() - started:.1f} s, {report.status}")

                async def export() -> int:
                    return len([row async for row in service.export("lincoln", "students")])

                async def plan_rows() -> int:
                    return len([row async for row in service.plan_rows(plan.id)])

                reads: dict[str, Callable[[], Awaitable[object]]] = {
                    "integrations": service.integrations,
                    "operations": service.operations,
                    "holds": service.holds,
                    "health": service.health,
                    "export of students": export,
                    "doctor": lambda: service.doctor("lincoln"),
                }
                for name, read in reads.items():
                    print(f"{name:<20} p95 {await timed(rounds, read) * 1000:8.1f} ms   (limit 2000)")
                print(
                    f"{'rows of the plan':<20} all {await timed(2, plan_rows) * 1000:8.1f} ms   (streamed, {students} students)"
                )


def start(*words: str) -> float:
    """The median seconds of starting Python with these words."""
    seconds = []
    for _ in range(7):
        started = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def startup() -> None:
    bare, imported = start("-c", "pass"), start("-c", "import sis_connect")
    shown = start("-m", "sis_connect", "--help")
    print(f"bare Python          {bare * 1000:8.0f} ms")
    print(f"import sis_connect   {imported / bare:8.1f} times that, {(imported - bare) * 1000:.0f} ms over it   (limit 150)")
    print(f"sis-connect --help   {shown / bare:8.1f} times that, {shown * 1000:.0f} ms   (limit 400)")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--students", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    startup()
    asyncio.run(service_reads(options.students, options.rounds))


if __name__ == "__main__":
    main()
