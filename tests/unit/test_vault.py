"""Promise P7: secrets are sealed at rest, and only open where they belong."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from sis_connect.errors import ConfigurationError, StorageError
from sis_connect.tokens.vault import Vault, new_key

PLACE = {"integration": "7", "field": "client secret"}


@pytest.fixture
def vault() -> Vault:
    return Vault.from_text(new_key())


def test_what_is_sealed_opens_again_and_shows_nothing(vault: Vault) -> None:
    sealed = vault.seal(b"hush", **PLACE)
    assert b"hush" not in sealed
    assert vault.open(sealed, **PLACE) == b"hush"
    assert vault.seal(b"hush", **PLACE) != sealed


@pytest.mark.parametrize("place", [{"integration": "8", "field": "client secret"}, {"integration": "7", "field": "access token"}])
def test_p7_a_sealed_secret_does_not_open_in_another_place(vault: Vault, place: dict[str, str]) -> None:
    with pytest.raises(StorageError, match="another place"):
        vault.open(vault.seal(b"hush", **PLACE), **place)


def test_an_altered_secret_does_not_open(vault: Vault) -> None:
    sealed = bytearray(vault.seal(b"hush", **PLACE))
    sealed[-1] ^= 1
    with pytest.raises(StorageError, match="altered"):
        vault.open(bytes(sealed), **PLACE)


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x02" + bytes(60), b"plain text that was never sealed"])
def test_what_was_never_sealed_is_named(vault: Vault, sealed: bytes) -> None:
    with pytest.raises(StorageError, match="damaged"):
        vault.open(sealed, **PLACE)


def test_the_first_key_seals_and_all_keys_open() -> None:
    old, new = new_key(), new_key()
    sealed = Vault.from_text(old).seal(b"hush", **PLACE)
    ring = Vault.from_text(f"{new}, {old}")
    assert ring.open(sealed, **PLACE) == b"hush"
    assert not ring.sealed_by_first(sealed)
    assert ring.sealed_by_first(ring.seal(b"hush", **PLACE))
    with pytest.raises(ConfigurationError, match="another key") as caught:
        Vault.from_text(new).open(sealed, **PLACE)
    assert "SIS_CONNECT_KEY" in caught.value.remedy


@pytest.mark.parametrize("text", ["", ",", "short", new_key() + "!", new_key()[:-6], "é" * 43])
def test_text_that_holds_no_key_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Vault.from_text(text)
    assert not text.strip(",") or text not in str(caught.value)


def test_a_key_may_lack_its_padding() -> None:
    key = new_key()
    sealed = Vault.from_text(key).seal(b"hush", **PLACE)
    assert Vault.from_text(key.rstrip("=")).open(sealed, **PLACE) == b"hush"


def test_p7_a_vault_shows_no_key_and_is_not_pickled() -> None:
    key = new_key()
    vault = Vault.from_text(key)
    assert key[:10] not in repr(vault)
    assert vault.key_id in repr(vault)
    with pytest.raises(TypeError):
        pickle.dumps(vault)


def test_a_missing_key_file_is_made_for_its_owner_only_while_nothing_is_sealed(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "key"
    made = Vault.from_file(path, may_create=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Vault.from_file(path, may_create=False).key_id == made.key_id
    assert Vault.from_file(path, may_create=True).key_id == made.key_id
    assert os.listdir(path.parent) == ["key"]


def test_a_missing_key_file_is_an_error_once_something_is_sealed(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="missing") as caught:
        Vault.from_file(tmp_path / "key", may_create=False)
    assert "Restore" in caught.value.remedy
    assert not (tmp_path / "key").exists()


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    Vault.from_file(path, may_create=True)
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="other users") as caught:
        Vault.from_file(path, may_create=True)
    assert "chmod 600" in caught.value.remedy


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff\xfe"])
def test_a_key_file_without_a_key_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError):
        Vault.from_file(path, may_create=True)


def test_a_key_file_in_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigurationError, match="cannot be made"):
        Vault.from_file(tmp_path / "file" / "key", may_create=True)
