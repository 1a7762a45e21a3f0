"""Secrets and tokens go nowhere else (P8)."""

from __future__ import annotations

import pytest

from office import STUDENTS_ONLY, Office
from sis_connect.testing.sandbox import RunningSandbox

PLACES = ["/oauth/access_token", "/ws/v1/metadata", "/ws/v1/district/school", "/ws/v1/district/student", ""]


@pytest.mark.parametrize("path", PLACES)
async def test_p8_no_redirect_is_followed_with_credentials(office: Office, path: str) -> None:
    await office.connect(max_attempts=1)
    office.sandbox.fault("redirect", path=path)
    report = await office.sync(kinds=STUDENTS_ONLY)
    assert report.status in ("failed", "incomplete")
    assert office.sandbox.leaks == []


async def test_p8_a_next_link_to_another_origin_is_not_followed(synced: Office) -> None:
    before = await synced.content()
    synced.sandbox.fault("next_elsewhere")
    await synced.sync(kinds=STUDENTS_ONLY)
    assert synced.sandbox.leaks == []
    assert await synced.content() == before


async def test_p8_a_token_url_at_another_origin_gets_the_secret_and_never_the_token(
    office: Office, sandbox: RunningSandbox
) -> None:
    elsewhere = sandbox.token_url.replace("127.0.0.1", "localhost")
    await office.connect(token_url=elsewhere)
    assert (await office.sync(kinds=["schools"])).status == "succeeded"
    assert sandbox.leaks == []
