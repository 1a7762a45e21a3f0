"""Promise P7, second line of defence: what may be shown of what has to be shown."""

from __future__ import annotations

import logging
import sys

import pytest
import structlog

from sis_connect.transport.redact import (
    HIDDEN,
    RedactingFormatter,
    path_template,
    redact_event,
    redact_text,
    safe_headers,
    safe_settings,
    safe_url,
)


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/ws/v1/metadata", "/ws/v1/metadata"),
        ("/ws/v1/school/42/student", "/ws/v1/school/{}/student"),
        ("/ims/oneroster/v1p2/schools/a1b2/classes", "/ims/oneroster/v1p2/schools/{}/classes"),
        ("/students/riley.stone", "/students/{}"),
        ("/students/riley@example.org?name=Riley", "/students/{}"),
        ("/x/3fa85f64-5717-4562-b3fc-2c963f66afa6", "/x/{}"),
        ("https://sis.example.org/ws/time-zones", "/ws/time-zones"),
    ],
)
def test_p7_of_a_path_only_what_belongs_to_the_interface_is_shown(path: str, template: str) -> None:
    assert path_template(path) == template


def test_p7_a_url_is_shown_without_credentials_ids_and_query() -> None:
    url = "https://user:pass@sis.example.org:8443/ws/v1/student/42?q=name==Stone#x"
    assert safe_url(url) == "https://sis.example.org:8443/ws/v1/student/{}"
    assert safe_url("https://[broken") == HIDDEN


def test_p7_headers_that_may_hold_secrets_are_hidden() -> None:
    shown = safe_headers(
        {"Authorization": "Bearer abcdef", "Content-Type": "application/json", "X-Api-Key": "k", "Set-Cookie": "s"}
    )
    assert shown == {"Authorization": HIDDEN, "Content-Type": "application/json", "X-Api-Key": HIDDEN, "Set-Cookie": HIDDEN}


def test_p7_settings_hide_secrets_at_any_depth() -> None:
    settings = {
        "base_url": "https://sis.example.org",
        "token_url": "https://sis.example.org/oauth",
        "client_secret": "hush",
        "options": {"api_key": "hush", "version": "25", "hosts": ["a", "b"]},
        "password": None,
    }
    assert safe_settings(settings) == {
        "base_url": "https://sis.example.org",
        "token_url": "https://sis.example.org/oauth",
        "client_secret": HIDDEN,
        "options": {"api_key": HIDDEN, "version": "25", "hosts": ["a", "b"]},
        "password": None,
    }


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer hush-hush-123",
        "authorization: basic aHVzaC1odXNo",
        "access_token=hush-hush-123&x=1",
        '{"access_token": "hush-hush-123", "x": 1}',
        "{'client_secret': 'hush-hush-123'}",
        "GET https://sis.example.org/ws/v1/student?name=hush-hush-123 -> 200",
        "mail to hush-hush-123@students.example.org now",
        "password: hush-hush-123",
    ],
)
def test_p7_text_is_cleared_of_secrets_and_addresses(text: str) -> None:
    cleared = redact_text(text)
    assert "hush" not in cleared.lower()
    assert "aHVzaC1odXNo" not in cleared
    assert HIDDEN in cleared


def test_harmless_text_stays_as_it_is() -> None:
    text = "sis.example.org failed to answer (status 503). See https://docs.example.org/errors for basic help."
    assert redact_text(text) == text


def test_p7_log_events_are_redacted_after_their_traceback_was_formatted() -> None:
    try:
        raise ValueError("Bearer hush-hush-123")
    except ValueError:
        event = {
            "event": "failed",
            "token": "hush",
            "tokens": 3,
            "detail": {"email": "x@example.org"},
            "exc_info": sys.exc_info(),
        }
    event = dict(structlog.processors.format_exc_info(None, "error", event))
    shown = str(redact_event(None, "error", event))
    assert "hush" not in shown
    assert "x@example.org" not in shown
    assert "'tokens': 3" in shown


def test_p7_the_standard_librarys_logs_are_redacted_tracebacks_included() -> None:
    try:
        raise ValueError("client_secret=hush-hush-123")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "for %s", ("amy@example.org",), sys.exc_info())
    shown = RedactingFormatter("%(message)s").format(record)
    assert "hush" not in shown
    assert "amy@" not in shown
