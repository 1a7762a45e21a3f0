"""What a grant brings: an access token with its life, and the refresh token that may come with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NoReturn

from pydantic import SecretStr

from sis_connect.errors import AuthenticationError, UnexpectedResponse

#: A token is renewed when this much of its life is left, or a quarter of it, whichever is less.
RENEW_BEFORE = timedelta(seconds=600)


class _Token(SecretStr):
    """A secret that is neither printed nor pickled. `get_secret_value()` is for the one place that sends it."""

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a token is not pickled or copied")


class AccessToken(_Token):
    """What opens the SIS for a while. It goes to the base URL only."""


class RefreshToken(_Token):
    """What fetches the next access token. It goes to the token URL only."""


class GrantBroken(AuthenticationError):  # noqa: N818 - reads as what is the case
    """The SIS does not accept the grant any more: only a person can give it again."""

    default_remedy = "Have an administrator of the district consent again: `sis-connect authorize NAME`."


class UnusableToken(UnexpectedResponse):
    """The SIS answered with something that is no usable token.

    Where the answer to a refresh held a new refresh token all the same, the old one may be spent: `salvaged` is then the token
    before with the new refresh token. Whoever keeps tokens keeps it, or the grant is lost.
    """

    salvaged: StoredToken | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredToken:
    """A token and its life. `expires_at` is `None` where the server did not say: it is used until it is refused.

    `scope` is what was granted, empty where the server did not say.
    """

    access_token: AccessToken = field(repr=False)
    obtained_at: datetime
    expires_at: datetime | None
    token_type: str = "Bearer"  # noqa: S105 - the name of a scheme
    refresh_token: RefreshToken | None = field(default=None, repr=False)
    scope: tuple[str, ...] = ()

    @property
    def lifetime(self) -> timedelta | None:
        """How long it lives from when it was handed out."""
        return None if self.expires_at is None else self.expires_at - self.obtained_at

    def expired(self, now: datetime) -> bool:
        """Whether it is of no use any more."""
        return self.expires_at is not None and now >= self.expires_at

    def due_at(self, *, renews_early: bool, renew_before: timedelta = RENEW_BEFORE) -> datetime | None:
        """When to renew it. Where the server hands out the same token until it expires, that is only then."""
        if self.expires_at is None or self.lifetime is None:
            return None
        return self.expires_at - (min(renew_before, self.lifetime / 4) if renews_early else timedelta())

    def due(self, now: datetime, *, renews_early: bool, renew_before: timedelta = RENEW_BEFORE) -> bool:
        """Whether it should be renewed now."""
        at = self.due_at(renews_early=renews_early, renew_before=renew_before)
        return at is not None and now >= at
