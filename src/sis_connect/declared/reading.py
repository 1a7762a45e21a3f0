"""From a file to a provider."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from pydantic import ValidationError

from sis_connect.capabilities import Capabilities, Kind, KindCapabilities
from sis_connect.declared.form import Declaration, Listed, Paged
from sis_connect.declared.mapping import BEYOND, MISSING, Row, member, reader
from sis_connect.errors import ConfigurationError
from sis_connect.findings import untold_fields
from sis_connect.provider import CONTRACT, Finding, ProviderInfo
from sis_connect.records import RECORDS, required
from sis_connect.rest_provider import ChangesSince, Endpoint, RestProvider
from sis_connect.transport.paging import CursorPaging, LinkPaging, OffsetPaging, PageNumberPaging, Paging, SinglePage


def provider_from(module: str, file: str) -> tuple[ProviderInfo, type[RestProvider]]:
    """What the file beside a module declares. Raises `ConfigurationError`."""
    try:
        document = tomllib.loads((files(module) / file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{file} is no TOML file that can be read: {error}.") from None
    return declared_in(document, provider=f"{module}:declared", file=file)


def declared_in(document: dict[str, Any], *, provider: str, file: str) -> tuple[ProviderInfo, type[RestProvider]]:
    """The same of a document. `provider` is where it will be found, as `module:attribute`."""
    try:
        said = Declaration.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(f"{file} declares no provider: {'; '.join(_faults(error))}.") from None
    if wrong := next(_mistakes(said), None):
        raise ConfigurationError(f"{file} declares no provider: {wrong}.")
    endpoints = tuple(_endpoint(name, each, said) for name, each in said.lists.items())
    sizes = {name: most for name, each in said.lists.items() if (most := (each.paging or said.paging).most)}

    async def page_sizes(self: RestProvider) -> dict[str, int]:
        """The page sizes that the interface declares, by list."""
        return sizes

    told = {name for each in said.lists.values() for kind, fields in each.records.items() for name in (kind, *fields)}

    async def findings(self: RestProvider) -> list[Finding]:
        """Which fields are asked for in vain."""
        return untold_fields(self.config.fields, told, self.info.label)

    own: dict[str, Any] = {"endpoints": endpoints, "mapping_version": said.version, "probe": said.probe}
    own |= {"page_sizes": page_sizes, "findings": findings}
    return _info(said, provider), type("DeclaredProvider", (RestProvider,), own)


def _faults(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_input=False, include_url=False, include_context=False):
        where = ".".join(str(part) for part in fault["loc"] if part != "records")
        yield f"{where}: {fault['msg'].removeprefix('Value error, ')}" if where else fault["msg"]


def _mistakes(said: Declaration) -> Iterator[str]:
    """What the form of the file cannot tell."""
    given = {each.gives: name for name, each in said.lists.items() if each.gives}
    for name, each in said.lists.items():
        if each.like is not None and each.like not in said.lists:
            yield f"lists.{name}: there is no list {each.like!r} for it to be like"
        if each.parent is not None and (each.parent not in said.lists or not said.lists[each.parent].gives):
            yield f"lists.{name}: its parent {each.parent!r} is no list that gives an id"
        for kind, fields in each.records.items():
            for field, taken in fields.items():
                if field in BEYOND or not (field.startswith("ids.") or field in RECORDS[kind].model_fields):
                    known = ", ".join(sorted({*RECORDS[kind].model_fields} - BEYOND))
                    yield f"lists.{name}.{kind}: there is no field {field!r} for a file to fill; there are {known} and ids.NAME"
                elif isinstance(taken.words, str) and taken.words not in said.words:
                    yield f"lists.{name}.{kind}.{field}: there is no table words.{taken.words}"
                elif taken.context not in (None, "school", "student", "school_year", *given):
                    yield f"lists.{name}.{kind}.{field}: no list gives {taken.context!r}"
            needed = {"sis_id"} if each.partial else {"sis_id", *required(kind)}
            if lacking := sorted(needed - fields.keys()):
                yield f"lists.{name}.{kind}: {', '.join(lacking)} is missing"
    if unlisted := sorted(said.kinds.keys() - _offered(said).keys()):
        yield f"kinds: no list brings {', '.join(unlisted)}"


def _offered(said: Declaration) -> dict[Kind, list[Listed]]:
    """The lists that bring whole records, by kind."""
    found: dict[Kind, list[Listed]] = {}
    for each in said.lists.values():
        for kind in each.records if not each.partial else ():
            found.setdefault(kind, []).append(each)
    return found


class _DeclaredEndpoint(Endpoint[Row]):
    """An endpoint whose rows are read as they come."""

    def key_of(self, row: Row) -> str | None:
        """The vendor's key of a row."""
        key = member(row, self.key)
        return str(key) if isinstance(key, (str, int)) and key != "" else None

    def schools_of(self, row: Row) -> Any:
        """Where a row says to which schools it belongs."""
        found = member(row, str(self.within))
        return None if found is MISSING else found


