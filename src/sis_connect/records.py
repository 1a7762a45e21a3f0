"""The canonical roster: what every provider delivers and every app receives.

Names follow OneRoster 1.2 where it has a word. All records are frozen. Three things are told apart for every optional field: a
*value*, *blank* (`None`, delivered as empty) and *not delivered* (never set; see `model_fields_set`). Dates are half-open: the
first day is in, the last date is the first day out. Grades are CEDS codes. Times are UTC. The repr of a record shows no value.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, TypeVar, cast, get_args

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, create_model
from pydantic_core import CoreSchema, core_schema

from sis_connect.capabilities import Kind


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How closely a field is guarded. `on_request` fields are read and kept only where the integration asks for them."""

    level: Literal["directory", "personal", "sensitive"]
    on_request: bool = False


DIRECTORY = Sensitivity("directory")
PERSONAL = Sensitivity("personal")
ASKED_PERSONAL = Sensitivity("personal", on_request=True)
ASKED_SENSITIVE = Sensitivity("sensitive", on_request=True)

# Characters that nobody sees and nobody means: zero-width space, word joiner, byte order mark, soft hyphen. The joiners U+200C
# and U+200D stay in names, where they spell words (Persian, emoji), and go from identifiers.
_INVISIBLE = dict.fromkeys((0x200B, 0x2060, 0xFEFF, 0x00AD))


def clean_text(text: str) -> str:
    """NFC, trimmed, without invisible characters; control characters are refused."""
    if text.isascii() and text.isprintable():
        return text.strip()
    text = unicodedata.normalize("NFC", text).translate(_INVISIBLE).strip()
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("contains control characters")
    return text


def _clean_identifier(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        text = "".join(c for c in clean_text(text) if unicodedata.category(c) != "Cf")
    text = text.strip()
    if not text:
        raise ValueError("is empty")
    return text


def _blank_or_clean(text: str | None) -> str | None:
    return clean_text(text) or None if text is not None else None


def _required(text: str) -> str:
    text = clean_text(text)
    if not text:
        raise ValueError("is empty")
    return text


Identifier = Annotated[str, AfterValidator(_clean_identifier)]
Text = Annotated[str | None, AfterValidator(_blank_or_clean)]
RequiredText = Annotated[str, AfterValidator(_required)]
Grade = Literal[
    "IT", "PR", "PK", "TK", "KG", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "PS", "UG"
]
GRADES: tuple[str, ...] = get_args(Grade)
Status = Literal["active", "inactive", "tobedeleted"]
Scalar = str | int | float | bool | None


class Ref:
    """A reference by any identifier of its target: `Ref("staff", school_staff="65")`. Staging resolves it to a `sis_id`."""

    __slots__ = ("kind", "name", "value")

    def __init__(self, kind: Kind, **identifier: str) -> None:
        if len(identifier) != 1:
            raise TypeError("A Ref takes exactly one identifier by name, such as school_staff='65'.")
        self.kind = kind
        ((self.name, self.value),) = identifier.items()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and (self.kind, self.name, self.value) == (other.kind, other.name, other.value)

    def __hash__(self) -> int:
        return hash((self.kind, self.name, self.value))

    def __repr__(self) -> str:
        return f"Ref({self.kind!r}, {self.name}=…)"

    def as_json(self) -> dict[str, list[str]]:
        """How a reference that is not resolved yet is written down."""
        return {"ref": [self.kind, self.name, self.value]}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.is_instance_schema(
            cls, serialization=core_schema.plain_serializer_function_ser_schema(lambda ref: ref.as_json())
        )


Reference = Identifier | Ref


def derive_id(**parts: str) -> str:
    """The one way to build a `sis_id` where the SIS gives none: from named parts, stable, and readable by an office person.

    The parts are what never changes, such as ids of other records, in an order that stays. Say `derived=True` in the record.
    """
    return ";".join(f"{name}={value.replace('%', '%25').replace(';', '%3B')}" for name, value in parts.items())


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self.model_fields_set)} fields>"

    __str__ = __repr__


class EmailAddress(_Frozen):
    address: RequiredText
    type: Text = None


class Phone(_Frozen):
    number: RequiredText
    type: Text = None


