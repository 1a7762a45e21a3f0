"""What a file may say that declares a provider. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sis_connect.capabilities import KINDS, Kind
from sis_connect.oauth.client import ClientAuthentication, TokenMethod
from sis_connect.setting_types import parse_rate_limit

As = Literal["text", "number", "truth", "day", "last_day", "moment"]
Limit = Annotated[tuple[int, float] | None, BeforeValidator(parse_rate_limit)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Taken(_Table):
    """Where a field of a record comes from: a member of the row (`from`, with dots for what lies deeper), an id of the `context`,
    a constant `value`, or several members that make an id together (`parts`).

    `as` says what it is read as, where the field does not say that itself: `last_day` is the day before the first day out.
    `words` are our words by the vendor's, or the name of such a table; what is none of them is `otherwise` (`""` for blank), and
    without that makes the row invalid.
    """

    source: str | None = Field(default=None, alias="from")
    context: str | None = None
    value: str | bool | int | None = None
    parts: dict[str, str] | None = None
    read: As | None = Field(default=None, alias="as")
    words: str | dict[str, str] | None = None
    otherwise: str | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Taken:
        if sum(origin is not None for origin in (self.source, self.context, self.value, self.parts)) != 1:
            raise ValueError("needs exactly one of from, context, value and parts")
        return self


def _from_member(said: object) -> object:
    return {"from": said} if isinstance(said, str) else said


Origin = Annotated[Taken, BeforeValidator(_from_member)]
Mapped = dict[str, Origin]


class Paged(_Table):
    """How lists are paged: `by` page, offset, cursor, link or none; `param` and `size` are the parameters, `first` where counting
    begins, `total` and `next` where the end shows. `most` are the rows that a page holds at most, as the interface declares: a
    page with fewer is the last one."""

    by: Literal["page", "offset", "cursor", "link", "none"] = "page"
    param: str | None = None
    size: str | None = None
    first: int | None = None
    total: str | None = None
    next: str | None = None
    most: int | None = Field(default=None, ge=1)


class Changed(_Table):
    """How changes only are asked for."""

    param: str
    stamp: str = "updated_at"
    written: str = "{time}"


class Listed(_Table):
    """One list: where it is, and how its rows become records of one kind or several, each a table by the name of its kind.

    `like` names a list with the same rows at another path: what they are, and how they are paged and mapped, is said there.
    """

    like: str | None = None
    path: str
    rows: str | tuple[str, ...]
    key: str = "id"
    parent: str | None = None
    gives: str | None = None
    only: Literal["district", "schools", "students"] | None = None
    within: str | None = None
    params: dict[str, str] = Field(default_factory=dict)
    paging: Paged | None = None
    count: str | None = None
    changes: Changed | None = None
    rate_limit: Limit = None
    concurrency: int | None = None
    custom: str | None = None
    partial: bool = False
    optional: bool = False
    rows_optional: bool = False
    records: dict[Kind, Mapped]

    @model_validator(mode="before")
    @classmethod
    def _kinds_together(cls, said: Any) -> Any:
        if not isinstance(said, dict) or "records" in said:
            return said
        records = {name: fields for name, fields in said.items() if name in KINDS}
        return {**{name: value for name, value in said.items() if name not in KINDS}, "records": records}

    @model_validator(mode="after")
    def _some_kind(self) -> Listed:
        if not self.records:
            raise ValueError(f"needs a table with the fields of its records, by their kind: {', '.join(KINDS)}")
        return self


class Offered(_Table):
    """What can be done for a kind; see `KindCapabilities`."""

    leaving: Literal["status", "absence", "tobedeleted"] = "absence"
    omission_means_blank: bool = False
    reliable_updated_at: bool = False
    stint_history: bool = False
    strong_ids: tuple[str, ...] = ()
    reference_ids: tuple[str, ...] = ()


#: What a list takes over from the one that it is like.
_SHARED = ("rows", "key", "within", "params", "paging", "custom", "partial", "rows_optional", "rate_limit", "concurrency", *KINDS)


def _likened(lists: object) -> object:
    if not isinstance(lists, dict):
        return lists
    found = dict(lists)
    for name, said in lists.items():
        other = lists.get(said.get("like")) if isinstance(said, dict) else None
        if isinstance(other, dict):
            found[name] = {**{shared: other[shared] for shared in _SHARED if shared in other}, **said}
    return found


class Declaration(_Table):
    """A whole file."""

    name: str
    label: str
    version: str = "1"
    probe: str | None = None
    sandbox: str | None = None
    rate_limit: Limit = None
    page_size: int | None = None
    full_every: float = 24.0
    token_path: str = "/oauth/token"  # noqa: S105 - a path, no secret
    client_authentication: ClientAuthentication = "basic"
    token_method: TokenMethod = "POST"  # noqa: S105 - a method, no secret
    scope: str | None = None
    auth_grants: tuple[str, ...] = ("client_credentials",)
    api_key_header: str = "Authorization"
    api_key_prefix: str = "Bearer "
    paging: Paged = Paged()
    words: dict[str, dict[str, str]] = Field(default_factory=dict)
    kinds: dict[Kind, Offered] = Field(default_factory=dict)
    lists: Annotated[dict[str, Listed], BeforeValidator(_likened)]
