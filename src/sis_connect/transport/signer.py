"""What makes a request ours: an access token, or a signature by id and secret that is made anew for each request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pydantic import SecretStr

    from sis_connect.tokens.token_manager import TokenSource


class Signature(Protocol):
    """One way to sign. Its repr shows no secret."""

    def headers(self, method: str, url: str) -> Mapping[str, str]:
        """The headers that make a request ours. `url` is what leaves, to the letter; the wire asks right before it does."""
        ...


class Signer(Protocol):
    """Where the transport gets its signatures. `presented` names what a server refuses with a 401, such as `access token`."""

    presented: str

    async def signature(self, refused: Signature | None = None) -> Signature:
        """What to sign with; another one where the server has just `refused` this one."""
        ...

    def has_another(self, refused: Signature) -> bool:
        """Whether there is another one to try."""
        ...

    def accepted(self, signature: Signature) -> None:
        """The server has answered what was signed with this one."""
        ...


@dataclass(frozen=True, slots=True)
class Bearer:
    """An access token (RFC 6750)."""

    token: SecretStr = field(repr=False)

    def headers(self, _method: str, _url: str) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.token.get_secret_value()}"}


class BearerSigner:
    """Signs with tokens. A refused one is replaced by another, which the source fetches."""

    presented = "access token"

    def __init__(self, tokens: TokenSource) -> None:
        self._tokens = tokens

    async def signature(self, refused: Signature | None = None) -> Bearer:
        return Bearer(await self._tokens.token(refused.token if isinstance(refused, Bearer) else None))

    def has_another(self, refused: Signature) -> bool:
        return True

    def accepted(self, signature: Signature) -> None:
        """Nothing to note: the source knows its tokens."""
