"""One endpoint of a REST interface, declared as data, and how its answers fall apart into rows and read as records.

The rows of a page are cut out of the body as bytes and not looked into; a row is decoded only when somebody calls `read`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from urllib.parse import quote

import msgspec
from pydantic import ValidationError

from sis_connect.capabilities import Kind
from sis_connect.changes_since import ChangesSince
from sis_connect.custom_fields import CustomField, of_kind, picked
from sis_connect.errors import NotOffered
from sis_connect.places import raw_rows
from sis_connect.provider import InvalidRow, Reading, Scope, Stream
from sis_connect.readings import held_to, typed_or_invalid
from sis_connect.records import Record, derive_id, is_whole
from sis_connect.shared_lists import schools_told
from sis_connect.transport.paging import PageNumberPaging, Paging
from sis_connect.values import Value

if TYPE_CHECKING:
    from sis_connect.transport.answers import Response

Row = TypeVar("Row")
R = TypeVar("R", bound=Record)
Reach = Literal["district", "schools", "students"]
Params = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """What one stream is asked for.

    `context` are the ids that its path is made of, and the school year where the endpoint is `yearly`; `fields` are those
    that the integration requests, by kind; `settings` are the provider's own. `since` is the mark from which on changes are asked
    for; without one, everything is. `custom` are the custom fields that the integration declares.
    """

    context: Mapping[str, str]
    fields: Mapping[Kind, frozenset[str]]
    settings: Any = None
    since: str | None = None
    custom: tuple[CustomField, ...] = ()

    def custom_of(self, kind: Kind, told: Mapping[str, Any]) -> dict[str, Any]:
        """The declared custom fields of a kind, by our names and in their types, out of what the SIS tells by its own names.

        For use in `read`: `custom=asked.custom_of("students", row.extras)`. Raises `InvalidRow` where a value is of another type.
        """
        fields = of_kind(self.custom, kind)
        return typed_or_invalid(fields, picked(fields, told)) if fields else {}


#: Folds what a page tells into where a later read of changes may begin: (mark so far, answer, its rows) -> mark.
Mark = Callable[[str | None, "Response", Sequence[bytes]], str | None]


def _none(asked: Asked) -> Params:
    return {}


def _every(row: Any) -> bool:
    return True


def _always(asked: Asked) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Names that a request carries so that the answer holds what was asked for, such as `?expand=address,phones`.

    `param` is the parameter. `always` are names that go with every request, `by_field` those that an on-request field needs, and
    `custom` says how the name of a custom field is written, such as `extra.{name}`; without it those names are not sent.
    """

    param: str
    always: tuple[str, ...] = ()
    by_field: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    custom: str | None = None
    separator: str = ","

    def params(self, asked: Asked, kinds: Iterable[Kind]) -> dict[str, str]:
        """The parameter, with each name once; none where there is nothing to name."""
        named = set(self.always)
        for kind in kinds:
            for needed in (self.by_field[name] for name in asked.fields.get(kind, ()) if name in self.by_field):
                named |= {needed} if isinstance(needed, str) else set(needed)
            if self.custom is not None:
                named |= {self.custom.format(name=each.asked_as) for each in of_kind(asked.custom, kind)}
        return {self.param: self.separator.join(sorted(named))} if named else {}