def _endpoint(name: str, said: Listed, whole: Declaration) -> Endpoint[Row]:
    paged = said.paging or whole.paging
    return _DeclaredEndpoint(
        name=name,
        path=said.path,
        rows=said.rows,
        rows_optional=said.rows_optional,
        kinds=tuple(said.records),
        row=dict,
        key=said.key,
        read=reader(said.records, whole.words, partial=said.partial, blank_if_missing=_blank_if_missing(whole)),
        parent=said.parent,
        gives=said.gives,
        only=said.only,
        within=said.within,
        params=lambda asked: said.params,
        paging=_paging(paged),
        total_at=paged.total,
        cursor_at=paged.next,
        page_size=name if paged.most else None,
        count=said.count,
        changes=ChangesSince(**said.changes.model_dump()) if said.changes else None,
        rate_limit=said.rate_limit,
        limit_name=said.like,
        concurrency=said.concurrency,
        custom=said.custom,
        partial=said.partial,
        optional=said.optional,
    )


def _blank_if_missing(said: Declaration) -> frozenset[Kind]:
    return frozenset(kind for kind, offered in said.kinds.items() if offered.omission_means_blank)


def _paging(said: Paged) -> Paging:
    """The scheme; what the file leaves out is as it is usually called."""
    size: dict[str, Any] = {"size_param": said.size} if said.size is not None else {}
    first: dict[str, Any] = {"first": said.first} if said.first is not None else {}
    match said.by:
        case "page":
            return PageNumberPaging(page_param=said.param or "page", **size, **first)
        case "offset":
            return OffsetPaging(offset_param=said.param or "offset", **size, **first)
        case "cursor":
            return CursorPaging(cursor_param=said.param or "cursor", **size)
        case "link":
            return LinkPaging(**size)
        case _:
            return SinglePage()


def _info(said: Declaration, provider: str) -> ProviderInfo:
    capabilities: dict[Kind, KindCapabilities] = {}
    for kind, lists in _offered(said).items():
        stated = said.kinds[kind].model_dump() if kind in said.kinds else {"leaving": "absence"}
        capabilities[kind] = KindCapabilities(
            offered=True,
            delta="updated_at" if all(each.changes for each in lists if each.only in (None, "district")) else "none",
            total_count=all(bool((each.paging or said.paging).total) for each in lists),
            single_read=kind == "students" and any(each.only == "students" for each in lists),
            custom=any(each.custom is not None for each in lists),
            **stated,
        )
    return ProviderInfo(
        name=said.name,
        label=said.label,
        provider=provider,
        contract=CONTRACT,
        capabilities=Capabilities(capabilities),
        default_rate_limit=said.rate_limit or (60, 60.0),
        default_page_size=said.page_size,
        auth_grants=said.auth_grants,
        token_path=said.token_path,
        client_authentication=said.client_authentication,
        token_method=said.token_method,
        scope=said.scope,
        api_key_header=said.api_key_header,
        api_key_prefix=said.api_key_prefix,
        full_every=said.full_every,
        sandbox=said.sandbox,
    )
