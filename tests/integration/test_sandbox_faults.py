"""Every fault that a sandbox knows, met over a real socket."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import httpx
import pytest

from plain_sandbox import INFO
from sis_connect.errors import ConfigurationError
from sis_connect.testing.district import District
from sis_connect.testing.district_renaming import rename
from sis_connect.testing.faults import NAMES, Fault, Faults
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox


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


def test_fault_status(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("status")
    assert client.get("/numbers").status_code == 500
    sandbox.clear_faults()
    sandbox.fault("status", 503)
    assert client.get("/numbers").status_code == 503


def test_fault_retry_after_in_seconds_and_as_a_date(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("retry_after", 2, count=1)
    sandbox.fault("retry_after", "date+60", count=1)
    answer = client.get("/numbers")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    answer = client.get("/numbers")
    ahead = parsedate_to_datetime(answer.headers["retry-after"]).timestamp() - time.time()
    assert 55 < ahead < 62
    assert client.get("/numbers").status_code == 200


def test_fault_reset(client: httpx.Client, sandbox: RunningSandbox) -> None:
    client.get("/numbers")
    sandbox.fault("reset", count=1)
    with pytest.raises(httpx.ReadError) as broken:
        client.get("/numbers")
    assert re.search("reset", str(broken.value), re.IGNORECASE)
    assert client.get("/numbers").status_code == 200


def test_fault_slow(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("slow", 0.1, count=1)
    started = time.perf_counter()
    assert client.get("/numbers").status_code == 200
    assert time.perf_counter() - started >= 0.1


def test_what_is_held_back_comes_when_all_faults_are_cleared(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("slow", 600, count=1)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(rows, client)
        while not sandbox.held:
            assert not answer.done()
            time.sleep(0.01)
        sandbox.clear_faults()
        assert len(answer.result(5)) == 10
    assert not sandbox.held


def test_a_fault_may_let_some_requests_pass_before(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("status", 403, count=1, path="/numbers", after=1)
    assert client.get("/others").status_code == client.get("/numbers").status_code == 200
    assert not sandbox.struck
    assert [client.get("/numbers").status_code for _ in range(2)] == [403, 200]
    assert sandbox.struck


def test_fault_first_cuts_a_list_short(client: httpx.Client, sandbox: RunningSandbox) -> None:
    whole = rows(client)
    sandbox.fault("first", 12)
    assert (len(rows(client)), len(rows(client, page=2)), rows(client, page=3)) == (10, 2, [])
    assert (rows(client), client.get("/numbers").json()["total"]) == (whole, 12)


def test_everything_is_renamed_under_the_same_ids() -> None:
    district = District(students=1)
    before = District(students=1)
    rename(district)
    for name, values in (("schools", ["name"]), ("courses", ["name"]), ("staff", ["family"]), ("students", ["family", "number"])):
        old, new = getattr(before, name), getattr(district, name)
        assert old.keys() == new.keys()
        assert all(getattr(old[each], value) != getattr(new[each], value) for each in old for value in values)
    district.move_to(1)
    district.move_to(0)
    assert district.students == before.students


def test_fault_truncate_leaves_half_the_body(client: httpx.Client, sandbox: RunningSandbox) -> None:
    whole = client.get("/numbers").content
    sandbox.fault("truncate", count=1)
    assert client.get("/numbers").content == whole[: len(whole) // 2]


def test_fault_truncate_can_break_the_connection_half_way(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("truncate", "connection", count=1)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        client.get("/numbers")
    assert client.get("/numbers").status_code == 200


def test_fault_html(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("html")
    answer = client.get("/numbers")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "<title>" in answer.text


def test_fault_redirect_leads_to_another_origin_which_notices_credentials(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("redirect")
    answer = client.get("/numbers", headers={"Authorization": "Bearer secret"})
    assert answer.status_code == 302
    elsewhere = httpx.URL(answer.headers["location"])
    assert (elsewhere.host, elsewhere.port) == ("localhost", httpx.URL(sandbox.base_url).port)
    assert sandbox.leaks == []
    assert httpx.get(elsewhere).status_code == 200
    assert sandbox.leaks == []
    httpx.get(elsewhere, headers={"Authorization": "Bearer secret"})
    assert sandbox.leaks == ["/_sandbox/elsewhere"]
    assert client.get("/_sandbox/leaks").json() == ["/_sandbox/elsewhere"]


def test_fault_redirect_can_lead_anywhere(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("redirect", "https://sis.example.org/down")
    assert client.get("/numbers").headers["location"] == "https://sis.example.org/down"


def test_fault_next_elsewhere(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("next_elsewhere")
    assert client.get("/numbers").json()["next"].startswith("http://localhost:")


def test_fault_repeat_page(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("repeat_page")
    assert rows(client, 1) == rows(client, 2) == rows(client, 7) == list(range(10))


def test_fault_cap(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("cap", 4)
    assert (rows(client, 1), rows(client, 2)) == ([0, 1, 2, 3], [4, 5, 6, 7])


def test_fault_drop_total_and_wrong_total(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert client.get("/numbers").json()["total"] == 95
    sandbox.fault("wrong_total", -3, count=1)
    assert client.get("/numbers").json()["total"] == 92
    sandbox.fault("drop_total", count=1)
    assert client.get("/numbers").json()["total"] is None


def test_fault_empty(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("empty", path="/numbers")
    assert rows(client) == []
    assert len(rows(client, path="/others")) == 10


def test_fault_drift_lets_a_row_appear_between_two_pages(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("drift")
    first = client.get("/numbers?page=1").json()
    assert (first["rows"][0], first["rows"][-1], first["total"]) == (1, 10, 94)
    assert rows(client, 2)[0] == 10, "the last row of the page before comes again"
    assert client.get("/numbers?page=3").json()["total"] == 95
    assert rows(client, 1)[0] == 0, "a later read finds them all"


def test_fault_drift_can_let_a_row_vanish(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("drift", -1)
    assert rows(client, 1)[-1] == 9
    assert rows(client, 2)[0] == 11, "row 10 is never seen"


def test_fault_token_expiry_may_wait(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("token_expiry", 2, count=1)
    assert [client.get("/numbers").status_code for _ in range(4)] == [200, 200, 401, 200]


def test_a_fault_has_a_count_and_a_path_and_can_be_cleared(client: httpx.Client) -> None:
    client.post("/_sandbox/fault", json={"name": "status", "value": 418, "count": 2, "path": "/numbers*page=7"})
    codes = [client.get("/numbers", params={"page": page}).status_code for page in (6, 7, 7, 7)]
    assert codes == [200, 418, 418, 200]
    client.post("/_sandbox/fault", json={"name": "status", "value": None, "count": None, "path": None})
    assert client.get("/numbers").status_code == 500
    assert client.delete("/_sandbox/fault").json() == {"faults": 0}
    assert client.get("/numbers").status_code == 200


def test_controls_are_spared_from_faults(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("status")
    assert client.get("/_sandbox/stats").status_code == 200


@pytest.mark.parametrize("body", [{"name": "earthquake"}, {"name": "slow", "value": "very"}, {"name": "status", "count": "few"}])
def test_a_fault_that_is_none_is_refused(client: httpx.Client, body: dict[str, str]) -> None:
    assert client.post("/_sandbox/fault", json=body).status_code == 400


def test_faults_are_read_from_the_command_line() -> None:
    assert Fault.parse("slow=2").number == 2
    assert Fault.parse("reset").name == "reset"
    with pytest.raises(ConfigurationError, match="earthquake"):
        Fault.parse("earthquake")


def test_every_fault_of_the_design_is_known() -> None:
    design = (
        "status, retry_after, reset, slow, truncate, html, redirect, next_elsewhere, repeat_page, cap, drop_total, wrong_total"
    )
    assert {*design.split(", "), "drift", "token_expiry", "empty", "first"} == NAMES - {"storm"}


def test_offsets_meet_the_same_faults_as_page_numbers() -> None:
    faults = Faults([Fault("cap", "3"), Fault("repeat_page", count=1)])
    assert faults.slice("/", range(9), 0, 5) == range(3)
    assert faults.slice("/", range(9), 5, 5) == range(3)
    assert faults.slice("/", range(9), 5, 5) == range(5, 8)
