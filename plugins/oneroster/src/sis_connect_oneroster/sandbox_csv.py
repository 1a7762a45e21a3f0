"""A local web server with the synthetic district's OneRoster CSV packages: `oneroster.zip` by `mode`, `bulk.zip`, `delta.zip`.

Settings: `version` (1.2, or 1.1), `mode` (`bulk`, or `delta`: what changed on the story's day), `auth` (`basic`, or `none`),
`end_dates`, `demographics` (`withheld`: no such file), `manifest` (`off`: without one), `bom` (`on`), `metadata` (`on`: a column
of the vendor's own), `folder` (a folder inside the zip, such as `export/`).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import ClassVar
from zlib import crc32

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sis_connect.capabilities import Kind
from sis_connect.records import Record
from sis_connect.testing.district import District
from sis_connect.testing.sandbox_app import Sandbox
from sis_connect.testing.token_grants import basic
from sis_connect_oneroster import sandbox_truth
from sis_connect_oneroster.sandbox_csv_files import package
from sis_connect_oneroster.sandbox_roster import Roster

CHOICES: Mapping[str, tuple[str, ...]] = {
    "version": ("1.2", "1.1"),
    "mode": ("bulk", "delta"),
    "auth": ("basic", "none"),
    "end_dates": ("exclusive", "inclusive"),
    "demographics": ("shared", "withheld"),
    "manifest": ("on", "off"),
    "bom": ("off", "on"),
    "metadata": ("off", "on"),
}


class OneRosterCsvSandbox(Sandbox):
    choices = CHOICES
    known_settings: ClassVar[Mapping[str, str]] = {**{name: values[0] for name, values in CHOICES.items()}, "folder": ""}
    client_settings = frozenset({"end_dates"})

    def __init__(self, district: District, settings: Mapping[str, str]) -> None:
        super().__init__(district, settings)
        self._zips: dict[str, bytes] = {}

    def told_settings(self) -> dict[str, str]:
        return {**super().told_settings(), "grant": self.settings["auth"]}

    def moved(self) -> None:
        self._zips.clear()

    @property
    def clock(self) -> datetime:
        """An evening of the story's day."""
        return self.evening

    @property
    def app(self) -> ASGIApp:
        return self._answer

    def truth(self, kind: Kind, *, history: bool) -> Iterator[tuple[str, Record]]:
        """All that there is on the day, however much of it a package has."""
        roster = Roster(self.district, self.settings["version"], {**self.settings, "deleted": "purged"})
        return sandbox_truth.truth(roster, kind)

    def error(self, status: int, message: str) -> Response:
        return PlainTextResponse(message, status)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._file(Request(scope, receive), scope["path"].strip("/"))
        await response(scope, receive, send)

    def _file(self, request: Request, name: str) -> Response:
        modes = {"oneroster.zip": self.settings["mode"], "bulk.zip": "bulk", "delta.zip": "delta"}
        if self.settings["auth"] == "basic" and not self._known(request.headers.get("authorization", "")):
            response = self.error(401, "Who is asking?")
            response.headers["WWW-Authenticate"] = 'Basic realm="oneroster"'
            return response
        if name not in modes:
            return self.error(404, "There is no such file.")
        if request.method not in ("GET", "HEAD"):
            return self.error(405, "This sandbox only reads.")
        content = self._zip(modes[name])
        headers = {"ETag": f'"{crc32(content):08x}"', "Last-Modified": format_datetime(self.clock, usegmt=True)}
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type="application/zip", headers=headers)

    def _zip(self, mode: str) -> bytes:
        if mode not in self._zips:
            self._zips[mode] = package(self.district, version=self.settings["version"], mode=mode, settings=self.settings)
        return self._zips[mode]

    def _known(self, authorization: str) -> bool:
        scheme, _, code = authorization.partition(" ")
        given, expected = basic(code), (self.client_id, self.client_secret)
        same = [hmac.compare_digest(one.encode(), other.encode()) for one, other in zip(given, expected, strict=True)]
        return scheme.lower() == "basic" and all(same)


def create(district: District, settings: Mapping[str, str]) -> OneRosterCsvSandbox:
    """The sandbox's factory."""
    return OneRosterCsvSandbox(district, settings)
