"""The package for PowerSchool's administrator: grants and queries for exactly the fields that are asked for."""

from __future__ import annotations

import json
import re
import zipfile
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from sis_connect.clock import SystemClock
from sis_connect.errors import ConfigurationError
from sis_connect_powerschool import bulk, sandbox_query_rows
from sis_connect_powerschool.bulk_mapping import FIELDS, PREFERRED_NAME, made_for
from sis_connect_powerschool.package import LONGEST, Package, definitions, main, version_at


class FixedClock(SystemClock):
    def now(self) -> datetime:
        return datetime(2026, 11, 23, 5, 21, tzinfo=UTC)


ON_REQUEST = frozenset(FIELDS) - {PREFERRED_NAME}
PREFERRED = "u_students_extension.preferredname"
NAMESPACE = "{http://plugin.powerschool.pearson.com}"
EVERYTHING = Package(ON_REQUEST, PREFERRED)


def unzipped(package: Package) -> dict[str, str]:
    with zipfile.ZipFile(BytesIO(package.zip_bytes())) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def parsed(xml: str) -> ElementTree.Element:
    return ElementTree.fromstring(xml)  # noqa: S314 - our own


def granted(package: Package) -> set[str]:
    root = parsed(package.plugin_xml())
    return {f"{field.get('table')}.{field.get('field')}" for field in root.iter(f"{NAMESPACE}field")}


def named_in_the_sql(package: Package) -> set[str]:
    sql = " ".join(str(query.findtext("sql")) for query in parsed(package.queries_xml()))
    return {f"{table}.{field}".upper() for table, field in re.findall(r"([A-Za-z_]\w*)\s*\.\s*(\w+)", sql)}


def test_the_zip_holds_the_plugin_and_its_queries() -> None:
    content = unzipped(Package())
    assert list(content) == ["plugin.xml", "queries_root/org.sisconnect.sis_connect.roster.named_queries.xml"]
    assert content["plugin.xml"] == Package().plugin_xml()


def test_the_same_choice_gives_the_same_bytes() -> None:
    assert Package(frozenset(["gender", "emails"])).zip_bytes() == Package(frozenset(["emails", "gender"])).zip_bytes()


def test_the_plugin_asks_for_reading_and_for_what_powerschool_demands() -> None:
    root = parsed(Package(publisher='A "B" & C', contact="office@example.org").plugin_xml())
    assert [child.tag.removeprefix(NAMESPACE) for child in root] == ["oauth", "access_request", "publisher"]
    assert root[0].attrib == {"accessLevelV1Api": "READ"}
    assert {field.get("access") for field in root[1]} == {"ViewOnly"}
    assert (root[2].get("name"), root[2][0].get("email")) == ('A "B" & C', "office@example.org")
    for name in ("name", "version", "description"):
        assert 0 < len(str(root.get(name))) <= LONGEST[name]


def test_people_who_sign_in_come_back_to_the_address_that_is_named() -> None:
    oauth = parsed(Package(base_url="http://127.0.0.1:8914").plugin_xml())[0]
    assert (oauth.get("base-url"), oauth.get("redirect-uri")) == ("http://127.0.0.1:8914", "/callback")
    assert (oauth.get("allow-auth-code"), oauth.get("allow-client-credential")) == ("true", "true")
    assert [persona.text for persona in oauth] == ["staff"]


@pytest.mark.parametrize("fields", [frozenset(), frozenset(["birth_date"]), ON_REQUEST], ids=["none", "one", "all"])
def test_what_the_sql_names_is_granted_and_nothing_else(fields: frozenset[str]) -> None:
    for package in (Package(fields), Package(fields, PREFERRED)):
        assert granted(package) == named_in_the_sql(package)


def test_fields_that_are_only_joined_on_or_filtered_by_are_granted_too() -> None:
    joined = {f"{grant.table}.{grant.field}" for grant in Package().grants() if grant.why == ("used to join, not kept",)}
    assert joined == {
        "CC.STUDENTID", "CC.TERMID", "COURSES.SCHOOLID", "REENROLLMENTS.SCHOOLID", "REENROLLMENTS.STUDENTID",
        "SCHOOLS.SCHOOL_NUMBER", "SCHOOLSTAFF.ID", "SCHOOLSTAFF.SCHOOLID", "SCHOOLSTAFF.USERS_DCID", "SECTIONS.COURSE_NUMBER",
        "SECTIONS.ID", "SECTIONS.SCHOOLID", "SECTIONS.TEACHER", "SECTIONS.TERMID", "STUDENTS.ID", "TERMS.SCHOOLID",
    }  # fmt: skip


