"""Python programs that start at once: each in a process of its own, forked from one that has imported the library already.

To the program it is all the same: its folder, its environment, its arguments and what it prints are its own. Starting an
interpreter and importing a database library takes a second or two, and the tests give hundreds of commands.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TextIO

SECONDS = 100
#: What begins processes so. What it imports beforehand is set once, here.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(
    [
        *(__name__, "sis_connect.cli.application", "sis_connect.service", "sis_connect.connection", "sis_connect.transport.http"),
        *("sis_connect_powerschool.provider", "aiosqlite", "alembic.command", "uvicorn"),
    ]
)

Program = Callable[[Sequence[str]], None]


def command(arguments: Sequence[str]) -> None:
    """What `sis-connect` does."""
    from sis_connect.cli import main

    sys.argv = ["sis-connect", *arguments]
    main()


def example(source: Sequence[str]) -> None:
    """What `python -c` does."""
    exec(compile(source[0], "<example>", "exec"), {"__name__": "__main__"})  # noqa: S102 - the documentation's own


class Started:
    """A program under way, with pipes like those of `subprocess.Popen`."""

    def __init__(self, program: Program, arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> None:
        pipes = [multiprocessing.Pipe(duplex=False) for _ in range(3)]
        theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
        self._process = processes.Process(target=_begin, args=(program, list(arguments), str(folder), dict(environment), theirs))
        self._process.start()
        self.stdin: TextIO = _text(pipes[0][1], "w")
        self.stdout: TextIO = _text(pipes[1][0], "r")
        self.stderr: TextIO = _text(pipes[2][0], "r")
        for end in theirs:
            end.close()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        """How it ended, if it has."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self) -> None:
        """Wait for its end, without hearing what it says."""
        self._process.join(SECONDS)

    def communicate(self, given: str | None = None, timeout: float = SECONDS) -> tuple[str, str]:
        """Hand over what it is to read, and wait for its end. One that takes longer is stopped, and that is an error."""
        with ThreadPoolExecutor() as readers:
            said = [readers.submit(_rest, stream) for stream in (self.stdout, self.stderr)]
            try:
                self.stdin.write(given or "")
                self.stdin.close()
            except BrokenPipeError:
                pass  # it has ended without reading
            self._process.join(timeout)
            late = self._process.exitcode is None
            if late:
                self._process.kill()
                self._process.join()
            out, err = (future.result() for future in said)
        assert not late, f"It takes longer than {timeout} seconds.\n{out}\n{err}"
        return out, err


def _text(end: Connection, mode: str) -> TextIO:
    number = os.dup(end.fileno())
    end.close()
    return os.fdopen(number, mode, encoding="utf-8", errors="replace")  # type: ignore[return-value]


def _rest(stream: TextIO) -> str:
    if stream.closed:
        return ""
    with stream:
        return stream.read()


def _begin(
    program: Program, arguments: Sequence[str], folder: str, environment: Mapping[str, str], ends: Sequence[Connection]
) -> None:
    for number, end in enumerate(ends):
        os.dup2(end.fileno(), number)
        end.close()
    # The streams that were inherited know another kind of file under these numbers.
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - open as long as the process is
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    program(arguments)
