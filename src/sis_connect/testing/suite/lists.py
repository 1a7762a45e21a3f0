"""Which lists a provider reads, so that something can go wrong with one of them; and whether a read then says so."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import ceil
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from sis_connect.capabilities import Kind
from sis_connect.provider import InvalidRow, Page, Stream
from sis_connect.records import Record
from sis_connect.testing.suite.bench import Bench
from sis_connect.testing.suite.check import Failed, NotApplicable
from sis_connect.testing.suite.outcome import ReadOutcome
from sis_connect.testing.suite.quoting import such_as, told
from sis_connect.transport.redact import path_template

#: Of so many pages, enough lists have more than one.
FEW_ROWS = 7
#: So many requests are enough for faults that strike some of them.
REQUESTS_ENOUGH = 10


@dataclass(frozen=True, slots=True)
class List:
    """One list of the SIS: where it is, as a pattern for faults, and a kind whose read asks for it, as it is read without faults.

    `name` is the template of its path, `requests` how many requests that read takes.
    """

    name: str
    path: str
    kind: Kind
    clean: ReadOutcome = field(repr=False)
    requests: int

    @property
    def third(self) -> int:
        """The size of pages of which the longest of its streams has three."""
        rows: Counter[Stream] = Counter()
        for page in self.clean.pages:
            rows[page.stream] += page.received if self.kind in page.kinds else 0
        return max(1, ceil(max(rows.values(), default=0) / 3))


_pages: WeakKeyDictionary[Bench, dict[str, str | None]] = WeakKeyDictionary()
_known: WeakKeyDictionary[Bench, tuple[List, ...]] = WeakKeyDictionary()


async def lists(bench: Bench) -> tuple[List, ...]:
    """The lists that are read for what is offered, each with the kind that takes the fewest requests. Found out once."""
    if bench not in _known:
        found: dict[str, List] = {}
        for kind in bench.kinds:
            calls, arrived = len(bench.calls), _arrived(bench)
            clean = await bench.read({kind})
            sent = [call.template for call in bench.calls[calls:] if call.status == 200]
            # Who asks past the transport is found out by what arrives.
            asked = [each for each in sent if not _is_token(bench, each)] or _templates(bench, _arrived(bench) - arrived)
            for name in dict.fromkeys(asked):
                if name not in found or len(asked) < found[name].requests:
                    found[name] = List(name, _pattern(bench, name), kind, clean, len(asked))
        _known[bench] = tuple(found.values())
    if not _known[bench]:
        raise NotApplicable("It asks for nothing over the network.")
    return _known[bench]


def _arrived(bench: Bench) -> Counter[str]:
    return Counter(bench.stats()["by_path"])


def _templates(bench: Bench, paths: Counter[str]) -> list[str]:
    """The templates of what arrived, below the base URL."""
    base = urlsplit(bench.sandbox.base_url).path.rstrip("/")
    every = [path.removeprefix(base) for path in paths.elements()]
    return [path_template(path) for path in every if not _is_token(bench, path)]


def _is_token(bench: Bench, path: str) -> bool:
    token, base = urlsplit(bench.sandbox.token_url).path, urlsplit(bench.sandbox.base_url).path.rstrip("/")
    return path in (token, token.removeprefix(base))


def _pattern(bench: Bench, template: str) -> str:
    """What matches a path below the base URL exactly, for `Fault.path`."""
    path = urlsplit(bench.sandbox.base_url).path.rstrip("/") + template
    return _exactly(re.sub(r"\{[^}]*\}", "*", path))


def _exactly(path: str) -> str:
    """A path as a pattern, so that it is no prefix."""
    return path if path[-1] == "*" else f"{path[:-1]}[{path[-1]}]"


async def busiest(bench: Bench) -> List:
    """The list with the most requests."""
    return max(await lists(bench), key=lambda each: (each.requests, each.name))


async def busy(bench: Bench) -> List:
    """A list with requests enough for something to go wrong among them, and no more than that takes."""
    enough = [each for each in await lists(bench) if each.requests >= REQUESTS_ENOUGH]
    return min(enough, key=lambda each: (each.requests, each.name)) if enough else await busiest(bench)


async def of_people(bench: Bench) -> List:
    """The list of people that is read with the fewest requests, or any."""
    every = await lists(bench)
    people = [each for each in every if each.kind in ("students", "staff", "guardians")]
    return min(people or every, key=lambda each: (each.requests, each.name))


async def fullest(bench: Bench) -> List:
    """The list whose answers bring the most rows each, so that whatever strikes one of them is felt."""

    def rows(each: List) -> float:
        return sum(page.received for page in each.clean.pages if each.kind in page.kinds) / each.requests

    return max(await lists(bench), key=lambda each: (rows(each), each.name))


async def in_several(bench: Bench, each: List, size: int) -> str | None:
    """What matches the path that is asked for most often when pages have this size, one request at a time; None for no pages."""
    if each.name not in _pages.setdefault(bench, {}):
        before = _arrived(bench)
        await bench.read({each.kind}, page_size=size, concurrency=1)
        asked = Counter({path: n for path, n in (_arrived(bench) - before).items() if fnmatchcase(path, each.path)})
        path = max(asked, key=lambda path: (asked[path], path), default="")
        # Where the path itself names the page, each is asked for once.
        found = _exactly(path) if asked[path] > 1 else each.path if len(asked) > 1 else None
        _pages[bench][each.name] = found
    return _pages[bench][each.name]


async def read_through(bench: Bench, kinds: Collection[Kind], **settings: Any) -> ReadOutcome:
    """A read under faults: any error of ours is an outcome, any other a mistake."""
    try:
        return await bench.read(kinds, **settings)
    except Failed:
        raise
    except TimeoutError:
        raise
    except Exception as error:
        raise Failed(
            f"A fault of the server came out of pages() as {type(error).__name__}, which is no SISError. Let the errors of the "
            "transport pass, or put one of sis_connect.errors in their place: they say whether trying again can help."
        ) from error


def homes(outcome: ReadOutcome, kind: Kind) -> dict[str, set[Stream]]:
    """Which streams brought the records of a kind."""
    found: defaultdict[str, set[Stream]] = defaultdict(set)
    for page in outcome.pages:
        if kind in page.kinds:
            for raw in page.rows:
                for record in _records(page, raw):
                    if record.kind == kind:
                        found[record.sis_id].add(page.stream)
    return found


def _records(page: Page, raw: bytes) -> tuple[Record, ...]:
    try:
        return page.read(raw).records
    except InvalidRow:
        return ()


def dishonest(outcome: ReadOutcome, clean: ReadOutcome, kind: Kind, *, may_be_left_out: bool = False) -> str | None:
    """How a read under a fault hides that records are lacking: None where it brings all, or says that something broke.

    A list that the read does not speak of at all is `left out`, which is right only for a path that the server does not know.
    """
    missing = clean.ids(kind) - outcome.ids(kind)
    if not missing or outcome.errors:
        return None
    where = homes(clean, kind)
    for sis_id in sorted(missing):
        for stream in where.get(sis_id, ()):
            verdict = outcome.verdicts.get(stream)
            name = f"{stream[0]!r}" + (told(f" ({stream[1]})") if stream[1] else "")
            if verdict is not None and verdict.complete:
                return f"{len(missing)} {kind} are missing, and the list {name} says that it is complete ({verdict.reason})"
            if verdict is None and not may_be_left_out:
                return f"{len(missing)} {kind} are missing, and the list {name} is left out without a word"
    return None


def demand_same(outcome: ReadOutcome, clean: ReadOutcome, kind: Kind, what: str, advice: str) -> None:
    """Fail unless the read brought the same records as one without faults."""
    if outcome.errors:
        raise Failed(f"{what} the read of {kind} ends in an error: {outcome.errors[0]} {advice}")
    if changed := clean.ids(kind) ^ outcome.ids(kind):
        raise Failed(
            f"{what} the read of {kind} brings another roster: {len(changed)} records differ{such_as(sorted(changed))}. {advice}"
        )


def demand_honest(
    outcome: ReadOutcome, clean: ReadOutcome, kind: Kind, what: str, advice: str, *, may_be_left_out: bool = False
) -> None:
    """Fail if the read hides what went wrong."""
    if hidden := dishonest(outcome, clean, kind, may_be_left_out=may_be_left_out):
        raise Failed(f"{what} {hidden}: people would be withdrawn. {advice}")
