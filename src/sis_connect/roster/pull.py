"""Reading: from a provider's pages to a staged snapshot, with the evidence of how complete it is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from sis_connect.capabilities import KINDS, Capabilities, Kind
from sis_connect.errors import AuthenticationError, NotOffered, ProviderError
from sis_connect.provider import BaseSISProvider, Page, ProviderInfo, Scope, Stream
from sis_connect.records import RECORDS
from sis_connect.roster.report import Meter, SyncReport
from sis_connect.roster.stage import Staging


def kinds_to_read(info: ProviderInfo, asked: Collection[Kind]) -> tuple[Kind, ...]:
    """What was asked for, or all that the provider offers. Raises `NotOffered` for what it lacks."""
    offered = info.capabilities.offered()
    lacking = [kind for kind in asked if kind not in offered]
    if lacking:
        raise NotOffered(
            f"The provider {info.name} does not offer {', '.join(lacking)}.", remedy=f"It offers {', '.join(offered)}."
        )
    return tuple(kind for kind in offered if not asked or kind in asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """One reading of some kinds within a scope."""

    provider: BaseSISProvider
    kinds: tuple[Kind, ...]
    scope: Scope
    meter: Meter

    async def into(self, staging: Staging, *, resume: bool) -> None:
        """Read everything into the staged snapshot. `resume` goes on where an interrupted pull stopped.

        Raises `GroundMoved` where that cannot be done.
        """
        cursor = await staging.resume() if resume else {}
        expected: dict[Stream, int] = {}
        async with aclosing(self._pages(cursor)) as pages:
            async for page in pages:
                await staging.take(page)
                if page.total is not None:
                    expected[page.stream] = page.total
                kind = page.kinds[0]
                total = sum(number for stream, number in expected.items() if stream[0] == page.endpoint)
                self.meter.tell("reading", kind, staging.rows[kind], total or None)
        await staging.finish()

    async def _pages(self, cursor: Mapping[Stream, str]) -> AsyncGenerator[Page, None]:
        async for page in self.provider.pages(self.kinds, scope=self.scope, cursor=cursor or None):
            yield page


def judge_pull(report: SyncReport, staging: Staging, kinds: Iterable[Kind]) -> None:
    """Say what did not prove complete, and fail where nothing at all could be read or the credentials are refused."""
    broken = [result for result in staging.results if result.error is not None]
    for result in staging.results:
        if not result.verdict.complete:
            entry = {"endpoint": result.endpoint, "context": result.context, "reason": result.verdict.reason}
            report.incomplete.append(entry)
    for kind in _unobserved(staging, kinds):
        report.incomplete.append({"endpoint": kind, "context": "", "reason": "nothing was observed of it"})
    refused = [result.error for result in broken if isinstance(result.error, AuthenticationError)]
    if refused or (broken and len(broken) == len(staging.results)):
        report.status = "failed"
        report.error = refused[0] if refused else broken[0].error
    elif not staging.results:
        report.status = "failed"
        report.error = ProviderError("The provider delivered nothing at all.")
    elif report.incomplete:
        report.status = "incomplete"


def _unobserved(staging: Staging, kinds: Iterable[Kind]) -> list[Kind]:
    """Kinds that were asked for and of which nothing was observed, though what they hang from is there."""
    seen = {kind for result in staging.results for kind in result.kinds}
    empty = {kind for kind in seen if not any(result.distinct for result in staging.results if kind in result.kinds)}
    unseen = []
    for kind in kinds:
        model = RECORDS[kind]
        carriers = {owner for name, owner in model.references.items() if name in model.required_references}
        if kind not in seen and not carriers & empty:
            unseen.append(kind)
    return unseen


async def count_records(report: SyncReport, staging: Staging, capabilities: Capabilities, kinds: Iterable[Kind]) -> None:
    """Distinct valid records by kind. A kind that the provider lacks is `not_offered`, never 0 (promise P9)."""
    for kind in KINDS:
        if not capabilities.of(kind).offered:
            report.records[kind] = "not_offered"
    counts = await staging.count_records()
    for kind in kinds:
        report.records[kind] = counts.get(kind, 0)
