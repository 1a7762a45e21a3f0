"""Secrets sealed at rest: AES-256-GCM, bound to the place where they belong, under a ring of keys.

A sealed value opens only for the integration and field it was sealed for: moved to another row, it does not. Several keys may
open, the first one seals: to change the key, put the new one in front and keep the former one until all is sealed anew.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sis_connect.errors import ConfigurationError, StorageError

_VERSION = 1
_KEY_BYTES = 32
_KEY_ID_BYTES = 8
_NONCE_BYTES = 12
_HEADER_BYTES = 1 + _KEY_ID_BYTES + _NONCE_BYTES
_FORM = "A key is 32 random bytes in base64url; several are separated by commas, the first one seals."
_STORE_AGAIN = (
    "Store a secret again with `add`; a token goes with `tokens revoke` and is fetched or authorized anew; "
    "or restore the database from a copy."
)


class _Key:
    """One key and its id, which tells nothing about it."""

    __slots__ = ("_cipher", "id")

    def __init__(self, raw: bytes) -> None:
        self.id = hashlib.sha256(b"sis-connect key id" + raw).digest()[:_KEY_ID_BYTES]
        self._cipher = AESGCM(raw)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a key is not pickled or copied")

    def seal(self, nonce: bytes, secret: bytes, place: bytes) -> bytes:
        return self._cipher.encrypt(nonce, secret, place)

    def open(self, nonce: bytes, sealed: bytes, place: bytes) -> bytes:
        return self._cipher.decrypt(nonce, sealed, place)


class Vault:
    """Seals and opens. `new_key()` makes a key; `vault_from` of `key_sources` makes a vault from where keys are kept.

    `look_again` is asked for the keys once more before anything is sealed, and where something was sealed with a key that is not
    in the ring: another process may have put a new one in front since, and the former one is to go.
    """

    def __init__(self, keys: Sequence[bytes], *, look_again: Callable[[], Sequence[bytes]] | None = None) -> None:
        self._keys = _ring(keys)
        self._look_again = look_again

    def __repr__(self) -> str:
        return f"Vault({', '.join(key.id.hex() for key in self._keys)})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a vault is not pickled or copied")

    @classmethod
    def from_text(cls, text: str, *, origin: str = "SIS_CONNECT_KEY") -> Vault:
        """From keys in base64url, separated by commas. `origin` names in errors where the text comes from."""
        return cls(parse_keys(text, origin=origin))

    @property
    def key_id(self) -> str:
        """The id of the key that seals."""
        return self._keys[0].id.hex()

    @property
    def key_ids(self) -> list[str]:
        """The ids of all its keys, that of the one that seals first."""
        return [key.id.hex() for key in self._keys]

    def seal(self, secret: bytes, *, integration: str, field: str) -> bytes:
        """Seal for one field of one integration, with the key that is in front now."""
        # A source that does not answer now must not cost a token that cannot be had again: the keys from before still serve.
        with suppress(Exception):
            self._take_another_look()
        return self._seal(secret, integration, field)

    def seal_anew(self, sealed: bytes, *, integration: str, field: str) -> bytes:
        """Seal what was sealed for this place with another key, without a look for newer ones."""
        return self._seal(self.open(sealed, integration=integration, field=field), integration, field)

    def _seal(self, secret: bytes, integration: str, field: str) -> bytes:
        key, nonce = self._keys[0], secrets.token_bytes(_NONCE_BYTES)
        return bytes([_VERSION]) + key.id + nonce + key.seal(nonce, secret, _place(key, integration, field))

    def open(self, sealed: bytes, *, integration: str, field: str) -> bytes:
        """Open what was sealed for this field of this integration; an error that says why it does not open."""
        key_id = key_id_of(sealed)
        if key_id is None:
            raise StorageError(
                f"The sealed {field} of integration {integration} is damaged, or from a newer version.",
                remedy=_STORE_AGAIN,
            )
        key = self._key(key_id) or self._key_after_another_look(key_id)
        if key is None:
            raise ConfigurationError(
                f"The {field} of integration {integration} was sealed with another key ({key_id}) than those given.",
                remedy="Give the key it was sealed with (SIS_CONNECT_KEY or SIS_CONNECT_KEY_FILE), or store the secret again.",
            )
        try:
            return key.open(sealed[1 + _KEY_ID_BYTES : _HEADER_BYTES], sealed[_HEADER_BYTES:], _place(key, integration, field))
        except InvalidTag:
            raise StorageError(
                f"The sealed {field} of integration {integration} was altered, or belongs to another place.",
                remedy=_STORE_AGAIN,
            ) from None

    def sealed_by_first(self, sealed: bytes) -> bool:
        """Whether the key that seals now sealed this; otherwise it is due to be sealed anew."""
        return key_id_of(sealed) == self.key_id

    def _key(self, key_id: str) -> _Key | None:
        return next((key for key in self._keys if key.id.hex() == key_id), None)

    def _key_after_another_look(self, key_id: str) -> _Key | None:
        self._take_another_look()
        return self._key(key_id)

    def _take_another_look(self) -> None:
        keys = self._look_again() if self._look_again is not None else ()
        if keys:
            self._keys = _ring(keys)


def new_key() -> str:
    """A new key as text."""
    return base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def key_id_of(sealed: bytes) -> str | None:
    """The id of the key that sealed this, which can be read without it. `None` where this was never sealed by us."""
    if len(sealed) <= _HEADER_BYTES or sealed[0] != _VERSION:
        return None
    return sealed[1 : 1 + _KEY_ID_BYTES].hex()


def parse_keys(text: str, *, origin: str) -> list[bytes]:
    """Keys from text: base64url, separated by commas. `origin` names in errors where the text comes from."""
    return [_parse(part, origin) for part in text.split(",") if part.strip()]


def _ring(keys: Sequence[bytes]) -> list[_Key]:
    if not keys or any(not isinstance(raw, bytes) or len(raw) != _KEY_BYTES for raw in keys):
        raise ConfigurationError("The key that seals secrets is missing or not 32 bytes long.", remedy=_FORM)
    return [_Key(raw) for raw in keys]


def _place(key: _Key, integration: str, field: str) -> bytes:
    parts = (str(_VERSION), key.id.hex(), integration, field)
    if any("|" in part for part in parts):
        raise ValueError("a place must not contain the character that separates its parts")
    return "|".join(parts).encode()


def _parse(text: str, origin: str) -> bytes:
    text = text.strip().rstrip("=")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _KEY_BYTES:
        raise ConfigurationError(f"{origin} does not hold a key.", remedy=_FORM)
    return raw
