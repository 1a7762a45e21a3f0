"""Several at once: processes on one integration (P10), on one limit (P11), and neighbours who are down or broken (P12)."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from crashing_sync import syncing
from office import STUDENTS_ONLY, Office, differences, expected
from sis_connect.discovery import discover
from sis_connect.store import lease
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox

#: Requests per second that the strict sandbox lets through.
RATE = 40


async def test_p10_two_processes_at_once_work_one_after_the_other(synced: Office) -> None:
    synced.sandbox.set_day(5)
    both = [syncing(synced.url, synced.sandbox.date, kinds=STUDENTS_ONLY) for _ in range(2)]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert differences(await synced.roster("students"), expected(synced.sandbox, "students")) == []
    runs = synced.query("SELECT started_at, finished_at FROM sis_sync_operation ORDER BY started_at")[-2:]
    assert runs[0][1] <= runs[1][0]


async def test_p10_while_somebody_alive_is_at_work_the_other_one_is_told_so(
    synced: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "TERM", 0.2)
    monkeypatch.setattr(lease, "BEAT", 0.05)
    synced.sandbox.set_day(5)
    before = await synced.content()
    async with synced.open() as first, lease.hold_lease(first._store, "sync:1", first._clock):
        report = await synced.sync()
    assert report.error is not None
    assert (report.status, report.exit_code, report.error.category) == ("failed", 1, "conflict")
    assert await synced.content() == before
    assert (await synced.sync(kinds=STUDENTS_ONLY)).status == "succeeded"


def strictly_within(sandbox: RunningSandbox) -> bool:
    stats = sandbox.stats()
    return bool(stats["rejected"] == 0 and stats["max_in_window"] <= RATE)


async def test_p11_the_limit_holds_for_one_process_through_a_kill_and_for_two_integrations_at_once(tmp_path: Path) -> None:
    with running_sandbox(discover().info("powerschool"), students=60, rate=f"{RATE}/1", settings={"page_size": "1"}) as strict:
        office = Office(strict, tmp_path / "roster.db")
        await office.connect()
        await office.connect("branch")
        killed = syncing(office.url, strict.date, kinds=STUDENTS_ONLY, kill_at=50)
        killed.join()
        assert killed.exitcode == -9
        assert strict.stats()["requests"] > 20
        both = [syncing(office.url, strict.date, name, kinds=STUDENTS_ONLY) for name in ("lincoln", "branch")]
        for process in both:
            process.join()
        assert [process.exitcode for process in both] == [0, 0]
        assert strictly_within(strict)
        for name in ("lincoln", "branch"):
            assert differences(await office.roster("students", name), expected(strict, "students")) == []


async def test_p12_a_district_that_is_down_does_not_disturb_its_neighbour(synced: Office) -> None:
    with running_sandbox(discover().info("powerschool"), students=1, seed=2) as neighbour:
        await synced.connect("neighbour", sandbox=neighbour, max_attempts=1, absence_grace="0")
        assert (await synced.sync("neighbour", kinds=STUDENTS_ONLY)).status == "succeeded"
        theirs = await synced.content("neighbour")
        assert (await synced.sync(kinds=STUDENTS_ONLY)).status == "succeeded"
    synced.sandbox.set_day(5)
    down = await synced.sync("neighbour", kinds=STUDENTS_ONLY)
    assert down.error is not None
    assert (down.status, down.error.category) == ("failed", "network")
    assert (await synced.sync(kinds=STUDENTS_ONLY)).status == "succeeded"
    assert differences(await synced.roster("students"), expected(synced.sandbox, "students")) == []
    assert await synced.content("neighbour") == theirs
    async with synced.open() as service:
        assert {one.integration: one.status for one in await service.health()} == {"lincoln": "active", "neighbour": "degraded"}


@pytest.mark.parametrize(
    "line", ["raise SystemExit(3)", "import nothing_like_it", "def sis_connect_providers(): return 7", "x = ("]
)
async def test_p12_a_broken_plugin_is_named_and_the_others_work(
    synced: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    name = f"broken_plugin_{abs(hash(line))}"
    (tmp_path / f"{name}.py").write_text(
        f"import sis_connect.hookspecs as specs\n{'@specs.hookimpl' if line.startswith('def') else ''}\n{line}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (good,) = entry_points(group="sis_connect.plugins", name="powerschool")
    synced.registry = discover([EntryPoint("broken", name, "sis_connect.plugins"), good])
    assert [refused.name for refused in synced.registry.refused] == ["broken"]
    assert (await synced.sync(kinds=["schools"])).status == "succeeded"