class Address(_Frozen):
    type: Text = None
    street: Text = None
    city: Text = None
    state: Text = None
    postal_code: Text = None
    country: Text = None


class Contact(_Frozen):
    """Somebody to call about a student."""

    name: Text = None
    relationship: Text = None
    phones: tuple[Phone, ...] = ()
    emails: tuple[EmailAddress, ...] = ()


class Demographics(_Frozen):
    """As the SIS states them; codes are the SIS's own."""

    ethnicity: Text = None
    races: tuple[str, ...] = ()


class Record(_Frozen):
    """What all records have.

    `sis_id` identifies the record within its district and kind for ever; `derived` says that it was built from parts. `ids` holds
    all other identifiers by name. `updated_at` is evidence of when the SIS last changed the record and takes no part in
    comparisons. `custom` holds extra fields that were declared, and no others. `status_reason` is text; where one of the words
    below fits, it is that.
    """

    kind: ClassVar[Kind]
    references: ClassVar[Mapping[str, Kind]] = {}
    #: References without which the record means nothing: while their target is unknown, the record waits in quarantine.
    required_references: ClassVar[tuple[str, ...]] = ()

    sis_id: Identifier
    derived: bool = False
    ids: Annotated[dict[str, Identifier | tuple[Identifier, ...]], PERSONAL] = Field(default_factory=dict)
    updated_at: AwareDatetime | None = None
    status: Status = "active"
    status_reason: Text = None
    custom: Annotated[dict[str, Scalar], ASKED_PERSONAL] = Field(default_factory=dict)


class School(Record):
    kind: ClassVar[Kind] = "schools"

    name: RequiredText
    identifier: Annotated[Text, DIRECTORY] = None
    grades: tuple[Grade, ...] = ()


class Term(Record):
    """A stretch of the school year. `school_year` is the year it ends in; `end_date` is the first day after it."""

    kind: ClassVar[Kind] = "terms"
    references: ClassVar[Mapping[str, Kind]] = {"school": "schools"}

    title: RequiredText
    type: Literal["school_year", "semester", "term", "grading_period"] = "term"
    school: Reference | None = None
    school_year: int | None = None
    start_date: date
    end_date: date


class Course(Record):
    kind: ClassVar[Kind] = "courses"
    references: ClassVar[Mapping[str, Kind]] = {"school": "schools"}

    title: RequiredText
    course_code: Text = None
    department: Text = None
    school: Reference | None = None


class Section(Record):
    """A class that meets: a course, taught to a group."""

    kind: ClassVar[Kind] = "sections"
    references: ClassVar[Mapping[str, Kind]] = {"school": "schools", "course": "courses", "term": "terms"}
    required_references: ClassVar[tuple[str, ...]] = ("school",)

    title: Text = None
    section_number: Text = None
    school: Reference
    course: Reference | None = None
    term: Reference | None = None
    department: Text = None
    period: Text = None
    location: Text = None


class Person(Record):
    """Legal and preferred names are kept apart."""

    given_name: Annotated[RequiredText, DIRECTORY]
    middle_name: Annotated[Text, DIRECTORY] = None
    family_name: Annotated[RequiredText, DIRECTORY]
    preferred_given_name: Annotated[Text, DIRECTORY] = None
    preferred_middle_name: Annotated[Text, DIRECTORY] = None
    preferred_family_name: Annotated[Text, DIRECTORY] = None
    username: Annotated[Text, PERSONAL] = None


class Student(Person):
    """`school` is the one attended now. `status_reason`: transferred, graduated, withdrawn, inactive, pre_registered."""

    kind: ClassVar[Kind] = "students"
    references: ClassVar[Mapping[str, Kind]] = {"school": "schools"}

    school: Reference | None = None
    grade: Annotated[Grade | None, DIRECTORY] = None
    grade_text: Annotated[Text, DIRECTORY] = None
    birth_date: Annotated[date | None, ASKED_SENSITIVE] = None
    gender: Annotated[Text, ASKED_SENSITIVE] = None
    emails: Annotated[tuple[EmailAddress, ...], ASKED_PERSONAL] = ()
    phones: Annotated[tuple[Phone, ...], ASKED_PERSONAL] = ()
    addresses: Annotated[tuple[Address, ...], ASKED_PERSONAL] = ()
    contacts: Annotated[tuple[Contact, ...], ASKED_SENSITIVE] = ()
    demographics: Annotated[Demographics | None, ASKED_SENSITIVE] = None


