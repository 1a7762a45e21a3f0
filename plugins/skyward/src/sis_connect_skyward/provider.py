"""Which of Skyward's products an integration is about, and what that makes of the provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from sis_connect.capabilities import Capabilities
from sis_connect.errors import ConfigurationError
from sis_connect.provider import GrantInfo, ProviderInfo
from sis_connect.settings import SISProviderConfig


def refine(info: ProviderInfo, config: SISProviderConfig) -> ProviderInfo:
    """The provider as it is for the product that the settings name."""
    product = config.options.get("product", "")
    if product not in _PRODUCTS:
        named = f"{product!r} is none of them" if product else "the settings do not say which one this district runs"
        raise ConfigurationError(
            f"Skyward has several products, and {named}.",
            remedy="Ask the district, and set product to sms (SMS 2.0), qmlativ, or oneroster (that interface of either).",
        )
    return _PRODUCTS[product](info, config)


def _sms(info: ProviderInfo, config: SISProviderConfig) -> ProviderInfo:
    from sis_connect_skyward.sms_provider import CAPABILITIES

    return replace(
        info,
        label="Skyward SMS 2.0",
        provider="sis_connect_skyward.sms_provider:SmsProvider",
        capabilities=CAPABILITIES,
        api_versions=("/v1",),
        settings="sis_connect_skyward.settings:SmsSettings",
        token_path="/token",  # noqa: S106 - a path, no secret
        auth_grants=("password", "client_credentials"),
        # Key and secret are user name and password, or client id and secret, and stand in the form.
        by_grant={
            "password": GrantInfo(client_authentication="none"),
            "client_credentials": GrantInfo(client_authentication="body"),
        },
    )


def _qmlativ(info: ProviderInfo, config: SISProviderConfig) -> ProviderInfo:
    from sis_connect_skyward.qmlativ_lists import CAPABILITIES

    if config.options.get("school_year_id") and config.school_year is None:
        raise ConfigurationError(
            "school_year_id is set, and school_year is not: which year that is would be a guess.",
            remedy="Set school_year to the year in which that school year ends, or leave school_year_id out.",
        )
    students = CAPABILITIES.of("students")
    strong = students.strong_ids if config.options.get("state_id_field") else ("student_number",)
    kinds = {**CAPABILITIES.kinds, "students": replace(students, strong_ids=strong)}
    in_query = config.token_method == "GET"  # noqa: S105 - a method, no secret
    return replace(
        info,
        label="Skyward Qmlativ",
        provider="sis_connect_skyward.qmlativ_provider:QmlativProvider",
        capabilities=Capabilities(kinds),
        api_versions=("Custom", "Generic"),
        settings="sis_connect_skyward.settings:QmlativSettings",
        token_path="/oauth/token",  # noqa: S106 - a path, no secret
        auth_grants=("client_credentials",),
        # Integrations since the end of 2023 send a form; older ones ask in the query, with both parts form-encoded before base64.
        client_authentication="basic_form_encoded" if in_query else "body",
        token_headers={"Suppress-Development-Permissions": "true"},
        default_page_size=500,
        read_error="sis_connect_skyward.errors:read_qmlativ_error",
    )


def _oneroster(info: ProviderInfo, config: SISProviderConfig) -> ProviderInfo:
    import sis_connect_oneroster as oneroster

    deltas = {"deltas": config.options.get("deltas", "false")}
    standard = oneroster.refine(oneroster.INFO, config.model_copy(update={"options": {**config.options, **deltas}}))
    # Skyward knows the wider scope only, and nobody has seen it list what was deleted.
    kinds = {kind: replace(own, leaving="absence") for kind, own in standard.capabilities.kinds.items()}
    old = config.options.get("version") == "1.1"
    return replace(
        standard,
        name=info.name,
        label="Skyward OneRoster",
        provider="sis_connect_skyward.oneroster_provider:SkywardOneRosterProvider",
        capabilities=Capabilities(kinds),
        settings="sis_connect_skyward.oneroster_provider:SkywardOneRosterSettings",
        default_rate_limit=info.default_rate_limit,
        token_path="/oauth/token",  # noqa: S106 - a path, no secret; that of Qmlativ, while SMS 2.0 has an address of its own
        scope=" ".join(scope for scope in (standard.scope or "").split() if "roster-core" not in scope),
        read_error="sis_connect_skyward.oneroster_provider:read_error_11" if old else standard.read_error,
        refine=info.refine,
        sandbox=info.sandbox,
    )


_PRODUCTS: Mapping[str, Callable[[ProviderInfo, SISProviderConfig], ProviderInfo]] = {
    "sms": _sms,
    "qmlativ": _qmlativ,
    "oneroster": _oneroster,
}
