"""What a run did, in one shape for people, programs and exit codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sis_connect.clock import Clock
from sis_connect.errors import SISError
from sis_connect.roster.holds import Hold

Phase = Literal["waiting", "reading", "deciding", "applying"]
Status = Literal["succeeded", "held", "incomplete", "failed"]
EXIT_CODES: Mapping[Status, int] = {"succeeded": 0, "failed": 1, "held": 3, "incomplete": 4}


@dataclass(slots=True, kw_only=True)
class SyncReport:
    """A finished run. `records` counts distinct valid records read by kind, or says `not_offered`; `changes` what was written,
    and what was unchanged; `held` what waits for approval; `failed` what the target refused; `conflicts` the questions that wait
    for a person; `clashes` how fields that changed on both sides were settled, by strategy; `missing` who was not delivered and
    stays until that is proved a second time; `incomplete` names the reads that did not prove complete, and `broken` of
    them ended with an error (not told in JSON); `integrity` counts what in
    the roster cannot be right, by check; `warnings` are what a person should know, each with `warning` and `message`; `read` says
    of how many lists only the changes were read, of how many all, and when everything is due to be read again."""

    operation: str
    integration: str
    status: Status = "succeeded"
    requests: int = 0
    bytes: int = 0
    seconds: float = 0.0
    records: dict[str, int | str] = field(default_factory=dict)
    changes: dict[str, dict[str, int]] = field(default_factory=dict)
    held: dict[str, dict[str, int]] = field(default_factory=dict)
    skipped: dict[str, dict[str, int]] = field(default_factory=dict)
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    conflicts: int = 0
    clashes: dict[str, dict[str, int]] = field(default_factory=dict)
    quarantined: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    holds: list[Hold] = field(default_factory=list)
    incomplete: list[dict[str, str]] = field(default_factory=list)
    broken: int = 0
    integrity: dict[str, int] = field(default_factory=dict)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    read: dict[str, int | str | None] = field(default_factory=lambda: {"changes": 0, "whole": 0, "full_due": None})
    plan: str | None = None
    error: SISError | None = None

    @property
    def exit_code(self) -> int:
        """What the command line returns: 0 done, 1 failed, 3 held, 4 incomplete."""
        return EXIT_CODES[self.status]

    def as_dict(self, *, name: str = "operation") -> dict[str, Any]:
        """Plain JSON, as `--json` prints it."""
        return {
            name: self.operation,
            "integration": self.integration,
            "status": self.status,
            "requests": self.requests,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "records": dict(self.records),
            "changes": {kind: dict(counts) for kind, counts in self.changes.items()},
            "held": {kind: dict(counts) for kind, counts in self.held.items()},
            "skipped": {kind: dict(counts) for kind, counts in self.skipped.items()},
            "reasons": {kind: dict(counts) for kind, counts in self.reasons.items()},
            "failed": dict(self.failed),
            "conflicts": self.conflicts,
            "clashes": {rule: dict(counts) for rule, counts in self.clashes.items()},
            "quarantined": self.quarantined,
            "missing": dict(self.missing),
            "holds": [hold.as_dict() for hold in self.holds],
            "incomplete": list(self.incomplete),
            "integrity": dict(self.integrity),
            "warnings": list(self.warnings),
            "read": dict(self.read),
            "error": self.error.as_dict() if self.error else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run is. `rows` of `total`, `rows_per_second`, and what the rate limit leaves: requests now, seconds to the end."""

    phase: Phase
    kind: str
    rows: int
    total: int | None = None
    rows_per_second: float = 0.0
    window_left: int | None = None
    seconds_left: float | None = None


class Meter:
    """Tells of progress: counts and clock in, rates and the time left out."""

    def __init__(self, progress: Callable[[Progress], None] | None, clock: Clock, window_left: Callable[[], int | None]) -> None:
        self._progress, self._clock, self._window_left = progress, clock, window_left
        self._began: dict[tuple[str, str], float] = {}

    def tell(self, phase: Phase, kind: str, rows: int, total: int | None = None) -> None:
        """Tell that so many of `total` rows of a kind are done."""
        if self._progress is None:
            return
        now = self._clock.monotonic()
        seconds = now - self._began.setdefault((phase, kind), now)
        rate = rows / seconds if seconds > 0 else 0.0
        left = (total - rows) / rate if total is not None and rate > 0 and rows <= total else None
        self._progress(
            Progress(
                phase=phase,
                kind=kind,
                rows=rows,
                total=total,
                rows_per_second=rate,
                window_left=self._window_left(),
                seconds_left=left,
            )
        )