@dataclass(frozen=True, kw_only=True)
class Endpoint(Generic[Row]):
    """Where rows of one sort come from.

    `path` is a template such as `/school/{school}/section`, filled from the context, and by paging parameters that it names;
    `rows` says where in the body the rows are (`sections.section`): the first such name that is there; `""` is the body itself.
    With `rows_optional`, an answer without any of them has no rows; otherwise it is about something else. `row` is a msgspec
    Struct of what is needed of a row, `key` its attribute with the vendor's key, and `read` makes the records of it.
    `parent` is the endpoint whose rows open one stream of this one each; the parent says under which name its key enters the
    context (`gives`), and which of its rows count (`opens`). `only` limits an endpoint to reads of the whole district, of some
    schools, or of single students; where a scope names schools or students, their ids fill the context and no parent is read.
    `within` says where a row names the schools that it belongs to: an attribute of it, or a function of the decoded row. A list
    that cannot be had for one school alone is then read whole for some schools, too, as if each had a list of its own: rows of
    others count as read, but are in no school's list and open nothing. A row that names no school belongs to all of them.
    `yearly`: the school year enters the context too, and `filters` must ask for it.
    `filters` narrow what is listed and go with the count as well; `params` do not narrow, nor does what `selects` names.
    `custom` says where a row has the custom fields that a district may declare: a dotted path to the object in the row that holds
    them (`metadata`; `""` is the row itself), or a function of the decoded row. They come with the records of the row that are
    whole, or with its parts where the endpoint is `partial`.
    `rate_limit` is (requests, seconds) that this endpoint allows, besides the limit of the whole; it is kept in the same way,
    by all processes together; endpoints with the same `limit_name` share one. `concurrency` is how many of its requests may be
    under way at once; with a limit of its own it is one less than the integration's, so that others go on while this one waits.
    `total_at` says where the total is: `resource.count` in the body, `header:x-total-count` in a header, or several such places
    in order. It is in the answer to a request of its own where there is a path for it (`count`), else in that of each page.
    `cursor_at` says where the next page's cursor is, or whether there is one (`has_more`).
    Where the server does not know the path (404), `alternative` names the endpoint that is read instead, one that stands by for
    that (`standby`); an `optional` one is left out. `needs` says whether the endpoint is asked for at all. A `partial` one only
    completes records that others bring; `completes` names kinds that a row completes beside the whole records it feeds.
    `changes` says how changes only are asked for by their time. Where that is done otherwise, `delta` says that changes since a
    mark can be asked for (`Asked.since`), by time or by version, and `mark` where the next such read begins.
    `page_size` is the name of the size that the server declares for these pages, see `RestProvider.page_sizes`.
    """

    name: str
    path: str
    rows: str | tuple[str, ...]
    kinds: tuple[Kind, ...]
    row: type[Row]
    read: Callable[[Row, Asked], Iterable[Record]]
    key: str = "id"
    parent: str | None = None
    gives: str | None = None
    opens: Callable[[Row], bool] = _every
    only: Reach | None = None
    within: str | Callable[[Row], Value | Collection[Value]] | None = None
    yearly: bool = False
    filters: Callable[[Asked], Params] = _none
    params: Callable[[Asked], Params] = _none
    paging: Paging = field(default_factory=PageNumberPaging)
    page_size: str | None = None
    count: str | None = None
    total_at: str | tuple[str, ...] | None = None
    cursor_at: str | None = None
    method: Literal["GET", "POST"] = "GET"
    body: Callable[[Asked], object] = _none
    repeatable: bool = True
    rows_optional: bool = False
    alternative: str | None = None
    standby: bool = False
    optional: bool = False
    needs: Callable[[Asked], bool] = _always
    partial: bool = False
    completes: tuple[Kind, ...] = ()
    changes: ChangesSince | None = None
    delta: Literal["updated_at", "version"] | None = None
    mark: Mark | None = None
    custom: str | Callable[[Row], Mapping[str, Any]] | None = None
    selects: Selection | None = None
    rate_limit: tuple[int, float] | None = None
    limit_name: str | None = None
    concurrency: int | None = None

    def serves(self, reach: Reach) -> bool:
        """Whether it takes part in a read that reaches so far. Single students are read by endpoints made for that."""
        return self.only == reach or (self.only is None and reach != "students")

    def rows_in(self, body: bytes) -> list[bytes]:
        """The rows of a page as bytes."""
        return raw_rows(body, self.rows, optional=self.rows_optional)

    def decode(self, raw: bytes) -> Row:
        """One row, as far as it is needed. Raises `InvalidRow`."""
        try:
            row: Row = _decoder(self.row).decode(raw)
        except _UNREADABLE as error:
            raise _misshapen(error, _loose_key(raw, self._key_on_the_wire)) from None
        return row

    def key_of(self, row: Row) -> str | None:
        """The vendor's key of a row."""
        key = getattr(row, self.key, None)
        return None if key is None or key == "" else str(key)

    def schools_of(self, row: Row) -> Any:
        """What a row says of the schools that it belongs to: one, several or none."""
        return self.within(row) if callable(self.within) else getattr(row, str(self.within))

    def schools_told(self, row: Row) -> frozenset[str]:
        """The ids of the schools that a row belongs to; none where it names none. Raises `InvalidRow` where it does not tell."""
        fields = (self.within,) if isinstance(self.within, str) else ()
        try:
            return schools_told(self.schools_of(row), fields)
        except InvalidRow as error:
            error.key = error.key or self.key_of(row)
            raise
        except Exception as error:  # noqa: BLE001 - of a plugin's function, whose words may be the row's
            reason = f"it cannot be told which schools it belongs to ({type(error).__name__})"
            raise InvalidRow(reason, key=self.key_of(row), fields=fields) from None

    def opens_more(self, row: Row) -> bool:
        """Whether a row opens the lists below it. Raises `InvalidRow` where that cannot be told."""
        try:
            return bool(self.opens(row))
        except Exception as error:  # noqa: BLE001 - of a plugin's function, whose words may be the row's
            raise InvalidRow(f"it cannot be told what it opens ({type(error).__name__})", key=self.key_of(row)) from None

    def is_of(self, row: Row, schools: Collection[str]) -> bool:
        """Whether a row belongs to one of these schools; one that names none does. Raises `InvalidRow`."""
        told = self.schools_told(row)
        return not told or not told.isdisjoint(schools)

    def stream(self, context: Mapping[str, str], school: str | None = None) -> Stream:
        """The name of a stream of it; one of those rows only that belong to a school has a name of its own."""
        return (self.name, named(context)) if school is None else (f"{self.name}_of_school", named({"school": school, **context}))

    def denial(self, scope: Scope, error: NotOffered) -> NotOffered:
        """What it means that the server does not know this path: where it is that of one student, the student is unknown."""
        single = scope.students is not None and "{student}" in self.path and "students" in self.kinds and not self.partial
        if not single or type(error) is not NotOffered:  # a plugin may know more
            return error
        remedy = "Ids are the sis_id of `sis-connect export NAME students`; who was deleted may be unknown, too."
        return NotOffered("The SIS knows no student of this id (404).", remedy=remedy)

    @property
    def _key_on_the_wire(self) -> str:
        """What the member with the key is called in a row."""
        members = msgspec.structs.fields(self.row) if issubclass(self.row, msgspec.Struct) else ()
        return next((member.encode_name for member in members if member.name == self.key), self.key)

    @property
    def changes_by(self) -> Literal["updated_at", "version"] | None:
        """How changes since a mark can be asked for, if they can."""
        return self.delta or ("updated_at" if self.changes else None)

    @property
    def marks(self) -> Mark | None:
        """What finds where a later read of changes may begin."""
        return self.mark or (self.changes.mark if self.changes else None)

    def filters_for(self, asked: Asked) -> dict[str, str]:
        """What narrows the list, to changes too where those alone are asked for."""
        return {**self.filters(asked), **(self.changes.params(asked) if self.changes else {})}

    def params_for(self, asked: Asked) -> dict[str, str]:
        """All that goes with each request for a page, but the page."""
        selected = self.selects.params(asked, self.kinds) if self.selects else {}
        return {**self.filters_for(asked), **self.params(asked), **selected}

    def at_once(self, concurrency: int) -> int:
        """How many of its requests may be under way at once, where so many of all endpoints may."""
        if self.concurrency is not None:
            return max(1, min(self.concurrency, concurrency))
        return max(1, concurrency - 1) if self.rate_limit else concurrency

    def reader(self, asked: Asked, school: str | None = None) -> Callable[[bytes], Reading]:
        """What understands one row of a stream: pure, and able to run anywhere at any time. It raises `InvalidRow`.

        Where it is for one `school`, a row has to tell whose it is, and one that belongs to others makes no records.
        """

        decode = _decoder(self.row).decode
        tells_custom = self.custom is not None and any(of_kind(asked.custom, kind) for kind in self.kinds)

        def read(raw: bytes) -> Reading:
            try:
                row = decode(raw)
            except _UNREADABLE as error:
                raise _misshapen(error, _loose_key(raw, self._key_on_the_wire)) from None
            key = self.key_of(row)
            if key is None:
                raise InvalidRow(f"{self.key} is missing", key=None, fields=(self.key,))
            try:
                if school is not None and not self.is_of(row, (school,)):
                    return Reading(key, ())
                records: Iterable[Record] = self.read(row, asked)
                if tells_custom:
                    records = self._with_custom(tuple(records), self._custom_in(raw, row), asked)
                return Reading(key, held_to(records, asked.custom))
            except InvalidRow as error:
                error.key = error.key or key
                raise
            except ValidationError as error:
                raise invalid(error, key) from None
            except ValueError:
                # The message of an unexpected error may quote the value: it stays out.
                raise InvalidRow("a value cannot be read", key=key) from None

        return read

    def _custom_in(self, raw: bytes, row: Row) -> Mapping[str, Any]:
        """What a row tells by the vendor's own names."""
        if callable(self.custom):
            return self.custom(row)
        found = msgspec.json.decode(raw)
        for name in self.custom.split(".") if self.custom else ():
            found = found.get(name) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    def _with_custom(self, records: Iterable[Record], told: Mapping[str, Any], asked: Asked) -> list[Record]:
        completed = []
        for record in records:
            values = asked.custom_of(record.kind, told) if self.partial or is_whole(record) else {}
            completed.append(record.model_copy(update={"custom": {**record.custom, **values}}) if values else record)
        return completed


