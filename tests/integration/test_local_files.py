"""A roster that is no server but a file or a folder of this machine: only for providers that read such."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sis_connect.capabilities import Kind
from sis_connect.cli import application
from sis_connect.clock import SystemClock
from sis_connect.connection import connect, limiter_for, open_provider
from sis_connect.errors import ConfigurationError
from sis_connect.local_files import is_local, local_path
from sis_connect.oauth.wiring import grant_name
from sis_connect.provider import Finding, Page, ProviderInfo, Reading, Scope, Stream
from sis_connect.records import School
from sis_connect.rest_provider import build
from sis_connect.settings import SISProviderConfig, validated
from sis_connect.transport.http import Transport
from small_sis import INFO as SMALL
from token_office import TokenOffice, registry


class FileProvider:
    """Reads schools from a file: a line each."""

    def __init__(self, info: ProviderInfo, config: SISProviderConfig, *, transport: Transport | None, **_: Any) -> None:
        assert transport is None
        self.info = info
        self._path = local_path(config.base_url)

    async def check(self) -> Sequence[Finding]:
        found = self._path.exists()
        return [
            Finding(
                topic="file", level="ok" if found else "error", message=f"{self._path.name} is {'' if found else 'not '}there."
            )
        ]

    async def pages(
        self,
        kinds: Collection[Kind],
        *,
        scope: Scope,
        since: object = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncIterator[Page]:
        rows = self._path.read_bytes().splitlines()
        yield Page(endpoint="schools", kinds=("schools",), read=self.read, rows=rows, total=len(rows))

    @staticmethod
    def read(row: bytes) -> Reading:
        name = row.decode()
        return Reading(name, (build(School, sis_id=name, name=name),))


INFO = replace(SMALL, label="Small files", provider=f"{__name__}:FileProvider", local_files=True, base_path=False)
Run = Callable[..., tuple[int, str, str]]


def config(base_url: str, **more: Any) -> SISProviderConfig:
    return validated({"provider": "small", "base_url": base_url, **more}, origin="a test")


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    path = tmp_path / "the schools, 2026.txt"
    path.write_text("Lincoln\nRoosevelt\n", encoding="utf-8")
    return path


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenOffice:
    monkeypatch.setattr("sis_connect.service.discover", lambda: registry(INFO))
    return TokenOffice(tmp_path, registry=registry(INFO))


@pytest.fixture
def run(office: TokenOffice, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process: exit code, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            application.run(["--database", office.url, *arguments])
        out, err = capfd.readouterr()
        return (left.value.code if isinstance(left.value.code, int) else 0, out, err)

    return call


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("file:///srv/exports/lincoln.zip", "/srv/exports/lincoln.zip"),
        (" file:///srv/exports/ ", "/srv/exports"),
        ("FILE:///srv/a%20b/%C3%BC", "/srv/a b/ü"),
        ("file:///srv/a b", "/srv/a b"),
    ],
)
def test_a_file_is_named_by_its_whole_path(address: str, path: str) -> None:
    taken = config(address).base_url
    assert taken.startswith("file:///")
    assert is_local(taken)
    assert local_path(taken) == Path(path)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("file:///", "whole path"),
        ("file://server/share", "whole path"),
        ("file:exports", "whole path"),
        ("file:///srv/x?y", "question mark"),
        ("file:///srv/x#y", "question mark"),
        ("file:///srv/%00", "zero byte"),
    ],
)
def test_a_file_that_is_not_is_refused(address: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        config(address)


@pytest.mark.parametrize("name", ["token_url", "issuer", "authorize_url", "revocation_url"])
def test_p8_nothing_but_the_base_url_may_be_a_file(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        config("https://sis.example.org", **{name: "file:///srv/x"})


def test_only_a_provider_that_reads_files_takes_one() -> None:
    with pytest.raises(ConfigurationError, match="Small SIS is asked over the network, and file:///srv/x is a file or folder"):
        connect("small", base_url="file:///srv/x", registry=registry(SMALL))


def test_a_file_has_no_limit_and_no_grant() -> None:
    local = config("file:///srv/x", rate_limit="1/60", grant="authorization_code")
    assert limiter_for(INFO, local, clock=SystemClock()).limit is None
    assert grant_name(INFO, local) == "none"


async def test_a_connection_reads_it(roster: Path) -> None:
    async with connect("small", base_url=roster.as_uri(), registry=registry(INFO)) as sis:
        assert [school.name async for school in sis.schools()] == ["Lincoln", "Roosevelt"]


async def test_a_provider_of_files_may_be_asked_over_the_network_too() -> None:
    info = replace(SMALL, local_files=True)
    async with open_provider(info, config("https://sis.example.org", client_id="a", client_secret="b")) as opened:
        assert opened.transport is not None


def test_an_operator_adds_checks_lists_and_synchronises_a_file(run: Run, roster: Path) -> None:
    code, out, _ = run("add", "lincoln", "--provider", "small", "--base-url", roster.as_uri())
    assert (code, f"Added lincoln: small at {roster.as_uri()}." in out) == (0, True)
    assert run("doctor", "lincoln")[:2] == (0, "[  ok   ] file: the schools, 2026.txt is there.\n")
    code, out, _ = run("sync", "lincoln", "--kind", "schools", "--json")
    assert (code, json.loads(out)["records"]["schools"]) == (0, 2)
    code, out, _ = run("list", "--json")
    assert [item["base_url"] for item in json.loads(out)["items"]] == [roster.as_uri()]
    code, out, _ = run("tokens", "status")
    assert (code, out.splitlines()[1].split()[:3]) == (0, ["lincoln", "none", "tokenless"])
    assert run("health", "lincoln")[0] == 0
    roster.unlink()
    assert run("doctor", "lincoln")[:2] == (1, "[ ERROR ] file: the schools, 2026.txt is not there.\n")
