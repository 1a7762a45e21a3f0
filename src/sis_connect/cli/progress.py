"""Progress on stderr: one line that rewrites itself on a terminal, and now and then a line where that goes to a file."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Protocol, TextIO

from sis_connect.cli.tables import counted, duration

#: Seconds between two lines; a terminal is rewritten often, a log file is spared.
ON_TERMINAL, IN_FILE = 0.1, 10.0


class Progress(Protocol):
    """What the service tells while it works."""

    @property
    def phase(self) -> str: ...
    @property
    def kind(self) -> str | None: ...
    @property
    def rows(self) -> int: ...
    @property
    def total(self) -> int | None: ...
    @property
    def rows_per_second(self) -> float: ...
    @property
    def window_left(self) -> int | None: ...
    @property
    def seconds_left(self) -> float | None: ...


def sentence(progress: Progress, rate: float = 0.0) -> str:
    """What is being done, how far it is and how long it may take. `rate` is rows a second, where `progress` does not say."""
    if progress.phase == "waiting":
        return f"waiting for another run on this integration to end ({duration(progress.rows)})"
    of = f" of {progress.total:,}" if progress.total else ""
    parts = [f"{progress.phase} {(progress.kind or '').replace('_', ' ')}".strip(), f"{progress.rows:,}{of}"]
    rate = progress.rows_per_second or rate
    if rate >= 1:
        parts.append(f"{rate:,.0f} a second")
    if progress.window_left is not None:
        parts.append(f"{counted(progress.window_left, 'request')} left in the window")
    if progress.seconds_left is not None:
        parts.append(f"about {duration(progress.seconds_left)} to go")
    return "   ".join(parts)


class ProgressLine:
    """A callback that shows progress; as a context manager it leaves a clean line behind."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._terminal = self._stream.isatty()
        self._pause = ON_TERMINAL if self._terminal else IN_FILE
        self._last_shown = float("-inf")
        self._phase = ""
        self._phase_began = 0.0
        self._rows: dict[str | None, int] = {}
        self._open = False

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.phase != self._phase:
            self._phase_began = now
            self._rows.clear()
        self._rows[progress.kind] = progress.rows
        if self._quiet or (progress.phase == self._phase and now - self._last_shown < self._pause):
            return
        self._phase, self._last_shown = progress.phase, now
        self._write(sentence(progress, sum(self._rows.values()) / max(now - self._phase_began, 1.0)))

    def _write(self, text: str) -> None:
        if self._terminal:
            columns = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{text[:columns]}")
            self._open = True
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *problem: object) -> None:
        if self._open:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._open = False
