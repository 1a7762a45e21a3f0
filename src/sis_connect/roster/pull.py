"""Reading: from a provider's pages to a staged snapshot, with the evidence of how complete it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import aclosing
from dataclasses import dataclass

from sis_connect.capabilities import KINDS, Capabilities, Kind
from sis_connect.errors import AuthenticationError, NotOffered, ProviderError
from sis_connect.hosting.containment import sound_pages
from sis_connect.provider import BaseSISProvider, ProviderInfo, Scope, Stream
from sis_connect.records import RECORDS
from sis_connect.roster.report import Meter, SyncReport
from sis_connect.roster.stage import GroundMoved, MarksUseless, Staging

#: Kinds that are read only where they are asked for by name.
_ON_REQUEST: frozenset[Kind] = frozenset({"guardians"})


def kinds_to_read(info: ProviderInfo, asked: Collection[Kind], fields: Collection[str] = ()) -> tuple[Kind, ...]:
    """What was asked for, or all that the provider offers. Raises `NotOffered` for what it lacks.

    Guardians are read only where they are asked for, here or among the fields of the settings.
    """
    offered = info.capabilities.offered()
    lacking = [kind for kind in asked if kind not in offered]
    if lacking:
        raise NotOffered(
            f"The provider {info.name} does not offer {', '.join(lacking)}.", remedy=f"It offers {', '.join(offered)}."
        )
    return tuple(kind for kind in offered if (kind in asked if asked else kind not in _ON_REQUEST or kind in fields))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """One reading of some kinds within a scope. For `patience` and `under_way` see `sound_pages`."""

    provider: BaseSISProvider
    info: ProviderInfo
    kinds: tuple[Kind, ...]
    scope: Scope
    meter: Meter
    patience: float = 300.0
    under_way: Callable[[], bool] = lambda: False

    async def read(self, staging: Callable[[], Staging], *, full: bool, full_every: float) -> Staging:
        """Read into a staged snapshot, and from the start where an interrupted read, or one of changes, cannot go on.

        Changes alone will do for streams of the whole district that were read whole in the last `full_every` hours. `full` reads
        everything.
        """
        whole_district = self.scope.schools is None and self.scope.students is None
        resume, hours = not full, full_every if whole_district and not full else 0.0
        for _ in range(3):
            snapshot = staging()
            try:
                await self.into(snapshot, resume=resume, full_every=hours)
            except MarksUseless:
                resume, hours = False, 0.0
            except GroundMoved:
                resume = False  # what was read before the interruption proves nothing now
            else:
                return snapshot
        raise ProviderError("The read could not be started anew.")

    async def into(self, staging: Staging, *, resume: bool, full_every: float) -> None:
        """Read once. Raises `GroundMoved` where that cannot be done on what was read before."""
        cursor, since = await staging.start(resume=resume, full_every=full_every)
        expected: dict[Stream, int] = {}
        reading = sound_pages(
            self.provider, self.info, self.kinds, scope=self.scope, since=since or None, cursor=cursor or None,
            patience=self.patience, under_way=self.under_way,
        )  # fmt: skip
        async with aclosing(reading) as pages:
            async for page in pages:
                await staging.take(page)
                if page.total is not None:
                    expected[page.stream] = page.total
                kind = page.kinds[0]
                total = sum(number for stream, number in expected.items() if stream[0] == page.endpoint)
                self.meter.tell("reading", kind, staging.rows[kind], total or None)
        await staging.finish()


def judge_pull(report: SyncReport, staging: Staging, kinds: Iterable[Kind]) -> None:
    """Say what did not prove complete, and fail where nothing at all could be read or the credentials are refused."""
    changes = sum(result.changes_only for result in staging.results)
    due = staging.full_due.isoformat() if staging.full_due and changes else None
    report.read = {"changes": changes, "whole": len(staging.results) - changes, "full_due": due}
    broken = [result for result in staging.results if result.error is not None]
    report.broken = sum(not isinstance(result.error, NotOffered) for result in broken)
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
    seen = {kind for result in staging.results for kind in result.kinds if not result.partial}
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
