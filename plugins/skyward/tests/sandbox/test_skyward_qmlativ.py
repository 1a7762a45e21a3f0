"""The Qmlativ sandbox over raw HTTP. The numbers are those of the checks in the notes on the API."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote_plus

import httpx
import pytest

from sis_connect.testing.sandbox import RunningSandbox

STUDENTS = "/Custom/1/Student/Student"


def objects(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["Objects"]
    return found


def search(client: httpx.Client, path: str, *conditions: dict[str, Any], fields: str = "") -> list[dict[str, Any]]:
    """Search with all of these conditions."""
    group = {"SearchConditionGroup": {"ConditionGroupType": "And", "Conditions": list(conditions)}}
    params: Any = [("searchFields", name) for name in fields.split()]
    return objects(client.post(f"{path}/1/500", params=params, json={"SearchCondition": group}))


def long(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"LongSearchCondition": {"FieldName": name, "ConditionType": kind, **more}}


def string(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"StringSearchCondition": {"FieldName": name, "ConditionType": kind, **more}}


def basic(sandbox: RunningSandbox) -> dict[str, str]:
    pair = f"{quote_plus(sandbox.client_id)}:{quote_plus(sandbox._app.sandbox.client_secret)}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def test_7_the_token_is_asked_for_in_a_query_or_a_form(qmlativ: RunningSandbox) -> None:
    sandbox: Any = qmlativ._app.sandbox
    was = sandbox.client_secret
    sandbox.secret_is("a+b:c/d e")
    asked = httpx.get(qmlativ.token_url, params={"grant_type": "client_credentials"}, headers=basic(qmlativ))
    form = {"grant_type": "client_credentials", "client_id": qmlativ.client_id, "client_secret": "a+b:c/d e"}
    sent = httpx.post(qmlativ.token_url, data=form, headers={"Suppress-Development-Permissions": "true"})
    refused = httpx.post(qmlativ.token_url, json=form)
    code = base64.b64encode(f"{qmlativ.client_id}:a+b:c/d e".encode()).decode()
    grant = {"grant_type": "client_credentials"}
    plain = httpx.get(qmlativ.token_url, params=grant, headers={"Authorization": f"Basic {code}"})
    unnamed = httpx.get(qmlativ.token_url, params={**grant, "client_id": qmlativ.client_id, "client_secret": "a+b:c/d e"})
    sandbox.secret_is(was)
    assert (asked.status_code, sent.status_code, refused.status_code) == (200, 200, 400)
    assert asked.json()["access_token"]
    assert (plain.status_code, unnamed.status_code) == (401, 401), "both parts are form-encoded before they are joined"


def test_sections_have_co_teachers_and_substitutes_and_some_defaults_are_the_census(qmlativ_client: httpx.Client) -> None:
    meets = objects(
        qmlativ_client.get(
            "/Custom/1/Scheduling/StaffMeet/1/500", params=[("searchFields", "IsPrimary"), ("searchFields", "IsSubstitute")]
        )
    )
    assert {(row["IsPrimary"], row["IsSubstitute"]) for row in meets} == {(True, False), (False, False), (False, True)}
    fields: Any = [("searchFields", "EntityID"), ("searchFields", "StudentID")]
    body = {"SearchCondition": long("IsDefaultEntity", "Equal", Value=1)}
    default = objects(qmlativ_client.post("/Custom/1/Enrollment/StudentEntityYear/1/500", params=fields, json=body))
    assert 3 in {row["EntityID"] for row in default}
    assert len({row["StudentID"] for row in default}) == len(default)
    addresses = objects(qmlativ_client.get("/Custom/1/Demographics/NameEmail/1/500", params={"searchFields": "Rank"}))
    assert {row["Rank"] for row in addresses} == {1, 2}


@pytest.mark.parametrize("status", ["403", "401"])
def test_8_a_token_that_has_ended_is_told_by_its_text(qmlativ: RunningSandbox, qmlativ_client: httpx.Client, status: str) -> None:
    qmlativ.set(expired=status)
    qmlativ.fault("token_expiry", count=1)
    answer = qmlativ_client.get(f"{STUDENTS}/1/5")
    assert (answer.status_code, "Token has expired" in answer.text) == (int(status), True)
    assert qmlativ_client.get(f"{STUDENTS}/1/5", headers={"Authorization": "Bearer of-another"}).status_code == 401


def test_9_the_next_page_is_relative_and_without_a_query(qmlativ: RunningSandbox, qmlativ_client: httpx.Client) -> None:
    first = qmlativ_client.get(f"{STUDENTS}/1/50", params={"searchFields": "StudentID"}).json()
    assert first["Paging"] == {"Next": "/Custom/1/Student/Student/2/50"}
    assert len(first["Objects"]) == 50
    assert qmlativ_client.get(f"{STUDENTS}/3/50").json()["Paging"] == {}
    assert qmlativ_client.get(f"{STUDENTS}/4/50").json()["Objects"] == []
    assert qmlativ_client.get(f"{STUDENTS}/0/50").status_code == 400
    for mode, following in (("empty", ""), ("repeat", "/Custom/1/Student/Student/3/50")):
        qmlativ.set(next_at_end=mode)
        assert qmlativ_client.get(f"{STUDENTS}/3/50").json()["Paging"] == {"Next": following}


def test_10_fields_are_asked_for_in_either_spelling(qmlativ: RunningSandbox, qmlativ_client: httpx.Client) -> None:
    fields: Any = [("searchFields[0]", "StudentID"), ("searchFields[1]", "Name.FirstName")]
    repeated: Any = [("searchFields", name) for _, name in fields]
    rows = objects(qmlativ_client.get(f"{STUDENTS}/1/5", params=fields))
    assert rows == objects(qmlativ_client.get(f"{STUDENTS}/1/5", params=repeated))
    assert set(rows[0]) == {"StudentID", "Name.FirstName"}
    assert qmlativ_client.get(f"{STUDENTS}/1/5", params={"searchFields": "Nothing"}).status_code == 400
    qmlativ.set(unapproved="Student.Grade, Family/StudentGuardian")
    assert qmlativ_client.get(f"{STUDENTS}/1/5", params={"searchFields": "Grade"}).status_code == 403
    assert qmlativ_client.get("/Custom/1/Family/StudentGuardian/1/5").status_code == 403
    qmlativ.set(relations="nested")
    assert set(objects(qmlativ_client.get(f"{STUDENTS}/1/5", params=fields))[0]) == {"StudentID", "Name"}


def test_11_put_creates_and_post_changes_or_searches(qmlativ: RunningSandbox, qmlativ_client: httpx.Client) -> None:
    path, asked = "/Custom/1/Demographics/NameEmail", {"searchFields[0]": "NameEmailID", "searchFields[1]": "EmailAddress"}
    new = {"NameID": 1, "Rank": 2, "EmailAddress": "new@example.org", "EmailTypeID": 1}
    created = qmlativ_client.put(path, params=asked, json={"DataObject": new})
    assert (created.status_code, created.json()["EmailAddress"]) == (201, "new@example.org")
    key = created.json()["NameEmailID"]
    changed = qmlativ_client.post(f"{path}/{key}", params=asked, json={"DataObject": {"EmailAddress": "other@example.org"}})
    assert changed.json() == {"NameEmailID": key, "EmailAddress": "other@example.org"}
    assert qmlativ_client.get(f"{path}/{key}", params=asked).json() == changed.json()
    assert qmlativ_client.put(path, json={"DataObject": {"NameID": 1}}).status_code == 400
    assert qmlativ_client.put(path, json=new).status_code == 400
    assert qmlativ_client.post(f"{path}/{key}", json={"DataObject": {"NameEmailID": 5}}).status_code == 403
    assert qmlativ_client.put(STUDENTS, json={"DataObject": {}}).status_code == 403
    assert qmlativ_client.delete(f"{path}/{key}").status_code == 403
    qmlativ.set(created="200")
    assert qmlativ_client.put(path, json={"DataObject": new}).status_code == 200


@pytest.mark.parametrize(
    ("condition", "grades"),
    [
        (string("Grade", "Equal", Value="09"), {"09"}),
        (string("Grade", "List", List=["09", "10"]), {"09", "10"}),
        (long("GradeNumeric", "GreaterEqual", Value=11), {"11", "12"}),
        (long("GradeNumeric", "BetweenInclusive", LowValue=1, HighValue=2), {"01", "02"}),
        (long("GradeNumeric", "NotBetwenInclusive", LowValue=0, HighValue=11), {"PK", "12"}),
        (string("Grade", "NotBegins", Value="0"), {"PK", "KG", "10", "11", "12"}),
    ],
)
def test_12_conditions_select(qmlativ_client: httpx.Client, condition: dict[str, Any], grades: set[str]) -> None:
    assert {row["Grade"] for row in search(qmlativ_client, STUDENTS, condition, fields="Grade")} == grades


def test_12_the_misspelt_name_is_the_right_one(qmlativ_client: httpx.Client) -> None:
    body = {"SearchCondition": long("GradeNumeric", "NotBetweenInclusive", LowValue=0, HighValue=11)}
    assert qmlativ_client.post(f"{STUDENTS}/1/5", json=body).status_code == 400
    loose = {"searchcondition": {"longsearchcondition": {"fieldname": "GradeNumeric", "Conditiontype": "equal", "value": 9}}}
    assert qmlativ_client.post(f"{STUDENTS}/1/5", json=loose).status_code == 200
    down = {"SearchSort": [{"FieldName": "StudentID", "Descending": True}]}
    keys = [row["StudentID"] for row in objects(qmlativ_client.post(f"{STUDENTS}/1/500", json=down))]
    assert keys == sorted(keys, reverse=True)


def test_13_each_tenant_has_one_of_the_two_interfaces(qmlativ: RunningSandbox, qmlativ_client: httpx.Client) -> None:
    assert qmlativ_client.get("/Generic/1/Student/Student/1/5").status_code == 404
    qmlativ.set(api="Generic")
    assert qmlativ_client.get("/Generic/1/Student/Student/1/5").status_code == 200
    assert qmlativ_client.get(f"{STUDENTS}/1/5").status_code == 404


def test_14_schools_and_sections_have_new_numbers_in_a_new_year_and_entities_keep_theirs(
    qmlativ: RunningSandbox, qmlativ_client: httpx.Client
) -> None:
    paths = {"school": "Enrollment/School", "section": "Scheduling/Section", "entity": "District/Entity"}

    def keys() -> dict[str, set[int]]:
        rows = {name: objects(qmlativ_client.get(f"/Custom/1/{path}/1/500")) for name, path in paths.items()}
        return {name: {next(iter(row.values())) for row in found} for name, found in rows.items()}

    before = keys()
    qmlativ.set_day(195)
    after = keys()
    assert not before["school"] & after["school"]
    assert not before["section"] & after["section"]
    assert before["entity"] == after["entity"]


def test_metadata_tells_the_current_year_unless_it_is_not_approved(qmlativ: RunningSandbox, qmlativ_client: httpx.Client) -> None:
    (district,) = qmlativ_client.get("/Custom/GetSystemMetadata").json()["System"]["Districts"]
    assert district["SchoolYearCurrent"] == {"SchoolYearID": 27, "NumericYear": 2027, "Description": "2026-2027"}
    qmlativ.set(numeric_year="start")
    (district,) = qmlativ_client.get("/Custom/GetSystemMetadata").json()["System"]["Districts"]
    assert district["SchoolYearCurrent"]["NumericYear"] == 2026
    qmlativ.set(metadata="off")
    assert qmlativ_client.get("/Custom/GetSystemMetadata").status_code == 403


def test_objects_tell_their_fields_and_modules_their_objects(qmlativ_client: httpx.Client) -> None:
    schema = qmlativ_client.get(STUDENTS).json()
    assert {"StudentID", "NameID", "Relationships", "ValidationRules"} <= set(schema)
    assert "Student" in qmlativ_client.get("/Custom/1/Student").json()
    assert qmlativ_client.get("/Custom/1/Nothing").status_code == 404
    assert qmlativ_client.get("/Custom/1/Student/Nothing/1/5").status_code == 404


def test_lists_are_of_the_entity_and_the_year_in_the_request(qmlativ: RunningSandbox, qmlativ_client: httpx.Client) -> None:
    entities = objects(qmlativ_client.get("/Custom/1/District/Entity/1/50", params={"searchFields": "EntityID"}))
    assert qmlativ_client.get("/Custom/999/Student/Student/1/5").status_code == 403
    (students,) = [row["EntityID"] for row in entities][3:4]
    here = objects(qmlativ_client.get(f"/Custom/{students}/Student/Student/1/500"))
    assert 0 < len(here) < len(objects(qmlativ_client.get(f"{STUDENTS}/1/500")))
    sections = "/Custom/1/Scheduling/Section/1/500"
    assert objects(qmlativ_client.get(sections)) == objects(qmlativ_client.get(sections, params={"SchoolYearID": "27"}))
    assert objects(qmlativ_client.get(sections, params={"SchoolYearID": "26"})) == []
    stays = "/Custom/1/Enrollment/EntryWithdrawal/1/500"
    everything = objects(qmlativ_client.get(stays))
    qmlativ.set(stays="year")
    assert len(objects(qmlativ_client.get(stays))) < len(everything)


def test_a_single_object_is_bare_and_an_unknown_one_is_not_there(qmlativ_client: httpx.Client) -> None:
    (some,) = objects(qmlativ_client.get(f"{STUDENTS}/1/1"))
    single = qmlativ_client.get(f"{STUDENTS}/{some['StudentID']}", params={"searchFields[0]": "Grade"})
    assert set(single.json()) == {"Grade"}
    assert qmlativ_client.get(f"{STUDENTS}/1").status_code == 404
