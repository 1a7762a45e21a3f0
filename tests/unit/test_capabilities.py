"""Capabilities are data: frozen, and "no" unless a provider says yes."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import pytest

from sis_connect.capabilities import KINDS, NOTHING, Capabilities, KindCapabilities


def test_a_kind_that_is_not_named_is_not_offered() -> None:
    nothing = Capabilities()
    assert nothing.offered() == ()
    assert nothing.of("students") is NOTHING
    assert not nothing.of("students").offered


def test_everything_a_provider_does_not_claim_is_no() -> None:
    claims = dataclasses.asdict(KindCapabilities())
    assert claims.pop("leaving") == "status"
    assert claims.pop("delta") == "none"
    assert not any(claims.values())


def test_offered_kinds_come_in_order_of_dependency() -> None:
    some = Capabilities({"enrollments": KindCapabilities(offered=True), "schools": KindCapabilities(offered=True)})
    assert some.offered() == ("schools", "enrollments")


def test_nobody_changes_capabilities_afterwards() -> None:
    kinds = {"students": KindCapabilities(offered=True)}
    declared = Capabilities(cast(Any, kinds))
    kinds["staff"] = KindCapabilities(offered=True)
    assert declared.offered() == ("students",)
    with pytest.raises(TypeError):
        cast(Any, declared.kinds)["staff"] = NOTHING
    with pytest.raises(dataclasses.FrozenInstanceError):
        cast(Any, declared.of("students")).offered = False


def test_there_are_nine_kinds() -> None:
    assert len(KINDS) == len(set(KINDS)) == 9
