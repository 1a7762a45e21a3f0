"""Progress is one line that rewrites itself on a terminal, and a line now and then elsewhere."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest

from sis_connect.cli import progress as module
from sis_connect.cli.progress import ProgressLine, sentence


@dataclass
class Told:
    phase: str = "reading"
    kind: str | None = "school_enrollments"
    rows: int = 12300
    total: int | None = 20000
    rows_per_second: float = 1850.4
    window_left: int | None = 54
    seconds_left: float | None = 4.2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_tells_what_how_far_how_fast_and_how_long() -> None:
    assert sentence(Told()) == (
        "reading school enrollments   12,300 of 20,000   1,850 a second   54 requests left in the window   about 4.2 s to go"
    )


def test_what_is_not_known_is_left_out() -> None:
    assert sentence(Told(kind=None, total=None, rows_per_second=0, window_left=None, seconds_left=None)) == "reading   12,300"


def test_a_rate_that_is_not_told_is_measured() -> None:
    told = Told(rows_per_second=0, window_left=None, seconds_left=None)
    assert sentence(told, 320.0).endswith("320 a second")
    assert "1,850 a second" in sentence(Told(), 320.0)


def test_waiting_for_another_run_is_said() -> None:
    assert sentence(Told(phase="waiting", kind="lease", rows=12)) == "waiting for another run on this integration to end (12 s)"


def test_a_terminal_shows_one_line_and_is_left_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ON_TERMINAL", 0.0)
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    with ProgressLine(stream=stream) as show:
        show(Told())
        show(Told(rows=12400))
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")
    assert max(len(line.removeprefix("\x1b[K")) for line in stream.getvalue().split("\r")) == 39


def test_a_file_gets_a_line_for_each_phase_only() -> None:
    stream = io.StringIO()
    with ProgressLine(stream=stream) as show:
        for rows in range(1000):
            show(Told(rows=rows))
        show(Told(phase="deciding", kind=None))
    assert [line.split("   ")[0] for line in stream.getvalue().splitlines()] == ["reading school enrollments", "deciding"]


def test_quiet_means_nothing_at_all() -> None:
    stream = Terminal()
    with ProgressLine(stream=stream, quiet=True) as show:
        show(Told())
    assert stream.getvalue() == ""
