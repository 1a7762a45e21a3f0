"""The hostile plugin's provider in one of its moods, and its neighbour: their settings, and how it is opened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sis_connect.connection import OpenProvider, open_provider
from sis_connect.provider import ProviderInfo
from sis_connect.settings import SISProviderConfig


def config(mood: str, provider: str = "moody", **settings: Any) -> SISProviderConfig:
    options = {"mood": mood} if provider == "moody" else {}
    return SISProviderConfig(provider=provider, base_url=f"file:///srv/{provider}", options=options, **settings)


@asynccontextmanager
async def opened(info: ProviderInfo, mood: str) -> AsyncIterator[OpenProvider]:
    async with open_provider(info, config(mood)) as it:
        yield it
