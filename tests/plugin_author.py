"""Follows a page as somebody who writes a plugin would: types its commands, writes its files, makes its edits.

    python tests/plugin_author.py PAGE FOLDER WHEELS

does it in an environment of its own below FOLDER, in which sis-connect is installed from WHEELS. It imports nothing of ours.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

SECONDS = 300


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `path` is the file that it is about."""

    language: str
    path: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page in order."""
    pattern = r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$'
    for match in re.finditer(pattern, page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        yield Block(match[1], match[2] or "", match[3])


def edited(text: str, difference: str) -> str:
    """A file after an edit: the lines with a minus, in the place that those without a sign tell, become those with a plus."""
    lines = difference.splitlines()
    before = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    after = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    count = len(re.findall(f"(?=\n{re.escape(before)})", f"\n{text}"))
    assert count == 1, f"These lines are there {count} times:\n{before}"
    return f"\n{text}".replace(f"\n{before}", f"\n{after}")[1:]


@dataclass
class Author:
    """Somebody at a shell in `folder`. `heard` is what each command has printed, `seconds` how long it took.

    Once the last file is written, commands that are `aside` run while others do: they take long, and change nothing.
    """

    aside: ClassVar[tuple[str, ...]] = ("pytest", "mypy")

    folder: Path
    environment: dict[str, str]
    wheels: Path | None = None
    replaced: dict[str, str] = field(default_factory=dict)
    heard: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    serving: list[subprocess.Popen[str]] = field(default_factory=list)
    checking: list[subprocess.Popen[str]] = field(default_factory=list)
    written: bool = False

    def follow(self, page: Path) -> None:
        """Do all that a page says, in order."""
        every = list(blocks(page))
        last = max(place for place, block in enumerate(every) if block.path)
        for place, block in enumerate(every):
            self.written = place > last
            if block.language == "console":
                for line in block.text.splitlines():
                    begun = time.monotonic()
                    self.type(line)
                    self.seconds[line] = self.seconds.get(line, 0.0) + time.monotonic() - begun
            elif block.language == "diff":
                file = self.folder / block.path
                file.write_text(edited(file.read_text(encoding="utf-8"), block.text), encoding="utf-8")
            elif block.path:
                (self.folder / block.path).write_text(block.text, encoding="utf-8")
        self.settle()

    def type(self, line: str) -> None:
        """Give one command; behind it the page may say with which code it ends."""
        typed, _, code = line.partition("# exit code ")
        for placeholder, value in self.replaced.items():
            typed = typed.replace(placeholder, value)
        words = shlex.split(typed)
        if words[0] == "cd":
            self.folder /= words[1]
        elif words[0] == "export":
            name, _, value = words[1].partition("=")
            self.environment[name] = value
        elif words[0] == "rm":
            (self.folder / words[1]).unlink()
        elif words[:2] == ["sis-connect", "sandbox"]:
            self.serve(words)
        elif words[:3] == ["python", "-m", "venv"]:
            self.make_environment(words[3])
        elif words[0] == ".":
            assert words[1].endswith("bin/activate"), line
        elif self.written and words[0] in self.aside:
            self.checking.append(
                subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True)
            )
        elif words[:2] == ["pip", "install"]:
            self.install(line, words[2:])
        else:
            self.run(line, words, int(code or 0))

    def run(self, line: str, words: list[str], expected: int = 0) -> None:
        """Run a command to its end."""
        ran = subprocess.run(
            words, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        self.heard[line] = ran.stdout
        assert ran.returncode == expected, f"{line}\n{ran.stdout}\n{ran.stderr}"

    def settle(self) -> None:
        """Wait for what runs aside."""
        while self.checking:
            process = self.checking.pop()
            said, _ = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, said

    def make_environment(self, name: str) -> None:
        """An empty environment, and its programs come first from now on."""
        place = self.folder / name
        self.run("venv", ["uv", "venv", "--quiet", f"--python={sys.executable}", str(place)])
        self.environment |= {
            "VIRTUAL_ENV": str(place),
            "PATH": f"{place / 'bin'}{os.pathsep}{self.environment['PATH']}",
            "UV_FIND_LINKS": str(self.wheels),
        }

    def install(self, line: str, words: list[str]) -> None:
        """What pip does, faster. What was built before under the same version is not what is to be installed."""
        self.settle()
        words = ["--reinstall" if word == "--force-reinstall" else word for word in words]
        if words != ["uv"]:  # that is there already
            self.run(line, ["uv", "pip", "install", "--quiet", "--refresh-package=sis-connect", *words])

    def serve(self, words: list[str]) -> None:
        """Start a sandbox on a free port, and learn what the page's placeholders stand for."""
        port = words[words.index("--port") + 1]
        words = [word if word != port else "0" for word in words]
        process = subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True)
        self.serving.append(process)
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        self.replaced |= {
            f"http://127.0.0.1:{port}": ready["base_url"],
            "CLIENT_ID": ready["client_id"],
            "=SECRET": f"={ready['client_secret']}",
            "=DATE": f"={ready['date']}",
        }

    def close(self) -> None:
        """Stop what still runs."""
        for process in [*self.serving, *self.checking]:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=10)


def main(page: str, folder: str, wheels: str) -> None:
    """Follow a page, and say how long each command took."""
    author = Author(Path(folder).resolve(), dict(os.environ), wheels=Path(wheels).resolve())
    try:
        author.follow(Path(page))
    finally:
        author.close()
        for line, seconds in author.seconds.items():
            sys.stdout.write(f"{seconds:6.1f} s  {line}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
