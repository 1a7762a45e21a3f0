"""The kit that all sandboxes are built with, tried on the plainest of sandboxes over a real socket."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from datetime import date

import httpx
import pytest

from plain_sandbox import INFO
from sis_connect.capabilities import Capabilities
from sis_connect.errors import ConfigurationError, MissingExtra, ProviderError
from sis_connect.provider import CONTRACT, ProviderInfo
from sis_connect.testing import sandbox as sandbox_module
from sis_connect.testing.sandbox import RunningSandbox, build_app, running_sandbox
from sis_connect.testing.traffic import Traffic


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningSandbox]:
    with running_sandbox(INFO, students=1) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared: RunningSandbox) -> Iterator[RunningSandbox]:
    """A sandbox without faults, on day 0."""
    yield shared
    shared.clear_faults()
    shared.set_day(0)


@pytest.fixture
def client(shared: RunningSandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared.base_url, timeout=5) as client:
        yield client


def rows(client: httpx.Client, page: int = 1, path: str = "/numbers") -> list[int]:
    found: list[int] = client.get(path, params={"page": page}).json()["rows"]
    return found


# Control endpoints


def test_the_day_moves_and_its_date_is_told(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert sandbox.date == date(2026, 10, 5)
    assert client.post("/_sandbox/day", json={"day": 3}).json() == {"date": "2026-10-08"}
    assert sandbox.date == date(2026, 10, 8)
    assert client.post("/_sandbox/day", json={"day": 1}).json() == {"date": "2026-10-06"}


@pytest.mark.parametrize("body", [{"day": -1}, {"day": "soon"}, {}, []])
def test_a_day_that_is_none_is_refused_in_plain_words(client: httpx.Client, body: object) -> None:
    answer = client.post("/_sandbox/day", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_stats_count_what_a_client_asked_for_and_not_the_controls() -> None:
    with running_sandbox(INFO, students=1) as sandbox, httpx.Client(base_url=sandbox.base_url) as client:
        for _ in range(3):
            client.get("/numbers")
        client.post("/token")
        client.get("/_sandbox/truth?kind=schools")
        assert client.get("/_sandbox/stats").json() == {
            "requests": 4,
            "by_path": {"/numbers": 3, "/token": 1},
            "rejected": 0,
            "max_in_window": 4,
        }


def test_truth_comes_as_json_lines_with_the_neutral_key(client: httpx.Client) -> None:
    answer = client.get("/_sandbox/truth", params={"kind": "schools"})
    assert [json.loads(line) for line in answer.text.splitlines()] == [{"key": "school-0", "sis_id": "7", "name": "Lincoln"}]
    assert "History" in client.get("/_sandbox/truth", params={"kind": "schools", "history": "1"}).text
    assert client.get("/_sandbox/truth", params={"kind": "terms"}).text == ""


def test_truth_names_on_request_fields_unless_told_which(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert "emails" in client.get("/_sandbox/truth", params={"kind": "students"}).json()
    assert "emails" not in client.get("/_sandbox/truth", params={"kind": "students", "fields": "phones"}).json()
    assert "emails" not in sandbox.truth("students")[0]
    assert "emails" in sandbox.truth("students", fields=["emails"])[0]


def test_truth_of_no_kind_is_refused(client: httpx.Client) -> None:
    answer = client.get("/_sandbox/truth", params={"kind": "teachers"})
    assert answer.status_code == 400
    assert "students" in answer.json()["error"]


def test_settings_change_while_it_runs(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert client.post("/_sandbox/set", json={"colour": "red"}).json() == {"version": "1", "colour": "red"}
    assert client.post("/_sandbox/set", json={"taste": "sweet"}).status_code == 400
    sandbox.set(colour="blue")


def test_unknown_controls_are_not_found_and_wrong_methods_not_allowed(client: httpx.Client) -> None:
    assert client.get("/_sandbox/nothing").status_code == 404
    assert client.get("/_sandbox/day").status_code == 405


# Limits


def test_the_kit_is_at_hand_by_name_and_names_the_extra_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sandbox_module.RestSandbox is not None
    assert all(hasattr(sandbox_module, name) for name in sandbox_module.__all__)
    assert not hasattr(sandbox_module, "Castle")
    monkeypatch.setitem(sys.modules, "sis_connect.testing.rest_sandbox", None)
    with pytest.raises(MissingExtra, match="sandbox"):
        _ = sandbox_module.RestSandbox


def test_more_requests_than_the_limit_are_refused_with_the_time_to_wait() -> None:
    with running_sandbox(INFO, students=1, rate="3/30") as sandbox, httpx.Client(base_url=sandbox.base_url) as client:
        assert [client.get("/numbers").status_code for _ in range(5)] == [200, 200, 200, 429, 429]
        assert 28 <= int(client.get("/numbers").headers["retry-after"]) <= 30
        stats = sandbox.stats()
        assert (stats["requests"], stats["rejected"], stats["max_in_window"]) == (6, 3, 6)
        assert sandbox.settings["rate_limit"] == "3/30"


def test_refusals_can_keep_the_time_to_wait_to_themselves() -> None:
    settings = {"retry_after": "off"}
    with running_sandbox(INFO, students=1, rate="1/30", settings=settings) as sandbox, httpx.Client() as client:
        client.get(f"{sandbox.base_url}/numbers")
        refused = client.get(f"{sandbox.base_url}/numbers")
    assert refused.status_code == 429
    assert "retry-after" not in refused.headers


def test_the_window_slides() -> None:
    traffic = Traffic(limit=2, window=10)
    waits = [traffic.arrive("/", now) for now in (0, 6, 7, 9.99, 10, 11, 16)]
    assert waits == [None, None, pytest.approx(3), pytest.approx(0.01), None, pytest.approx(5), None]
    assert (traffic.rejected, traffic.busiest) == (3, 5)


def test_a_refused_request_takes_no_place_in_the_window() -> None:
    traffic = Traffic(limit=1, window=10)
    assert traffic.arrive("/", 0) is None
    assert [traffic.arrive("/", now) is None for now in (5, 9, 10)] == [False, False, True]


def test_without_a_limit_the_busiest_minute_is_told() -> None:
    traffic = Traffic()
    for now in (0, 30, 59, 61, 62):
        traffic.arrive("/", now)
    assert traffic.stats()["max_in_window"] == 4


def test_every_answer_takes_the_latency() -> None:
    with running_sandbox(INFO, students=1, latency=80) as sandbox, httpx.Client(base_url=sandbox.base_url) as client:
        client.get("/numbers")
        started = time.perf_counter()
        client.get("/numbers")
        assert time.perf_counter() - started >= 0.08


# Running


def test_it_announces_itself_with_what_a_client_must_know() -> None:
    with running_sandbox(INFO, students=1, settings={"version": "2", "colour": "red"}) as sandbox:
        assert sandbox.settings == {"rate_limit": "off", "version": "2"}
        assert sandbox.token_url == f"{sandbox.base_url}/token"
        assert sandbox.provider == "plain"
        assert sandbox.client_id != sandbox.client_secret


async def test_it_runs_beside_an_event_loop_and_closes_without_a_trace() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with running_sandbox(INFO, students=1) as sandbox:
            async with httpx.AsyncClient(base_url=sandbox.base_url) as client:
                answers = await asyncio.gather(*(client.get("/numbers") for _ in range(20)))
            assert {answer.status_code for answer in answers} == {200}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", httpx.URL(sandbox.base_url).port or 0), timeout=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"settings": {"taste": "sweet"}}, "taste"),
        ({"faults": ["earthquake"]}, "earthquake"),
        ({"rate": "often"}, "REQUESTS/SECONDS"),
        ({"students": 0}, "student"),
        ({"day": -1}, "day 0"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_sentence(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        build_app(INFO, **{"students": 1, **arguments})  # type: ignore[arg-type]


def test_a_provider_without_a_sandbox_is_named() -> None:
    plain = ProviderInfo(name="bare", label="Bare", provider="x:y", contract=CONTRACT, capabilities=Capabilities())
    with pytest.raises(ConfigurationError, match="bare"):
        build_app(plain)


def test_a_sandbox_that_cannot_be_loaded_is_the_plugins_fault() -> None:
    with pytest.raises(ProviderError, match="nowhere"):
        build_app("nowhere:nobody", students=1)


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtra, match=r"sis-connect\[sandbox\]"):
        build_app(INFO)


def test_served_in_the_foreground_it_prints_one_line_and_stops_on_interrupt() -> None:
    script = (
        "from sis_connect.discovery import discover; from sis_connect.testing.sandbox import serve_sandbox; "
        "infos = [i.info for i in discover().installed.values() if i.info.sandbox]; "
        "serve_sandbox(infos[0], students=1, day=2, rate='9/5', settings={})"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    try:
        assert set(ready) == {"provider", "base_url", "token_url", "client_id", "client_secret", "date", "settings"}
        assert (ready["date"], ready["settings"]["rate_limit"]) == ("2026-10-07", "9/5")
        assert httpx.get(f"{ready['base_url']}/_sandbox/stats").json()["requests"] == 0
    finally:
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, output, errors) == (0, "", "")


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=str(port)), running_sandbox(INFO, students=1, port=port):
            pass
