"""A local server that behaves like Infinite Campus's OneRoster, versions 1.1 and 1.2 at once, over the synthetic district.

It knows nothing of this plugin's provider and mapping: both follow the notes on the vendor, and meet on a socket only. Its own
settings, the usual value first:

`app_name` (of the district's application), `departed` (those who leave are listed as `tobedeleted`, or `vanish`),
`deleted_enrolled` (`on`: users marked tobedeleted, who have lost roles and grades and still sit in classes), `odd_roles` (`on`:
students who are guardians first, or have no roles), `legacy_id` (the id of version 1.1 as a `number`, or with the `letter` of
the role), `legacy_key` (how its key is spelled), `guid_case`. Those of OneRoster are there too.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sis_connect.capabilities import Kind
from sis_connect.records import Record
from sis_connect.testing.district import District
from sis_connect_infinite_campus import sandbox_truth
from sis_connect_infinite_campus.sandbox_roster import CampusRoster
from sis_connect_oneroster import sandbox_settings
from sis_connect_oneroster.sandbox import Asking, OneRosterSandbox
from sis_connect_oneroster.sandbox_collections import COLLECTIONS, Collection, pattern
from sis_connect_oneroster.sandbox_query import Asked
from sis_connect_oneroster.sandbox_roster import Roster
from sis_connect_oneroster.sandbox_rows import Link, Row

CHOICES: Mapping[str, tuple[str, ...]] = {
    "departed": ("tobedeleted", "vanish"),
    "deleted_enrolled": ("off", "on"),
    "odd_roles": ("off", "on"),
    "legacy_id": ("number", "letter"),
    "legacy_key": ("upper", "lower"),
    "guid_case": ("upper", "lower"),
}
_ADMINISTRATORS = ("administrator", "siteAdministrator", "districtAdministrator")
#: Lists beyond the standard.
OWN: Mapping[str, Collection] = {
    "administrators": Collection("user", {"role": _ADMINISTRATORS}),
    "guardians": Collection("user", {"role": ("guardian",)}),
    "relatives": Collection("user", {"role": ("relative",)}),
    "districts": Collection("org", {"type": ("district",)}),
    "studentEnrollments": Collection("enrollment", {"role": ("student",)}),
    "teacherEnrollments": Collection("enrollment", {"role": ("teacher",)}),
}
#: What partners only may read, with a header of their own. There is nothing in it here.
_BOOK_11 = frozenset(
    (
        *("categories", "lineItems", "results", "classes/*/lineItems", "classes/*/results"),
        *("classes/*/lineItems/*/results", "classes/*/students/*/results"),
    )
)
_BOOK_12 = ("classes/*/categories", "classes/*/scoreScales", "schools/*/scoreScales")
_ONLY_12 = ("scoreScales", "assessmentLineItems", "assessmentResults")
GRADE_BOOK: Mapping[str, frozenset[str]] = {"1.1": _BOOK_11, "1.2": _BOOK_11.union(_BOOK_12, _ONLY_12)}
_EMPTY: Mapping[str, frozenset[str]] = {
    "1.1": frozenset(("scoreGroups",)),
    "1.2": frozenset(("scoreGroups", "programs", "programParticipation")),
}
_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
#: All that `ext_basic=true` leaves of a user.
_BASIC = frozenset(("sourcedId", "status", "givenName", "familyName", "identifier"))


class InfiniteCampusSandbox(OneRosterSandbox):
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {**OneRosterSandbox.choices, **CHOICES}
    known_settings: ClassVar[Mapping[str, str]] = {
        **sandbox_settings.SETTINGS,
        **{name: values[0] for name, values in CHOICES.items()},
        "app_name": "anytown",
        "cap": "50000",
        "unknown_sort": "reject",
    }

    @property
    def bases(self) -> Mapping[str, str]:
        """What is told to administrators, the oldest one last, and what another vendor quotes."""
        app_name = self.settings["app_name"]
        return {
            f"/campus/api/oneroster/v1p2/{app_name}/ims/oneroster/rostering/v1p2": "1.2",
            f"/campus/api/oneroster/v1p2/{app_name}/ims/oneroster/gradebook/v1p2": "1.2",
            "/campus/api/ims/oneroster/rostering/v1p2": "1.2",
            f"/campus/oneroster/{app_name}/ims/oneroster/v1p1": "1.1",
        }

    @property
    def token_path(self) -> str:
        return "/campus/oauth2/token"

    @property
    def token_url_query(self) -> str:
        return f"?appName={self.settings['app_name']}"

    def make_roster(self, version: str) -> Roster:
        return CampusRoster(self.district, version, self.settings)

    def truth(self, kind: Kind, *, history: bool) -> Iterator[tuple[str, Record]]:
        roster = self.places(self.settings["version"]).roster
        assert isinstance(roster, CampusRoster)  # noqa: S101 - made above
        return sandbox_truth.truth(roster, kind)

    def collections(self, version: str) -> Mapping[str, Collection]:
        return {**COLLECTIONS, **OWN}

    def extra(self, version: str, parts: Sequence[str]) -> tuple[str, list[Row] | None] | None:
        path, name = pattern(parts), parts[-1] if parts else ""
        if path in GRADE_BOOK[version] or path in _EMPTY[version]:
            below = all(self._is_known(version, parts[:place], parts[place : place + 2]) for place in range(0, len(parts) - 1, 2))
            return name, [] if below else None
        if path == "schools/*/classGroups":
            return name, self._class_groups(version, parts[1]) if self._is_known(version, (), parts[:2]) else None
        return None

    def _is_known(self, version: str, above: Sequence[str], parts: Sequence[str]) -> bool:
        """Whether an object is there, below another one or not. Of the grade book there is nothing."""
        places = self.places(version)
        if not above:
            return places.find(parts) is not None
        found = places.find([*above, parts[0]])
        return found is not None and any(entry.sourced_id == parts[1] for entry in found.entries)

    def refuse(self, request: Request, version: str, parts: Sequence[str]) -> Response | None:
        """The grade book is for partners, who show that they are; and it holds no rosters."""
        in_grade_book = "/ims/oneroster/gradebook/" in request.scope["path"]
        if pattern(parts) not in GRADE_BOOK[version]:
            return self.error(404, "There is no such endpoint.") if in_grade_book else None
        if ":" not in request.headers.get("x-vendor-authorization", ""):
            return self.error(401, "The header x-vendor-authorization is needed.")
        return None

    def refuse_token(self, request: Request) -> Response | None:
        given = request.query_params.get("appName")
        if given == self.settings["app_name"]:
            return None
        why = "appName is not that of this district." if given else "appName is missing."
        return JSONResponse({"error": "invalid_request", "error_description": why}, 400)

    def _read(self, asking: Asking, url: str) -> Response:
        """A GUID in an address is known in either case."""
        return super()._read(asking._replace(parts=[self._written(part) for part in asking.parts]), url)

    def _written(self, text: str) -> str:
        """A GUID as this district writes it; anything else as it is."""
        if not _GUID.fullmatch(text):
            return text
        return text.upper() if self.settings["guid_case"] == "upper" else text.lower()

    def _asked(self, asking: Asking, table: str) -> Asked:
        """In filters, too."""
        asked = super()._asked(asking, table)
        clauses = tuple(replace(clause, value=self._written(clause.value)) for clause in asked.filter.clauses)
        asked = replace(asked, filter=replace(asked.filter, clauses=clauses))
        basic = table == "user" and asking.request.query_params.get("ext_basic") == "true"
        return replace(asked, fields=_BASIC) if basic else asked

    def _class_groups(self, version: str, school: str) -> list[Row]:
        """The classes of a school that are of one course."""
        classes: defaultdict[str, list[Any]] = defaultdict(list)
        for entry in self.places(version).roster.index("class", "school").get(school, ()):
            classes[entry.links["course"][0]].append(entry)
        return [
            {
                "sourcedId": f"{course}{school[:4]}",
                "status": "active",
                "dateLastModified": max(entry.modified for entry in entries),
                "title": f"Group {course}",
                "groupType": "course",
                "classes": [Link("classes", entry.sourced_id, "class") for entry in entries],
            }
            for course, entries in classes.items()
        ]


def create(district: District, settings: Mapping[str, str]) -> InfiniteCampusSandbox:
    """The sandbox's factory."""
    return InfiniteCampusSandbox(district, settings)