class Staff(Person):
    """One human, however many schools: `schools` lists them."""

    kind: ClassVar[Kind] = "staff"
    references: ClassVar[Mapping[str, Kind]] = {"schools": "schools"}

    schools: tuple[Reference, ...] = ()
    role: Literal["teacher", "staff"] | None = None
    email: Annotated[Text, DIRECTORY] = None


class SchoolEnrollment(Record):
    """A stint: one dated stay of a student at a school. `exit_date` is the first day no longer there.

    `status_reason`: no_show.
    """

    kind: ClassVar[Kind] = "school_enrollments"
    references: ClassVar[Mapping[str, Kind]] = {"student": "students", "school": "schools"}
    required_references: ClassVar[tuple[str, ...]] = ("student", "school")

    student: Reference
    school: Reference
    entry_date: date
    exit_date: date | None = None
    exit_inferred: bool = False
    grade: Grade | None = None
    entry_code: Text = None
    exit_code: Text = None


class Enrollment(Record):
    """A person in a section. `user` is a student where `role` is `student`, else staff. `end_date` is the first day out.

    `status_reason`: dropped.
    """

    kind: ClassVar[Kind] = "enrollments"
    references: ClassVar[Mapping[str, Kind]] = {"section": "sections", "school": "schools"}
    required_references: ClassVar[tuple[str, ...]] = ("section", "user")

    section: Reference
    user: Reference
    role: Literal["student", "teacher", "co_teacher", "aide"]
    primary: bool = False
    school: Reference | None = None
    begin_date: date | None = None
    end_date: date | None = None


class Guardian(Record):
    kind: ClassVar[Kind] = "guardians"
    references: ClassVar[Mapping[str, Kind]] = {"students": "students"}

    given_name: Annotated[Text, PERSONAL] = None
    family_name: Annotated[RequiredText, PERSONAL]
    relationship: Annotated[Text, PERSONAL] = None
    students: tuple[Reference, ...] = ()
    emails: Annotated[tuple[EmailAddress, ...], PERSONAL] = ()
    phones: Annotated[tuple[Phone, ...], PERSONAL] = ()


RECORDS: Mapping[Kind, type[Record]] = {
    model.kind: model for model in (School, Term, Course, Staff, Student, SchoolEnrollment, Section, Enrollment, Guardian)
}


@cache
def on_request(kind: Kind) -> frozenset[str]:
    """The fields of a kind that are read only where they are asked for."""
    return frozenset(
        name
        for name, info in RECORDS[kind].model_fields.items()
        if any(isinstance(mark, Sensitivity) and mark.on_request for mark in info.metadata)
    )


@cache
def sensitivity(kind: Kind, field: str) -> Sensitivity:
    """How closely a field is guarded; what is not marked describes the school, not a person."""
    info = RECORDS[kind].model_fields[field]
    return next((mark for mark in info.metadata if isinstance(mark, Sensitivity)), DIRECTORY)


R = TypeVar("R", bound=Record)


def part(model: type[R], *, sis_id: str, **values: Any) -> R:
    """What a source row adds to a record that other rows bring, such as the birth date of a student. For use in `read`.

    What is given is validated as in the whole record, and nothing else counts as delivered. A part that finds no whole record is
    left out.
    """
    record = _partial(model).__pydantic_validator__.validate_python({"sis_id": sis_id, **values})
    return cast(R, record)


@cache
def _partial(model: type[R]) -> type[R]:
    """The same model, where nothing but the id is required."""
    fields: dict[str, Any] = {}
    for name in required(model.kind):
        info = model.model_fields[name]
        fields[name] = (Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation, None)
    return create_model(model.__name__, __base__=model, __module__=model.__module__, **fields)


@cache
def required(kind: Kind) -> frozenset[str]:
    """The fields beside `sis_id` without which a record of this kind is only a part of one."""
    return frozenset(name for name, info in RECORDS[kind].model_fields.items() if info.is_required()) - {"sis_id"}


def is_whole(record: Record) -> bool:
    """Whether a record is more than a part of one."""
    return required(record.kind) <= record.model_fields_set
