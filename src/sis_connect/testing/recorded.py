"""A sandbox of recorded payloads: a folder of answers, served as they are.

Each file `*.http` below the folder is one exchange: the request, its path counted from the base URL, and then the answer as
`curl -i` prints it (`HTTP/1.1 200 OK`, or only `200`):

    GET /students?page=1&per_page=100

    200
    X-Total-Count: 2

    {"data": [{"id": 1, "first": "Ada"}, {"id": 2, "first": "Ben"}]}

A request is answered by the exchange with the same method, path and parameters, in any order; where that has `?*`, whatever the
parameters are. Bodies of requests are not compared. What was not recorded is answered with 404, and noted. Tokens are made by the
sandbox, so that none is in a recording. `truth/students.jsonl` and the like, if there are any, hold the canonical records that a
perfect client would make of it, one in a line. Invent recordings or make them anonymous: no pupil belongs in a repository.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from sis_connect.capabilities import Kind
from sis_connect.errors import ConfigurationError
from sis_connect.records import RECORDS, Record
from sis_connect.testing.district import District
from sis_connect.testing.rest_sandbox import RestSandbox
from sis_connect.transport.redact import path_template

Parameters = tuple[tuple[str, str], ...]
#: What belongs to the connection that was recorded, or is nobody's business.
_LEFT_OUT = frozenset(
    ("connection", "content-encoding", "content-length", "date", "keep-alive", "set-cookie", "transfer-encoding", "vary")
)
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer. Parameters are sorted; None stands for any."""

    method: str
    path: str
    parameters: Parameters | None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


class RecordedSandbox(RestSandbox):
    """Serves what was recorded in the setting `folder`. Faults of single answers work as everywhere, those of lists do not."""

    known_settings: ClassVar[Mapping[str, str]] = {"folder": ""}
    grants = ("client_credentials", "password")

    def moved(self) -> None:
        super().moved()
        self._folder = Path(self.settings["folder"])
        self._exchanges = recorded_in(self._folder) if self.settings["folder"] else {}
        if not self._exchanges:
            raise ConfigurationError(
                "There are no recorded payloads in the folder.", remedy="Name the folder that holds the files *.http."
            )

    def authorized(self, request: Request) -> bool:
        scheme = request.headers.get("authorization", "bearer").partition(" ")[0].lower()
        return scheme != "bearer" or super().authorized(request)

    def other(self, request: Request, path: str) -> Response | None:
        asked = _sorted(request.scope["query_string"].decode("latin-1"))
        for parameters in (asked, None):
            if exchange := self._exchanges.get((request.method, path, parameters)):
                return Response(exchange.body, exchange.status, dict(exchange.headers))
        # Ids of people may stand in values, and in a path: the names say enough to find the request.
        names = "&".join(dict.fromkeys(name for name, _ in asked))
        self.notes.append(f"{request.method} {path_template(path)}{'?' if names else ''}{names} was not recorded.")
        return None

    def truth(self, kind: Kind, *, history: bool) -> Iterator[tuple[str, Record]]:
        file = self._folder / "truth" / f"{kind}.jsonl"
        if not file.is_file():
            raise ConfigurationError(
                f"The recorded payloads tell no truth about {kind}.", remedy=f"Write what they mean into {file.name}, in truth/."
            )
        return _records(kind, file)


def recorded_in(folder: Path) -> dict[tuple[str, str, Parameters | None], Exchange]:
    """All exchanges in a folder, by what they answer."""
    found: dict[tuple[str, str, Parameters | None], Exchange] = {}
    for file in sorted(folder.rglob("*.http")):
        exchange = read_exchange(file.read_bytes(), file.name)
        place = exchange.method, exchange.path, exchange.parameters
        if place in found:
            raise ConfigurationError(f"{file.name} answers a request that another file answers too.", remedy="Keep one of them.")
        found[place] = exchange
    return found


def read_exchange(content: bytes, name: str) -> Exchange:
    """One recorded exchange. Raises `ConfigurationError`, naming the file."""
    request, _, answer = content.lstrip().partition(b"\n")
    head, *rest = _BLANK_LINE.split(answer.lstrip(), maxsplit=1)
    try:
        method, target = request.decode("ascii").split()
        first, *lines = head.decode("utf-8").splitlines()
        status = int(first.split()[1] if first.upper().startswith("HTTP/") else first)
        headers = dict(_header(line) for line in lines)
    except (ValueError, IndexError):
        raise ConfigurationError(
            f"The recorded payload {name} cannot be understood.",
            remedy="Write METHOD /path?query, a blank line, the status, headers, a blank line, and the body.",
        ) from None
    if not target.startswith("/"):
        raise ConfigurationError(f"{name} names no path.", remedy="Write the path below the base URL, beginning with a slash.")
    address = urlsplit(target)
    parameters = None if address.query == "*" else _sorted(address.query)
    kept = {"content-type": "application/json", **{key: value for key, value in headers.items() if key not in _LEFT_OUT}}
    return Exchange(method.upper(), address.path, parameters, status, kept, b"".join(rest))


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise ValueError(line)
    return name.strip().lower(), value.strip()


def _sorted(query: str) -> Parameters:
    return tuple(sorted(parse_qsl(query, keep_blank_values=True)))


def _records(kind: Kind, file: Path) -> Iterator[tuple[str, Record]]:
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            told = json.loads(line) if line.strip() else {}
            key = str(told.pop("key", told.get("sis_id", "")))
            if told:
                yield key, RECORDS[kind].model_validate_json(json.dumps(told))
        except (ValidationError, ValueError, AttributeError):
            raise ConfigurationError(
                f"Line {number} of truth/{file.name} is no record of {kind}.", remedy="Write one canonical record in each line."
            ) from None


def create(district: District, settings: Mapping[str, str]) -> RecordedSandbox:
    """The sandbox's factory; the folder is the setting `folder`."""
    return RecordedSandbox(district, settings)
