"""For tests, demos and plugin authors: a synthetic district, the kit that sandboxes are built with, and the conformance suites.

Names are loaded when they are used; none of them needs the library that runs the tests.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sis_connect.testing.provider_suite import ProviderSuite
    from sis_connect.testing.suite.report import SuiteReport
    from sis_connect.testing.suite.running import check_provider
    from sis_connect.testing.target_suite import TargetSuite, check_target

__all__ = ["ProviderSuite", "SuiteReport", "TargetSuite", "check_provider", "check_target"]

_HOMES = {
    "ProviderSuite": "provider_suite",
    "SuiteReport": "suite.report",
    "TargetSuite": "target_suite",
    "check_provider": "suite.running",
    "check_target": "target_suite",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
