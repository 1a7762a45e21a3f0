"""A token URL that refuses, is down or asks for patience while nobody has a token: how seldom it is asked again, and by whom."""

from __future__ import annotations

import pytest

from manual_clock import ManualClock
from rotating_grant import RotatingGrant
from sis_connect.errors import AuthenticationError, NetworkError, RateLimited
from sis_connect.tokens.token import AccessToken
from sis_connect.tokens.token_manager import TokenManager
from sis_connect.tokens.token_state import MemoryTokenStore

DOWN = NetworkError("The token URL is down.")


class Scene:
    """An integration with a consent, in a store that several processes use."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.grant = RotatingGrant(self.clock)
        self.store = MemoryTokenStore(self.grant.token())
        self.manager = self.process()

    def process(self) -> TokenManager:
        return TokenManager(self.grant, clock=self.clock, store=self.store)


async def text(manager: TokenManager, rejected: str | None = None) -> str:
    return (await manager.token(None if rejected is None else AccessToken(rejected))).get_secret_value()


async def test_what_was_refused_is_not_asked_again_with_each_request() -> None:
    scene = Scene()
    scene.clock.advance(3600)
    scene.grant.trouble = AuthenticationError("The SIS does not accept the client secret.")
    for rejected in [None, "access-1"] * 20:
        with pytest.raises(AuthenticationError, match="client secret"):
            await text(scene.manager, rejected)
        scene.clock.advance(0.3)
    assert scene.grant.asked == 1
    scene.clock.advance(3)
    with pytest.raises(AuthenticationError):
        await text(scene.manager)
    assert scene.grant.asked == 2


async def test_a_secret_that_was_corrected_is_tried_at_once() -> None:
    scene = Scene()
    scene.clock.advance(3600)
    scene.grant.trouble = AuthenticationError("The SIS does not accept the client secret.")
    with pytest.raises(AuthenticationError):
        await text(scene.manager)
    scene.grant.trouble = None
    assert await text(scene.process()) == "access-2"
    assert await text(scene.manager) == "access-2"  # what a sibling got is read all the same
    assert scene.grant.asked == 2


async def test_a_token_url_that_is_down_is_asked_less_and_less() -> None:
    scene = Scene()
    scene.clock.advance(3600)
    scene.grant.trouble = DOWN
    for _ in range(1000):
        with pytest.raises(NetworkError):
            await text(scene.manager)
        scene.clock.advance(0.1)
    assert 8 <= scene.grant.asked <= 13
    scene.grant.trouble = None
    scene.clock.advance(15)
    assert await text(scene.manager) == "access-2"


async def test_a_person_who_asks_for_a_new_token_is_not_told_of_the_failure_before() -> None:
    scene = Scene()
    scene.grant.trouble = AuthenticationError("The SIS does not accept the client secret.")
    with pytest.raises(AuthenticationError):
        await scene.manager.renew()
    scene.grant.trouble = None
    assert (await scene.manager.renew()).access_token.get_secret_value() == "access-2"


async def test_a_clock_that_is_set_back_does_not_prolong_the_patience_that_a_server_asked_for() -> None:
    scene = Scene()
    scene.clock.advance(3600)
    scene.grant.trouble = RateLimited("Too many requests.", retry_after=600)
    with pytest.raises(RateLimited):
        await text(scene.manager)
    scene.grant.trouble = None
    scene.clock.set_back(86400)
    assert await text(scene.process(), "access-1") == "access-2"
