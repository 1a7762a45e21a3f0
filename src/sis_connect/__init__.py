"""Connects school apps to student information systems: rosters synchronised safely, one small plugin per SIS.

Importing this package is cheap: each name below is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sis_connect.capabilities import Capabilities
    from sis_connect.connection import connect
    from sis_connect.errors import EventsExpired, SISError
    from sis_connect.events import RosterEvent
    from sis_connect.provider import BaseSISProvider, ProviderInfo
    from sis_connect.records import (
        Course,
        Enrollment,
        Guardian,
        Record,
        School,
        SchoolEnrollment,
        Section,
        Staff,
        Student,
        Term,
    )
    from sis_connect.rest_provider import RestProvider
    from sis_connect.service import SISService
    from sis_connect.settings import SISConfigManager, SISProviderConfig

    __version__: str

__all__ = [
    "BaseSISProvider",
    "Capabilities",
    "Course",
    "Enrollment",
    "EventsExpired",
    "Guardian",
    "ProviderInfo",
    "Record",
    "RestProvider",
    "RosterEvent",
    "SISConfigManager",
    "SISError",
    "SISProviderConfig",
    "SISService",
    "School",
    "SchoolEnrollment",
    "Section",
    "Staff",
    "Student",
    "Term",
    "__version__",
    "connect",
]

_RECORDS = ("Course", "Enrollment", "Guardian", "Record", "School", "SchoolEnrollment", "Section", "Staff", "Student", "Term")
_HOMES = {
    "BaseSISProvider": "provider",
    "Capabilities": "capabilities",
    "EventsExpired": "errors",
    "ProviderInfo": "provider",
    "RestProvider": "rest_provider",
    "RosterEvent": "events",
    "SISConfigManager": "settings",
    "SISError": "errors",
    "SISProviderConfig": "settings",
    "SISService": "service",
    "connect": "connection",
    **dict.fromkeys(_RECORDS, "records"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("sis-connect")
    elif name in _HOMES:
        value = getattr(import_module(f"sis_connect.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module 'sis_connect' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
