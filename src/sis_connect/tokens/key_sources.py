"""Where the keys of the vault are kept: text from the environment, a file, the keyring of the system, or an app's own place.

A source answers with all its keys, the newest first. Only a source that can keep a new key for good makes one, and only while
nothing is sealed with another.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from sis_connect.errors import ConfigurationError, MissingExtra
from sis_connect.hosting.faults import contained, described
from sis_connect.keys import KeyKeeper as KeyKeeper
from sis_connect.keys import KeySource as KeySource
from sis_connect.settings import key_file_in_environment, key_in_environment, key_source_in_environment
from sis_connect.tokens.vault import Vault, new_key, parse_keys


def vault_from(source: KeySource, *, may_create: bool) -> Vault:
    """The vault of a source. A first key is made if `may_create`, which is while nothing is sealed yet."""
    keys = source.keys()
    if not keys and may_create and isinstance(source, KeyKeeper):
        source.make()
        keys = source.keys()
    if not keys:
        raise ConfigurationError(
            f"The key is missing from {origin_of(source)}, and the database may hold secrets that only this key opens.",
            remedy="Restore the key from a copy, or name the right place (SIS_CONNECT_KEY, SIS_CONNECT_KEY_FILE).",
        )
    return Vault(keys, look_again=source.keys)


def origin_of(source: KeySource) -> str:
    """What a source is called. Of an app's own source only its class is shown: what else it would say is not ours to know."""
    return str(getattr(source, "origin", type(source).__name__))


class TextKeys:
    """Keys as text: what `SIS_CONNECT_KEY` holds, or what an app hands over."""

    def __init__(self, text: str, *, origin: str = "SIS_CONNECT_KEY") -> None:
        self._text, self.origin = text, origin

    def __repr__(self) -> str:
        return f"TextKeys(origin={self.origin!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("keys are not pickled or copied")

    def keys(self) -> list[bytes]:
        return parse_keys(self._text, origin=self.origin)


class KeyFile:
    """A file that only its owner can read, with keys on one line or several."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def __repr__(self) -> str:
        return f"KeyFile({str(self._path)!r})"

    @property
    def origin(self) -> str:
        return f"the file {self._path}"

    def keys(self) -> list[bytes]:
        text = self._read()
        if text is None:
            return []
        keys = parse_keys(",".join(text.split()), origin=str(self._path))
        if not keys:
            # An empty file is a damaged one: nothing must be made in its place.
            raise ConfigurationError(f"{self._path} does not hold a key.", remedy="Restore it from a copy.")
        return keys

    def make(self) -> None:
        with self._draft(new_key()) as draft, suppress(FileExistsError):
            os.link(draft, self._path)  # fails where somebody was faster

    def put_in_front(self) -> None:
        former = ",".join((self._read() or "").split())
        with self._draft(f"{new_key()},{former}".rstrip(",")) as draft:
            os.replace(draft, self._path)

    def _draft(self, text: str) -> _Draft:
        return _Draft(self._path, text)

    def _read(self) -> str | None:
        try:
            mode = self._path.stat().st_mode
            text = self._path.read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{self._path} does not hold a key.", remedy="Restore it from a copy.") from None
        except OSError as error:
            raise ConfigurationError(f"The key file {self._path} cannot be read ({error.strerror}).") from error
        if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
            raise ConfigurationError(
                f"The key file {self._path} can be read by other users.", remedy=f"Run: chmod 600 {self._path}"
            )
        return text


class _Draft:
    """A file beside the real one, whole and on the disk before it takes its place, gone if it did not."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text
        self._draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")

    def __enter__(self) -> Path:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            try:
                os.write(handle, self._text.encode() + b"\n")
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            with suppress(OSError):
                self._draft.unlink()
            raise self._explained(error) from error
        return self._draft

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._draft.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise self._explained(error) from error
        if error is None:
            _keep_names(self._path.parent)

    def _explained(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"The key file {self._path} cannot be written ({error.strerror}).",
            remedy="Name a place that you may write to, or set SIS_CONNECT_KEY.",
        )


