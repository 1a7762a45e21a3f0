"""Event subscriptions of the sandbox: one document for each plugin, and what is POSTed to its address when records change.

Nobody has published the body of a delivery, so the setting `event_body` chooses among what it may look like: `resource` (the
path of the record), `flat` (its table and id) or `list` (several events in an array). Only addresses on this machine are told.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sis_connect.setting_types import is_loopback
from sis_connect.testing.district import District
from sis_connect_powerschool.sandbox_rows import dcid

PATH = "/ws/v1/event_subscription"
SETTINGS: Mapping[str, str] = {"event_body": "resource"}
CHOICES: Mapping[str, tuple[str, ...]] = {"event_body": ("resource", "flat", "list")}
_TYPES = ("INSERT", "UPDATE", "DELETE", "SCHOOL_ENROLLMENT")
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Event:
    """What has happened to one record."""

    resource: str
    id: int
    type: str

    @property
    def path(self) -> str:
        return f"/ws/v1/{self.resource}/{self.id}"


#: By the name of the resource: the ids are of this table, and the records are here.
_WATCHED = {
    "student": ("student", "students"),
    "staff": ("school_staff", "affiliations"),
    "course": ("course", "courses"),
    "section": ("section", "sections"),
    "section_enrollment": ("section_enrollment", "enrollments"),
}
Picture = dict[str, dict[int, Any]]


def picture(district: District) -> Picture:
    """How things are: records are never changed in place, so it is enough to remember which ones there are."""
    found: Picture = {name: dict(getattr(district, table)) for name, (_, table) in _WATCHED.items()}
    found["stay"] = {n: district.stints.get(s.stint) for n, s in district.students.items() if s.stint is not None}
    return found


def changes(before: Picture, after: Picture) -> Iterator[Event]:
    """What has happened between two pictures. A student's other stay is an event of its own."""
    for name, (table, _) in _WATCHED.items():
        then, now = before[name], after[name]
        for serial in now.keys() | then.keys():
            if serial not in then or serial not in now:
                yield Event(name, dcid(table, serial), "DELETE" if serial not in now else "INSERT")
            elif then[serial] is not now[serial] and then[serial] != now[serial]:
                yield Event(name, dcid(table, serial), "UPDATE")
    for serial in before["student"].keys() & after["student"].keys():
        if before["stay"].get(serial) != after["stay"].get(serial):
            yield Event("student", dcid("student", serial), "SCHOOL_ENROLLMENT")


def bodies(shape: str, key: str, events: Sequence[Event]) -> Iterator[Any]:
    """The deliveries for some events, in one of the shapes."""
    if shape == "list":
        for start in range(0, len(events), 50):
            several = [{"resource": event.path, "event_type": event.type} for event in events[start : start + 50]]
            yield {"key": key, "events": several}
        return
    for event in events:
        if shape == "flat":
            yield {"key": key, "event_type": event.type, "entity": event.resource, "id": event.id, "timestamp": int(time.time())}
        else:
            yield {"key": key, "event_type": event.type, "resource": event.path}


class Events:
    """The subscription of the plugin, and its deliveries; `delivered` are their statuses, 0 where nobody answered."""

    def __init__(self, district: District, settings: Mapping[str, str]) -> None:
        self._district, self._settings = district, settings
        self._document: dict[str, Any] | None = None
        self._known: Picture = {}
        self.delivered: list[int] = []

    def answer(self, request: Request, body: bytes) -> Response:
        """GET, PUT and DELETE of the subscription."""
        match request.method:
            case "GET":
                return _missing() if self._document is None else JSONResponse({"event_subscriptions": self._document})
            case "PUT":
                return self._put(request.headers.get("content-type", ""), body)
            case "DELETE":
                found, self._document = self._document, None
                return Response(status_code=204) if found is not None else _missing()
        return Response(status_code=405)

    def moved(self) -> None:
        """Tell what has changed since last time, in the background."""
        if self._document is None:
            return
        before, self._known = self._known, picture(self._district)
        events = [event for event in changes(before, self._known) if self._is_subscribed(event)]
        if events:
            told = list(bodies(self._settings["event_body"], str(self._document.get("key", "")), events))
            threading.Thread(target=self._deliver, args=(str(self._document["callback_url"]), told), daemon=True).start()

    def _put(self, content_type: str, body: bytes) -> Response:
        media_type = content_type.partition(";")[0].strip().lower()
        if "/" not in media_type:
            return Response(status_code=500)
        if media_type not in ("application/json", "application/xml"):
            return Response(status_code=415)
        try:
            document = json.loads(body)["event_subscriptions"]
            events = document["event_subscription"]
            well_made = all(each["event_type"] in _TYPES and each["resource"].startswith("/ws/v1/") for each in events)
            if not well_made or not urlsplit(document["callback_url"]).hostname:
                raise ValueError("not a subscription")
        except (ValueError, TypeError, KeyError, AttributeError):
            return JSONResponse({"errorMessage": {"message": "Invalid event subscription."}}, 400)
        known, self._document = self._document, document
        self._known = picture(self._district)
        return Response(status_code=201 if known is None else 204)

    def _is_subscribed(self, event: Event) -> bool:
        wanted = {(each["resource"], each["event_type"]) for each in (self._document or {})["event_subscription"]}
        return (f"/ws/v1/{event.resource}/*", event.type) in wanted

    def _deliver(self, address: str, told: Sequence[Any]) -> None:
        parts = urlsplit(address)
        if not is_loopback(parts.hostname or ""):
            self.delivered += [0] * len(told)
            return
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE)
        for body in told:
            try:
                connection.request("POST", parts.path, json.dumps(body), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                self.delivered.append(answer.status)
            except (OSError, http.client.HTTPException):
                connection.close()
                self.delivered.append(0)
        connection.close()


def _missing() -> Response:
    return JSONResponse({"errorMessage": {"message": "Resource not found."}}, 404)
