"""The package that a PowerSchool administrator installs: `plugin.xml` with the grants of exactly the fields that a district asks
for, and the PowerQueries that read them. The same choice gives the same bytes. Also a command line, `sis-connect-powerschool`.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from sis_connect.clock import Clock, SystemClock
from sis_connect.errors import ConfigurationError
from sis_connect_powerschool.bulk_mapping import FIELDS, PREFERRED_NAME, made_for

#: The longest values that PowerSchool takes in `plugin.xml`.
LONGEST = {"name": 40, "version": 20, "description": 256, "publisher": 100, "contact": 40, "table": 30, "field": 30}
#: Why a field is granted that nobody sees.
JOINED = "used to join, not kept"
#: Tables of extensions by students: of the district, of the state's reporting, of PowerSchool. No table of its core is named so.
_EXTENSION = re.compile(r"(?:[usc]_\w{1,28}|studentcorefields)\.[a-z]\w{0,29}", re.IGNORECASE | re.ASCII)
_VERSION = re.compile(r"\d{1,4}(\.\d{1,4}){0,3}", re.ASCII)
_DESCRIPTION = "Read-only roster access for sis-connect."


class Column(NamedTuple):
    """Of a query: its name in the answer, the `TABLE.FIELD` granted for it, what it becomes, why, and how it is selected."""

    name: str
    source: str
    becomes: str
    why: str
    expression: str


class Grant(NamedTuple):
    """A field that the plugin may read, and why."""

    table: str
    field: str
    becomes: tuple[str, ...]
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A PowerQuery."""

    name: str
    core: str
    summary: str
    arguments: Sequence[str]
    columns: tuple[Column, ...]
    source: str

    @property
    def sql(self) -> str:
        """What is asked of the database."""
        return "select\n" + ",\n".join(f"  {column.expression} as {column.name}" for column in self.columns) + f"\n{self.source}"

    @property
    def fields(self) -> list[str]:
        """All fields that are selected, joined on or filtered by, as TABLE.FIELD."""
        return [
            *dict.fromkeys([*(c.source for c in self.columns), *(f.upper() for f in re.findall(r"\b[a-z]\w*\.\w+", self.sql))])
        ]

    def xml(self) -> str:
        """As `named_queries.xml` has it. An argument of a column's type would not be the text that our SQL converts."""
        arguments = "".join(f'\n      <arg name={quoteattr(a)} type="primitive" required="true"/>' for a in self.arguments)
        columns = "".join(f"\n      <column column={quoteattr(c.source)}>{escape(c.name)}</column>" for c in self.columns)
        return (
            f'  <query name={quoteattr(self.name)} coreTable={quoteattr(self.core)} flattened="true">\n'
            f"    <description>{escape(self.summary)}</description>\n    <args>{arguments}\n    </args>\n"
            f"    <columns>{columns}\n    </columns>\n"
            f"    <sql><![CDATA[\n{self.sql}\n    ]]></sql>\n  </query>\n"
        )