def _keep_names(folder: Path) -> None:
    """See to it that the disk knows what stands in a folder: a power cut must not bring back a file without the new key."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class Keyring:
    """The keyring of the system, through the library `keyring` (extra `keyring`). It is used only where it is chosen.

    A machine without anybody signed in usually has none.
    """

    def __init__(self, service: str = "sis-connect", name: str = "key") -> None:
        self._service, self._name = service, name

    def __repr__(self) -> str:
        return f"Keyring(service={self._service!r}, name={self._name!r})"

    @property
    def origin(self) -> str:
        return f"the keyring (service {self._service}, name {self._name})"

    def keys(self) -> list[bytes]:
        return parse_keys(self._ask("get_password") or "", origin=self.origin)

    def make(self) -> None:
        self._ask("set_password", new_key())

    def put_in_front(self) -> None:
        former = self._ask("get_password") or ""
        self._ask("set_password", f"{new_key()},{former}".rstrip(","))

    def _ask(self, what: str, *values: str) -> Any:
        try:
            import keyring
            from keyring.errors import KeyringError, NoKeyringError
        except ImportError:
            raise MissingExtra("A key in the keyring", "keyring") from None
        remedy = "Give the key in SIS_CONNECT_KEY or SIS_CONNECT_KEY_FILE instead: this suits a machine that nobody signs in to."
        try:
            return getattr(keyring, what)(self._service, self._name, *values)
        except NoKeyringError:
            # What the library says is not passed on, nor chained: a backend may quote what it was given.
            raise ConfigurationError("This machine has no keyring that keys can be kept in.", remedy=remedy) from None
        except KeyringError as error:
            raise ConfigurationError(
                f"The keyring of this machine did not answer ({type(error).__name__}).", remedy=f"Unlock it. {remedy}"
            ) from None


class PluginKeys:
    """A source that a plugin brings. What it raises is told by its class alone, but for errors of ours: these hold no secret."""

    def __init__(self, source: KeySource, owner: str) -> None:
        self._source, self.origin = source, owner[:1].lower() + owner[1:]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(origin={self.origin!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("keys are not pickled or copied")

    def keys(self) -> list[bytes]:
        keys = self._ask("keys")
        if not all(isinstance(key, bytes) for key in keys):
            raise ConfigurationError(f"What {self.origin} returns are no keys.", remedy=_TO_ITS_AUTHOR)
        return keys

    def _ask(self, what: str) -> list[Any]:
        owner = self.origin[:1].upper() + self.origin[1:]
        with contained(lambda error: ConfigurationError(f"{owner} failed {described(error)}.", remedy=_TO_ITS_AUTHOR)):
            return list(getattr(self._source, what)() or ())


class PluginKeeper(PluginKeys):
    """The same of a source that can keep a new key by itself."""

    def make(self) -> None:
        self._ask("make")

    def put_in_front(self) -> None:
        self._ask("put_in_front")


_TO_ITS_AUTHOR = "Check what it needs; if that is right, report this to the author of its plugin."


def can_keep(source: KeySource) -> bool:
    """Whether a source of a plugin can keep a new key by itself."""
    return all(callable(getattr(source, name, None)) for name in ("make", "put_in_front"))


def key_source_for(
    database: str,
    *,
    key: str | None = None,
    key_file: str | Path | None = None,
    brought: Callable[[str], KeySource] | None = None,
) -> KeySource:
    """Where the keys of a database are: as the arguments say, else the environment, else in the file beside it.

    `brought` finds the source of a plugin by its name.
    """
    if key or key_file:
        return TextKeys(key, origin="the key that was given") if key else KeyFile(key_file or "")
    file, chosen, text = key_file_in_environment(), key_source_in_environment(), key_in_environment()
    if file:
        return KeyFile(file)
    if chosen == "keyring":
        return Keyring()
    if chosen and brought is not None and ":" in chosen:
        return brought(chosen)
    if chosen:
        raise ConfigurationError(
            f"There is no key source {chosen!r}.",
            remedy="Set SIS_CONNECT_KEY_SOURCE to keyring, or to one that a plugin brings, such as harbor:safe; or unset it.",
        )
    if text:
        return TextKeys(text)
    kept_in = _file_of(database)
    if kept_in is not None:
        return KeyFile(kept_in.parent / "sis-connect.key")
    # A temporary database, whose key may go with it.
    return TextKeys(new_key(), origin="memory")


def _file_of(database: str) -> Path | None:
    """Where a database outlives its process, however its URL is written."""
    try:
        name = make_url(database).database
    except ArgumentError:
        return None  # opening it will say so
    return None if not name or name == ":memory:" else Path(name)
