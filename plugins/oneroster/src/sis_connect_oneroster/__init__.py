"""OneRoster for sis-connect: REST of versions 1.1 and 1.2, and CSV. This module registers both and is cheap to import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sis_connect.capabilities import Capabilities, Kind, KindCapabilities
from sis_connect.hookspecs import hookimpl
from sis_connect.provider import CONTRACT, ProviderInfo

if TYPE_CHECKING:
    from sis_connect.settings import SISProviderConfig

_SCOPE = "https://purl.imsglobal.org/spec/or/v{}/scope/{}.readonly"
_KINDS: tuple[Kind, ...] = ("schools", "terms", "courses", "staff", "students", "sections", "enrollments", "guardians")
_STRONG = {"students": ("student_number", "state_id")}

_LISTED = KindCapabilities(offered=True, leaving="tobedeleted", omission_means_blank=True, custom=True)
#: Schools and sessions are few, and always read whole.
_DELTAS = frozenset(_KINDS) - {"schools", "terms"}

INFO = ProviderInfo(
    name="oneroster",
    label="OneRoster",
    provider="sis_connect_oneroster.provider:OneRosterProvider",
    contract=CONTRACT,
    capabilities=Capabilities(
        {
            kind: replace(
                _LISTED,
                delta="updated_at" if kind in _DELTAS else "none",
                single_read=kind == "students",
                strong_ids=_STRONG.get(kind, ()),
            )
            for kind in _KINDS
        }
    ),
    api_versions=("1.2", "1.1"),
    settings="sis_connect_oneroster.settings:OneRosterSettings",
    default_rate_limit=(60, 60.0),
    default_page_size=1000,
    auth_grants=("client_credentials", "oauth1"),
    token_path="/token",  # noqa: S106 - a path, no secret
    refine="sis_connect_oneroster:refine",
    read_error="sis_connect_oneroster.errors:read_error",
    sandbox="sis_connect_oneroster.sandbox:create",
)

CSV_INFO = ProviderInfo(
    name="oneroster_csv",
    label="OneRoster CSV",
    provider="sis_connect_oneroster.csv_provider:OneRosterCsvProvider",
    contract=CONTRACT,
    capabilities=Capabilities(
        {
            kind: replace(_LISTED, leaving="absence", delta="updated_at", total_count=True, strong_ids=_STRONG.get(kind, ()))
            for kind in _KINDS
        }
    ),
    api_versions=("1.2", "1.1"),
    settings="sis_connect_oneroster.csv_settings:OneRosterCsvSettings",
    default_rate_limit=(60, 60.0),
    auth_grants=("none", "basic", "client_credentials"),
    local_files=True,
    sandbox="sis_connect_oneroster.sandbox:create_csv",
)


def refine(info: ProviderInfo, config: SISProviderConfig) -> ProviderInfo:
    """What the settings decide: scopes, grants, how people leave, whether changes can be asked for."""
    version = "1.1" if config.options.get("version") == "1.1" else "1.2"
    names = ["roster-core", "roster"]
    if {"birth_date", "gender", "demographics"} & config.asked("students"):
        names.append("roster-demographics")
    # Some servers refuse a token to whom asks for any scope: an empty setting asks for none.
    scope = None if config.scope == "" else " ".join(_SCOPE.format(version.replace(".", "p"), name) for name in names)
    stated: dict[str, Any] = {}
    if config.options.get("deltas", "true").strip().lower() in ("false", "0", "no", "off"):
        stated["delta"] = "none"
    if config.options.get("leaving") == "absence":
        stated["leaving"] = "absence"
    kinds = {kind: replace(own, **stated) for kind, own in info.capabilities.kinds.items()}
    grants = info.auth_grants if version == "1.1" else ("client_credentials",)
    return replace(info, scope=scope, auth_grants=grants, capabilities=Capabilities(kinds))


@hookimpl
def sis_connect_providers() -> Sequence[ProviderInfo]:
    return [INFO, CSV_INFO]