def build(model: type[R], **values: Any) -> R:
    """A record of these values; a field that is not named counts as not delivered. For use in `read`."""
    record: R = model.__pydantic_validator__.validate_python(values)
    return record


def invalid(error: ValidationError, key: str | None) -> InvalidRow:
    """A failed validation by its fields and reasons, without the values."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    fields = tuple(dict.fromkeys(str(fault["loc"][0]) for fault in faults if fault["loc"]))
    reasons = "; ".join(f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in faults)
    return InvalidRow(reasons.replace("Value error, ", ""), key=key, fields=fields)


def _misshapen(error: Exception, key: str | None) -> InvalidRow:
    # "Expected `int`, got `str` - at `$.grade`" speaks of types and places; other messages may quote the value.
    match = re.fullmatch(r"(Expected `[^`]*`, got `[^`]*`)(?: - at `\$\.?([^`]*)`)?", str(error))
    reason = f"has another shape than agreed: {match[1]}" if match else "has another shape than agreed"
    return InvalidRow(reason, key=key, fields=(match[2],) if match and match[2] else ())


def concrete(path: str, context: Mapping[str, str]) -> str:
    """A path template filled with ids."""
    return path.format_map({name: quote(value, safe="") for name, value in context.items()})


def placeholders(path: str) -> frozenset[str]:
    """The names that a path template waits for."""
    return frozenset(_PLACEHOLDER.findall(path))


def named(context: Mapping[str, str]) -> str:
    """How a context is written in the name of a stream."""
    return derive_id(**context)


def scoped(scope: Scope) -> dict[str, list[str]]:
    """The ids that a scope names, by their name in a context."""
    if scope.students is not None:
        return {"student": sorted(scope.students)}
    return {} if scope.schools is None else {"school": sorted(scope.schools)}


def reach_of(scope: Scope) -> Reach:
    """How far a read goes."""
    if scope.students is not None:
        return "students"
    return "district" if scope.schools is None else "schools"


#: What is no JSON, is of another shape, or is no text.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError)
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {}


def _decoder(row: type[Any]) -> msgspec.json.Decoder[Any]:
    if row not in _decoders:
        _decoders[row] = msgspec.json.Decoder(row)
    return _decoders[row]


def _loose_key(raw: bytes, key: str) -> str | None:
    try:
        value = msgspec.json.decode(_object.decode(raw).get(key, b"null"))
    except _UNREADABLE:
        return None
    return str(value) if isinstance(value, (str, int)) else None
