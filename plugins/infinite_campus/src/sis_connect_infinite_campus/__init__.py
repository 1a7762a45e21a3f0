"""Infinite Campus for sis-connect: rosters over its OneRoster interface. This module registers it and is cheap to import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sis_connect.capabilities import Capabilities, KindCapabilities
from sis_connect.errors import ConfigurationError
from sis_connect.hookspecs import hookimpl
from sis_connect.provider import CONTRACT, ProviderInfo

if TYPE_CHECKING:
    from sis_connect.settings import SISProviderConfig

#: The name in `ids` for what somebody is called in version 1.1, which version 1.2 tells.
LEGACY_ID = "legacy_sourced_id"
#: More rows than the server puts on a page.
MOST_ROWS = 50_000

# Who leaves is marked in some districts and just vanishes in others, so that absence has to count.
_LISTED = KindCapabilities(offered=True, leaving="absence", omission_means_blank=True, custom=True, delta="updated_at")
_PEOPLE = replace(_LISTED, former_ids=(LEGACY_ID,))

INFO = ProviderInfo(
    name="infinite_campus",
    label="Infinite Campus",
    provider="sis_connect_infinite_campus.provider:InfiniteCampusProvider",
    contract=CONTRACT,
    capabilities=Capabilities(
        {
            "schools": replace(_LISTED, delta="none"),
            "terms": replace(_LISTED, delta="none"),
            "courses": _LISTED,
            "sections": _LISTED,
            "enrollments": _LISTED,
            "staff": _PEOPLE,
            "students": replace(_PEOPLE, strong_ids=("student_number",)),
            # Whether lists beyond the standard can be asked for changes is not established, so they are read whole.
            "guardians": replace(_PEOPLE, delta="none"),
        }
    ),
    api_versions=("OneRoster 1.2", "OneRoster 1.1"),
    settings="sis_connect_infinite_campus.settings:InfiniteCampusSettings",
    default_rate_limit=(100, 60.0),
    default_page_size=5000,
    auth_grants=("client_credentials",),
    refine="sis_connect_infinite_campus:refine",
    # The vendor asks for a whole read a week, and for changes in the nights between.
    full_every=168.0,
    read_error="sis_connect_infinite_campus.errors:read_error",
    sandbox="sis_connect_infinite_campus.sandbox:create",
)


def refine(info: ProviderInfo, config: SISProviderConfig) -> ProviderInfo:
    """What the settings decide: the name of the district's application goes with every request for a token."""
    if config.token_url is None:
        raise ConfigurationError(
            "Infinite Campus has its token URL apart from its base URL, and it cannot be told from that.",
            remedy="Copy both from the connection in Digital Learning Applications Configuration, into token_url and base_url.",
        )
    if (config.page_size or 0) > MOST_ROWS:
        raise ConfigurationError(
            f"Infinite Campus puts at most {MOST_ROWS} rows on a page.", remedy="Set page_size to that or less; 5000 is usual."
        )
    app_name = config.options.get("app_name")
    return replace(info, token_parameters={"appName": app_name}) if app_name else info


@hookimpl
def sis_connect_providers() -> Sequence[ProviderInfo]:
    return [INFO]
