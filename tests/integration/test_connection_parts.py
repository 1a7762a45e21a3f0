"""Reading records that come in pieces: put together where they are, streamed where they are not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from sis_connect.capabilities import Capabilities, Kind, KindCapabilities
from sis_connect.connection import Connection
from sis_connect.errors import ConfigurationError, NetworkError
from sis_connect.provider import CONTRACT, Finding, Page, ProviderInfo, Reading, Scope, Since, Stream
from sis_connect.provider_settings import own_settings
from sis_connect.records import Guardian, Record, Student, part
from sis_connect.settings import SISProviderConfig


def student(sis_id: str, **fields: Any) -> Student:
    return Student(sis_id=sis_id, given_name="Ada", family_name="Vale", **fields)


class Fake:
    """Brings pages that a test sets: records, or an error. `handed_out` counts the pages that were asked for."""

    delivered: Sequence[Sequence[Record] | NetworkError] = ()
    handed_out = 0

    def __init__(self, info: ProviderInfo, config: SISProviderConfig, **_: Any) -> None:
        self.info = info
        Fake.handed_out = 0

    async def check(self) -> Sequence[Finding]:
        return []

    async def pages(
        self,
        kinds: Collection[Kind],
        *,
        scope: Scope,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncIterator[Page]:
        for number, page in enumerate(self.delivered):
            Fake.handed_out += 1
            error = page if isinstance(page, NetworkError) else None
            records = () if isinstance(page, NetworkError) else tuple(page)
            yield Page(
                endpoint="all",
                context=str(number),
                kinds=tuple(kinds),
                rows=[b"row"],
                read=lambda raw, records=records: Reading("key", records),  # type: ignore[misc]
                error=error,
            )


class Told(Fake):
    """Says which kinds it puts together from several lists."""

    def in_parts(self, kinds: Collection[Kind], *, scope: Scope) -> frozenset[Kind]:
        return frozenset(kinds) & {"guardians"}


INFO = ProviderInfo(
    name="pieces",
    label="Pieces",
    provider=f"{__name__}:Fake",
    contract=CONTRACT,
    capabilities=Capabilities({kind: KindCapabilities(offered=True) for kind in ("students", "guardians")}),
    auth_grants=("none",),
)


def connection(*pages: Sequence[Record] | NetworkError, provider: type[Fake] = Fake, **settings: Any) -> Connection:
    Fake.delivered = pages
    info = replace(INFO, provider=f"{__name__}:{provider.__name__}")
    return Connection(info, SISProviderConfig(provider="pieces", base_url="http://127.0.0.1:9", **settings))


BORN = part(Student, sis_id="s1", birth_date="2014-02-03", ids={"person": "9"}, status="inactive")


@pytest.mark.parametrize("order", [0, 1], ids=["the part first", "the record first"])
async def test_students_are_put_together_with_their_parts(order: int) -> None:
    pages: list[Sequence[Record]] = [[BORN, part(Student, sis_id="nobody", gender="F")], [student("s1"), student("s2")]]
    async with connection(*(reversed(pages) if order else pages), fields=("birth_date",)) as sis:
        first, second = [found async for found in sis.students()]
    assert (first.sis_id, str(first.birth_date), first.ids, first.status) == ("s1", "2014-02-03", {"person": "9"}, "active")
    assert (second.sis_id, second.birth_date) == ("s2", None)
    assert first.model_fields_set == {"sis_id", "given_name", "family_name", "birth_date", "ids"}


async def test_without_parts_students_come_as_they_are_read() -> None:
    for provider, settings in ((Fake, {}), (Told, {"fields": ("birth_date",)})):
        async with connection([student("s1")], [student("s2")], provider=provider, **settings) as sis:
            async for _ in sis.students():
                break
            assert Fake.handed_out == 1


async def test_a_part_that_nobody_asked_for_is_left_out() -> None:
    async with connection([BORN], [student("s1")]) as sis:
        assert [(found.sis_id, found.birth_date) async for found in sis.students()] == [("s1", None)]


async def test_where_the_sis_breaks_off_what_could_be_read_comes_first() -> None:
    async with connection([student("s1")], [BORN], NetworkError("It did not answer."), fields=("birth_date",)) as sis:
        reading = sis.students()
        found = await anext(reading)
        with pytest.raises(NetworkError):
            await anext(reading)
    assert str(found.birth_date) == "2014-02-03"


async def test_who_comes_twice_is_taken_as_he_came_first() -> None:
    async with connection([student("s1", grade="05")], [student("s1", grade="06")], fields=("birth_date",)) as sis:
        assert [found.grade async for found in sis.students()] == ["05"]


async def test_guardians_are_completed_too_and_need_no_setting() -> None:
    whole = Guardian(sis_id="g1", family_name="Roe", students=("s1",))
    pages = [whole], [part(Guardian, sis_id="g1", relationship="aunt", students=("s2",))]
    async with connection(*pages, provider=Told) as sis:
        (found,) = [found async for found in sis.guardians()]
    assert (found.relationship, found.students) == ("aunt", ("s1", "s2"))


def test_guardians_are_asked_for_by_name_where_they_are_offered() -> None:
    config = SISProviderConfig(provider="pieces", base_url="http://127.0.0.1:9", fields=("guardians",))
    assert own_settings(INFO, config) is None
    without = replace(INFO, capabilities=Capabilities({"students": KindCapabilities(offered=True)}))
    with pytest.raises(ConfigurationError, match="does not offer guardians"):
        own_settings(without, config)
