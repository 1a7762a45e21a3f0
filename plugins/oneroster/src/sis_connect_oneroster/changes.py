"""Asking for changes only: from what time on, and written as the server itself writes times. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import msgspec

from sis_connect.transport.http import Response
from sis_connect.values import Value, moment


class _Stamped(msgspec.Struct, rename="camel", gc=False):
    date_last_modified: Value = None


_decode = msgspec.json.Decoder(_Stamped).decode
_NOTATION = re.compile(r"\d{4}-\d\d-\d\d(?:([T ])\d\d:\d\d(:\d\d)?(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)?)?")


def mark(so_far: str | None, answer: Response, rows: Sequence[bytes]) -> str | None:
    """`ANSWERED|NEWEST`: the server's clock at the first answer, and the latest change seen.

    What changes while we read may lie on pages behind us, so that a later read begins no later than this one did. A time in the
    server's own future is none; and where the server does not tell the time, nobody knows which are.
    """
    try:
        now = parsedate_to_datetime(answer.headers.get("date", "")).astimezone(UTC)
    except ValueError:
        return so_far
    answered, _, newest = (so_far or "").rpartition("|")
    latest = moment(newest)
    for raw in rows:
        try:
            stamp = _decode(raw).date_last_modified
        except msgspec.DecodeError:
            continue  # reading the row will say what is wrong with it
        if isinstance(stamp, str) and (at := moment(stamp)) and at <= now and (latest is None or at > latest):
            newest, latest = stamp, at
    return f"{answered or now.isoformat()}|{newest}" if newest else None


def since(mark: str, overlap: timedelta) -> str:
    """What to ask for changes after. Some change what they told us while we read, or put it in later: hence the overlap."""
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
