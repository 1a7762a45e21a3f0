"""Recorded payloads: a folder of answers is a sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from harbor_sandbox import INFO
from sis_connect.errors import ConfigurationError
from sis_connect.provider import ProviderInfo
from sis_connect.testing.recorded import read_exchange, recorded_in
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox

RECORDED = replace(INFO, sandbox="sis_connect.testing.recorded:create")
EXCHANGES = {
    "schools.http": "GET /schools?*\n\n200\n\n[]",
    "students-1.http": (
        "GET /students?page=1&per_page=2\n\nHTTP/1.1 200 OK\nX-Total-Count: 3\nSet-Cookie: session=secret\n"
        'Transfer-Encoding: chunked\n\n{"data": [{"id": 1},\n\n{"id": 2}]}\n'
    ),
    "below/students-2.http": 'GET /students?per_page=2&page=2\r\n\r\nHTTP/1.1 200 OK\r\nLink: <x>\r\n\r\n{"data": []}',
    "gone.http": 'GET /students/9\n\n404\nContent-Type: text/plain\n\n"nothing"',
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    for name, text in EXCHANGES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(text.encode())
    (folder / "truth").mkdir()
    (folder / "truth" / "schools.jsonl").write_text('{"key": "elm", "sis_id": "7", "name": "Elm School"}\n\n')
    (folder / "truth" / "staff.jsonl").write_text('{"sis_id": "8"}\n')
    return folder


@pytest.fixture(scope="module")
def sandbox(folder: Path) -> Iterator[RunningSandbox]:
    with running_sandbox(RECORDED, students=1, settings={"folder": str(folder)}) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: RunningSandbox) -> Iterator[httpx.Client]:
    credentials = {"grant_type": "client_credentials"}
    told = httpx.post(sandbox.token_url, data=credentials, auth=(sandbox.client_id, sandbox.client_secret)).json()
    with httpx.Client(base_url=sandbox.base_url, headers={"Authorization": f"Bearer {told['access_token']}"}) as client:
        yield client
    sandbox.clear_faults()


def test_a_request_is_answered_as_it_was_recorded(client: httpx.Client) -> None:
    answer = client.get("/students?per_page=2&page=1")
    assert answer.json() == {"data": [{"id": 1}, {"id": 2}]}
    assert (answer.headers["x-total-count"], answer.headers["content-type"]) == ("3", "application/json")
    assert not {"set-cookie", "transfer-encoding"} & set(answer.headers)
    assert client.get("/students?page=2&per_page=2").headers["link"] == "<x>"
    assert (client.get("/students/9").status_code, client.get("/students/9").text) == (404, '"nothing"')


def test_parameters_count_but_where_any_will_do(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert client.get("/schools?page=1").json() == client.get("/schools").json() == []
    assert client.get("/students?page=3&per_page=2").status_code == 404
    assert "GET /students?page&per_page was not recorded." in sandbox.notes


def test_tokens_are_the_sandboxs_own(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert httpx.get(f"{sandbox.base_url}/schools").status_code == 401
    sandbox.fault("token_expiry", count=1)
    assert client.get("/schools").status_code == 401


def test_faults_of_single_answers_strike_recordings_too(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("retry_after", 3)
    refused = client.get("/schools")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "3")


def test_the_truth_is_what_was_written_beside_them(sandbox: RunningSandbox) -> None:
    assert sandbox.truth("schools") == [{"key": "elm", "sis_id": "7", "name": "Elm School"}]
    with pytest.raises(ConfigurationError, match="no truth about students"):
        sandbox.truth("students")
    with pytest.raises(ConfigurationError, match=r"Line 1 of truth/staff\.jsonl"):
        sandbox.truth("staff")


@pytest.mark.parametrize(
    "text", ["", "GET /a\n", "GET\n\n200\n\n", "GET /a\n\nfine\n\n", "GET /a\n\n200\nno header\n\n{}", "GET a\n\n200\n\n{}"]
)
def test_a_file_that_is_no_exchange_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"odd\.http"):
        read_exchange(text.encode(), "odd.http")


def test_a_folder_without_recordings_and_one_with_two_answers_are_refused(tmp_path: Path) -> None:
    def build(info: ProviderInfo) -> None:
        with running_sandbox(info, students=1, settings={"folder": str(tmp_path)}):
            pass

    with pytest.raises(ConfigurationError, match="no recorded payloads"):
        build(RECORDED)
    for name in ("a.http", "b.http"):
        (tmp_path / name).write_text("GET /a\n\n200\n\n{}")
    with pytest.raises(ConfigurationError, match=r"b\.http answers a request that another file answers"):
        recorded_in(tmp_path)
