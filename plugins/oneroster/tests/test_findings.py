"""What an operator is told of what a server answered, or of what was asked of it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from sis_connect_oneroster import findings
from sis_connect_oneroster.mapping import SessionRow


def test_doctor_names_the_cap() -> None:
    assert findings.pages(1000, 100, 5000).facts == {"page_size": 100}
    assert findings.pages(1000, 100, 100).facts == {"page_size": 1000}


@pytest.mark.parametrize(
    ("session", "level"),
    [
        ({"type": "schoolYear", "start_date": "2026-08-01", "end_date": "2027-07-01", "school_year": "2027"}, "ok"),
        ({"type": "term", "start_date": "2026-08-01T00:00:00Z", "end_date": "2027-07-01", "school_year": 2027}, "ok"),
        ({"type": "schoolYear", "start_date": "2025-08-01", "end_date": "2026-07-01", "school_year": "2026"}, "warning"),
        ({"type": "schoolYear", "start_date": "someday", "end_date": "2027-07-01", "school_year": "2027"}, "warning"),
        ({"type": "schoolYear", "start_date": None, "end_date": None}, "warning"),
    ],
)
def test_doctor_looks_for_the_present_school_year(session: dict[str, Any], level: str) -> None:
    assert findings.school_year([SessionRow(**session)], date(2026, 11, 20)).level == level
