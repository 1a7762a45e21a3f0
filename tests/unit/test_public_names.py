"""The names that everybody relies on: importable from `sis_connect`, and cheap until they are used."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import sis_connect
from sis_connect import blocking, connection

FIXED = [
    "connect",
    "SISService",
    "BaseSISProvider",
    "RestProvider",
    "ProviderInfo",
    "Capabilities",
    "SISProviderConfig",
    "SISConfigManager",
    "SISError",
    "School",
    "Term",
    "Course",
    "Section",
    "Student",
    "Staff",
    "SchoolEnrollment",
    "Enrollment",
    "Guardian",
    "Record",
]
# Read after `import sis_connect`: whatever of these is loaded by then costs every app its start.
HEAVY = ("httpx", "sqlalchemy", "pydantic", "msgspec", "authlib", "cryptography", "typer", "asyncio", "sis_connect_powerschool")


@pytest.mark.parametrize("name", FIXED)
def test_a_public_name_is_there_and_listed(name: str) -> None:
    assert getattr(sis_connect, name).__name__ == name
    assert name in sis_connect.__all__
    assert name in dir(sis_connect)


def test_all_that_is_listed_is_there() -> None:
    assert {name for name in sis_connect.__all__ if not hasattr(sis_connect, name)} == set()


def test_the_version_is_that_of_the_distribution() -> None:
    assert sis_connect.__version__ == version("sis-connect")


def test_an_unknown_name_is_an_error_of_its_own_kind() -> None:
    with pytest.raises(AttributeError, match="no attribute 'sync'"):
        _ = sis_connect.sync


def test_blocking_mirrors_what_it_promises() -> None:
    assert sis_connect.connect is connection.connect
    assert {"connect", "SISService"} <= set(blocking.__all__)


@pytest.mark.parametrize("statement", ["import sis_connect", "from sis_connect import Capabilities, SISError"])
def test_importing_loads_nothing_heavy(statement: str) -> None:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in HEAVY if name in loaded] == []


def test_p12_finding_plugins_loads_no_http_library() -> None:
    code = "from sis_connect.discovery import discover\ndiscover()\nimport sys\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "sis_connect_powerschool" in loaded
    assert [name for name in ("httpx", "sqlalchemy", "pydantic", "msgspec") if name in loaded] == []
