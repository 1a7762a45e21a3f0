"""A pupil's data and a secret reach no log, no report, no exception (P7), and what is not asked for is not kept."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator

import pytest

from office import Office
from sis_connect.errors import SISError
from sis_connect.testing.sandbox import RunningSandbox

#: Values so short or common that finding them means nothing.
SHORTEST = 6


def names_and_numbers(sandbox: RunningSandbox) -> set[str]:
    """What tells who a pupil is."""
    found = set()
    for student in sandbox.truth("students", fields=None):
        found |= {student["given_name"], student["family_name"], student["username"], *student["ids"].values()}
        found |= {f"{student['given_name']} {student['family_name']}"}
        found |= {email["address"] for email in student.get("emails", ())}
    return {value for value in found if value and len(value) >= SHORTEST}


def not_asked_for(sandbox: RunningSandbox) -> set[str]:
    """What an integration without on-request fields has no business to keep."""
    found = set()
    for student in sandbox.truth("students", fields=None):
        found |= {student["birth_date"], *(email["address"] for email in student["emails"])}
        found |= {phone["number"] for phone in student["phones"]}
        found |= {address[part] for address in student["addresses"] for part in ("street", "postal_code") if address.get(part)}
        for contact in student["contacts"]:
            found |= {one["number"] for one in contact.get("phones", ())} | {one["address"] for one in contact.get("emails", ())}
    return {value for value in found if len(value) >= SHORTEST}


def tokens(sandbox: RunningSandbox) -> set[str]:
    """The secret, and the token of now."""
    vendor = sandbox._app.sandbox
    return {sandbox.client_secret, str(getattr(vendor, "_token"))}  # noqa: B009 - the vendor's own affair, not an API


def contained(values: set[str], text: str) -> list[str]:
    """Those of the values that stand in the text as words of their own."""
    return [value for value in values if value in text and re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text)]


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


async def story(office: Office) -> tuple[list[str], list[BaseException]]:
    """What can happen in a life, with everything that goes wrong. Returns what was reported, and the errors."""
    sandbox = office.sandbox
    told: list[str] = []
    errors: list[BaseException] = []
    steps: dict[str, Callable[[], object]] = {
        "bad rows": lambda: sandbox.set(invalid="0.1"),
        "a cut page": lambda: sandbox.fault("truncate", path="/ws/v1/district/student?*page=7*"),
        "a web page": lambda: sandbox.fault("html", path="/ws/v1/district/student"),
        "an error": lambda: sandbox.fault("status", "500", path="/ws/v1/district/student"),
        "a dead token": lambda: sandbox.fault("token_expiry", count=1),
        "no access": lambda: sandbox.set(access="NONE"),
        "a quiet day": lambda: sandbox.set(access="FULL"),
    }
    for day, spoil in enumerate(steps.values(), start=34):
        sandbox.set_day(day)
        spoil()
        report = await office.sync(kinds=["schools", "students", "school_enrollments"])
        told += [json.dumps(report.as_dict()), repr(report)]
        errors += [report.error] if report.error else []
        sandbox.clear_faults()
        sandbox.set(invalid="0")
    async with office.open() as service:
        plan = await service.plan("lincoln", full=True)
        told += [repr(plan), json.dumps(plan.as_dict())]
        told += [repr(row) async for row in service.plan_rows(plan.id)]
        told += [repr(thing) for thing in (*await service.operations(), *await service.holds(), *await service.health())]
        told += [json.dumps([thing.as_dict() for thing in await service.operations()])]
        told += [repr(service), repr(await service.integrations()), repr(await service.doctor("lincoln"))]
        told += [repr(await service.sync("lincoln", school="No Such/School"))]
        with pytest.raises(SISError) as caught:
            await service.sync("nowhere")
        errors.append(caught.value)
    return told, errors


def chain(error: BaseException | None) -> Iterator[str]:
    """An error and what it was raised from, in all their forms."""
    while error is not None:
        yield f"{error!s} {error!r} {error.args!r} {vars(error)!r}"
        error = error.__cause__


async def test_p7_no_pupil_and_no_secret_is_in_any_log_report_or_error(
    synced: Office, everything_logged: pytest.LogCaptureFixture
) -> None:
    secrets = tokens(synced.sandbox)
    people = names_and_numbers(synced.sandbox)
    told, errors = await story(synced)
    secrets |= tokens(synced.sandbox)
    people |= names_and_numbers(synced.sandbox)
    assert len(errors) >= 2
    assert contained(secrets, everything_logged.text) == []
    assert contained(people, everything_logged.text) == []
    for text in (*told, *(line for error in errors for line in chain(error))):
        assert contained(secrets | people, text) == []


async def test_p7_the_database_keeps_no_secret_in_the_clear_and_nothing_that_was_not_asked_for(synced: Office) -> None:
    sandbox = synced.sandbox
    people, unwanted, secrets = names_and_numbers(sandbox), not_asked_for(sandbox), tokens(sandbox)
    await story(synced)
    people, unwanted, secrets = people | names_and_numbers(sandbox), unwanted | not_asked_for(sandbox), secrets | tokens(sandbox)
    stored = synced.stored_bytes().decode("utf-8", "replace")
    key = (synced.database.parent / "sis-connect.key").read_text(encoding="ascii").strip()
    assert contained(secrets | unwanted | {key}, stored) == []
    assert sum(value in stored for value in people) > len(people) / 2
    for table in ("sis_audit", "sis_call_statistic", "sis_hold", "sis_sync_operation"):
        assert contained(people, repr(synced.query(f"SELECT * FROM {table}"))) == [], table
    assert contained(people, repr(synced.query("SELECT kind, fields, reason FROM sis_quarantine"))) == []
