"""Every way in which a sandbox of the kit can be paged is read by the paging scheme of the same name, to the last row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from echo_sis import EchoProvider, EchoSandbox, info
from manual_clock import ManualClock
from office import settings
from sis_connect.connection import open_provider
from sis_connect.provider import Page, Scope
from sis_connect.testing.sandbox import Pages, RunningSandbox, running_sandbox
from sis_connect.transport.paging import CursorPaging, LinkPaging, OffsetPaging, PageNumberPaging, Paging, SinglePage


@dataclass(frozen=True)
class Way:
    """How the sandbox pages, how the provider reads it, and what else its endpoint says."""

    pages: Pages
    paging: Paging
    endpoint: dict[str, Any]


WAYS = {
    "number": Way(Pages(most=7), PageNumberPaging(size_param="per_page"), {"total_at": "total"}),
    "number from 0, without a total": Way(
        Pages(most=7, first=0, total="", rows=""), PageNumberPaging(size_param="per_page", first=0), {"rows": ""}
    ),
    "offset": Way(
        Pages(offset="offset", size="limit", total="header:X-Total", rows="", most=7),
        OffsetPaging(),
        {"rows": "", "total_at": "header:X-Total"},
    ),
    "cursor": Way(
        Pages(cursor="cursor", size="limit", next="meta.next", rows="meta.rows", total="", most=7),
        CursorPaging(),
        {"rows": "meta.rows", "cursor_at": "meta.next"},
    ),
    "link": Way(Pages(link=True, total="", most=7), LinkPaging(size_param="per_page"), {}),
    "cursor in a link": Way(
        Pages(cursor="after", link=True, total="", most=7, size="limit"),
        CursorPaging(cursor_param="after", link_param="after"),
        {},
    ),
    "whole": Way(Pages(page="", rows="", total=""), SinglePage(), {"rows": ""}),
}


async def read(sandbox: RunningSandbox, way: Way) -> list[Page]:
    told, config = info("status"), settings(sandbox, rate_limit="off", page_size=100)
    students = next(endpoint for endpoint in EchoProvider.endpoints if endpoint.name == "students")

    class Reader(EchoProvider):
        endpoints = (replace(students, paging=way.paging, **{"total_at": None, **way.endpoint}),)

    async with open_provider(told, config, clock=ManualClock()) as opened:
        provider = Reader(told, config, transport=opened.transport, clock=ManualClock())  # type: ignore[arg-type]
        return [page async for page in provider.pages(["students"], scope=Scope())]


@pytest.mark.parametrize("name", WAYS)
async def test_a_list_is_read_to_its_last_row(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    way = WAYS[name]
    monkeypatch.setattr(EchoSandbox, "paging", way.pages)
    with running_sandbox(info("status"), students=1) as sandbox:
        sandbox.settings = {"rate_limit": "off"}
        truth = [record["sis_id"] for record in sandbox.truth("students")]
        pages = await read(sandbox, way)
        assert list(dict.fromkeys(record.sis_id for page in pages for record in page.records())) == truth
        assert len(truth) > 40
        assert [page.error for page in pages if page.error] == []
        if way.pages.link:
            sandbox.fault("next_elsewhere")
            assert "localhost" in str((await read(sandbox, way))[-1].error)
            assert sandbox.leaks == []
