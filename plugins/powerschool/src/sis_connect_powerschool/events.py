"""Word of changes from PowerSchool: what a delivery says, and the subscription that asks for deliveries.

There is one subscription for each plugin, and a PUT replaces all of it. The body of a delivery is not published: whatever it is,
it only tells where to read again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from sis_connect.capabilities import Kind
from sis_connect.errors import ConfigurationError, NotOffered
from sis_connect.provider import Hint

if TYPE_CHECKING:
    from sis_connect.transport.http import Transport

PATH = "/ws/v1/event_subscription"
#: What deliveries of ours are known by.
KEY = "sis-connect"
#: What we want to hear of, by the resource's name.
_EVENTS: Mapping[str, tuple[str, ...]] = {
    "student": ("INSERT", "UPDATE", "DELETE", "SCHOOL_ENROLLMENT"),
    "staff": ("INSERT", "UPDATE", "DELETE"),
    "course": ("INSERT", "UPDATE", "DELETE"),
    "section": ("INSERT", "UPDATE", "DELETE"),
    "section_enrollment": ("INSERT", "UPDATE", "DELETE"),
}
_KINDS: Mapping[str, Kind] = {
    "school": "schools",
    "term": "terms",
    "course": "courses",
    "staff": "staff",
    "student": "students",
    "section": "sections",
    "section_enrollment": "enrollments",
}
_RECORD = re.compile(r"/ws/v1/(\w+)/(\d{1,20})(?:$|[/?#])", re.ASCII)
_NAMED = ("resource", "entity", "entity_type", "table", "type")
_IDS = ("id", "dcid", "student_id", "student_dcid")
#: So much of a delivery is looked at.
_MOST = 20_000


# -- deliveries --------------------------------------------------------------------------------------------------------


def hints(headers: Mapping[str, str], body: bytes) -> Sequence[Hint]:
    """The records that a delivery names, in whatever way. One of ours that names none may be about any record."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise ValueError("no JSON") from None
    found = list(dict.fromkeys(hint for part in _parts(document) for hint in _of(part)))
    if found or not (isinstance(document, dict) and document.get("key") == KEY):
        return found
    return [] if "test_subscription" in str(document.get("resource")) else [Hint()]


def _parts(document: Any) -> Iterator[Mapping[str, Any]]:
    """All objects in it, however deep, as far as that is reasonable."""
    waiting, seen = [document], 0
    while waiting and seen < _MOST:
        part, seen = waiting.pop(), seen + 1
        if isinstance(part, dict):
            yield part
            waiting += list(part.values())
        elif isinstance(part, list):
            waiting += part


def _of(part: Mapping[str, Any]) -> Iterator[Hint]:
    paths = [match for value in part.values() if isinstance(value, str) for match in _RECORD.finditer(value)]
    for match in paths:
        if match[1] in _KINDS:
            yield Hint(_KINDS[match[1]], "sis_id", _sis_id(match[1], match[2]))
    if paths:
        return
    named = next((str(part[name]).lower() for name in _NAMED if isinstance(part.get(name), str)), "")
    resource = named.strip("/").removeprefix("ws/v1/").partition("/")[0].removesuffix("s") or named
    number = next((str(part[name]) for name in _IDS if str(part.get(name, "")).isdecimal()), "")
    if resource in _KINDS and number:
        yield Hint(_KINDS[resource], "sis_id", _sis_id(resource, number))


def _sis_id(resource: str, number: str) -> str:
    """Only of students the id in the path is the record's own for certain; of others it is enough that there is something."""
    return number if resource == "student" else ""


# -- the subscription --------------------------------------------------------------------------------------------------


async def subscribe(transport: Transport, callback_url: str, *, ours: Callable[[str], bool], replace: bool) -> None:
    """See `provider.Subscriber`."""
    await _demand(transport, ours, replace)
    wanted = [
        {"resource": f"/ws/v1/{resource}/*", "event_type": event} for resource, events in _EVENTS.items() for event in events
    ]
    document = {"event_subscriptions": {"key": KEY, "callback_url": callback_url, "event_subscription": wanted}}
    await transport.request("PUT", PATH, json=document, headers={"Accept": "application/json"}, template=PATH)


async def unsubscribe(transport: Transport, *, ours: Callable[[str], bool], replace: bool) -> bool:
    """See `provider.Subscriber`."""
    if await _demand(transport, ours, replace) is None:
        return False
    try:
        await transport.request("DELETE", PATH, headers={"Accept": "application/json"}, template=PATH)
    except NotOffered:
        return False  # somebody else was quicker
    return True


async def _demand(transport: Transport, ours: Callable[[str], bool], replace: bool) -> str | None:
    """Where deliveries go now, if anywhere. Refuses to touch what is not ours."""
    try:
        response = await transport.request("GET", PATH, headers={"Accept": "application/json"}, template=PATH)
    except NotOffered:
        return None
    found = _callback(response.body)
    if found is not None and not replace and not ours(found):
        raise ConfigurationError(
            f"PowerSchool sends word of changes to {urlsplit(found).hostname or 'another place'} already, and it does so to one "
            "place for each plugin.",
            remedy="Leave it, or replace it with --replace; whoever gets it now then hears nothing any more.",
        )
    return found


def _callback(body: bytes) -> str | None:
    """The address of a subscription, where there is one."""
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    inner = document.get("event_subscriptions", document) if isinstance(document, dict) else None
    found = inner.get("callback_url") if isinstance(inner, dict) else None
    return found if isinstance(found, str) and found else None
