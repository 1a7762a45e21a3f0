"""The SIS of the demo, in a process of its own, so that serving and reading each have a core.

The child serves until its stdin ends, which it does however the parent ends. A number on stdin moves it to that school day. After
each step it says on stdout how things are.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sis_connect.errors import MissingExtra, ProviderError


@dataclass(slots=True)
class DemoSandbox:
    """Use it with `with`. `told` is what a client needs to know, and the date that the SIS shows.

    `config` is the file that says which plugins may be used: the child imports no others, either.
    """

    provider: str
    students: int
    seed: int
    config: Path
    told: dict[str, Any] = field(default_factory=dict)
    _process: subprocess.Popen[str] | None = None

    def __enter__(self) -> DemoSandbox:
        if not (find_spec("starlette") and find_spec("uvicorn")):
            raise MissingExtra("The demo", "sandbox")
        command = [sys.executable, "-m", __name__, self.provider, str(self.students), str(self.seed), str(self.config)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own
        self._listen()
        return self

    def __exit__(self, *problem: object) -> None:
        if self._process is not None:
            self._process.communicate()

    def move_to(self, day: int) -> None:
        """Let the district live until that school day."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(f"{day}\n")
            self._process.stdin.flush()
            self._listen()

    def _listen(self) -> None:
        line = self._process.stdout.readline() if self._process is not None and self._process.stdout is not None else ""
        if not line:
            raise ProviderError(
                f"The sandbox of {self.provider} has ended.", remedy=f"Run `sis-connect sandbox {self.provider}` to see why."
            )
        self.told = json.loads(line)

    @property
    def date(self) -> date:
        """The school date on the day that the SIS shows."""
        return date.fromisoformat(self.told["date"])

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(str(self.told["base_url"])).port or 0


def serve(provider: str, students: int, seed: int, config: str) -> None:
    """What the child does."""
    import signal

    from sis_connect.discovery import discover
    from sis_connect.settings import SISConfigManager
    from sis_connect.testing.sandbox import running_sandbox

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who still needs an SIS to stop cleanly
    info = discover(policy=SISConfigManager().plugins(config)).info(provider)
    with running_sandbox(info, students=students, seed=seed) as sandbox:
        names = ("provider", "base_url", "token_url", "client_id", "client_secret", "settings")
        while True:
            told = {name: getattr(sandbox, name) for name in names} | {"date": sandbox.date.isoformat()}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
            line = sys.stdin.readline()
            if not line:
                return
            sandbox.set_day(int(line))


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
