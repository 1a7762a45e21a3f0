"""What each SIS costs to read: requests of a full read and of a read without changes, and how fast its sandbox serves.

    python tests/benchmarks/vendors.py [--students 10000] [NAME ...]

For each SIS a sandbox starts in a process of its own. A first sync reads it whole, a second one reads what has changed since,
which is nothing. Minutes are those that the vendor's rate limit leaves no way around. Serving is compared by processor time: what
our client needs to read all records once more and keep none, over what the sandbox needs to serve them once more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sis_connect import connect
from sis_connect.discovery import discover, refined
from sis_connect.service import SISService
from sis_connect.settings import validated


@dataclass(frozen=True)
class Case:
    """One way to read an SIS: settings of the sandbox, settings of the client, and how many requests a full read may take."""

    provider: str
    serving: Mapping[str, str] = field(default_factory=dict)
    reading: Mapping[str, str] = field(default_factory=dict)
    most: int | None = None
    changes: bool = True


CASES = {
    "PowerSchool, package": Case(
        "powerschool", {"package": "installed", "page_size": "1000"}, {"road": "bulk", "page_size": "1000"}, 160
    ),
    "Infinite Campus 1.2": Case("infinite_campus", {"version": "1.2"}, {"page_size": "5000"}, 40),
    "Infinite Campus 1.1": Case("infinite_campus", {"version": "1.1"}, {"page_size": "5000"}, 40),
    "OneRoster 1.2, cap 100": Case("oneroster", {"version": "1.2", "cap": "100"}, {}),
    "OneRoster 1.1, cap 100": Case("oneroster", {"version": "1.1", "cap": "100"}, {}),
    "OneRoster CSV 1.2": Case("oneroster_csv", {"version": "1.2"}, {}, changes=False),
    "Skyward Qmlativ": Case("skyward", {"product": "qmlativ"}, {"page_size": "1000"}, changes=False),
}


@contextmanager
def sandbox(case: Case, students: int) -> Iterator[dict[str, Any]]:
    """What its ready line tells."""
    options = [part for key, value in case.serving.items() for part in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "sis_connect", "sandbox", case.provider, "--students", str(students), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def settings(told: Mapping[str, Any], case: Case) -> dict[str, Any]:
    names = ("provider", "base_url", "token_url", "client_id", "client_secret")
    return {**{name: told[name] for name in names}, **told["settings"], **case.reading}


async def syncs(told: Mapping[str, Any], case: Case) -> tuple[dict[str, Any], dict[str, Any]]:
    """A first sync and one of what has not changed."""
    with tempfile.TemporaryDirectory() as folder:
        async with SISService.open(f"sqlite:///{Path(folder) / 'roster.db'}") as service:
            await service.create_integration("lincoln", validated(settings(told, case), origin="the sandbox"))
            return (await service.sync("lincoln")).as_dict(), (await service.sync("lincoln")).as_dict()


async def read_all(told: Mapping[str, Any], case: Case) -> int:
    """Read all records, and keep none."""
    config = validated(settings(told, case), origin="the sandbox")
    kinds = [k for k in refined(discover().info(case.provider), config).capabilities.offered() if k != "guardians"]
    number = 0
    async with connect(case.provider, config) as sis:
        async for page in sis.pages(kinds):
            number += sum(1 for _ in page.records())
    return number


def processor_time(case: Case, students: int, *, reads: int) -> tuple[float, float]:
    """Seconds of the processor that we took, and that the sandbox took, from its start to its end."""
    children, ours = os.times(), time.process_time()
    with sandbox(case, students) as told:
        for _ in range(reads):
            asyncio.run(read_all(told, case))
    ours, after = time.process_time() - ours, os.times()
    return ours, after.children_user + after.children_system - children.children_user - children.children_system


def report(name: str, case: Case, students: int) -> None:
    with sandbox(case, students) as told:
        started = time.perf_counter()
        first, second = asyncio.run(syncs(told, case))
        seconds = time.perf_counter() - started
        limit = refined(discover().info(case.provider), validated(settings(told, case), origin="the sandbox")).default_rate_limit
    rows = sum(number for number in first["records"].values() if isinstance(number, int))
    minutes = first["requests"] * limit[1] / limit[0] / 60
    once, again = processor_time(case, students, reads=1), processor_time(case, students, reads=4)
    ours, serving = (again[0] - once[0]) / 3, (again[1] - once[1]) / 3
    most = f" (limit {case.most})" if case.most else ""
    print(f"{name}: {first['status']}, {rows} records, {first['requests']} requests{most}, {seconds:.0f} s for both syncs")
    print(f"    at {limit[0]} in {limit[1]:g} s the full read takes {minutes:.1f} minutes; rows/100 is {rows / 100:.0f}")
    least = " (limit 15)" if case.changes else ", since this SIS cannot list changes"
    print(f"    without changes: {second['status']}, {second['requests']} requests{least}")
    print(
        f"    our client reads in {ours:.2f} s what the sandbox serves in {serving:.2f} s: {ours / serving:.1f} times (limit 2)"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--students", type=int, default=10_000)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"among {', '.join(CASES)}")
    options = parser.parse_args()
    for name, case in CASES.items():
        if not options.names or any(wanted.lower() in name.lower() for wanted in options.names):
            report(name, case, options.students)


if __name__ == "__main__":
    main()
