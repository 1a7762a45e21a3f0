"""The sandbox by raw HTTP: what objects look like in both versions, and what is below what (rows 14 to 18, 26 to 32)."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from raw_oneroster import BASES, V11, V12, ids, minor, read, whole
from sis_connect.testing.sandbox import RunningSandbox

KEYS = {
    "academicSessions": ("academicSessions", "academicSession"),
    "terms": ("academicSessions", "academicSession"),
    "gradingPeriods": ("academicSessions", "academicSession"),
    "orgs": ("orgs", "org"),
    "schools": ("orgs", "org"),
    "courses": ("courses", "course"),
    "classes": ("classes", "class"),
    "enrollments": ("enrollments", "enrollment"),
    "users": ("users", "user"),
    "students": ("users", "user"),
    "teachers": ("users", "user"),
    "demographics": ("demographics", "demographics"),
}
VERSIONS = ["1.1", "1.2"]
ROLES_11 = {"administrator", "aide", "guardian", "parent", "proctor", "relative", "student", "teacher"}


def references(value: Any) -> list[dict[str, str]]:
    """All references in an answer, however deep."""
    if isinstance(value, list):
        return [found for item in value for found in references(item)]
    if not isinstance(value, dict):
        return []
    here = [value] if "href" in value else []
    return here + [found for member in value.values() for found in references(member)]


def student(sandbox: RunningSandbox, case: str) -> str:
    """The number of a student who is a hard case."""
    return sandbox.district.students[int(sandbox.district.hard_cases[case][0].removeprefix("student-"))].number


def user(client: httpx.Client, base: str, number: str) -> dict[str, Any]:
    (row,) = whole(client, f"{base}/students", filter=f"identifier='{number}'")
    return row


# Wrappers and common members


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("version", VERSIONS)
def test_rows_14_and_15_the_key_is_of_the_class_and_a_single_object_is_one(client: httpx.Client, version: str, name: str) -> None:
    plural, single = KEYS[name]
    listed = client.get(f"{BASES[version]}/{name}").json()
    assert list(listed) == [plural]
    first = listed[plural][0]
    alone = client.get(f"{BASES[version]}/{name}/{first['sourcedId']}").json()
    assert alone == {single: first}


@pytest.mark.parametrize("version", VERSIONS)
def test_row_25_every_object_says_when_it_changed(client: httpx.Client, sandbox: RunningSandbox, version: str) -> None:
    sandbox.set_day(3)
    for name in KEYS:
        for row in whole(client, f"{BASES[version]}/{name}"):
            assert row["status"] in ("active", "tobedeleted")
            assert re.fullmatch(r"2026-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["dateLastModified"])
            assert row["dateLastModified"] < "2026-10-08T22:00:00.000Z"
    answer = client.get(f"{BASES[version]}/orgs")
    assert answer.headers["date"] == "Thu, 08 Oct 2026 22:00:00 GMT"
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("version", VERSIONS)
def test_row_18_references_are_complete_and_lead_somewhere(client: httpx.Client, version: str) -> None:
    origin, seen = str(client.base_url).rstrip("/"), {}
    for name in ("orgs", "academicSessions", "courses", "classes", "enrollments", "users"):
        for reference in references(whole(client, f"{BASES[version]}/{name}")):
            assert reference.keys() == {"href", "sourcedId", "type"}
            assert reference["type"] in ("academicSession", "class", "course", "org", "user")
            assert reference["href"].startswith(f"{origin}{BASES[version]}/")
            seen[reference["href"]] = reference["sourcedId"]
    for href, sourced_id in list(seen.items())[::7]:
        assert read(client, urlsplit(href).path)["sourcedId"] == sourced_id


@pytest.mark.parametrize("version", VERSIONS)
def test_row_16_truth_values_are_words(client: httpx.Client, version: str) -> None:
    base = BASES[version]
    assert {row["enabledUser"] for row in whole(client, f"{base}/users")} == {"true", "false"}
    assert {row.get("primary") for row in whole(client, f"{base}/enrollments")} == {None, "true"}
    assert {row["white"] for row in whole(client, f"{base}/demographics")} == {"true", "false"}


# Objects


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_are_of_four_types_and_have_their_place(client: httpx.Client, version: str) -> None:
    sessions = {row["sourcedId"]: row for row in whole(client, f"{BASES[version]}/academicSessions")}
    assert {row["type"] for row in sessions.values()} == {"schoolYear", "semester", "term", "gradingPeriod"}
    for row in sessions.values():
        assert (row["schoolYear"], row["startDate"] < row["endDate"]) == ("2027", True)
        if row["type"] == "schoolYear":
            assert "parent" not in row
            continue
        parent = sessions[row["parent"]["sourcedId"]]
        assert row["sourcedId"] in [child["sourcedId"] for child in parent["children"]]
        assert parent["startDate"] <= row["startDate"] < row["endDate"] <= parent["endDate"]
        assert parent["type"] == ("semester" if row["type"] == "gradingPeriod" else "schoolYear")
    assert {row["type"] for row in whole(client, f"{BASES[version]}/terms")} == {"term", "semester"}
    assert {row["type"] for row in whole(client, f"{BASES[version]}/gradingPeriods")} == {"gradingPeriod"}


def test_semesters_are_listed_as_terms_or_apart(client: httpx.Client, sandbox: RunningSandbox) -> None:
    terms = whole(client, f"{V12}/terms")
    assert {row["type"] for row in terms} == {"term", "semester"}
    semester = next(row["sourcedId"] for row in terms if row["type"] == "semester" and "children" in row)
    periods = whole(client, f"{V12}/terms/{semester}/gradingPeriods")
    assert {row["parent"]["sourcedId"] for row in periods} == {semester}
    schools = ids(whole(client, f"{V12}/schools"))
    assert len([school for school in schools if whole(client, f"{V12}/schools/{school}/terms")]) == len(schools) - 2
    sandbox.set(semesters="apart")
    assert {row["type"] for row in whole(client, f"{V12}/terms")} == {"term"}
    assert client.get(f"{V12}/terms/{semester}/gradingPeriods").status_code == 404


@pytest.mark.parametrize("version", VERSIONS)
def test_schools_belong_to_the_district(client: httpx.Client, version: str) -> None:
    orgs = whole(client, f"{BASES[version]}/orgs")
    (district,) = [row for row in orgs if row["type"] == "district"]
    schools = whole(client, f"{BASES[version]}/schools")
    assert [child["sourcedId"] for child in district["children"]] == ids(schools)
    assert {row["parent"]["sourcedId"] for row in schools} == {district["sourcedId"]}
    assert all(row["identifier"] and row["name"] for row in orgs)


@pytest.mark.parametrize("version", VERSIONS)
def test_classes_name_their_course_school_terms_and_periods(client: httpx.Client, version: str) -> None:
    courses = {row["sourcedId"]: row for row in whole(client, f"{BASES[version]}/courses")}
    classes = whole(client, f"{BASES[version]}/classes")
    for row in classes:
        course = courses[row["course"]["sourcedId"]]
        assert row["title"].startswith(course["title"])
        assert row.get("subjects") == course.get("subjects")
        assert len(row.get("subjects", ())) == len(row.get("subjectCodes", ()))
        assert row["terms"]
        assert row["grades"][0] in course["grades"]
        assert isinstance(row["periods"], list)
    assert {row["classType"] for row in classes} == {"scheduled", "homeroom"}
    assert {course["courseCode"] for course in courses.values()} >= {"0100", "60010"} or len(courses) > 100


@pytest.mark.parametrize("version", VERSIONS)
def test_row_31_enrollments_lie_within_the_session_and_classes_have_one_primary_teacher(
    client: httpx.Client, version: str
) -> None:
    base = BASES[version]
    sessions = {row["sourcedId"]: row for row in whole(client, f"{base}/academicSessions")}
    classes = {row["sourcedId"]: row for row in whole(client, f"{base}/classes")}
    people = set(ids(whole(client, f"{base}/users")))
    teachers: defaultdict[str, list[str]] = defaultdict(list)
    for row in whole(client, f"{base}/enrollments"):
        taught = classes[row["class"]["sourcedId"]]
        session = sessions[taught["terms"][0]["sourcedId"]]
        assert session["startDate"] <= row["beginDate"] < row["endDate"] <= session["endDate"]
        assert row["school"]["sourcedId"] == taught["school"]["sourcedId"]
        assert row["user"]["sourcedId"] in people, "no reference dangles"
        if row["role"] == "teacher" and row["status"] == "active":
            teachers[row["class"]["sourcedId"]].append(row["primary"])
    assert set(teachers) == set(classes)
    assert all(primary == ["true"] for primary in teachers.values())


def test_row_30_in_1_2_people_have_roles_of_which_one_is_primary_at_each_org(
    client: httpx.Client, sandbox: RunningSandbox
) -> None:
    people = whole(client, f"{V12}/users")
    for row in people:
        primary = Counter(role["org"]["sourcedId"] for role in row["roles"] if role["roleType"] == "primary")
        assert set(primary.values()) == {1}
        assert {role["org"]["sourcedId"] for role in row["roles"]} == set(primary)
        assert row["primaryOrg"]["sourcedId"] == row["roles"][0]["org"]["sourcedId"]
        assert not {"role", "orgs"} & set(row)
    assert any(len({role["role"] for role in row["roles"]}) > 1 for row in people), "a teacher who is a guardian"
    two = user(client, V12, student(sandbox, "two_schools"))
    assert [role["role"] for role in two["roles"]] == ["student", "student"]
    assert user(client, V12, student(sandbox, "preferred_name"))["preferredFirstName"] == "Sam"


def test_row_32_in_1_1_each_role_is_a_record_of_its_own(client: httpx.Client, sandbox: RunningSandbox) -> None:
    people = whole(client, f"{V11}/users")
    assert {row["role"] for row in people} == ROLES_11 - {"proctor"}
    for row in people:
        assert row["orgs"]
        assert row["username"]
        assert not {"roles", "primaryOrg", "preferredFirstName"} & set(row)
    assert len(people) == len(whole(client, f"{V12}/users")) + 1
    (twice,) = [
        name
        for name, count in Counter(
            (r["givenName"], r["familyName"], r.get("email")) for r in people if r["role"] in ("teacher", "guardian")
        ).items()
        if count > 1
    ]
    roles = {row["role"]: row["sourcedId"] for row in people if (row["givenName"], row["familyName"], row.get("email")) == twice}
    assert len(set(roles.values())) == 2
    assert len(user(client, V11, student(sandbox, "two_schools"))["orgs"]) == 2


@pytest.mark.parametrize("version", VERSIONS)
def test_students_and_guardians_know_each_other(client: httpx.Client, version: str) -> None:
    people = {row["sourcedId"]: row for row in whole(client, f"{BASES[version]}/users")}
    students = set(ids(whole(client, f"{BASES[version]}/students")))
    links = {(one, agent["sourcedId"]) for one, row in people.items() for agent in row.get("agents", ())}
    assert len(links) > 300
    assert links == {(other, one) for one, other in links}
    assert all((one in students) != (other in students) for one, other in links)
    assert not [row for row in people.values() if row.get("role") == "teacher" and "agents" in row]


@pytest.mark.parametrize("version", VERSIONS)
def test_demographics_have_the_students_id(client: httpx.Client, version: str) -> None:
    base = BASES[version]
    facts = whole(client, f"{base}/demographics")
    assert ids(facts) == ids(whole(client, f"{base}/students"))
    for row in facts:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", row["birthDate"])
        assert row["sex"] in ("male", "female")
        races = [
            name for name in ("americanIndianOrAlaskaNative", "asian", "blackOrAfricanAmerican", "white") if row[name] == "true"
        ]
        assert (row["demographicRaceTwoOrMoreRaces"] == "true") >= (len(races) > 1)


# Below other objects


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_below_a_school_is_the_schools(client: httpx.Client, version: str) -> None:
    base = BASES[version]
    total: Counter[str] = Counter()
    for school in ids(whole(client, f"{base}/schools")):
        below = {
            name: whole(client, f"{base}/schools/{school}/{name}")
            for name in ("classes", "enrollments", "students", "teachers", "terms", "courses")
        }
        total.update({name: len(rows) for name, rows in below.items()})
        for name in ("classes", "enrollments"):
            assert {row["school"]["sourcedId"] for row in below[name]} <= {school}
        for name in ("students", "teachers"):
            assert all(school in str(row.get("orgs", row.get("roles"))) for row in below[name])
        assert {row["course"]["sourcedId"] for row in below["classes"]} == set(ids(below["courses"]))
        for sourced_id in ids(below["classes"])[:2]:
            inside = f"{base}/schools/{school}/classes/{sourced_id}"
            rows = whole(client, f"{inside}/enrollments")
            assert {row["class"]["sourcedId"] for row in rows} == {sourced_id}
            users = {row["user"]["sourcedId"] for row in rows if row["status"] == "active"}
            pupils, teachers = (set(ids(whole(client, f"{inside}/{name}"))) for name in ("students", "teachers"))
            assert pupils | teachers == users
            assert set(ids(whole(client, f"{base}/classes/{sourced_id}/students"))) == pupils
            assert set(ids(whole(client, f"{base}/classes/{sourced_id}/teachers"))) == teachers
    for name in ("classes", "enrollments"):
        assert total[name] == len(whole(client, f"{base}/{name}"))
    assert total["students"] == len(whole(client, f"{base}/students")) + 1, "one is at two schools"


@pytest.mark.parametrize("version", VERSIONS)
def test_classes_are_found_from_courses_terms_and_people(client: httpx.Client, version: str) -> None:
    base = BASES[version]
    classes = whole(client, f"{base}/classes")
    course = classes[0]["course"]["sourcedId"]
    assert ids(whole(client, f"{base}/courses/{course}/classes")) == [
        r["sourcedId"] for r in classes if r["course"]["sourcedId"] == course
    ]
    term = ids(whole(client, f"{base}/terms"))[0]
    assert {term} <= {each["sourcedId"] for each in whole(client, f"{base}/terms/{term}/classes")[0]["terms"]}
    for name in ("students", "teachers"):
        person = next(row["sourcedId"] for row in whole(client, f"{base}/{name}") if row["status"] == "active")
        enrollments = whole(client, f"{base}/enrollments", filter="status='active'")
        mine = [row["class"]["sourcedId"] for row in enrollments if row["user"]["sourcedId"] == person]
        assert set(ids(whole(client, f"{base}/{name}/{person}/classes"))) == set(mine)
        assert set(ids(whole(client, f"{base}/users/{person}/classes"))) == set(mine)


@pytest.mark.parametrize("version", VERSIONS)
def test_row_27_what_is_not_known_is_not_found(client: httpx.Client, version: str) -> None:
    base = BASES[version]
    teacher, school = ids(whole(client, f"{base}/teachers"))[0], ids(whole(client, f"{base}/schools"))[0]
    other = next(row["sourcedId"] for row in whole(client, f"{base}/classes") if row["school"]["sourcedId"] != school)
    for path in (
        *(f"{name}/nobody" for name in KEYS),
        *(f"students/{teacher}", f"schools/{teacher}", "schools/o-district", "schools/nobody/classes", "classes/nobody/students"),
        *(f"students/{teacher}/classes", f"schools/{school}/classes/{other}/students"),
    ):
        answer = client.get(f"{base}/{path}")
        assert answer.status_code == 404, path
        assert "unknownobject" in answer.text or "unknown object" in answer.text


# Errors


def test_row_28_an_error_is_flat_in_1_2_and_a_list_in_1_1(client: httpx.Client) -> None:
    error = client.get(f"{V12}/students/nobody")
    assert error.json().keys() == {"imsx_codeMajor", "imsx_severity", "imsx_description", "imsx_CodeMinor"}
    assert (error.json()["imsx_codeMajor"], error.json()["imsx_severity"], minor(error)) == ("failure", "error", "unknownobject")
    (info,) = client.get(f"{V11}/students/nobody").json()["statusInfoSet"]
    assert (info["imsx_codeMajor"], info["imsx_severity"], info["imsx_codeMinor"]) == ("failure", "error", "unknown object")


@pytest.mark.parametrize("shape", ["list", "object", "flat", "html"])
def test_errors_of_1_1_have_been_seen_in_other_shapes(client: httpx.Client, sandbox: RunningSandbox, shape: str) -> None:
    sandbox.set(errors=shape)
    answer = client.get(f"{V11}/students?limit=0")
    assert answer.status_code == 400
    if shape == "html":
        assert answer.headers["content-type"].startswith("text/html")
        return
    body = answer.json()
    found = {
        "list": lambda: body["errors"][0]["codeMinor"],
        "object": lambda: body["statusInfoSet"]["imsx_codeMinor"],
        "flat": lambda: body["imsx_codeMinor"],
    }
    assert found[shape]() in ("invalid data", "invalid_data")


def test_row_33_too_many_requests_are_told_when_to_come_back(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("retry_after", "7", count=1)
    busy = client.get(f"{V12}/students")
    assert (busy.status_code, busy.headers["retry-after"], minor(busy)) == (429, "7", "server_busy")
    sandbox.fault("status", "500", count=1)
    assert minor(client.get(f"{V12}/students")) == "internal_server_error"
