"""Plain text that lines up: tables, numbers and durations as a tired person reads them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

GAP = "  "


def width(text: str) -> int:
    """How many columns a terminal gives to a text."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = ()) -> str:
    """Columns under their headings; those named in `right` are aligned to the right, as numbers are."""
    lines = [list(headings), *(list(row) for row in rows)]
    widths = [max(width(line[column]) for line in lines) for column in range(len(headings))]
    to_the_right = [heading in set(right) for heading in headings]

    def cell(text: str, column: int) -> str:
        space = " " * (widths[column] - width(text))
        return space + text if to_the_right[column] else text + space

    return "\n".join(GAP.join(cell(text, column) for column, text in enumerate(line)).rstrip() for line in lines)


def indented(text: str, by: str = GAP) -> str:
    """A block moved to the right."""
    return "\n".join(by + line if line else line for line in text.splitlines())


def number(value: object) -> str:
    """12345 as 12,345; what is no number as it is; nothing as a dash."""
    if value is None or value == 0:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value).replace("_", " ")


def size(count: int) -> str:
    """Bytes in the largest unit that fits."""
    amount, unit = float(count), "bytes"
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{count} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"


def duration(seconds: float) -> str:
    """Seconds as somebody would say them."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def counted(count: int, one: str, many: str | None = None) -> str:
    """ "1 hold", "3 holds"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
