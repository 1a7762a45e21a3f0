"""A loop that stands still is noticed, and whose code it is."""

from __future__ import annotations

import asyncio
import sys
import time

from sis_connect.hosting.watchdog import Watchdog, culprit


def here() -> dict[str, str]:
    """This module, as if it were a plugin's."""
    return {__name__.partition(".")[0]: "sis-connect-sleepy"}


async def test_p12_whoever_keeps_the_loop_is_named_with_the_function_and_for_how_long() -> None:
    with Watchdog(here(), patience=0.1) as watchdog:
        time.sleep(0.4)  # noqa: ASYNC251 - what this is about
        await asyncio.sleep(0)
        (warning,) = watchdog.warnings()
        assert watchdog.warnings() == []
    assert (warning["distribution"], warning["function"].rpartition(":")[2]) == (
        "sis-connect-sleepy",
        "test_p12_whoever_keeps_the_loop_is_named_with_the_function_and_for_how_long",
    )
    assert warning["seconds"] >= 0.4


async def test_waiting_keeps_nobody() -> None:
    with Watchdog(here(), patience=0.2) as watchdog:
        await asyncio.sleep(0.5)
    assert watchdog.found == []


async def test_what_is_no_plugins_is_not_blamed_on_one() -> None:
    with Watchdog({"sis_connect_sleepy": "sis-connect-sleepy"}, patience=0.1) as watchdog:
        time.sleep(0.4)  # noqa: ASYNC251 - what this is about
    assert watchdog.found == []


def test_the_innermost_plugin_on_the_stack_is_the_one() -> None:
    assert culprit(sys._getframe(), here()) == (
        "sis-connect-sleepy",
        f"{__name__}:test_the_innermost_plugin_on_the_stack_is_the_one",
    )
    assert culprit(None, here()) is None
