"""An SIS that has the words of this library itself: its sandbox shows the district's records as they are, of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import msgspec

from sis_connect.capabilities import KINDS, Capabilities, Kind, KindCapabilities, Leaving
from sis_connect.provider import CONTRACT, ProviderInfo
from sis_connect.records import RECORDS, Record
from sis_connect.rest_provider import Asked, Endpoint, RestProvider
from sis_connect.testing.district import District
from sis_connect.testing.sandbox import Listing, Pages, RestSandbox
from sis_connect.transport.paging import PageNumberPaging


class EchoRow(msgspec.Struct):
    sis_id: str
    told: dict[str, Any]


def written(record: Record) -> dict[str, object]:
    """A record, just as it is."""
    return {"sis_id": record.sis_id, "told": record.model_dump(mode="json", exclude={"custom"}, warnings=False)}


def reader(kind: Kind) -> Callable[[EchoRow, Asked], Iterator[Record]]:
    def read(row: EchoRow, asked: Asked) -> Iterator[Record]:
        yield RECORDS[kind].model_validate_json(msgspec.json.encode(row.told))

    return read


class EchoSandbox(RestSandbox):
    known_settings: ClassVar[Mapping[str, str]] = {"leaving": "status", "history": "off"}
    client_settings = frozenset(("leaving", "history"))
    listings = tuple(Listing(kind, path=f"/{kind}", row=written) for kind in KINDS)
    paging = Pages(most=1000, usual=1000)

    def moved(self) -> None:
        self.leaving = dict.fromkeys(KINDS, self.settings["leaving"])  # type: ignore[misc, arg-type]
        self.stint_history = self.settings["history"] == "on"  # type: ignore[misc]
        super().moved()


class EchoProvider(RestProvider):
    endpoints = tuple(
        Endpoint(
            name=kind,
            path=f"/{kind}",
            rows="data",
            kinds=(kind,),
            row=EchoRow,
            read=reader(kind),
            key="sis_id",
            total_at="total",
            paging=PageNumberPaging(size_param="per_page"),
        )
        for kind in KINDS
    )


def create(district: District, settings: Mapping[str, str]) -> EchoSandbox:
    return EchoSandbox(district, settings)


def info(leaving: Leaving, *, history: bool = False) -> ProviderInfo:
    able = KindCapabilities(offered=True, leaving=leaving, omission_means_blank=True, total_count=True, stint_history=history)
    return ProviderInfo(
        name=f"echo_{leaving}",
        label="Echo",
        provider=f"{__name__}:EchoProvider",
        contract=CONTRACT,
        capabilities=Capabilities(dict.fromkeys(KINDS, able)),
        default_page_size=1000,
        sandbox=f"{__name__}:create",
    )
