"""Where keys are kept: text, a file, the system's keyring, an app's own place. None is made where a key may be missing."""

from __future__ import annotations

import os
import pickle
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoBackend
from keyring.errors import KeyringLocked

from sis_connect.errors import ConfigurationError, MissingExtra, SISError
from sis_connect.tokens.key_sources import KeyFile, Keyring, KeySource, TextKeys, key_source_for, vault_from
from sis_connect.tokens.vault import Vault, new_key, parse_keys

PLACE = {"integration": "7", "field": "client secret"}


class MemoryBackend(KeyringBackend):
    """A keyring that forgets with the test."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}
        self.asked = 0

    def get_password(self, service: str, username: str) -> str | None:
        self.asked += 1
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password


class LockedBackend(MemoryBackend):
    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked("hush, said the backend")


class OwnPlace:
    """An app's own source, whose repr tells too much."""

    def __init__(self, *keys: str) -> None:
        self.text = ",".join(keys)

    def __repr__(self) -> str:
        return f"OwnPlace({self.text})"

    def keys(self) -> Sequence[bytes]:
        return parse_keys(self.text, origin="own place")


@pytest.fixture
def memory() -> Iterator[MemoryBackend]:
    before = keyring.get_keyring()
    backend = MemoryBackend()
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)


# --- a file ------------------------------------------------------------------------------------------------------------------