def test_queries_whose_changes_are_read_join_outwardly_and_filter_by_their_own_table() -> None:
    queries = {query.name: query for query in Package().queries()}
    for endpoint in bulk.ENDPOINTS:
        query = queries[endpoint.path.rpartition("/")[2]]
        if endpoint.delta:
            assert not re.search(r"(?<!left )join", query.source), query.name
            condition = query.source.partition("where")[2].partition("order by")[0]
            assert {table.upper() for table in re.findall(r"(\w+)\.", condition)} <= {query.core}, query.name


@pytest.mark.parametrize(
    ("field", "columns"),
    [
        ("birth_date", {"STUDENTS.DOB"}),
        ("gender", {"STUDENTS.GENDER"}),
        (
            "emails",
            {
                *(f"PSM_STUDENTCONTACT.{name}" for name in ("EMAIL", "STUDENTID", "STUDENTCONTACTTYPEID")),
                *(f"PSM_STUDENTCONTACTTYPE.{name}" for name in ("ID", "NAME")),
                *(f"SYNC_STUDENTMAP.{name}" for name in ("STUDENTID", "STUDENTSDCID")),
            },
        ),
        ("phones", {"STUDENTS.HOME_PHONE"}),
        ("demographics", {"STUDENTS.FEDETHNICITY", "STUDENTRACE.RACECD", "STUDENTRACE.STUDENTID"}),
    ],
)
def test_p7_a_field_brings_its_own_grants_and_no_others(field: str, columns: set[str]) -> None:
    assert granted(Package(frozenset([field]))) - granted(Package()) == columns
    assert granted(EVERYTHING) - granted(Package(ON_REQUEST - {field}, PREFERRED)) == columns


def test_a_preferred_name_is_read_from_where_the_district_keeps_it() -> None:
    package = Package(preferred_name=PREFERRED)
    assert granted(package) - granted(Package()) == {
        "U_STUDENTS_EXTENSION.PREFERREDNAME",
        "U_STUDENTS_EXTENSION.STUDENTSDCID",
    }
    assert "left join u_students_extension on u_students_extension.studentsdcid = students.dcid" in package.queries_xml()


def test_the_version_rises_from_minute_to_minute_whatever_the_content_in_numbers_that_stay_small() -> None:
    moments = [
        datetime(2026, 1, 5, 9, 7, tzinfo=UTC),
        datetime(2026, 1, 5, 10, 0, tzinfo=UTC),
        datetime(2026, 11, 23, tzinfo=UTC),
    ]
    versions = [version_at(moment) for moment in moments]
    assert versions == ["2026.0105.0907", "2026.0105.1000", "2026.1123.0000"]
    assert [[int(part) for part in version.split(".")] for version in versions] == [
        [2026, 105, 907],
        [2026, 105, 1000],
        [2026, 1123, 0],
    ]
    assert version_at(moments[0].astimezone(timezone(timedelta(hours=-7)))) == versions[0]
    assert parsed(Package(version=versions[0]).plugin_xml()).get("version") == versions[0]


def test_names_of_queries_have_the_five_parts_that_powerschool_asks_for() -> None:
    for query in Package().queries():
        assert re.fullmatch(r"([a-z_]+\.){4}[a-z_]+", query.name), query.name


def test_arguments_have_no_column_whose_type_they_would_take() -> None:
    arguments = list(parsed(EVERYTHING.queries_xml()).iter("arg"))
    assert {tuple(argument.attrib) for argument in arguments} == {("name", "type", "required")}


