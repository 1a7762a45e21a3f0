"""A delivery is read in the form of the SIS, or else in the one that anybody may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from sis_connect.provider import Hint
from sis_connect.web.payload import hints_in

OWN = f"{__name__}:in_a_form_of_its_own"
GENERAL = b'{"kind": "students", "id": "7"}'


def in_a_form_of_its_own(headers: Mapping[str, str], body: bytes) -> Sequence[Hint]:
    if b"pupil-number" in body:
        return [Hint("students", "sis_id", "4")]
    if b"<" in body:
        raise ValueError("no JSON")
    return []


@pytest.mark.parametrize(
    ("form", "body", "found"),
    [
        (OWN, b'{"pupil-number": 4, "kind": "students", "id": "7"}', [Hint("students", "sis_id", "4")]),
        (OWN, GENERAL, [Hint("students", "sis_id", "7")]),
        (None, GENERAL, [Hint("students", "sis_id", "7")]),
        (OWN, b'{"weather": "fine"}', []),
    ],
)
def test_the_form_of_the_sis_goes_first_and_anybody_may_use_ours(form: str | None, body: bytes, found: list[Hint]) -> None:
    assert list(hints_in({}, body, form=form)) == found


def test_what_the_sis_cannot_have_sent_is_unreadable() -> None:
    with pytest.raises(ValueError, match="no JSON"):
        hints_in({}, b"<pupil/>", form=OWN)
