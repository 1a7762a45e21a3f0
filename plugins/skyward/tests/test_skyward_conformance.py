"""The plugin passes the conformance suite, with each of the products."""

from __future__ import annotations

from typing import ClassVar

from sis_connect.testing import ProviderSuite
from sis_connect.testing.suite import completeness, declared, identity, values


class TestSms(ProviderSuite):
    provider = "skyward"
    students = 20


class TestQmlativ(ProviderSuite):
    provider = "skyward"
    sandbox_settings: ClassVar = {"product": "qmlativ"}
    students = 20


class TestOneRoster(ProviderSuite):
    """The provider of OneRoster with settings of Skyward's own: how it behaves on the wire is checked there."""

    only = tuple(check.name for module in (identity, completeness, values, declared) for check in module.CHECKS)
    provider = "skyward"
    sandbox_settings: ClassVar = {"product": "oneroster"}
    students = 20
