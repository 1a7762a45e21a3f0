"""Skyward for sis-connect: SMS 2.0, Qmlativ, and OneRoster at either. This module registers it and is cheap to import."""

from __future__ import annotations

from collections.abc import Sequence

from sis_connect.capabilities import Capabilities, KindCapabilities
from sis_connect.hookspecs import hookimpl
from sis_connect.provider import CONTRACT, ProviderInfo

_BY_ABSENCE = KindCapabilities(offered=True, leaving="absence")

#: What all products together offer; `provider.refine` says what the one does that an integration is set to.
INFO = ProviderInfo(
    name="skyward",
    label="Skyward",
    provider="sis_connect_skyward.sms_provider:SmsProvider",
    contract=CONTRACT,
    capabilities=Capabilities(
        {
            "schools": _BY_ABSENCE,
            "terms": _BY_ABSENCE,
            "courses": _BY_ABSENCE,
            "staff": _BY_ABSENCE,
            "students": _BY_ABSENCE,
            "school_enrollments": KindCapabilities(offered=True, leaving="absence", stint_history=True),
            "sections": _BY_ABSENCE,
            "enrollments": _BY_ABSENCE,
            "guardians": _BY_ABSENCE,
        }
    ),
    api_versions=("SMS 2.0 /v1", "Qmlativ", "OneRoster 1.1", "OneRoster 1.2"),
    settings="sis_connect_skyward.settings:SkywardSettings",
    default_rate_limit=(80, 60.0),
    auth_grants=("client_credentials", "password"),
    refine="sis_connect_skyward.provider:refine",
    sandbox="sis_connect_skyward.sandbox:create",
)


@hookimpl
def sis_connect_providers() -> Sequence[ProviderInfo]:
    return [INFO]
