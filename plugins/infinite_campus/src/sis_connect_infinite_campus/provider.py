"""Infinite Campus: OneRoster's endpoints and the vendor's own, read as gently as the vendor asks for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sis_connect.rest_provider import Asked, Endpoint
from sis_connect_infinite_campus import mapping
from sis_connect_infinite_campus.settings import InfiniteCampusSettings
from sis_connect_oneroster import provider as oneroster
from sis_connect_oneroster.address import TAILS, missing
from sis_connect_oneroster.mapping import DemographicsRow, UserRow, guardian, year

#: Requests under way at once outside school hours, as the vendor asks for.
OFF_PEAK = 5
_IN_DEMOGRAPHICS = frozenset(("birth_date", "gender", "demographics", "addresses", "phones"))


def _needs_demographics(asked: Asked) -> bool:
    return bool(_IN_DEMOGRAPHICS & asked.fields["students"])


def _extended(endpoint: Endpoint[Any]) -> Endpoint[Any]:
    """One of OneRoster's endpoints, whose rows hold more here."""
    if endpoint.row is UserRow:
        return replace(endpoint, read=mapping.people(endpoint.read))
    if endpoint.row is DemographicsRow:
        return replace(endpoint, read=mapping.demographics(endpoint.read), needs=_needs_demographics)
    return endpoint


_BY_NAME = {endpoint.name: _extended(endpoint) for endpoint in oneroster.ENDPOINTS}


def _own(name: str, like: str, **more: Any) -> Endpoint[Any]:
    """A list beyond the standard: some servers lack it, and none says that it can be asked for changes only."""
    return replace(
        _BY_NAME[like],
        name=name,
        path=f"/{name}",
        rows=("users", "user", name),
        only="district",
        optional=True,
        alternative=None,
        filters=lambda asked: {},
        changes=None,
        delta=None,
        mark=None,
        **more,
    )


ENDPOINTS: tuple[Endpoint[Any], ...] = (
    *(endpoint for name, endpoint in _BY_NAME.items() if name != "guardians"),
    _own("administrators", "teachers"),
    _own("guardians", "guardians", read=mapping.people(guardian)),
    _own("relatives", "guardians", read=mapping.people(guardian), needs=lambda asked: asked.settings.relatives),
)


class InfiniteCampusProvider(oneroster.OneRosterProvider):
    """Reads a district's Infinite Campus."""

    endpoints = ENDPOINTS
    told_fields = oneroster.TOLD_FIELDS | {"addresses"}
    demographic_fields = _IN_DEMOGRAPHICS
    grant_demographics = "Have demographics shared in the connection's data to share in Infinite Campus"
    settings: InfiniteCampusSettings

    @property
    def prefix(self) -> str:
        """What of the standard's path the base URL lacks; the vendor's own names a version, too."""
        tail, base_url = TAILS[self.settings.version], self.config.base_url
        if self.settings.service_path is not None:
            return super().prefix
        return missing(base_url, tail) if "/ims" in urlsplit(base_url).path.lower() else tail

    async def edition(self) -> str:
        """The active school year, the only one that is served: when the district changes it, everything else changes, too."""
        years = {year(row.school_year) for row in await self._all_sessions()}
        return ",".join(sorted(str(found) for found in years if found))

    def lanes(self, now: datetime) -> int:
        """One request at a time while school is in, a few otherwise."""
        in_school = self.settings.school_hours.hold(now, self.config.time_zone)
        return 1 if in_school else min(self.config.concurrency, OFF_PEAK)
