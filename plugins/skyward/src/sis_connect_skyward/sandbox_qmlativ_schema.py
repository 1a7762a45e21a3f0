"""Which objects Qmlativ has, their fields, how these lead from one object to another, and what may be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sis_connect_skyward.sandbox_qmlativ_tables import Row, Tables

#: The fields of each object, its key first.
FIELDS: Mapping[str, tuple[str, ...]] = {
    name: tuple(fields.split())
    for name, fields in {
        "District/Entity": "EntityID Code Name SchoolYearIDCurrent DistrictID IsDistrictWide IsSystemWide CodeName",
        "District/SchoolYear": "SchoolYearID NumericYear Description NextNumericYear IsCurrentYearForProvidedEntity "
        "IsUpcomingYearForProvidedEntity",
        "Enrollment/School": "SchoolID DistrictID Code Name SchoolYearID SchoolNumber PhoneNumber",
        "Enrollment/StudentEntityYear": "StudentEntityYearID StudentID EntityID SchoolYearID IsActive IsDefaultEntity",
        "Enrollment/EntryWithdrawal": "EntryWithdrawalID StudentID EntityID SchoolYearID StartDate EntryCodeID EndDate "
        "WithdrawalCodeID GradeReferenceID PercentEnrolled IsDefaultEntity IsNoShow",
        "Enrollment/EntryCode": "EntryCodeID Code Description CodeDescription",
        "Enrollment/WithdrawalCode": "WithdrawalCodeID Code Description CodeDescription",
        "Enrollment/GradeReference": "GradeReferenceID GradeLevelID GradYear SchoolYearID",
        "Enrollment/GradeLevel": "GradeLevelID Code Description NumericValue",
        "Scheduling/SectionLength": "SectionLengthID Code Description StartDate EndDate CourseLengthID",
        "Scheduling/Course": "CourseID CourseCode Description SchoolYearID EntityID DepartmentID IsActive",
        "Scheduling/Section": "SectionID CourseID Code SectionLengthID EntityID SchoolYearID MaximumStudentCount IsActive",
        "Scheduling/StudentSection": "StudentSectionID StudentID SectionID EntityIDCourse SchoolYearIDCourse StartDate EndDate "
        "Status StatusCode IsForCurrentSchoolYear",
        "Scheduling/StaffMeet": "StaffMeetID MeetID StaffID SectionID SchoolYearID EffectiveStartDate EffectiveEndDate IsPrimary "
        "IsSubstitute HasGradebookAccess HasAttendanceAccess",
        "Staff/Department": "DepartmentID SchoolYearID EntityID Code Description",
        "Staff/Staff": "StaffID NameID DistrictID StaffNumber IsActiveForDistrict IsCurrentStaffEntityYear",
        "Staff/StaffEntityYear": "StaffEntityYearID StaffID EntityID SchoolYearID IsActive IsTeacher",
        "Student/Student": "StudentID NameID StudentNumber CalculatedStudentStateID Grade GradeNumeric GradYear IsGraduated "
        "IsCurrentActive",
        "Demographics/Name": "NameID FirstName MiddleName LastName FirstNameLegal LastNameLegal BirthDate Race IsHispanic "
        "IsStudentName IsStaffName IsGuardianName",
        "Demographics/NameEmail": "NameEmailID NameID Rank EmailAddress EmailTypeID Note",
        "Demographics/NamePhone": "NamePhoneID NameID Rank PhoneNumber PhoneTypeID IsConfidential IsInternational "
        "FormattedPhoneNumber",
        "Demographics/NameAddress": "NameAddressID NameID AddressID IsPhysical IsMailing",
        "Demographics/Address": "AddressID FullAddress AddressLine2 POBox",
        "Demographics/EmailType": "EmailTypeID Code Description CodeDescription",
        "Demographics/PhoneType": "PhoneTypeID Code Description CodeDescription",
        "Demographics/Relationship": "RelationshipID Code Description CodeDescription",
        "Family/StudentGuardian": "StudentGuardianID StudentID NameIDGuardian IsCustodialGuardian RelationshipID Rank",
    }.items()
}
#: Where a foreign key leads, by its name without the `ID` in it.
_TARGETS = {fields[0]: name for name, fields in FIELDS.items()}
_OTHER_KEYS = {"NameIDGuardian": "NameID", "EntityIDCourse": "EntityID"}
RELATIONS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    name: {
        field.replace("ID", "", 1): (field, _TARGETS[_OTHER_KEYS.get(field, field)])
        for field in fields[1:]
        if _OTHER_KEYS.get(field, field) in _TARGETS
    }
    for name, fields in FIELDS.items()
}
#: What an integration may create and change, the required fields of a new row, and what nobody may set.
WRITABLE: Mapping[str, frozenset[str]] = {
    "Demographics/NameEmail": frozenset(("NameID", "Rank", "EmailAddress", "EmailTypeID", "Note")),
    "Demographics/NamePhone": frozenset(("NameID", "Rank", "PhoneNumber", "PhoneTypeID")),
}
REQUIRED: Mapping[str, frozenset[str]] = {
    "Demographics/NameEmail": frozenset(("Rank", "EmailAddress")),
    "Demographics/NamePhone": frozenset(("Rank", "PhoneNumber")),
}


def leads(name: str, path: str) -> bool:
    """Whether a dotted path ends at a field."""
    relation, dot, rest = path.partition(".")
    if not dot:
        return path in FIELDS[name]
    return relation in RELATIONS[name] and leads(RELATIONS[name][relation][1], rest)


def value_at(tables: Tables, name: str, row: Row, path: str) -> Any:
    """What a dotted path leads to from a row."""
    *relations, field = path.split(".")
    for relation in relations:
        key, name = RELATIONS[name][relation]
        found = tables.rows(name).get(row.get(key) or 0)
        if found is None:
            return None
        row = found
    return row.get(field)


def answer(tables: Tables, name: str, row: Row, paths: Sequence[str], *, nested: bool) -> Row:
    """The fields that were asked for, those over relations under dotted names or within each other."""
    if not nested:
        return {path: value_at(tables, name, row, path) for path in paths}
    found: Row = {}
    for path in paths:
        *relations, field = path.split(".")
        place = found
        for relation in relations:
            place = place.setdefault(relation, {})
        place[field] = value_at(tables, name, row, path)
    return found
