"""The contract between the engine and a plugin.

A provider *observes*: it asks the SIS for pages and says what it asked for and what came. It never judges whether a read was
complete, never decides about anybody's enrolment, never writes. The engine does that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from sis_connect.capabilities import Capabilities, Kind
from sis_connect.errors import DataValidationError, SISError

if TYPE_CHECKING:
    from sis_connect.oauth.client import ClientAuthentication, TokenMethod
    from sis_connect.records import Record

#: The version of this contract. A plugin states the number it was written for; another number is refused, naming both.
CONTRACT = 1

#: A stream is one endpoint in one context, such as the sections of one school: what one run of pages comes from.
Stream = tuple[str, str]

#: What to read changes since: a time for all streams, or marks by stream. A stream without a mark is read whole.
Since = datetime | Mapping[Stream, str]

#: In a cursor mapping: this stream has been read to its end, do not ask for it again.
DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantInfo:
    """What `ProviderInfo` says otherwise for one grant; `None` where it is the same."""

    client_authentication: ClientAuthentication | None = None
    renews_early: bool | None = None
    scope: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderInfo:
    """What a plugin registers. It is cheap: provider, settings and sandbox are named as `module:attribute` and loaded on use.

    `name` is what settings call it, `label` what people read, `contract` the number that it was written for. `api_versions` are
    shown to people. `default_rate_limit` is (requests, seconds); `default_page_size` is how many rows to ask for, where the
    settings do not say. `renews_early` is false where the SIS hands out the same token again until it expires. `base_path` says
    whether a base URL may have a path, `local_files` whether it may be a file or folder here. `auth_grants` are the grants that
    the SIS knows, the usual one first. `token_path` is where tokens come from, below the base URL; `authorize_path` where
    people consent, `revoke_path` where tokens are given back, `discovery_path` where the SIS tells all of these itself.
    `client_authentication`, `token_method`, `token_headers` and `token_parameters` say how tokens are asked for, and `scope`
    what for, where the settings do not say. `by_grant` is what single grants have otherwise.
    With the grant `api_key` no token is asked for: each request carries the client secret in `api_key_header`, behind
    `api_key_prefix`.
    `read_error` names a function that understands the SIS's own error answers: (status, headers, body) -> SISError or None.
    `refine` names a function (info, config) -> ProviderInfo, for what depends on the settings: a product, a version. It is pure.
    `full_every` is hours: where reads of changes only are possible, a read of everything is due after so long.
    `hints` names a function that reads what the SIS sends when something changes: (headers, body) -> Sequence[Hint]. It is pure;
    header names are lower-case, and what it cannot read at all is a `ValueError`.
    """

    name: str
    label: str
    provider: str
    contract: int
    capabilities: Capabilities
    api_versions: tuple[str, ...] = ()
    settings: str | None = None
    default_rate_limit: tuple[int, float] = (60, 60.0)
    default_page_size: int | None = None
    auth_grants: tuple[str, ...] = ("client_credentials",)
    renews_early: bool = True
    token_path: str = "/oauth/token"  # noqa: S105 - a path, no secret
    client_authentication: ClientAuthentication = "basic"
    token_method: TokenMethod = "POST"  # noqa: S105 - a method, no secret
    token_headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    token_parameters: Mapping[str, str] = field(default_factory=dict, hash=False)
    scope: str | None = None
    by_grant: Mapping[str, GrantInfo] = field(default_factory=dict, hash=False)
    authorize_path: str | None = None
    discovery_path: str | None = None
    revoke_path: str | None = None
    api_key_header: str = "Authorization"
    api_key_prefix: str = "Bearer "
    base_path: bool = True
    local_files: bool = False
    read_error: str | None = None
    refine: str | None = None
    full_every: float = 24.0
    hints: str | None = None
    sandbox: str | None = None

    def with_grant(self, grant: str) -> ProviderInfo:
        """The same, as it is for one of its grants."""
        own = self.by_grant.get(grant, GrantInfo())
        stated = {each.name: getattr(own, each.name) for each in fields(own)}
        return replace(self, **{name: value for name, value in stated.items() if value is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a read is limited to; `None` means all of it. Schools and students are `sis_id`s, the year is the one it ends in."""

    schools: frozenset[str] | None = None
    students: frozenset[str] | None = None
    school_year: int | None = None


