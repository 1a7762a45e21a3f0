"""Errors are sorted by what the reader can do, and are safe to show."""

from __future__ import annotations

import inspect
import re
from typing import get_args

import pytest

from sis_connect import errors
from sis_connect.errors import Category, CircuitOpen, DataValidationError, MissingExtra, RateLimited, Severity, SISError

CLASSES = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, SISError) and error.__module__ == errors.__name__
]


def made(error: type[SISError]) -> SISError:
    """One error of that class, with what it demands."""
    if error is MissingExtra:
        return MissingExtra("The export", "arrow")
    if error is CircuitOpen:
        return CircuitOpen("It rests.", retry_after=5)
    return error("It went wrong.")


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_says_what_is_wrong_and_what_to_do(error: type[SISError]) -> None:
    it = made(error)
    assert it.category in get_args(Category)
    assert it.severity in get_args(Severity)
    assert str(it) == f"{it.message} {it.remedy}"
    assert it.remedy.endswith(".")
    assert it.as_dict() == {"category": it.category, "severity": it.severity, "message": it.message, "remedy": it.remedy}


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    drawn = re.findall(r"^([ │├└─]*)([A-Z]\w+)(?=\s|$)", inspect.getdoc(errors) or "", flags=re.MULTILINE)
    drawn = [(len(indent), name) for indent, name in drawn if "─" in indent or name == "SISError"]
    path: dict[int, str] = {}
    parents = {}
    for depth, name in drawn:
        path[depth] = name
        parents[name] = path[max(d for d in path if d < depth)] if name != "SISError" else "Exception"
        path = {d: n for d, n in path.items() if d <= depth}
    assert parents == {error.__name__: (error.__base__ or object).__name__ for error in CLASSES}


def test_an_error_can_be_more_or_less_severe_than_its_class() -> None:
    it = SISError("It went wrong.", severity="critical", retryable=True, remedy="Wait.")
    assert (it.severity, it.retryable, it.remedy) == ("critical", True, "Wait.")
    assert (SISError.severity, SISError.retryable) == ("high", False)


def test_where_it_happened_is_filled_in_once_by_whoever_knows_first() -> None:
    it = SISError("It went wrong.", operation="op-1")
    assert it.within(integration="lincoln", operation="op-2") is it
    assert (it.integration, it.operation, it.request_id) == ("lincoln", "op-1", None)


def test_a_missing_extra_names_the_command_that_installs_it() -> None:
    assert "pip install 'sis-connect[arrow]'" in str(MissingExtra("The export", "arrow"))


def test_waiting_times_are_kept_for_those_who_can_wait() -> None:
    assert CircuitOpen("It rests.", retry_after=5).retry_after == 5
    assert RateLimited("Slower.", retry_after=2.5).retry_after == 2.5
    assert RateLimited("Slower.").retry_after is None


def test_p7_an_invalid_value_is_named_by_its_field_only() -> None:
    it = DataValidationError("The birth date is no date.", fields=("birth_date",))
    assert it.fields == ("birth_date",)
    assert set(vars(it)) <= {"message", "remedy", "integration", "operation", "request_id", "fields", "severity", "retryable"}
