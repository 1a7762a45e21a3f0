"""Asking for changes only: from what time on, and written as the server itself writes times. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from sis_connect.values import moment

if TYPE_CHECKING:
    from sis_connect.transport.answers import Response

_NOTATION = re.compile(r"\d{4}-\d\d-\d\d(?:([T ])\d\d:\d\d(:\d\d)?(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangesSince:
    """How an endpoint is asked for what has changed: `?updated_since=2026-09-30T12:00:00Z`.

    `param` is the parameter, and `written` what it says, such as `updated_at>'{time}'`. `stamp` is the member of a row that tells
    when it changed last; with a dotted path it may lie deeper. A later read begins `overlap` before the latest change that was
    seen, or before this read began, whichever is earlier: some servers change what they told while we read, or put it in later.

    The times are the server's own. One that does not tell what time it is (the header `Date`), or whose rows have no stamps, is
    read whole each time.
    """

    param: str
    stamp: str = "updated_at"
    written: str = "{time}"
    overlap: timedelta | Callable[[Any], timedelta] = timedelta(hours=1)

    def params(self, asked: Any) -> dict[str, str]:
        """What narrows a list to what has changed since `asked.since`; nothing where everything is asked for."""
        if not asked.since:
            return {}
        overlap = self.overlap(asked) if callable(self.overlap) else self.overlap
        return {self.param: self.written.format(time=since(asked.since, overlap))}

    def mark(self, so_far: str | None, answer: Response, rows: Sequence[bytes]) -> str | None:
        """`ANSWERED|NEWEST`: the server's clock at the first answer, and the latest change seen.

        What changes while we read may lie on pages behind us, so that a later read begins no later than this one did. A time in
        the server's own future is none; and where the server does not tell the time, nobody knows which are.
        """
        try:
            now = parsedate_to_datetime(answer.headers.get("date", "")).astimezone(UTC)
        except ValueError:
            return so_far
        answered, _, newest = (so_far or "").rpartition("|")
        latest = moment(newest)
        for raw in rows:
            stamp = self._stamp_of(raw)
            if stamp and (at := moment(stamp)) and at <= now and (latest is None or at > latest):
                newest, latest = stamp, at
        return f"{answered or now.isoformat()}|{newest}" if newest else None

    def _stamp_of(self, raw: bytes) -> str | None:
        try:
            found: Any = _decoder(self.stamp).decode(raw)
        except msgspec.DecodeError:
            return None  # reading the row will say what is wrong with it
        for _ in self.stamp.split("."):
            found = found and found.inside
        return found if isinstance(found, str) else None


@cache
def _decoder(path: str) -> msgspec.json.Decoder[Any]:
    """What takes the member at a dotted path out of a row, and looks at nothing else of it."""
    level: Any = Any
    for name in reversed(path.split(".")):
        level = msgspec.defstruct("Level", [("inside", level | None, None)], rename={"inside": name}, gc=False)
    return msgspec.json.Decoder(level)


def since(mark: str, overlap: timedelta) -> str:
    """What to ask for changes after, given a mark, or a time alone."""
    answered, _, newest = mark.rpartition("|")
    times = [at for at in (moment(answered), moment(newest)) if at is not None]
    return written_like(newest, min(times) - overlap) if times else newest


def written_like(example: str, at: datetime) -> str:
    """A time in the notation of another: with or without a time of day, fractions and a zone."""
    match = _NOTATION.fullmatch(example.strip())
    if match is None:
        return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    separator, seconds, fraction, zone = match.groups()
    local = at.astimezone(_zone(zone))
    if separator is None:
        return local.date().isoformat()
    written = local.strftime(f"%Y-%m-%d{separator}%H:%M" + (":%S" if seconds else ""))
    if fraction:
        written += "." + f"{local.microsecond:06}".ljust(len(fraction), "0")[: len(fraction)]
    return written + (zone or "")


def _zone(written: str | None) -> timezone:
    if written is None or written == "Z":
        return UTC
    sign, digits = written[0], written[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if sign == "-" else offset)
