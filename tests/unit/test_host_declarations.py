"""What an app declares of its models: mistakes are told where they are made."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import sessionmaker

from host_app import User, first_address, people, seats
from sis_connect.capabilities import Kind
from sis_connect.errors import ConfigurationError
from sis_connect.targets import Field, Model, SQLAlchemyTarget, UserName


def declare(kind: Any = "students", /, also: dict[Kind, Model] | None = None, **changes: Any) -> SQLAlchemyTarget:
    told: dict[str, Any] = {"key": "sis_id", "fields": {"given_name": "first_name"}}
    return SQLAlchemyTarget(sessionmaker(), {kind: Model(User, **{**told, **changes}), **(also or {})})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"key": "nothing"}, "User has no column 'nothing'"),
        ({"fields": {"given_name": "nothing"}}, "User has no column 'nothing'"),
        ({"where": {"nothing": 1}}, "User has no column 'nothing'"),
        ({"user_name": UserName("nothing", str)}, "User has no column 'nothing'"),
        ({"defaults": {"nothing": 1}}, "User has no attribute 'nothing'"),
        ({"fields": {"shoe_size": "number"}}, "Records of students have no field 'shoe_size'"),
        ({"fields": {"ids": "number"}}, "Records of students have no field 'ids'"),
        ({"fields": {"sis_id": "number"}}, "Records of students have no field 'sis_id'"),
        ({"fields": {"emails": "email"}}, "emails is a list, and User.email holds none"),
        ({"fields": {"given_name": Field("number", refers=True)}}, "given_name of students is no single reference"),
        ({"fields": {"school": Field("number", refers=True)}}, "school of students refers to rows that are not in the app"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as raised:
        declare(**changes)
    assert raised.value.remedy


def test_a_kind_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="There is no kind 'pupils'"):
        declare("pupils")


def test_what_can_work_is_taken() -> None:
    assert not declare(fields={"emails": Field("email", write=first_address)}).tells_apart
    assert declare(integration="plan").tells_apart
    target = SQLAlchemyTarget(sessionmaker(), {"students": people("student"), "enrollments": seats()}).bind(1, "lincoln")
    assert [kind for kind in ("students", "enrollments", "schools") if target.keeps(kind)] == ["students", "enrollments"]
    assert target.fields("enrollments") == {"user", "section", "role", "status"}
