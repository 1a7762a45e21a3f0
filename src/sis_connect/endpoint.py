"""One endpoint of a REST interface, declared as data, and how its answers fall apart into rows and read as records.

The rows of a page are cut out of the body as bytes and not looked into; a row is decoded only when somebody calls `read`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from urllib.parse import quote

import msgspec
from pydantic import ValidationError

from sis_connect.capabilities import Kind
from sis_connect.errors import UnexpectedResponse
from sis_connect.provider import InvalidRow, Reading, Scope
from sis_connect.records import Record, derive_id
from sis_connect.transport.paging import PageNumberPaging, Paging

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
    for; without one, everything is.
    """

    context: Mapping[str, str]
    fields: Mapping[Kind, frozenset[str]]
    settings: Any = None
    since: str | None = None


#: Folds what a page tells into where a later read of changes may begin: (mark so far, answer, its rows) -> mark.
Mark = Callable[[str | None, "Response", Sequence[bytes]], str | None]


def _none(asked: Asked) -> Params:
    return {}


def _every(row: Any) -> bool:
    return True


def _always(asked: Asked) -> bool:
    return True


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
    `yearly`: the school year enters the context too, and `filters` must ask for it.
    `filters` narrow what is listed and go with the count as well; `params` do not narrow.
    `total_at` says where the total is: `resource.count` in the body, `header:x-total-count` in a header, or several such places
    in order. It is in the answer to a request of its own where there is a path for it (`count`), else in that of each page.
    `cursor_at` says where the next page's cursor is.
    Where the server does not know the path (404), `alternative` names the endpoint that is read instead, one that stands by for
    that (`standby`); an `optional` one is left out. `needs` says whether the endpoint is asked for at all. A `partial` one only
    completes records that others bring; `completes` names kinds that a row completes beside the whole records it feeds.
    `delta` says that changes since a mark can be asked for (`Asked.since`), by time or by version, and `mark` where the next such
    read begins.
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
    delta: Literal["updated_at", "version"] | None = None
    mark: Mark | None = None

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
        except msgspec.DecodeError as error:
            raise _misshapen(error, _loose_key(raw, self.key)) from None
        return row

    def key_of(self, row: Row) -> str | None:
        """The vendor's key of a row."""
        key = getattr(row, self.key, None)
        return None if key is None or key == "" else str(key)

    def reader(self, asked: Asked) -> Callable[[bytes], Reading]:
        """What understands one row of a stream: pure, and able to run anywhere at any time. It raises `InvalidRow`."""

        decode = _decoder(self.row).decode

        def read(raw: bytes) -> Reading:
            try:
                row = decode(raw)
            except msgspec.DecodeError as error:
                raise _misshapen(error, _loose_key(raw, self.key)) from None
            key = self.key_of(row)
            if key is None:
                raise InvalidRow(f"{self.key} is missing", key=None, fields=(self.key,))
            try:
                return Reading(key, tuple(self.read(row, asked)))
            except InvalidRow as error:
                error.key = error.key or key
                raise
            except ValidationError as error:
                raise invalid(error, key) from None
            except ValueError:
                # The message of an unexpected error may quote the value: it stays out.
                raise InvalidRow("a value cannot be read", key=key) from None

        return read


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


def _misshapen(error: msgspec.DecodeError, key: str | None) -> InvalidRow:
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


def raw_rows(body: bytes, path: str | tuple[str, ...], *, optional: bool = False) -> list[bytes]:
    """The rows of a page as bytes. One object is one row; a missing key, `""` or `null` is none."""
    found = _first_at(body, (path,) if isinstance(path, str) else path, optional=optional)
    if found in _NOTHING:
        return []
    if found.startswith(b"["):
        return [bytes(raw) for raw in _array.decode(found)]
    if found.startswith(b"{"):
        return [found]
    raise UnexpectedResponse(f"The answer holds something else than rows at {path!r}.")


def _first_at(body: bytes, paths: tuple[str, ...], *, optional: bool) -> bytes:
    """What stands at the first of these paths that is there."""
    if len(paths) == 1 and not optional:
        return at(body, paths[0])
    for path in paths:
        members = _members(body.strip())
        if path.partition(".")[0] in members or (not members and not optional):
            return at(body, path)
    if optional:
        return b""
    raise UnexpectedResponse(f"The answer has none of {', '.join(map(repr, paths))}, it is about something else.")


def number_at(body: bytes, path: str) -> int | None:
    """A whole number in the body, however it is written."""
    digits = at(body, path).strip(b'"')
    return int(digits) if digits.isdigit() else None


def total_in(response: Response, where: str | tuple[str, ...]) -> int | None:
    """The total that an answer tells, in its body or as `header:NAME`, at the first place that tells one."""
    for place in (where,) if isinstance(where, str) else where:
        kind, _, name = place.rpartition(":")
        if kind == "header":
            digits = response.headers.get(name.lower(), "").strip()
            found = int(digits) if digits.isdigit() else None
        elif isinstance(where, str):
            return number_at(response.body, place)
        else:
            found = number_at(response.body, place) if place.partition(".")[0] in _members(response.body.strip()) else None
        if found is not None:
            return found
    return None


def text_at(body: bytes, path: str) -> str | None:
    """A text in the body."""
    found = at(body, path)
    return msgspec.json.decode(found, type=str) or None if found.startswith(b'"') else None


def at(body: bytes, path: str) -> bytes:
    """What stands at a dotted path, as bytes; nothing where a key is missing. An answer that has other keys only is no answer."""
    found = body.strip()
    for depth, name in enumerate(path.split(".") if path else ()):
        if depth and found in _NOTHING:
            return b""
        members = _members(found)
        if not depth and members and name not in members:
            raise UnexpectedResponse(f"The answer has no {name!r}, it is about something else.")
        found = bytes(members.get(name, b""))
    return found


def _members(found: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _object.decode(found)
    except msgspec.DecodeError:
        raise UnexpectedResponse("The answer is not the JSON that was asked for, or was cut off.") from None


_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_NOTHING = (b"", b'""', b"null", b"[]")
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])


_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {}


def _decoder(row: type[Any]) -> msgspec.json.Decoder[Any]:
    if row not in _decoders:
        _decoders[row] = msgspec.json.Decoder(row)
    return _decoders[row]


def _loose_key(raw: bytes, key: str) -> str | None:
    try:
        value = msgspec.json.decode(_object.decode(raw).get(key, b"null"))
    except msgspec.DecodeError:
        return None
    return str(value) if isinstance(value, (str, int)) else None