@dataclass(frozen=True, slots=True)
class Hint:
    """What somebody outside says has changed. It is never evidence: it only tells where to read again.

    `value` is the record's id, or its identifier of that `name` in `ids`. Without a value it is about any record of the kind,
    without a kind about any record at all.
    """

    kind: Kind | Literal[""] = ""
    name: str = "sis_id"
    value: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Reading:
    """One source row, understood: the vendor's key of the row, and the records that it feeds."""

    key: str
    records: tuple[Record, ...]


class InvalidRow(DataValidationError):  # noqa: N818 - reads as what is the case
    """A source row that breaks the contract. `key` is the vendor's key where that much could be read."""

    def __init__(self, reason: str, *, key: str | None, fields: tuple[str, ...] = ()) -> None:
        super().__init__(reason, fields=fields)
        self.key = key


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What one request brought: observations only.

    `endpoint` and `context` name the stream; `kinds`, `school`, `school_year` and `section` are what the request spoke for.
    `rows` are the raw rows as bytes and `read` understands one of them; `mapping_version` changes whenever `read` would read the
    same bytes differently (a new mapping, other fields asked for). `asked` is the page size asked for, `declared_size` one
    that the server itself declares, `total` what the server says there is in the whole stream. `more` is false on the last page,
    `had_next` true where the server itself pointed to a next page. `cursor` resumes the stream after this page. `error` says that
    the stream broke off here; other streams go on.

    Where a list is longer than the stream, such as one of the whole district read for one school, `rows` are those of the stream
    and `all_keys` the keys of all that came: whether the list came whole is seen over all of it, and `total` counts all of it.
    """

    endpoint: str
    kinds: tuple[Kind, ...]
    read: Callable[[bytes], Reading]
    context: str = ""
    school: str | None = None
    school_year: int | None = None
    section: str | None = None
    rows: Sequence[bytes] = field(default=(), repr=False)
    mapping_version: str = "1"
    asked: int | None = None
    declared_size: int | None = None
    total: int | None = None
    had_next: bool = False
    more: bool = False
    cursor: str | None = None
    error: SISError | None = None
    mark: str | None = None
    changes_only: bool = False
    partial: bool = False
    all_keys: Sequence[str] | None = field(default=None, repr=False)

    @property
    def stream(self) -> Stream:
        """The stream that this page belongs to."""
        return (self.endpoint, self.context)

    @property
    def received(self) -> int:
        """How many rows came, with those that belong elsewhere."""
        return len(self.rows if self.all_keys is None else self.all_keys)

    def records(self) -> Iterator[Record]:
        """All records of this page. Raises `InvalidRow` at the first row that breaks the contract."""
        for row in self.rows:
            yield from self.read(row).records


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of `doctor`. `requests` is what a full read would cost, where this finding is about that."""

    topic: str
    level: Literal["ok", "warning", "error"]
    message: str
    remedy: str = ""
    requests: int | None = None
    facts: Mapping[str, str | int | float] = field(default_factory=dict)


@runtime_checkable
class BaseSISProvider(Protocol):
    """What every provider is. `RestProvider` implements most of it for REST interfaces."""

    @property
    def info(self) -> ProviderInfo:
        """Who it is and what it can do."""
        ...

    async def check(self) -> Sequence[Finding]:
        """Try the connection and say what is right and wrong with it, in plain words. Changes nothing."""
        ...

    def pages(
        self,
        kinds: Collection[Kind],
        *,
        scope: Scope,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncIterator[Page]:
        """Read these kinds, page by page, grouped by endpoint as suits the SIS.

        `since` asks for changes only, of the streams that can tell them and have a mark; all others are read whole, and each page
        says which it is.

        `cursor` resumes: a stream marked `DONE` is left out, one with a cursor is read from the page *before* it on, so that the
        engine can check that the ground has not moved.
        """
        ...


@runtime_checkable
class Subscriber(Protocol):
    """A provider whose SIS can be told where to send word of changes."""

    async def subscribe(self, callback_url: str, *, ours: Callable[[str], bool], replace: bool = False) -> None:
        """Have changes told to an address, which ends in a secret. `ours` says whether an address that is subscribed already is
        ours; any other is replaced only with `replace`, and otherwise a `ConfigurationError`."""
        ...

    async def unsubscribe(self, *, ours: Callable[[str], bool], replace: bool = False) -> bool:
        """End our subscription, with `replace` whosever it is; whether there was one."""
        ...
