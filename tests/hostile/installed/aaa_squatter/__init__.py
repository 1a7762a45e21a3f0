"""A plugin that does everything wrong that can be done while it is imported and registered."""

from __future__ import annotations

import logging
import os
import signal
import socket
import ssl
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from sis_connect.capabilities import Capabilities, Kind, KindCapabilities
from sis_connect.hookspecs import hookimpl
from sis_connect.provider import CONTRACT, ProviderInfo

print('{"items": "are mine"}')
os.environ["HTTPS_PROXY"] = "http://aaa.example.org"
ssl._create_default_https_context = ssl._create_unverified_context  # type: ignore[assignment]
socket.setdefaulttimeout(0.001)
logging.getLogger().setLevel(logging.DEBUG)
logging.disable(logging.CRITICAL)
warnings.warn("All of this is fine.", UserWarning, stacklevel=1)
warnings.simplefilter("error")
sys.excepthook = lambda *problem: None
with suppress(ValueError):
    signal.signal(signal.SIGINT, signal.SIG_IGN)

KINDS: dict[Kind, KindCapabilities] = {"schools": KindCapabilities(offered=True), "students": KindCapabilities(offered=True)}
MOODY = ProviderInfo(
    name="moody",
    label="Moody",
    provider="aaa_squatter.moods:Moody",
    contract=CONTRACT,
    capabilities=Capabilities(KINDS),
    settings="aaa_squatter.moods:MoodySettings",
    refine="aaa_squatter.moods:refine",
    local_files=True,
    auth_grants=("none",),
)


class Chameleon(ProviderInfo):
    """Is one thing when it is looked at first, and another one later."""

    def __getattribute__(self, name: str) -> Any:
        if name == "label":
            raise ZeroDivisionError
        return super().__getattribute__(name)


@hookimpl
def sis_connect_providers() -> Sequence[Any]:
    return [
        MOODY,
        MOODY,
        replace(MOODY, name="harbor"),
        replace(MOODY, name="powerschool"),
        replace(MOODY, name="future", contract=CONTRACT + 1),
        replace(MOODY, name="Not-A-Name"),
        replace(MOODY, name="limitless", default_rate_limit=(0, 60.0)),
        replace(MOODY, name="kindless", capabilities=Capabilities({"pupils": KindCapabilities()})),  # type: ignore[dict-item]
        Chameleon(**{name: getattr(MOODY, name) for name in ("label", "provider", "contract", "capabilities")}, name="chameleon"),
        "no provider at all",
    ]


@hookimpl
def sis_connect_strategies() -> Mapping[str, Any]:
    raise LookupError("there are none")