@dataclass(frozen=True)
class Package:
    """What is chosen about a package. Raises `ConfigurationError` where PowerSchool would not take it.

    `version` has to be higher than that of the plugin that is installed, whatever has changed; see `version_at`. `fields` are
    those that are read on request only; `preferred_name` is where the district keeps preferred first names, as `TABLE.FIELD` of
    an extension of students. With a `base_url`, people may sign in too, who come back to `redirect_uri` there.
    """

    fields: frozenset[str] = frozenset()
    preferred_name: str | None = None
    name: str = "sis-connect"
    publisher: str = "sis-connect"
    contact: str = "support@example.org"
    base_url: str | None = None
    redirect_uri: str = "/callback"
    version: str = "1"

    def __post_init__(self) -> None:
        offered = set(FIELDS) - {PREFERRED_NAME}
        if unknown := sorted(self.fields - offered):
            raise ConfigurationError(
                f"There is no field {unknown[0]!r} to be read on request.", remedy=f"Choose among: {', '.join(sorted(offered))}."
            )
        if self.preferred_name is not None and not _EXTENSION.fullmatch(self.preferred_name):
            raise ConfigurationError(
                "The preferred name must be TABLE.FIELD of an extension of students, such as u_students_extension.preferredname."
            )
        if not _VERSION.fullmatch(self.version):
            raise ConfigurationError("The version must be numbers of up to four digits, such as 2.1.")
        for what in ("name", "publisher", "contact", "version"):
            if not 0 < len(getattr(self, what)) <= LONGEST[what]:
                raise ConfigurationError(f"PowerSchool takes a {what} of one to {LONGEST[what]} characters.")

    def queries(self) -> Iterator[Query]:
        """The PowerQueries, with the columns that the chosen fields need and no others."""
        known = definitions()
        for area, query in known.items():
            if not isinstance(query, dict) or "core" not in query:
                continue
            rows = [
                *query["columns"],
                *(row for f in FIELDS if f in self.fields for row in query.get("on_request", {}).get(f, ())),
            ]
            if area == "students" and self.preferred_name:
                becomes = "students.preferred_given_name"
                rows.append([PREFERRED_NAME, self.preferred_name.upper(), becomes, "the first name that the student goes by"])
            yield Query(
                name=f"{known['prefix']}.{area}",
                core=query["core"],
                summary=query["summary"],
                arguments=query.get("arguments", ()),
                columns=tuple(self._column(*row) for row in rows),
                source=self._filled(query["source"]),
            )

    def grants(self) -> list[Grant]:
        """The fields that the queries need, each once, by table and field."""
        found: dict[str, list[Column]] = {}
        for query in self.queries():
            for field in query.fields:
                found.setdefault(field, []).extend(column for column in query.columns if column.source == field)
        return [self._grant(field, uses) for field, uses in sorted(found.items())]

    @property
    def doubts(self) -> list[str]:
        """What may keep PowerSchool from enabling the plugin."""
        return [
            "E-mail addresses of students stand in PSM_STUDENTCONTACT. A PowerSchool that excludes this table from queries, or "
            "lacks it, does not enable the plugin: then make the package without emails."
        ] * ("emails" in self.fields)

    def queries_xml(self) -> str:
        """The content of `named_queries.xml`."""
        return f"<queries>\n{''.join(query.xml() for query in self.queries())}</queries>\n"

    def plugin_xml(self) -> str:
        """The content of `plugin.xml`."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n<plugin xmlns="http://plugin.powerschool.pearson.com"'
            ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
            ' xsi:schemaLocation="http://plugin.powerschool.pearson.com plugin.xsd"\n'
            f"  name={quoteattr(self.name)} version={quoteattr(self.version)} description={quoteattr(_DESCRIPTION)}>\n"
            f"{self._oauth()}{self._access_request()}"
            f"  <publisher name={quoteattr(self.publisher)}>\n    <contact email={quoteattr(self.contact)}/>\n  </publisher>\n"
            "</plugin>\n"
        )

    def zip_bytes(self) -> bytes:
        """The package. Nothing in it depends on when and where it was made."""
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w") as archive:
            contents = {
                "plugin.xml": self.plugin_xml(),
                f"queries_root/{definitions()['prefix']}.named_queries.xml": self.queries_xml(),
            }
            for path, content in contents.items():
                entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
                entry.create_system, entry.external_attr = 3, 0o644 << 16
                archive.writestr(entry, content)
        return written.getvalue()

    def _grant(self, source: str, uses: Sequence[Column]) -> Grant:
        table, _, field = source.partition(".")
        becomes, why = (dict.fromkeys(each) for each in ((c.becomes for c in uses if c.becomes), (c.why for c in uses)))
        return Grant(table, field, tuple(becomes), tuple(why) or (JOINED,))

    def _code(self) -> int:
        return made_for(definitions()["layout"], self.fields | ({PREFERRED_NAME} if self.preferred_name else set()))

    def _column(self, name: str, source: str, becomes: str, why: str, expression: str | None = None) -> Column:
        return Column(name, source, becomes, why, self._filled((expression or source.lower()).strip()))

    def _filled(self, sql: str) -> str:
        table = (self.preferred_name or "").partition(".")[0].lower()
        join = f"left join {table} on {table}.studentsdcid = students.dcid\n" if table else ""
        course = definitions()["fragments"]["course"].strip()
        return sql.format(made_for=self._code(), preferred_name=join, course=course)

    def _access_request(self) -> str:
        lines = (f'    <field table="{grant.table}" field="{grant.field}" access="ViewOnly"/>\n' for grant in self.grants())
        return f"  <access_request>\n{''.join(lines)}  </access_request>\n"

    def _oauth(self) -> str:
        if self.base_url is None:
            return '  <oauth accessLevelV1Api="READ"/>\n'
        return (
            f"  <oauth base-url={quoteattr(self.base_url)} redirect-uri={quoteattr(self.redirect_uri)}"
            ' allow-client-credential="true" allow-auth-code="true" accessLevelV1Api="READ">\n'
            "    <allow-persona>staff</allow-persona>\n  </oauth>\n"
        )


@cache
def definitions() -> Mapping[str, Any]:
    """What the queries are made of: `queries.toml`."""
    return tomllib.loads(files("sis_connect_powerschool").joinpath("queries.toml").read_text(encoding="utf-8"))


def version_at(moment: datetime) -> str:
    """A version that rises: the minute in UTC, in numbers of four digits.

    PowerSchool takes no package whose version is not higher than that of the plugin that is installed.
    """
    return f"{moment.astimezone(UTC):%Y.%m%d.%H%M}"


def explained(package: Package) -> str:
    """The grants for somebody who answers for the district's data."""
    asked = ", ".join(field for field in FIELDS if field in package.fields) or "none"
    lines = [
        f"The plugin reads and never writes. Fields on request: {asked}.",
        "- /ws/v1, level READ: schools, and single schools and students. The level cannot be narrowed down to fields;",
        "  sis-connect asks for no more there than for what stands below.",
    ]
    for grant in package.grants():
        becomes = f" Becomes {', '.join(grant.becomes)}." if grant.becomes else "" if grant.why == (JOINED,) else " Not kept."
        lines.append(f"- {grant.table}.{grant.field}: {'; '.join(grant.why)}.{becomes}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None, *, clock: Clock | None = None) -> int:
    """`sis-connect-powerschool`: write the package, or say what it may read."""
    parser = argparse.ArgumentParser(prog="sis-connect-powerschool", description=__doc__.split("\n\n")[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("package", help="write the package that an administrator installs")
    grants = commands.add_parser("grants", help="say in plain words which fields the package may read, and why")
    for command in (write, grants):
        command.add_argument("--fields", default="", help="fields to read on request, such as birth_date,gender")
        command.add_argument("--preferred-name", metavar="TABLE.FIELD", help="where the district keeps preferred first names")
    write.add_argument("--output", required=True, type=Path, metavar="FILE.zip")
    write.add_argument(
        "--package-version",
        dest="version",
        default=version_at((clock or SystemClock()).now()),
        help="higher than the one installed",
    )
    write.add_argument("--name", default=Package.name, help="the plugin's name in PowerSchool, at most 40 characters")
    write.add_argument("--publisher", default=Package.publisher, help="who answers for the plugin")
    write.add_argument("--contact", default=Package.contact, help="and their e-mail address")
    write.add_argument("--base-url", help="where people come back to who sign in, such as http://127.0.0.1:8914")
    write.add_argument("--redirect-uri", default=Package.redirect_uri, help="the path there")
    grants.add_argument("--json", action="store_true", help="as one JSON document")
    given = vars(parser.parse_args(arguments))
    fields = frozenset(name.strip().removeprefix("students.") for name in given.pop("fields").split(",") if name.strip())
    command, output, as_json = given.pop("command"), given.pop("output", None), given.pop("json", False)
    try:
        package = Package(fields=fields, **given)
        if command == "package":
            output.write_bytes(package.zip_bytes())
    except (ConfigurationError, OSError) as error:
        parser.error(str(error))
    for doubt in package.doubts:
        sys.stderr.write(f"{doubt}\n")
    if as_json:
        listed = [grant._asdict() | {"access": "ViewOnly"} for grant in package.grants()]
        sys.stdout.write(json.dumps({"fields": sorted(fields), "v1": "READ", "grants": listed}, indent=2) + "\n")
    elif command == "grants":
        sys.stdout.write(explained(package) + "\n")
    else:
        sys.stdout.write(f"{output}: plugin {package.name!r}, version {package.version}, {len(package.grants())} fields.\n")
    return 0
