"""The plugin passes the conformance suite, over REST and with files."""

from __future__ import annotations

from typing import ClassVar

from sis_connect.testing import ProviderSuite


class TestRest(ProviderSuite):
    provider = "oneroster"
    settings: ClassVar = {"people": "users"}
    students = 20


class TestCsv(ProviderSuite):
    provider = "oneroster_csv"
    students = 20
    #: Whether a file tells changes only is its own to say, and nobody can ask for it.
    without = ("nothing_new", "changes_are_found")
