"""Runs what stands in the documentation, block by block, as a reader would who has a sandbox for a district."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from quick_start import Program, Started, command, example

ROOT = Path(__file__).parents[2]


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """The fenced blocks of a page: language and text."""
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        yield match[1], match[2]


@dataclass
class Reader:
    """Follows a page word for word, but for what it must put in: `replaced` maps the page's placeholders to what is so here."""

    folder: Path
    environment: dict[str, str]
    replaced: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    running: list[Started] = field(default_factory=list)

    def follow(self, page: Path) -> None:
        """Run all of its blocks in order."""
        for language, text in blocks(page):
            if language == "python":
                self.run_python(text)
            elif language == "console":
                for line in text.splitlines():
                    self.type(line)

    def run_python(self, text: str) -> None:
        """Run one example."""
        self.run(example, [self.here(text)], text)

    def here(self, text: str) -> str:
        """The text with what stands for something put in."""
        for placeholder, value in self.replaced.items():
            text = text.replace(placeholder, value)
        return text

    def type(self, line: str) -> None:
        """Give one command."""
        typed, _, expected = line.partition("# exit code ")
        words = shlex.split(self.here(typed))
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            self.environment[name] = value
        elif words[0] == "curl":
            self.request(words[1:])
        elif words[:2] == ["sis-connect", "sandbox"]:
            self.replaced |= self.start_sandbox(words[1:])
        elif words[0] == "sis-connect":
            self.run(command, words[1:], line, int(expected or 0))
        else:
            assert words[:2] in (["pip", "install"], ["python", "-m"]), f"Nobody knows how to run: {line}"

    def run(self, program: Program, arguments: list[str], line: str, expected: int = 0) -> None:
        process = Started(program, arguments, folder=self.folder, environment=self.environment)
        out, err = process.communicate()
        assert process.returncode == expected, f"{line}\n{out}\n{err}"
        self.outputs[line] = out

    def request(self, words: list[str]) -> None:
        """What `curl -X METHOD URL [-d BODY]` does."""
        body = words[words.index("-d") + 1] if "-d" in words else None
        httpx.request(words[1], words[2], content=body, headers={"content-type": "application/json"}).raise_for_status()

    def start_sandbox(self, words: list[str]) -> Mapping[str, str]:
        """Start a sandbox on a free port, and learn what the page's placeholders stand for."""
        port = words[words.index("--port") + 1]
        words = [word if word != port else "0" for word in words]
        process = Started(command, words, folder=self.folder, environment=os.environ)
        self.running.append(process)
        ready: dict[str, Any] = json.loads(process.stdout.readline())
        return {
            f"http://127.0.0.1:{port}": ready["base_url"],
            "CLIENT_ID": ready["client_id"],
            "=SECRET": f"={ready['client_secret']}",
            "=DATE": f"={ready['date']}",
        }

    def close(self) -> None:
        for process in self.running:
            process.terminate()
            process.communicate()
