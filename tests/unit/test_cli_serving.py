"""`serve`, `watch`, `subscribe` and `unsubscribe`, in this process: what they ask of the service, print and leave with."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from sis_connect.cli import application
from sis_connect.cli.invocation import Invocation
from sis_connect.errors import NetworkError
from sis_connect.roster.report import SyncReport

PUPIL = "Ada Example"


@dataclass
class Service:
    """Stands in for the service: watches tell two reports each and go on until stopped by a signal."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    subscribed: bool = True
    fault: Callable[[], BaseException] | None = None

    async def integrations(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in ("lincoln", "roosevelt")]

    async def watch(self, name: str, *, every: float, on_report: Any, actor: str) -> None:
        error = NetworkError("The SIS is down.") if name == "roosevelt" else None
        on_report(SyncReport(operation="", integration=name, status="failed" if error else "succeeded", error=error))
        self.asked.append((name, every))
        if self.fault is not None:
            await self.watch_beside(name)
        try:
            if len(self.asked) == 2:
                os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            self.ended.append(name)

    async def watch_beside(self, name: str) -> None:
        """One has a fault; the other one goes on, and is stopped by a signal later."""
        assert self.fault is not None
        if name == "roosevelt":
            raise self.fault()
        await asyncio.sleep(0.02)
        self.asked.append((name, "goes on"))
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(1)

    async def subscribe(self, name: str, url: str, *, replace: bool, actor: str) -> str:
        if self.fault is not None:
            raise self.fault()
        self.asked.append((name, url, replace))
        return f"{url}/hooks/{name}"

    async def unsubscribe(self, name: str, *, replace: bool, actor: str) -> bool:
        self.asked.append((name, replace))
        return self.subscribed


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    it = Service()

    @asynccontextmanager
    async def opened(self: Invocation) -> AsyncIterator[Service]:
        yield it

    monkeypatch.setattr(Invocation, "service", opened)
    return it


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        application.run(arguments)
    out, err = capfd.readouterr()
    return (left.value.code if isinstance(left.value.code, int) else 0, out, err)


def test_watching_prints_a_line_for_each_run_and_stops_in_good_order(service: Service, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capfd, "watch", "lincoln", "roosevelt", "lincoln", "--every", "5")
    assert (code, service.asked, sorted(service.ended)) == (0, [("lincoln", 5.0), ("roosevelt", 5.0)], ["lincoln", "roosevelt"])
    assert [line[9:] for line in out.splitlines()] == [
        "lincoln succeeded, 0 changes, 0 requests, 0.0 s",
        "roosevelt failed, 0 changes, 0 requests, 0.0 s: The SIS is down.",
    ]
    assert "Watching 2 integrations." in err
    assert "Stopped." in err


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (asyncio.CancelledError, "CancelledError"),
        (lambda: ValueError(PUPIL), "ValueError"),
        (lambda: BaseExceptionGroup(PUPIL, [GeneratorExit(PUPIL)]), "GeneratorExit"),
    ],
)
def test_p12_one_watch_that_ends_is_told_of_and_ends_no_other(
    service: Service, capfd: pytest.CaptureFixture[str], fault: Callable[[], BaseException], told: str
) -> None:
    service.fault = fault
    code, out, err = run(capfd, "watch", "roosevelt", "lincoln")
    assert (code, service.asked[-1]) == (1, ("lincoln", "goes on"))
    assert f"roosevelt is not watched any more: sis-connect itself has failed ({told})" in err
    assert PUPIL not in out + err


@pytest.mark.parametrize("fault", [asyncio.CancelledError, lambda: BaseExceptionGroup(PUPIL, [GeneratorExit(PUPIL)])])
def test_p7_whatever_ends_a_command_is_told_in_a_sentence(
    service: Service, capfd: pytest.CaptureFixture[str], fault: Callable[[], BaseException]
) -> None:
    service.fault = fault
    code, out, err = run(capfd, "subscribe", "lincoln", "--url", "https://roster.example.org")
    assert (code, "Error: sis-connect itself has failed (" in err) == (1, True)
    assert PUPIL not in out + err
    assert "Traceback" not in err


def test_watching_what_is_not_there_fails_before_anything_is_watched(service: Service, capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capfd, "watch", "lincoln", "nowhere")
    assert (code, service.asked) == (1, [])
    assert "There is no integration 'nowhere' (there are: lincoln" in err


def test_a_subscription_is_made_and_ended(service: Service, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, "subscribe", "lincoln", "--url", "https://roster.example.org")
    assert (code, out) == (0, "lincoln sends word of changes to https://roster.example.org/hooks/lincoln, from now on.\n")
    assert run(capfd, "unsubscribe", "lincoln", "--replace")[:2] == (0, "lincoln sends no more word of changes.\n")
    service.subscribed = False
    assert run(capfd, "unsubscribe", "lincoln", "--json")[0] == 1
    assert service.asked == [("lincoln", "https://roster.example.org", False), ("lincoln", True), ("lincoln", False)]


def test_p7_the_webhook_secret_does_not_go_on_a_command_line(service: Service, capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capfd, "add", "lincoln", "--set", "webhook_secret=a-secret-on-the-command-line")
    assert code == 2
    assert "a-secret-on-the-command-line" not in err


def test_serving_says_where_it_listens_and_stops_with_a_signal(
    service: Service, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hinted(self: Service) -> list[str]:
        os.kill(os.getpid(), signal.SIGTERM)
        return []

    monkeypatch.setattr(Service, "hinted", hinted, raising=False)
    code, out, err = run(capfd, "serve", "--port", "0")
    assert (code, out) == (0, "")
    assert "Listening at http://127.0.0.1:" in err
    assert err.endswith("Stopped. What was not followed yet is kept.\n")
