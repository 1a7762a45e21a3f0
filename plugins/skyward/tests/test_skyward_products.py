"""What the settings make of the provider, what errors mean, and what is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from sis_connect import connect
from sis_connect.discovery import discover, refined
from sis_connect.errors import AuthenticationError, AuthorizationError, ConfigurationError, ProviderError, UnexpectedResponse
from sis_connect.provider import ProviderInfo, Scope
from sis_connect.settings import validated
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox
from sis_connect_skyward.errors import NotApproved, read_qmlativ_error
from sis_connect_skyward.oneroster_provider import read_error_11
from sis_connect_skyward.sandbox_qmlativ import QmlativSandbox


def of(**settings: Any) -> ProviderInfo:
    """The provider for these settings."""
    given = {"provider": "skyward", "base_url": "https://skyward.example.org/API", **settings}
    return refined(discover().info("skyward"), validated(given, origin="a test"))


def test_each_product_offers_what_it_has() -> None:
    assert of(product="sms").capabilities.offered() == ("schools", "students", "sections", "enrollments", "guardians")
    assert len(of(product="qmlativ").capabilities.offered()) == 9
    assert of(product="qmlativ").capabilities.of("school_enrollments").stint_history
    assert not of(product="oneroster").capabilities.of("school_enrollments").offered


def test_each_product_has_its_own_way_to_a_token() -> None:
    sms, qmlativ = of(product="sms"), of(product="qmlativ")
    assert (sms.token_path, sms.auth_grants) == ("/token", ("password", "client_credentials"))
    assert sms.with_grant("password").client_authentication == "none"
    assert sms.with_grant("client_credentials").client_authentication == "body"
    assert (qmlativ.token_path, qmlativ.client_authentication) == ("/oauth/token", "body")
    assert qmlativ.token_headers == {"Suppress-Development-Permissions": "true"}
    assert of(product="qmlativ", token_method="GET").client_authentication == "basic_form_encoded"


def test_oneroster_asks_for_the_wider_scope_only_and_for_changes_where_somebody_says_so() -> None:
    info = of(product="oneroster", version="1.1", fields="birth_date")
    assert (info.scope or "").split() == [
        "https://purl.imsglobal.org/spec/or/v1p1/scope/roster.readonly",
        "https://purl.imsglobal.org/spec/or/v1p1/scope/roster-demographics.readonly",
    ]
    assert info.capabilities.of("students").delta == "none"
    assert of(product="oneroster", deltas="true").capabilities.of("students").delta == "updated_at"
    assert info.capabilities.of("students").leaving == "absence"


@pytest.mark.parametrize("product", ["", "sms2", "SMS"])
def test_a_product_that_is_none_is_refused_and_the_three_are_named(product: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sms .* qmlativ, or oneroster"):
        of(product=product)


def test_a_product_that_was_named_wrongly_is_named_back() -> None:
    config = validated({"provider": "skyward", "base_url": "https://sky.example.org", "product": "foo"}, origin="a test")
    with pytest.raises(ConfigurationError, match="'foo' is none of them"):
        refined(discover().info("skyward"), config)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (403, b'{"error":"Token has expired"}', AuthenticationError),
        (401, b"TOKEN HAS EXPIRED", AuthenticationError),
        (403, b'{"error":"not approved"}', NotApproved),
        (400, b"", NotApproved),
        (500, b"", type(None)),
    ],
)
def test_what_errors_of_qmlativ_mean(status: int, body: bytes, error: type[object]) -> None:
    assert type(read_qmlativ_error(status, {}, body)) is error


def test_p7_what_is_not_approved_is_named_and_what_the_server_says_is_not_repeated() -> None:
    error = NotApproved(b'{"error":"Ana Reyes may not see GradeNumeric of Student."}')
    error.about("Student/Student", ["Grade", "GradeNumeric", "Name.FirstName"])
    assert str(error).startswith("Qmlativ refuses Student.GradeNumeric to this integration. Have Student/Student approved")
    assert "without_fields=Student.GradeNumeric" in error.remedy
    assert "Ana" not in f"{error!r} {error} {error.args}"
    untold = NotApproved(b"no")
    untold.about("Student/Student", ["Grade"])
    assert "a field of Student/Student" in untold.message
    assert "sis-connect doctor" in untold.remedy


def test_oneroster_1_1_fails_where_it_does_not_accept_a_token() -> None:
    assert isinstance(read_error_11(500, {}, b""), AuthenticationError)
    assert read_error_11(503, {}, b"") is None
    assert of(product="oneroster", version="1.1").read_error != of(product="oneroster", version="1.2").read_error


def opened(sandbox: RunningSandbox, **more: Any) -> Any:
    given = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret, **sandbox.settings, **more}
    return connect("skyward", base_url=sandbox.base_url, token_url=sandbox.token_url, **given)


@pytest.mark.parametrize("grant", ["password", "client_credentials"])
async def test_sms_is_read_by_either_grant_and_where_lists_are_odd(grant: str) -> None:
    odd = {"product": "sms", "spelling": "ID", "nulls": "on", "end_dates": "exclusive", "guardians": "by_student"}
    with running_sandbox(discover().info("skyward"), students=60, settings={**odd, "grants": grant}) as sandbox:
        async with opened(sandbox, grant=grant, page_size=20) as sis:
            students = [student async for student in sis.students()]
            guardians = [guardian async for guardian in sis.guardians()]
        assert len(students) == len(sandbox.truth("students"))
        assert len(guardians) == len(sandbox.truth("guardians"))


@pytest.mark.parametrize("paging", ["cursor", "none"])
async def test_sms_is_read_whole_whichever_way_lists_come(paging: str) -> None:
    with running_sandbox(discover().info("skyward"), students=60, settings={"product": "sms", "paging": paging}) as sandbox:
        async with opened(sandbox, page_size=20) as sis:
            assert len([student async for student in sis.students()]) == len(sandbox.truth("students"))


@pytest.mark.parametrize(
    "odd",
    [
        {"next_at_end": "empty", "relations": "nested", "expired": "401"},
        {"next_at_end": "repeat", "numeric_year": "start", "api": "Generic"},
        {"metadata": "off", "end_dates": "exclusive", "stays": "year"},
    ],
)
async def test_qmlativ_is_read_whole_whatever_could_not_be_established(odd: dict[str, str]) -> None:
    with running_sandbox(discover().info("skyward"), students=60, settings={"product": "qmlativ", **odd}) as sandbox:
        async with opened(sandbox, page_size=20) as sis:
            for kind in ("schools", "terms", "staff", "students", "sections"):
                read = {record.sis_id async for record in getattr(sis, kind)()}
                assert read == {row["sis_id"] for row in sandbox.truth(kind)}, kind


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_qmlativ_gives_tokens_either_way_and_a_student_is_searched_for(method: str) -> None:
    with running_sandbox(discover().info("skyward"), students=60, settings={"product": "qmlativ"}) as sandbox:
        async with opened(sandbox, token_method=method, state_id_field="CalculatedStudentStateID", staff_emails="true") as sis:
            some = next(row for row in sandbox.truth("students") if row["status"] == "active")
            scope = Scope(students=frozenset({some["sis_id"]}))
            assert [student.sis_id async for student in sis.students(scope=scope)] == [some["sis_id"]]
            stays = {stay.sis_id async for stay in sis.school_enrollments(scope=scope)}
            assert stays == {row["sis_id"] for row in sandbox.truth("school_enrollments") if row["student"] == some["sis_id"]}
            assert any(["state_id" in student.ids async for student in sis.students()])
            assert any([person.email async for person in sis.staff()])


async def test_a_school_of_qmlativ_is_read_by_its_place_in_the_path() -> None:
    with running_sandbox(discover().info("skyward"), students=60, settings={"product": "qmlativ"}) as sandbox:
        async with opened(sandbox) as sis:
            school = next(row["school"] for row in sandbox.truth("sections"))
            scope = Scope(schools=frozenset({school}))
            sections = {section.sis_id async for section in sis.sections(scope=scope)}
        assert sections == {row["sis_id"] for row in sandbox.truth("sections") if row["school"] == school}


def test_the_number_of_a_year_needs_the_year() -> None:
    with pytest.raises(ConfigurationError, match="school_year is not"):
        of(product="qmlativ", school_year_id="26")
    assert of(product="qmlativ", school_year_id="26", school_year="2026").label == "Skyward Qmlativ"


@pytest.mark.parametrize(
    ("unapproved", "object_", "named"),
    [
        ("Student.GradeNumeric", "Student/Student", ["Student.GradeNumeric"]),
        (
            "Section.Course.Department.Description,Section.Code",
            "Scheduling/Section",
            ["Section.Code", "Section.Course.Department"],
        ),
        ("Entity.IsSystemWide", "District/Entity", ["Entity.IsSystemWide"]),
        ("Scheduling/StaffMeet", "Scheduling/StaffMeet", ["all of Scheduling/StaffMeet"]),
        ("StudentEntityYear.IsActive", "Enrollment/StudentEntityYear", ["StudentEntityYear.IsActive"]),
    ],
)
async def test_doctor_names_exactly_what_must_be_approved(unapproved: str, object_: str, named: list[str]) -> None:
    with running_sandbox(
        discover().info("skyward"), students=60, settings={"product": "qmlativ", "unapproved": unapproved}
    ) as sandbox:
        async with opened(sandbox) as sis:
            (found,) = [one for one in await sis.check() if one.topic == "approval"]
    assert all(word in found.message for word in named)
    assert object_ in found.remedy


async def test_a_field_that_is_not_approved_breaks_off_its_object_and_is_named_and_can_be_left_out() -> None:
    settings = {"product": "qmlativ", "unapproved": "Student.GradeNumeric"}
    with running_sandbox(discover().info("skyward"), students=60, settings=settings) as sandbox:
        with pytest.raises(AuthorizationError, match=r"Student\.GradeNumeric"):
            async with opened(sandbox) as sis:
                _ = [student async for student in sis.students()]
        async with opened(sandbox, without_fields="Student.GradeNumeric") as sis:
            assert len([student async for student in sis.students()]) == len(sandbox.truth("students"))
            assert not [one for one in await sis.check() if one.level == "error"]


@pytest.mark.parametrize("name", ["Student.Nothing", "Student.StudentID", "Section.Entity.Code", "Student.IsCurrentActive"])
async def test_what_cannot_be_left_out_is_refused(name: str) -> None:
    with running_sandbox(discover().info("skyward"), students=60, settings={"product": "qmlativ"}) as sandbox:
        sis = opened(sandbox, without_fields=name)
        with pytest.raises(ConfigurationError, match=f"without_fields names {name}"):
            await sis.__aenter__()


async def test_who_has_the_census_for_a_default_is_at_a_school_and_many_without_one_are_a_warning() -> None:
    with running_sandbox(discover().info("skyward"), students=60, settings={"product": "qmlativ"}) as sandbox:
        tables: Any = sandbox._app.sandbox._tables  # type: ignore[attr-defined]
        defaults = [row for row in tables.rows("Enrollment/StudentEntityYear").values() if row["IsDefaultEntity"]]
        assert any(row["EntityID"] == 3 for row in defaults), "some are in the census by default"
        async with opened(sandbox) as sis:
            schools = {student.sis_id: student.school async for student in sis.students()}
            assert schools == {row["sis_id"]: row.get("school") for row in sandbox.truth("students")}
            assert not [one for one in await sis.check() if one.topic == "schools of students"]
        every = ",".join(row["identifier"] for row in sandbox.truth("schools"))
        async with opened(sandbox, excluded_entities=f"800,{every}") as sis:
            (warned,) = [one for one in await sis.check() if one.topic == "schools of students"]
    assert (warned.level, "excluded_entities" in warned.remedy) == ("warning", True)


async def test_the_primary_address_of_the_staff_is_read_and_who_stands_in_is_no_teacher() -> None:
    with running_sandbox(discover().info("skyward"), students=60, settings={"product": "qmlativ"}) as sandbox:
        rows: Any = sandbox._app.sandbox._tables.rows  # type: ignore[attr-defined]
        assert {True, False} == {row["IsSubstitute"] for row in rows("Scheduling/StaffMeet").values()}
        async with opened(sandbox, staff_emails="true") as sis:
            emails = {person.email async for person in sis.staff()} - {None}
            teachers = {one.sis_id async for one in sis.enrollments() if one.role == "teacher"}
        listed = {row["EmailAddress"]: row["Rank"] for row in rows("Demographics/NameEmail").values()}
        assert {listed[address] for address in emails} == {1}
        assert teachers == {row["sis_id"] for row in sandbox.truth("enrollments") if row["role"] == "teacher"}


async def test_a_list_that_repeats_its_pages_ends_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_sandbox(discover().info("skyward"), students=60, settings={"product": "qmlativ"}) as sandbox:
        listed = QmlativSandbox._list

        def first(self: Any, request: Any, name: str, entity: int, place: tuple[int, int], *rest: Any) -> Any:
            return listed(self, request, name, entity, (1, place[1]) if "EntityYear" in name else place, *rest)

        monkeypatch.setattr(QmlativSandbox, "_list", first)
        with pytest.raises(UnexpectedResponse, match="same page twice"):
            async with opened(sandbox, page_size=20) as sis:
                _ = [student async for student in sis.students()]


@pytest.mark.parametrize("missing", ["NameID", "StudentID"])
async def test_a_row_without_the_number_that_it_is_known_by_is_an_error_that_says_so(missing: str) -> None:
    with running_sandbox(discover().info("skyward"), students=60, settings={"product": "qmlativ"}) as sandbox:
        table = "Student/Student" if missing == "NameID" else "Enrollment/StudentEntityYear"
        next(iter(sandbox._app.sandbox._tables.rows(table).values()))[missing] = None  # type: ignore[attr-defined]
        with pytest.raises(UnexpectedResponse, match=f"A row of {table} has no {missing}"):
            async with opened(sandbox, fields="emails") as sis:
                _ = [student async for student in sis.students()]


@pytest.mark.parametrize(("settings", "read"), [({}, False), ({"fewest_students": 10}, True), ({"page_size": 61}, True)])
async def test_a_first_page_that_is_full_and_points_nowhere_is_no_whole_list(settings: dict[str, Any], read: bool) -> None:
    with running_sandbox(discover().info("skyward"), students=60, settings={"product": "sms"}) as sandbox:
        size = len(sandbox.truth("students"))
        async with opened(sandbox, **{"page_size": size, **settings}) as sis:
            if read:
                assert len([student async for student in sis.students()]) == size
            else:
                with pytest.raises(UnexpectedResponse, match="does not say whether there are more") as raised:
                    _ = [student async for student in sis.students()]
                assert "fewest_students" in raised.value.remedy
                assert [one.remedy for one in await sis.check() if one.topic == "fewest students"]


async def test_another_year_needs_its_number() -> None:
    with running_sandbox(discover().info("skyward"), students=60, settings={"product": "qmlativ"}) as sandbox:
        with pytest.raises(ConfigurationError, match="school_year_id"):
            async with opened(sandbox, school_year=2026) as sis:
                _ = [section async for section in sis.sections()]
        async with opened(sandbox, school_year=2026, school_year_id=26) as sis:
            assert [section async for section in sis.sections()] == []


@pytest.mark.parametrize("product", ["sms", "qmlativ", "oneroster"])
async def test_doctor_finds_nothing_wrong(product: str) -> None:
    with running_sandbox(discover().info("skyward"), students=60, settings={"product": product}) as sandbox:
        async with opened(sandbox) as sis:
            found = await sis.check()
    assert not [finding for finding in found if finding.level == "error"]
    assert any(finding.requests for finding in found)


async def test_where_the_list_of_guardians_is_missing_the_error_says_what_to_set() -> None:
    with running_sandbox(discover().info("skyward"), students=60, settings={"product": "sms"}) as sandbox:
        sandbox.set(guardians="by_student")
        with pytest.raises(ProviderError) as raised:
            async with opened(sandbox, guardians="list") as sis:
                _ = [guardian async for guardian in sis.guardians()]
        assert "guardians=by_student" in raised.value.remedy
