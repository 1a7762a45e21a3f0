"""Secrets sealed at rest: AES-256-GCM, bound to the place where they belong, under a ring of keys.

A sealed value opens only for the integration and field it was sealed for: moved to another row, it does not. Several keys may
open, the first one seals: to change the key, put the new one in front and keep the old one until all is sealed anew.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
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


class _Key:
    """One key and its id, which tells nothing about it."""

    __slots__ = ("_cipher", "id")

    def __init__(self, raw: bytes) -> None:
        self.id = hashlib.sha256(b"sis-connect key id" + raw).digest()[:_KEY_ID_BYTES]
        self._cipher = AESGCM(raw)

    def seal(self, nonce: bytes, secret: bytes, place: bytes) -> bytes:
        return self._cipher.encrypt(nonce, secret, place)

    def open(self, nonce: bytes, sealed: bytes, place: bytes) -> bytes:
        return self._cipher.decrypt(nonce, sealed, place)


class Vault:
    """Seals and opens. Make one with `from_text` or `from_file`; `new_key()` makes a key."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(raw) != _KEY_BYTES for raw in keys):
            raise ConfigurationError("The key that seals secrets is missing or not 32 bytes long.", remedy=_FORM)
        self._keys = [_Key(raw) for raw in keys]

    def __repr__(self) -> str:
        return f"Vault({', '.join(key.id.hex() for key in self._keys)})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a vault is not pickled or copied")

    @classmethod
    def from_text(cls, text: str, *, origin: str = "SIS_CONNECT_KEY") -> Vault:
        """From keys in base64url, separated by commas. `origin` names in errors where the text comes from."""
        return cls([_parse(part, origin) for part in text.split(",") if part.strip()])

    @classmethod
    def from_file(cls, path: str | Path, *, may_create: bool) -> Vault:
        """From a file that only its owner can read. A missing one is made if `may_create`: while nothing is sealed yet."""
        path = Path(path)
        if may_create and not path.exists():
            _create(path)
        return cls.from_text(_read(path), origin=str(path))

    @property
    def key_id(self) -> str:
        """The id of the key that seals."""
        return self._keys[0].id.hex()

    def seal(self, secret: bytes, *, integration: str, field: str) -> bytes:
        """Seal for one field of one integration."""
        key, nonce = self._keys[0], secrets.token_bytes(_NONCE_BYTES)
        return bytes([_VERSION]) + key.id + nonce + key.seal(nonce, secret, _place(key, integration, field))

    def open(self, sealed: bytes, *, integration: str, field: str) -> bytes:
        """Open what was sealed for this field of this integration; an error that says why it does not open."""
        if len(sealed) <= _HEADER_BYTES or sealed[0] != _VERSION:
            raise StorageError(
                f"The sealed {field} of integration {integration} is damaged, or from a newer version.",
                remedy=_store_again(field),
            )
        key_id, nonce = sealed[1 : 1 + _KEY_ID_BYTES], sealed[1 + _KEY_ID_BYTES : _HEADER_BYTES]
        key = next((key for key in self._keys if key.id == key_id), None)
        if key is None:
            raise ConfigurationError(
                f"The {field} of integration {integration} was sealed with another key ({key_id.hex()}) than those given.",
                remedy="Give the key it was sealed with (SIS_CONNECT_KEY or SIS_CONNECT_KEY_FILE), or store the secret again.",
            )
        try:
            return key.open(nonce, sealed[_HEADER_BYTES:], _place(key, integration, field))
        except InvalidTag:
            raise StorageError(
                f"The sealed {field} of integration {integration} was altered, or belongs to another place.",
                remedy=_store_again(field),
            ) from None

    def sealed_by_first(self, sealed: bytes) -> bool:
        """Whether the key that seals now sealed this; otherwise it is due to be sealed anew."""
        return sealed[1 : 1 + _KEY_ID_BYTES] == self._keys[0].id


def new_key() -> str:
    """A new key as text."""
    return base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def _place(key: _Key, integration: str, field: str) -> bytes:
    parts = (str(_VERSION), key.id.hex(), integration, field)
    if any("|" in part for part in parts):
        raise ValueError("a place must not contain the character that separates its parts")
    return "|".join(parts).encode()


def _store_again(field: str) -> str:
    return f"Store the {field} again with `add`, or restore the database from a copy."


def _parse(text: str, origin: str) -> bytes:
    text = text.strip().rstrip("=")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _KEY_BYTES:
        raise ConfigurationError(f"{origin} does not hold a key.", remedy=_FORM)
    return raw


def _create(path: Path) -> None:
    """Write a new key; whoever comes second finds that of the first, whole."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.write(handle, new_key().encode() + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        finally:
            draft.unlink()
    except OSError as error:
        raise ConfigurationError(
            f"The key file {path} cannot be made ({error.strerror}).",
            remedy="Name a place that you may write to, or set SIS_CONNECT_KEY.",
        ) from error


def _read(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        raise ConfigurationError(
            f"The key file {path} is missing, and the database holds secrets that only its key opens.",
            remedy="Restore the file from a copy, or name the right one (SIS_CONNECT_KEY_FILE).",
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} does not hold a key.", remedy=_FORM) from None
    except OSError as error:
        raise ConfigurationError(f"The key file {path} cannot be read ({error.strerror}).") from error
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise ConfigurationError(f"The key file {path} can be read by other users.", remedy=f"Run: chmod 600 {path}")
    return text
