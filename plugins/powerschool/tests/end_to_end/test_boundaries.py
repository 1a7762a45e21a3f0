"""Secrets and tokens go nowhere else (P8)."""

from __future__ import annotations

from office import Office
from sis_connect.testing.sandbox import RunningSandbox

PLACES = ["/oauth/access_token", "/ws/v1/metadata", "/ws/v1/district/school", "/ws/v1/district/student", ""]


async def test_p8_a_token_url_at_another_origin_gets_the_secret_and_never_the_token(
    office: Office, sandbox: RunningSandbox
) -> None:
    elsewhere = sandbox.token_url.replace("127.0.0.1", "localhost")
    await office.connect(token_url=elsewhere)
    assert (await office.sync(kinds=["schools"])).status == "succeeded"
    assert sandbox.leaks == []
