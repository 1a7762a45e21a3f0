"""connect(): from settings to records over a real socket, and what happens when the SIS, or a setting, is not as it should be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from manual_clock import ManualClock
from sis_connect.capabilities import Kind
from sis_connect.connection import Connection, Invalid, connect, limiter_for, open_provider
from sis_connect.discovery import discover
from sis_connect.errors import AuthenticationError, ConfigurationError, NetworkError, NotOffered, SISError, UnexpectedResponse
from sis_connect.oauth.wiring import token_source
from sis_connect.pieces import combined
from sis_connect.provider import Scope
from sis_connect.records import RECORDS, Record, Ref, Staff
from sis_connect.settings import SISProviderConfig
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox
from sis_connect.transport.rate_limit import Limiter

PROVIDER = "powerschool"
INFO = discover().info(PROVIDER)
ON_REQUEST = "birth_date,gender,emails,phones,addresses,contacts,demographics"
KINDS: tuple[Kind, ...] = (
    "schools",
    "terms",
    "courses",
    "sections",
    "staff",
    "students",
    "school_enrollments",
    "enrollments",
)
#: Rosters that name a student whom nobody lists: they come, and wait for their student.
ORPHANS = 3


@asynccontextmanager
async def connected(sandbox: RunningSandbox, **settings: Any) -> AsyncIterator[Connection]:
    values: dict[str, Any] = {"base_url": sandbox.base_url, "rate_limit": "off", "max_attempts": 1, "concurrency": 8}
    values |= {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
    async with connect(PROVIDER, **(values | settings)) as sis:
        yield sis


async def everything(sis: Connection, kind: Kind) -> dict[str, Record]:
    """All records of a kind by id. A teacher who is named by a post is named by person here, as an engine would."""
    persons: dict[str, str] = {}
    if kind == "enrollments":
        async for person in sis.staff():
            posts = person.ids["school_staff"]
            persons |= dict.fromkeys((posts,) if isinstance(posts, str) else posts, person.sis_id)
    found = {}
    async for record in getattr(sis, kind)():
        user = getattr(record, "user", None)
        found[record.sis_id] = record.model_copy(update={"user": persons[user.value]}) if isinstance(user, Ref) else record
    return found


async def until_it_breaks(records: AsyncIterator[Record]) -> tuple[list[Record], SISError | None]:
    found: list[Record] = []
    try:
        async for record in records:
            found.append(record)
    except SISError as error:
        return found, error
    return found, None


@pytest.mark.parametrize("day", [0, 45, 290])
async def test_what_comes_is_what_there_is(day: int) -> None:
    with running_sandbox(INFO, students=150, day=day, settings={"graduated_school": "listed"}) as sandbox:
        async with connected(sandbox, fields=ON_REQUEST, preferred_name="u_students_extension.preferredname") as sis:
            for kind in KINDS:
                found = await everything(sis, kind)
                truth = {record["sis_id"]: record for record in sandbox.truth(kind, fields=None)}
                assert set(truth) <= set(found), kind
                assert len(found) - len(truth) == (ORPHANS if kind == "enrollments" else 0), kind
                for sis_id, values in truth.items():
                    record = RECORDS[kind].model_validate({name: value for name, value in values.items() if name != "key"})
                    for name in record.model_fields_set:
                        assert getattr(found[sis_id], name) == getattr(record, name), (kind, sis_id, name)
            assert not sis.invalid


async def test_a_configuration_object_can_be_given_and_settings_come_over_it() -> None:
    with running_sandbox(INFO, students=30) as sandbox:
        config = SISProviderConfig(
            provider=PROVIDER, base_url=sandbox.base_url, client_id=sandbox.client_id, client_secret=SecretStr("wrong")
        )
        async with connect(PROVIDER, config, client_secret=sandbox.client_secret, rate_limit="off") as sis:
            assert len([school async for school in sis.schools()]) > 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"base_url": "sis.example.org"}, "must be a full address such as https"),
        ({"base_url": "http://sis.example.org"}, "must start with https"),
        ({"base_url": "https://sis.example.org/admin"}, "has no path"),
        ({"base_url": "https://sis.example.org", "page_size": 0}, "page_size"),
        ({"base_url": "https://sis.example.org", "no_such_setting": "x"}, "no_such_setting"),
        ({"base_url": "https://sis.example.org", "fields": "birthdate"}, "no field 'birthdate'"),
    ],
)
def test_settings_that_are_wrong_are_named_with_the_remedy(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        connect(PROVIDER, client_id="id", client_secret="hush-hush", **settings)
    assert words in str(caught.value)
    assert "hush-hush" not in str(caught.value)


async def test_credentials_that_are_missing_are_asked_for() -> None:
    with pytest.raises(ConfigurationError, match="needs a client id and a client secret"):
        async with connect(PROVIDER, base_url="https://sis.example.org"):
            pass


def test_an_unknown_provider_is_named_with_those_installed() -> None:
    with pytest.raises(ConfigurationError, match="no provider 'no_such_sis'"):
        connect("no_such_sis", base_url="https://sis.example.org")


async def test_p9_a_kind_that_is_not_offered_is_an_error_and_not_an_empty_list() -> None:
    async with connect(PROVIDER, base_url="https://sis.example.org", client_id="id", client_secret="secret") as sis:
        with pytest.raises(NotOffered, match="guardians"):
            sis.guardians()
        with pytest.raises(NotOffered, match="guardians"):
            sis.pages({"students", "guardians"})


async def test_p2_invalid_rows_are_left_out_counted_and_told_without_values() -> None:
    with running_sandbox(INFO, students=80, settings={"invalid": "0.5"}) as sandbox:
        async with connected(sandbox) as sis:
            valid = [student async for student in sis.students()]
            (sort,) = sis.invalid
        assert len(valid) == len(sandbox.truth("students"))
    assert sort == Invalid("students", ("family_name",), "family_name: Input should be a valid string")
    assert sis.invalid.by_kind == {"students": sis.invalid[sort]}
    assert sis.invalid[sort] > 20


async def test_p1_what_came_before_a_stream_broke_is_handed_over_and_then_the_error() -> None:
    with running_sandbox(INFO, students=80, settings={"page_size": "10"}) as sandbox:
        sandbox.fault("truncate", path="/ws/v1/district/student?*page=6*")
        async with connected(sandbox) as sis:
            students, error = await until_it_breaks(sis.students())
    assert len(students) == 50
    assert isinstance(error, UnexpectedResponse)


async def test_p1_kinds_that_come_in_pieces_are_handed_over_before_the_error_too() -> None:
    with running_sandbox(INFO, students=80) as sandbox:
        async with connected(sandbox) as sis:
            school = await anext(sis.schools())
            sandbox.fault("status", 500, path=f"/ws/v1/school/{school.sis_id}/staff")
            staff, error = await until_it_breaks(sis.staff())
        assert 0 < len(staff) < len(sandbox.truth("staff"))
    assert isinstance(error, NetworkError)


async def test_p1_fewer_rows_than_the_sis_counts_are_an_error() -> None:
    with running_sandbox(INFO, students=30) as sandbox:
        sandbox.fault("wrong_total", 5, path="/ws/v1/district/student")
        async with connected(sandbox) as sis:
            with pytest.raises(UnexpectedResponse, match="counts"):
                [student async for student in sis.students()]


async def test_p8_a_redirect_is_not_followed() -> None:
    with running_sandbox(INFO, students=30) as sandbox:
        sandbox.fault("redirect")
        async with connected(sandbox) as sis:
            with pytest.raises(UnexpectedResponse, match="redirects are not followed"):
                [school async for school in sis.schools()]
        assert sandbox.leaks == []


async def test_p9_a_wrong_secret_ends_the_read() -> None:
    with running_sandbox(INFO, students=30) as sandbox:
        async with connected(sandbox, client_secret="wrong") as sis:
            with pytest.raises(AuthenticationError):
                [section async for section in sis.sections()]
        assert sandbox.stats()["requests"] < 20


async def test_a_loop_that_is_left_early_is_cleaned_up_with_the_connection() -> None:
    with running_sandbox(INFO, students=200) as sandbox:
        before = asyncio.all_tasks()
        async with connected(sandbox) as sis:
            async for _ in sis.enrollments():
                break
            async for _ in sis.pages({"students"}):
                break
        assert asyncio.all_tasks() == before


async def test_a_connection_is_used_while_it_is_open() -> None:
    sis = connect(PROVIDER, base_url="https://sis.example.org", client_id="id", client_secret="secret")
    assert repr(sis) == "<Connection: powerschool, closed>"
    with pytest.raises(ConfigurationError, match="not open"):
        [school async for school in sis.schools()]
    async with sis:
        with pytest.raises(ConfigurationError, match="open already"):
            await sis.__aenter__()
    with pytest.raises(ConfigurationError, match="not open"):
        await sis.check()


async def test_several_kinds_can_be_read_at_once_on_one_connection() -> None:
    with running_sandbox(INFO, students=60) as sandbox:
        async with connected(sandbox) as sis:

            async def count(kind: str) -> int:
                return len([record async for record in getattr(sis, kind)()])

            counts = await asyncio.gather(*(count(kind) for kind in ("students", "sections", "staff")))
    assert all(counts)


async def test_a_scope_narrows_what_is_read() -> None:
    with running_sandbox(INFO, students=60) as sandbox:
        async with connected(sandbox) as sis:
            school = await anext(sis.schools())
            sections = [section async for section in sis.sections(scope=Scope(schools=frozenset({school.sis_id})))]
    assert {section.school for section in sections} <= {school.sis_id}


def test_one_person_of_two_posts_keeps_both() -> None:
    first = Staff(
        sis_id="63", ids={"school_staff": "65"}, given_name="Max", family_name="Reed", schools=("3",), status="inactive"
    )
    second = Staff(sis_id="63", ids={"school_staff": "61"}, given_name="Max", family_name="Reed", schools=("2",), role="teacher")
    both = combined(first, second)
    assert both.ids == {"school_staff": ("61", "65")}
    assert (both.schools, both.status, both.role) == (("2", "3"), "active", "teacher")
    assert combined(both, second) == both


async def test_what_is_handed_in_is_used_and_not_closed() -> None:
    with running_sandbox(INFO, students=30) as sandbox:
        config = SISProviderConfig(
            provider=PROVIDER,
            base_url=sandbox.base_url,
            client_id=sandbox.client_id,
            client_secret=SecretStr(sandbox.client_secret),
        )
        calls: list[str] = []
        limiter, clock = Limiter(None), ManualClock()
        tokens = token_source(INFO, config, limiter=limiter, clock=clock)
        for _ in range(2):
            async with open_provider(
                INFO, config, limiter=limiter, tokens=tokens, clock=clock, on_call=lambda call: calls.append(call.template)
            ) as opened:
                async for _page in opened.provider.pages({"schools"}, scope=Scope()):
                    pass
        assert sandbox.stats()["by_path"]["/oauth/access_token"] == 1
    assert calls.count("/ws/v1/district/school") == 2


@pytest.mark.parametrize(("setting", "limit"), [("off", None), ("7/2", 7), (None, 60)])
def test_p11_the_rate_limit_is_the_setting_else_the_providers_own(setting: str | None, limit: int | None) -> None:
    config = SISProviderConfig.model_validate(
        {"provider": PROVIDER, "base_url": "https://sis.example.org", "rate_limit": setting}
    )
    assert limiter_for(INFO, config, clock=ManualClock()).limit == limit
