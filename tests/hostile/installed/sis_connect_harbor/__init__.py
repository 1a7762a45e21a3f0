"""A small plugin that does everything right: the neighbour, whom nobody may disturb."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any

from sis_connect.capabilities import Capabilities, Kind, KindCapabilities
from sis_connect.hookspecs import hookimpl
from sis_connect.provider import CONTRACT, Finding, Page, ProviderInfo, Reading, Scope, Since, Stream

OFFERED = KindCapabilities(offered=True)


class Harbor:
    """Two schools and three students, out of memory."""

    def __init__(self, info: ProviderInfo, config: Any, *, transport: Any, clock: Any, settings: Any) -> None:
        self.info = info

    async def check(self) -> Sequence[Finding]:
        return [Finding(topic="harbor", level="ok", message="The harbor is open.")]

    async def pages(
        self,
        kinds: Collection[Kind],
        *,
        scope: Scope,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncIterator[Page]:
        rows = {"schools": (b"north", b"south"), "students": (b"ada", b"ben", b"cleo")}
        for kind in ("schools", "students"):
            if kind in kinds:
                yield Page(endpoint=kind, kinds=(kind,), read=read, rows=rows[kind], total=len(rows[kind]))


def read(row: bytes) -> Reading:
    from sis_connect.records import School, Student

    name = row.decode()
    if name in ("north", "south"):
        return Reading(name, (School(sis_id=name, name=name.title()),))
    return Reading(name, (Student(sis_id=name, given_name=name.title(), family_name="Example"),))


@hookimpl
def sis_connect_providers() -> Sequence[ProviderInfo]:
    return [
        ProviderInfo(
            name="harbor",
            label="Harbor",
            provider="sis_connect_harbor:Harbor",
            contract=CONTRACT,
            capabilities=Capabilities({"schools": OFFERED, "students": OFFERED}),
            local_files=True,
            auth_grants=("none",),
        )
    ]