def test_a_missing_key_file_is_made_for_its_owner_only_while_nothing_is_sealed(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "key"
    made = vault_from(KeyFile(path), may_create=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert vault_from(KeyFile(path), may_create=False).key_id == made.key_id
    assert vault_from(KeyFile(path), may_create=True).key_id == made.key_id
    assert os.listdir(path.parent) == ["key"]


def test_a_missing_key_file_is_an_error_once_something_is_sealed(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="missing") as caught:
        vault_from(KeyFile(tmp_path / "key"), may_create=False)
    assert "Restore" in caught.value.remedy
    assert str(tmp_path / "key") in caught.value.message
    assert not (tmp_path / "key").exists()


def test_whoever_makes_the_key_second_takes_that_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "key"
    KeyFile(path).make()
    first = path.read_text(encoding="ascii")
    KeyFile(path).make()
    assert path.read_text(encoding="ascii") == first
    assert os.listdir(tmp_path) == ["key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_p7_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    KeyFile(path).make()
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="other users") as caught:
        KeyFile(path).keys()
    assert "chmod 600" in caught.value.remedy


@pytest.mark.parametrize("content", [b"", b"\n", b"nonsense", b"\xff\xfe"])
def test_a_key_file_without_a_key_is_named_and_not_written_over(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="does not hold a key"):
        vault_from(KeyFile(path), may_create=True)
    assert path.read_bytes() == content


def test_a_key_file_in_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="ascii")
    for act in (KeyFile(tmp_path / "file" / "key").make, KeyFile(tmp_path / "file" / "key").keys):
        with pytest.raises(ConfigurationError, match=r"cannot be (written|read)"):
            act()


def test_a_new_key_in_front_seals_and_the_former_one_still_opens(tmp_path: Path) -> None:
    source = KeyFile(tmp_path / "key")
    running = vault_from(source, may_create=True)
    former = running.seal(b"hush", **PLACE)
    source.put_in_front()
    newest = vault_from(source, may_create=False)
    assert newest.key_id != running.key_id
    assert newest.open(former, **PLACE) == b"hush"
    assert running.open(newest.seal(b"hush", **PLACE), **PLACE) == b"hush", "a process that runs looks into the file again"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["key"]


def test_a_power_cut_takes_no_key_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder reaches the disk too, after the file has its name."""
    synced: list[tuple[bool, bool]] = []

    def fsync(handle: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(handle).st_mode), (tmp_path / "key").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    KeyFile(tmp_path / "key").make()
    assert synced == [(False, False), (True, True)]
    KeyFile(tmp_path / "key").put_in_front()
    assert synced[2:] == [(False, True), (True, True)]


def test_keys_may_stand_on_lines_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "key"
    one, other = new_key(), new_key()
    path.write_text(f"{one}\n{other}\n", encoding="ascii")
    path.chmod(0o600)
    assert KeyFile(path).keys() == parse_keys(f"{one},{other}", origin="a test")


# --- the keyring -------------------------------------------------------------------------------------------------------------


def test_the_keyring_keeps_a_key_that_was_made_on_first_use(memory: MemoryBackend) -> None:
    made = vault_from(Keyring(), may_create=True)
    assert list(memory.kept) == [("sis-connect", "key")]
    assert vault_from(Keyring(), may_create=False).key_id == made.key_id
    Keyring().put_in_front()
    newest = vault_from(Keyring(), may_create=False)
    assert newest.key_id != made.key_id
    assert newest.open(made.seal(b"hush", **PLACE), **PLACE) == b"hush"


def test_an_empty_keyring_is_an_error_once_something_is_sealed(memory: MemoryBackend) -> None:
    with pytest.raises(ConfigurationError, match="missing from the keyring"):
        vault_from(Keyring(), may_create=False)
    assert memory.kept == {}


def test_a_machine_without_a_keyring_is_told_so_with_what_to_do(memory: MemoryBackend) -> None:
    keyring.set_keyring(NoBackend())  # type: ignore[no-untyped-call]
    for act in (Keyring().keys, Keyring().make):
        with pytest.raises(ConfigurationError, match="has no keyring") as caught:
            act()
        assert "SIS_CONNECT_KEY_FILE" in caught.value.remedy
        assert caught.value.__suppress_context__


def test_p7_a_keyring_that_stays_locked_is_named_without_its_words(memory: MemoryBackend) -> None:
    keyring.set_keyring(LockedBackend())
    with pytest.raises(ConfigurationError, match="KeyringLocked") as caught:
        Keyring().keys()
    assert "hush" not in str(caught.value)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(MissingExtra, match="`keyring`"):
        Keyring().keys()


def test_the_keyring_is_never_asked_unless_it_was_chosen(
    memory: MemoryBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = f"sqlite:///{tmp_path / 'roster.db'}"
    vault_from(key_source_for(database), may_create=True)
    assert (memory.asked, os.listdir(tmp_path)) == (0, ["sis-connect.key"])
    monkeypatch.setenv("SIS_CONNECT_KEY_SOURCE", "keyring")
    vault_from(key_source_for(database), may_create=True)
    assert memory.asked == 2


# --- which one, and an app's own ---------------------------------------------------------------------------------------------


def test_an_argument_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = f"sqlite:///{tmp_path / 'roster.db'}"
    origins: list[object] = []

    def look(**arguments: Any) -> None:
        origins.append(getattr(key_source_for(database, **arguments), "origin", None))

    look()
    monkeypatch.setenv("SIS_CONNECT_KEY", new_key())
    look()
    monkeypatch.setenv("SIS_CONNECT_KEY_SOURCE", "keyring")
    look()
    monkeypatch.setenv("SIS_CONNECT_KEY_FILE", "env.key")
    look()
    look(key_file="said.key")
    look(key=new_key())
    assert origins == [
        f"the file {tmp_path / 'sis-connect.key'}",
        "SIS_CONNECT_KEY",
        "the keyring (service sis-connect, name key)",
        "the file env.key",
        "the file said.key",
        "the key that was given",
    ]


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite", "sqlite+pysqlite"])
@pytest.mark.parametrize("query", ["", "?timeout=5"])
def test_the_key_of_a_database_in_a_file_is_kept_beside_it_however_its_url_is_written(
    tmp_path: Path, scheme: str, query: str
) -> None:
    source = key_source_for(f"{scheme}:///{tmp_path / 'roster.db'}{query}")
    assert getattr(source, "origin", None) == f"the file {tmp_path / 'sis-connect.key'}"


@pytest.mark.parametrize("database", ["sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite://", "sqlite+aiosqlite:///:memory:"])
def test_only_the_key_of_a_temporary_database_is_kept_in_memory(database: str) -> None:
    assert getattr(key_source_for(database), "origin", None) == "memory"


def test_an_unknown_key_source_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIS_CONNECT_KEY_SOURCE", "cloud")
    with pytest.raises(ConfigurationError, match="'cloud'"):
        key_source_for("sqlite:///x.db")


def test_p7_an_apps_own_source_gives_its_keys_and_is_never_shown() -> None:
    key = new_key()
    vault = vault_from(OwnPlace(key), may_create=False)
    assert vault.open(Vault.from_text(key).seal(b"hush", **PLACE), **PLACE) == b"hush"
    with pytest.raises(ConfigurationError, match="missing from OwnPlace,"):
        vault_from(OwnPlace(), may_create=True)


@pytest.mark.parametrize("keys", [[b"short"], ["text" * 8], [b"x" * 32, b""]])
def test_an_apps_own_source_that_gives_no_keys_of_32_bytes_is_refused(keys: list[bytes]) -> None:
    class Wrong:
        def keys(self) -> Sequence[bytes]:
            return keys

    with pytest.raises(ConfigurationError, match="32 bytes"):
        vault_from(Wrong(), may_create=True)


def test_p7_no_source_shows_or_hands_on_its_keys(tmp_path: Path) -> None:
    key = new_key()
    sources: list[KeySource] = [TextKeys(key), KeyFile(tmp_path / "key"), Keyring()]
    assert key[:10] not in repr(sources)
    with pytest.raises(TypeError):
        pickle.dumps(sources[0])
    with pytest.raises(SISError) as caught:
        TextKeys(key + "!").keys()
    assert key[:10] not in str(caught.value)
