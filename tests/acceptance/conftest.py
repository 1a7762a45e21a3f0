"""A district behind a sandbox, and the command line as a user has it: in processes of its own, in an empty folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from quick_start import Started, command
from sis_connect.discovery import discover
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox

PROVIDER = "powerschool"


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """stdout, which must be exactly one JSON document."""
        parsed: dict[str, Any] = json.loads(self.out)
        return parsed


@dataclass
class CommandLine:
    """Runs `sis-connect` in a folder."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str) -> Started:
        return Started(command, arguments, folder=self.folder, environment={**os.environ, **self.environment})

    def end(self, process: Started) -> Outcome:
        out, err = process.communicate()
        assert "Traceback" not in err, err
        assert process.returncode is not None
        return Outcome(process.returncode, out, err)

    def __call__(self, *arguments: str) -> Outcome:
        return self.end(self.start(*arguments))

    def add(self, sandbox: RunningSandbox, name: str = "lincoln", **settings: str) -> Outcome:
        """Connect to a sandbox, on the day that it shows."""
        self.environment |= {"SIS_CONNECT_CLIENT_SECRET": sandbox.client_secret, "SIS_CONNECT_TODAY": sandbox.date.isoformat()}
        given = [f"--set={key}={value}" for key, value in {**sandbox.settings, **settings}.items()]
        where = ["--provider", PROVIDER, "--base-url", sandbox.base_url, "--client-id", sandbox.client_id]
        return self("add", name, *where, *given)


@pytest.fixture
def sis_connect(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    """A district of 200 students."""
    with running_sandbox(discover().info(PROVIDER), students=200) as running:
        yield running
