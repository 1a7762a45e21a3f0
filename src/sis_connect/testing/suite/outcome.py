"""What came of one read: its pages, what went wrong, and whether the engine would call it complete."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import Any

from sis_connect.capabilities import Kind
from sis_connect.errors import SISError
from sis_connect.provider import BaseSISProvider, InvalidRow, Page, Scope, Since, Stream
from sis_connect.records import Record
from sis_connect.roster.fetch import StreamRead, Verdict, judge
from sis_connect.testing.suite.check import Failed
from sis_connect.testing.suite.stumbling import is_ours_to_end, stumbled, whose


@dataclass(slots=True)
class ReadOutcome:
    """One call of `pages`, to its end. `errors` are those that pages tell of, and the one that ended the read, if one did."""

    pages: list[Page] = field(default_factory=list)
    errors: list[SISError] = field(default_factory=list)
    invalid: list[InvalidRow] = field(default_factory=list)
    verdicts: dict[Stream, Verdict] = field(default_factory=dict)
    records: dict[Kind, list[Record]] = field(default_factory=lambda: defaultdict(list))

    def ids(self, kind: Kind) -> set[str]:
        """The ids of the records of a kind."""
        return {record.sis_id for record in self.records.get(kind, ())}

    @property
    def complete(self) -> bool:
        """Whether the engine would take every stream for complete."""
        return not self.errors and bool(self.verdicts) and all(verdict.complete for verdict in self.verdicts.values())


async def read_out(
    provider: BaseSISProvider,
    kinds: Collection[Kind],
    *,
    scope: Scope | None = None,
    since: Since | None = None,
    cursor: Mapping[Stream, str] | None = None,
) -> ReadOutcome:
    """Read to the end, and judge it as the engine does. What would end more than the read is a mistake at once (`Failed`)."""
    outcome = ReadOutcome()
    reads: dict[Stream, StreamRead] = {}
    keys: dict[Stream, set[str]] = defaultdict(set)
    try:
        pages: Any = provider.pages(kinds, scope=scope or Scope(), since=since, cursor=cursor)
        async with AsyncExitStack() as stack:
            if hasattr(pages, "aclose"):
                await stack.enter_async_context(aclosing(pages))
            async for page in pages:
                outcome.pages.append(page)
                read = reads.setdefault(page.stream, StreamRead(*page.stream))
                read.observe(page)
                if page.error is not None:
                    outcome.errors.append(page.error)
                for raw in page.rows:
                    keys[page.stream].add(_taken(outcome, page, raw))
    except SISError as error:
        outcome.errors.append(error)
    except BaseException as error:
        if isinstance(error, Exception) or is_ours_to_end(error):
            raise
        raise Failed(stumbled(error, whose(provider))) from None
    for stream, read in reads.items():
        read.distinct = len(keys[stream])
        outcome.verdicts[stream] = judge(read)
    return outcome


def _taken(outcome: ReadOutcome, page: Page, raw: bytes) -> str:
    """Read a row into the outcome; its key."""
    try:
        reading = page.read(raw)
    except InvalidRow as fault:
        outcome.invalid.append(fault)
        return fault.key or f"?{hash(raw)}"
    for record in reading.records:
        outcome.records[record.kind].append(record)
    return reading.key
