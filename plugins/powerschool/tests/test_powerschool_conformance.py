"""The plugin passes the conformance suite."""

from __future__ import annotations

from sis_connect.testing import ProviderSuite


class TestConformance(ProviderSuite):
    provider = "powerschool"
    students = 20
