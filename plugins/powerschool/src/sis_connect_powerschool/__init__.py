"""PowerSchool for sis-connect: rosters over `/ws/v1` and by PowerQueries. This module registers it and is cheap to import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sis_connect.capabilities import Capabilities, KindCapabilities
from sis_connect.hookspecs import hookimpl
from sis_connect.provider import CONTRACT, GrantInfo, ProviderInfo

_BY_STATUS = KindCapabilities(offered=True, leaving="status", total_count=True, webhooks=True)
_BY_ABSENCE = KindCapabilities(offered=True, leaving="absence", total_count=True)
_TOLD = replace(_BY_ABSENCE, webhooks=True)

INFO = ProviderInfo(
    name="powerschool",
    label="PowerSchool SIS",
    provider="sis_connect_powerschool.provider:PowerSchoolProvider",
    contract=CONTRACT,
    capabilities=Capabilities(
        {
            "schools": _BY_ABSENCE,
            "terms": replace(_BY_ABSENCE, total_count=False),
            "courses": _TOLD,
            "sections": _TOLD,
            "enrollments": _TOLD,
            "staff": KindCapabilities(
                offered=True,
                leaving="absence",
                omission_means_blank=True,
                total_count=True,
                webhooks=True,
                reference_ids=("school_staff",),
            ),
            "students": KindCapabilities(
                offered=True,
                leaving="status",
                omission_means_blank=True,
                total_count=True,
                single_read=True,
                custom=True,
                webhooks=True,
                strong_ids=("state_id", "student_number"),
            ),
            "school_enrollments": _BY_STATUS,
        }
    ),
    api_versions=("/ws/v1", "/ws/schema"),
    settings="sis_connect_powerschool.settings:PowerSchoolSettings",
    default_rate_limit=(60, 60.0),
    default_page_size=100,
    auth_grants=("client_credentials", "authorization_code"),
    discovery_path="/oauth2/.well-known/openid-configuration",
    by_grant={
        # The same token again until it ends.
        "client_credentials": GrantInfo(renews_early=False),
        # The sign-in server reads id and secret in the body only. Whether it knows PKCE it does not say, so a nonce is needed.
        "authorization_code": GrantInfo(client_authentication="body", scope="openid"),
    },
    token_path="/oauth/access_token",  # noqa: S106 - a path, no secret
    base_path=False,
    hints="sis_connect_powerschool.events:hints",
    read_error="sis_connect_powerschool.errors:read_error",
    refine="sis_connect_powerschool.settings:refine",
    sandbox="sis_connect_powerschool.sandbox:create",
)


@hookimpl
def sis_connect_providers() -> Sequence[ProviderInfo]:
    return [INFO]
