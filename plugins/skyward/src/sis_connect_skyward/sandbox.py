"""Skyward's sandboxes: the setting `product` says which of its products is imitated."""

from __future__ import annotations

from collections.abc import Mapping

from sis_connect.errors import ConfigurationError
from sis_connect.testing.district import District
from sis_connect.testing.sandbox_app import Sandbox


def create(district: District, settings: Mapping[str, str]) -> Sandbox:
    """The sandboxes' factory."""
    product = settings.get("product", "sms")
    if product == "sms":
        from sis_connect_skyward.sandbox_sms import SmsSandbox

        return SmsSandbox(district, settings)
    if product == "qmlativ":
        from sis_connect_skyward.sandbox_qmlativ import QmlativSandbox

        return QmlativSandbox(district, settings)
    if product == "oneroster":
        from sis_connect_skyward.sandbox_oneroster import SkywardOneRosterSandbox

        return SkywardOneRosterSandbox(district, settings)
    raise ConfigurationError(f"The setting 'product' cannot be {product!r}.", remedy="Choose one of sms, qmlativ, oneroster.")