@pytest.mark.parametrize(
    "chosen",
    [
        {"fields": frozenset(["ssn"])},
        {"preferred_name": "u_x; drop table y.z"},
        {"preferred_name": "nickname"},
        {"preferred_name": "students.ssn"},
        {"preferred_name": "SchoolStaff.first_name"},
        {"preferred_name": f"u_{'x' * 29}.nickname"},
        {"name": "x" * 41},
        {"publisher": "x" * 101},
        {"contact": f"{'x' * 29}@example.org"},
        {"contact": ""},
        {"version": "1.20261123"},
        {"version": "latest"},
    ],
    ids=str,
)
def test_what_powerschool_would_not_take_is_refused(chosen: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        Package(**chosen)  # type: ignore[arg-type]


def test_the_sql_selects_what_the_columns_announce() -> None:
    for query in parsed(EVERYTHING.queries_xml()):
        names = [column.text for column in query.iter("column")]
        sql = str(query.findtext("sql"))
        assert re.findall(r" as (\w+),?\n", sql) == names, query.get("name")
        arguments = {argument.get("name") for argument in query.iter("arg")}
        assert set(re.findall(r":(\w+)", sql)) == arguments
        assert sql.count("(") == sql.count(")")
        assert "order by" in sql, "pages need an order"
        assert not re.search(r"[{};]", sql)
        assert query.get("flattened") == "true"


def test_sandbox_provider_and_package_speak_of_the_same_queries_and_columns() -> None:
    queries = {str(query.get("name")): query for query in parsed(EVERYTHING.queries_xml())}
    assert {f"/ws/schema/query/{name}" for name in queries} == {endpoint.path for endpoint in bulk.ENDPOINTS}
    for endpoint in bulk.ENDPOINTS:
        area = endpoint.path.rpartition(".")[2]
        columns = {
            str(column.text): str(column.get("column")) for column in queries[endpoint.path.rpartition("/")[2]].iter("column")
        }
        extra = {name: field for more in sandbox_query_rows.COLUMNS_ON_REQUEST.values() for name, field in more.items()}
        sandbox = {**sandbox_query_rows.QUERIES[area].columns, **(extra if area == "students" else {})}
        assert {name: field.lower() for name, field in columns.items()} == sandbox
        assert columns.keys() <= {field.encode_name for field in msgspec.structs.fields(endpoint.row)}
        arguments = {argument.get("name") for argument in queries[endpoint.path.rpartition("/")[2]].iter("arg")}
        assert arguments == sandbox_query_rows.QUERIES[area].arguments
        joins = [*sandbox_query_rows.QUERIES[area].joins]
        joins += [name for more in sandbox_query_rows.JOINS_ON_REQUEST.values() for name in more] if area == "students" else []
        fields = next(query.fields for query in EVERYTHING.queries() if query.name.endswith(f".{area}"))
        assert {name.lower() for name in fields} == {*sandbox.values(), *joins}
    assert sandbox_query_rows.ON_REQUEST == FIELDS


def test_what_a_package_was_made_for_stands_in_its_students_query() -> None:
    assert f"  {made_for(definitions()['layout'], ['gender'])} as made_for" in Package(frozenset(["gender"])).queries_xml()


def test_the_command_writes_the_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "package.zip"
    clock = FixedClock()
    assert main(["package", "--fields", "birth_date,gender", "--output", str(target)], clock=clock) == 0
    assert target.read_bytes() == Package(frozenset(["birth_date", "gender"]), version=version_at(clock.now())).zip_bytes()
    told = capsys.readouterr()
    assert (version_at(clock.now()) in told.out, told.err) == (True, "")
    main(["package", "--package-version", "7.2", "--output", str(target)])
    assert target.read_bytes() == Package(version="7.2").zip_bytes()


def test_the_command_warns_of_tables_that_may_keep_the_plugin_from_being_enabled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["package", "--fields", "emails", "--output", str(tmp_path / "package.zip")])
    assert "make the package without emails" in capsys.readouterr().err


def test_the_command_explains_the_grants(capsys: pytest.CaptureFixture[str]) -> None:
    main(["grants", "--fields", "birth_date"])
    told = capsys.readouterr().out
    assert "STUDENTS.DOB: date of birth. Becomes students.birth_date." in told
    assert "SCHOOLS.SCHOOL_NUMBER: used to join, not kept.\n" in told
    assert all(f"- {grant.table}.{grant.field}: " in told for grant in Package(frozenset(["birth_date"])).grants())
    main(["grants", "--fields", "birth_date", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert (document["fields"], document["v1"]) == (["birth_date"], "READ")
    assert {
        "table": "STUDENTS",
        "field": "DOB",
        "becomes": ["students.birth_date"],
        "why": ["date of birth"],
        "access": "ViewOnly",
    } in (document["grants"])


@pytest.mark.parametrize(
    "arguments", [["package"], ["grants", "--fields", "ssn"], ["package", "--output", "/nowhere/at/all.zip"]]
)
def test_the_command_says_what_is_wrong(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
