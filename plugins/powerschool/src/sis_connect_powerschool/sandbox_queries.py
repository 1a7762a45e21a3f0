"""`/ws/schema/query`: the PowerQueries of an installed package, over the synthetic district; and the versions of its data.

What the queries select is rendered here from the district; the package's SQL is not read. Values are text, keys lower case, what
is empty is left out, and so is `record` where there is no row. A version is a day of the story: whatever changed on a later day
has a later one, and what vanished is not told; nothing is told to an application without a subscription. What
`powerqueryaccesslist` answers is our own invention: no public text shows it.

Settings: `package` (`none` or `installed`), `package_fields` (those it was made for, or `all`), `package_layout` (how old it
is), `missing_grants` (such as `students.dob`), `missing_grants_status`, and `grants_needed` (for fields that are `selected`, or
also for those that are `joined` on or filtered by), `query_page_size` (where none is asked for), `query_cap` (rows a page at
most), `count_in_page` (`on` or `off`), `subscription` (the application whose data version subscription there is, or empty),
`data_versions` (`on`, `untold`, or `refused` as an unknown argument), `changed_rows` (those of which `any` table that they are
joined from has changed, or `all`, as where SQL joins inwardly), `query_dates` (as a `date`, or with a `time`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import msgspec

from sis_connect.testing.district_records import Keyed
from sis_connect_powerschool import sandbox_rows as rows
from sis_connect_powerschool.sandbox_query_rows import COLUMNS_ON_REQUEST, JOINS_ON_REQUEST, ON_REQUEST, QUERIES, Query, Row
from sis_connect_powerschool.sandbox_resources import Resources

PREFIX = "org.sisconnect.sis_connect.roster"
SETTINGS: Mapping[str, str] = {
    "package": "none",
    "package_fields": "",
    "package_layout": "1",
    "missing_grants": "",
    "missing_grants_status": "403",
    "grants_needed": "joined",
    "query_page_size": "100",
    "query_cap": "",
    "count_in_page": "on",
    "subscription": "sis-connect",
    "data_versions": "on",
    "changed_rows": "any",
    "query_dates": "date",
}
CHOICES: Mapping[str, tuple[str, ...]] = {
    "package": ("none", "installed"),
    "missing_grants_status": ("400", "403"),
    "grants_needed": ("selected", "joined"),
    "count_in_page": ("on", "off"),
    "changed_rows": ("any", "all"),
    "data_versions": ("on", "untold", "refused"),
    "query_dates": ("date", "time"),
}
_VERSION, _APPLICATION = "$dataversion", "$dataversion_applicationname"
_VERSIONS_FROM = 16_000_000


class Failed(Exception):  # noqa: N818 - the server's answer, not our error
    """The server answers with an error in the words of `/ws/schema`."""

    def __init__(self, status: int, message: str, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"message": message, **({"errors": list(errors)} if errors else {})}


class Queries:
    """All that the package brings, for one day of the district."""

    def __init__(self, resources: Resources, settings: Mapping[str, str]) -> None:
        self._resources, self._settings = resources, settings
        self._found: dict[tuple[str, str], list[Keyed]] = {}
        self._rendered: dict[tuple[str, int], tuple[tuple[Keyed | None, ...], bytes]] = {}

    def moved(self) -> None:
        """Forget the lists of the day before, and rows that were made under other settings."""
        self._found.clear()
        self._rendered.clear()

    @property
    def made_for(self) -> frozenset[str]:
        """What the package was made for."""
        named = self._settings["package_fields"]
        return frozenset(ON_REQUEST if named == "all" else (name.strip() for name in named.split(",") if name.strip()))

    def columns(self, area: str) -> Mapping[str, str]:
        """The columns that a query selects, with the fields granted for them."""
        chosen = dict(QUERIES[area].columns)
        for field in ON_REQUEST if area == "students" else ():
            chosen |= COLUMNS_ON_REQUEST[field] if field in self.made_for else {}
        return chosen

    def fields(self, area: str) -> list[str]:
        """The fields that an administrator has to grant for a query."""
        joined = list(QUERIES[area].joins)
        for field in ON_REQUEST if area == "students" else ():
            joined += JOINS_ON_REQUEST.get(field, ()) if field in self.made_for else ()
        return list(
            dict.fromkeys([*self.columns(area).values(), *(joined if self._settings["grants_needed"] == "joined" else ())])
        )

    def answer(self, method: str, name: str, body: bytes, asked: Mapping[str, str], *, faults: Any, target: str) -> bytes:
        """A page of a query's rows, or their count."""
        name, slash, tail = name.partition("/")
        area = name.removeprefix(f"{PREFIX}.")
        if method != "POST":
            raise Failed(405, f"{method} is not allowed on query")
        if self._settings["package"] == "none" or area not in QUERIES or name == area or (slash and tail != "count"):
            raise Failed(404, f"Query {name} not found")
        arguments = self._arguments(area, body)
        self._check_grants(area, name)
        matching = self._changed(QUERIES[area], self._matching(area, arguments), arguments.get(_VERSION))
        if "order" in asked:
            raise Failed(400, "This sandbox does not order rows on demand")
        size, number = self._size(asked), _number(asked.get("page") or "1", "page")
        if number < 1:
            raise Failed(400, "Invalid page")
        listed = faults.rows(target, matching, size=size or len(matching), later_page=number > 1)
        if tail == "count":
            return msgspec.json.encode({"count": len(listed)})
        page = faults.page(target, matching, number, size) if size else listed
        told: Row = {"name": QUERIES[area].core}
        if asked.get("count") == "true" and self._settings["count_in_page"] == "on":
            told |= {} if (total := faults.total(target, len(listed))) is None else {"count": total}
        if _APPLICATION in arguments and self._settings["data_versions"] == "on":
            told[_VERSION] = str(_version(self._resources.district.today))
        head = msgspec.json.encode(told)[:-1]
        rendered = b",".join(self._json(area, record) for record in page)
        return head + (b',"record":[%s]' % rendered if rendered else b"") + b',"@extensions":""}'

    def changes(self, application: str, version: str) -> bytes:
        """`/ws/dataversion/{application}/{version}`: the DCIDs of what has changed since, by table."""
        self._check_subscription(application)
        since = _number(version, _VERSION)
        district = self._resources.district
        tables: Mapping[str, tuple[str, Iterable[Keyed]]] = {
            "students": ("student", district.students.values()),
            "schoolstaff": ("school_staff", district.affiliations.values()),
            "sections": ("section", district.sections.values()),
            "cc": ("section_enrollment", district.enrollments.values()),
        }
        changed = {
            name: [rows.dcid(table, record.serial) for record in records if _version(district.changed_on(record)) > since]
            for name, (table, records) in tables.items()
        }
        head = {_VERSION: str(_version(district.today))} if self._settings["data_versions"] == "on" else {}
        return msgspec.json.encode(head | {"tables": {name: found for name, found in changed.items() if found}})

    def access_list(self, name: str) -> bytes:
        """`/ws/powerqueryaccesslist/{name}`: what a query reads."""
        area = name.removeprefix(f"{PREFIX}.")
        if self._settings["package"] == "none" or area not in QUERIES or name == area:
            raise Failed(404, f"Query {name} not found")
        fields = [field.upper().split(".") for field in self.fields(area)]
        return msgspec.json.encode({"fields": [{"table": t, "field": f, "access": "ViewOnly"} for t, f in fields]})

    def _arguments(self, area: str, body: bytes) -> Mapping[str, str]:
        try:
            given = {name: str(value) for name, value in msgspec.json.decode(body or b"{}", type=dict[str, str | int]).items()}
        except msgspec.DecodeError:
            raise Failed(400, "The body is no object of arguments") from None
        known = QUERIES[area].arguments
        versions = set() if self._settings["data_versions"] == "refused" else {_VERSION, _APPLICATION}
        for what, wrong in (("Invalid", given.keys() - known - versions), ("Missing", known - given.keys())):
            if wrong:
                raise Failed(400, f"{what} argument: {min(wrong)}")
        if versions & given.keys():
            if not versions <= given.keys():
                raise Failed(400, f"{_VERSION} and {_APPLICATION} must be specified together")
            self._check_subscription(given[_APPLICATION])
        return given

    def _check_subscription(self, application: str) -> None:
        if application != self._settings["subscription"]:
            raise Failed(400, f"No data version subscription of {application}")

    def _check_grants(self, area: str, name: str) -> None:
        missing = {field.strip().lower() for field in self._settings["missing_grants"].split(",")}
        lacking = [field for field in self.fields(area) if field in missing]
        if lacking:
            errors = [{"resource": name, "field": field, "code": "No access to the field"} for field in lacking]
            raise Failed(int(self._settings["missing_grants_status"]), "Validation Failed", errors)

    def _matching(self, area: str, arguments: Mapping[str, str]) -> list[Keyed]:
        key = (area, str(sorted((name, value) for name, value in arguments.items() if name[0] != "$")))
        if key not in self._found:
            try:
                self._found[key] = list(QUERIES[area].found(self._resources, arguments))
            except ValueError:
                raise Failed(400, "Invalid argument") from None
        return self._found[key]

    def _changed(self, query: Query, found: list[Keyed], version: str | None) -> list[Keyed]:
        if version is None or self._settings["data_versions"] == "untold":
            return found
        since, changed_on = _number(version, _VERSION), self._resources.district.changed_on
        enough = any if self._settings["changed_rows"] == "any" else all

        def late(record: Keyed) -> bool:
            own = max(changed_on(source) for source in query.sources(self._resources, record) if source is not None)
            joined = (changed_on(other) for other in query.joined(self._resources, record) if other is not None)
            return enough(_version(day) > since for day in (own, *joined))

        return [record for record in found if late(record)]

    def _size(self, asked: Mapping[str, str]) -> int:
        size = _number(asked.get("pagesize") or self._settings["query_page_size"], "pagesize")
        return min(size, int(self._settings["query_cap"])) if size and self._settings["query_cap"] else size

    def _json(self, area: str, record: Keyed) -> bytes:
        query, key = QUERIES[area], (area, record.serial)
        sources = (*query.sources(self._resources, record), *query.joined(self._resources, record))
        kept = self._rendered.get(key)
        if kept is not None and all(a is b for a, b in zip(kept[0], sources, strict=True)):
            return kept[1]
        row = query.row(self._resources, record)
        if area == "students":
            bits = sum(1 << place for place, field in enumerate(ON_REQUEST) if field in self.made_for)
            row["made_for"] = int(self._settings["package_layout"]) * 1000 + bits
        chosen = {name: self._text(row[name]) for name in self.columns(area) if row.get(name) not in (None, "")}
        body = msgspec.json.encode({"_name": query.core, "_id": rows.dcid(query.table, record.serial), **chosen})
        self._rendered[key] = (sources, body)
        return body

    def _text(self, value: Any) -> str:
        late = " 00:00:00" if isinstance(value, date) and self._settings["query_dates"] == "time" else ""
        return f"{value}{late}"


def _number(text: str, name: str) -> int:
    if not text.isdecimal():
        raise Failed(400, f"Invalid {name}")
    return int(text)


def _version(day: date) -> int:
    return _VERSIONS_FROM + day.toordinal()
