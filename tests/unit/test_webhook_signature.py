"""Who may send word of changes: signatures as Standard Webhooks wants them, and nothing that only looks like one."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sis_connect.errors import ConfigurationError
from sis_connect.settings import validated
from sis_connect.web.signature import TOLERANCE, knows, signature, signed_id

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
NOW = 1_795_000_000
BODY = b'{"type":"student.updated","data":{"id":"4711"}}'


def headers(*secrets: str, sent: int = NOW, message: str = "msg_1", body: bytes = BODY) -> dict[str, str]:
    signatures = " ".join(signature(secret, message, sent, body) for secret in secrets)
    return {"webhook-id": message, "webhook-timestamp": str(sent), "webhook-signature": signatures}


def test_the_signature_of_a_published_example_is_understood() -> None:
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    sent = {"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330"}
    sent["webhook-signature"] = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signed_id([secret], sent, body, 1614265330.0) == "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_a_message_is_known_by_its_id_once_it_is_signed_with_our_secret() -> None:
    assert signed_id([SECRET], headers(SECRET), BODY, NOW) == "msg_1"
    assert signed_id([OTHER], headers(SECRET), BODY, NOW) is None


def test_one_of_several_signatures_is_enough_while_a_secret_is_changed_on_either_side() -> None:
    assert signed_id([SECRET], headers(OTHER, SECRET), BODY, NOW) == "msg_1"
    assert signed_id([OTHER, SECRET], headers(SECRET), BODY, NOW) == "msg_1"
    strange = {**headers(SECRET), "webhook-signature": "v1a,AAAA v1,%%% v2 " + headers(SECRET)["webhook-signature"]}
    assert signed_id([SECRET], strange, BODY, NOW) == "msg_1"


@pytest.mark.parametrize("late", [-TOLERANCE - 1, TOLERANCE + 1])
def test_a_message_that_is_older_or_newer_than_five_minutes_is_refused(late: int) -> None:
    assert signed_id([SECRET], headers(SECRET, sent=NOW + late), BODY, NOW) is None
    assert signed_id([SECRET], headers(SECRET, sent=NOW + (TOLERANCE if late > 0 else -TOLERANCE)), BODY, NOW) == "msg_1"


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": str(NOW + 1)},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "²"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-id": ""},
        {"webhook-id": "m" * 256},
    ],
)
def test_whatever_is_changed_on_the_way_is_noticed(changed: dict[str, str]) -> None:
    assert signed_id([SECRET], {**headers(SECRET), **changed}, BODY, NOW) is None
    assert signed_id([SECRET], headers(SECRET), BODY + b" ", NOW) is None
    assert signed_id([SECRET], {}, BODY, NOW) is None


@given(st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text()), st.binary())
def test_nothing_that_is_sent_makes_it_stumble(sent: dict[str, str], body: bytes) -> None:
    assert signed_id([SECRET], sent, body, NOW) is None


def test_a_secret_in_the_path_is_compared_as_a_whole() -> None:
    assert knows(["first-secret", "second-secret"], "second-secret")
    assert not knows(["first-secret"], "first-secre")
    assert not knows(["first-secret"], "")
    assert not knows(["first-secret"], "höhle")


@pytest.mark.parametrize("secret", ["short", "whsec_AAAA", "whsec_not base64 at all, really not", "blanks in between a secret x"])
def test_p7_a_secret_that_could_be_guessed_is_refused_and_not_shown(secret: str) -> None:
    values = {"provider": "x", "base_url": "https://sis.example.org", "webhook_secret": secret}
    with pytest.raises(ConfigurationError) as refused:
        validated(values, origin="a test")
    assert "webhook_secret" in str(refused.value)
    assert secret not in str(refused.value)
