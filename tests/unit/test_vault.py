"""Promise P7: secrets are sealed at rest, and only open where they belong."""

from __future__ import annotations

import pickle

import pytest

from sis_connect.errors import ConfigurationError, StorageError
from sis_connect.tokens.vault import Vault, key_id_of, new_key, parse_keys

#: The bytes from 0 to 31.
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
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


@pytest.mark.parametrize(
    "text",
    ["", ",", "short", KEY + "!", KEY[:-6], "é" * 43],
    ids=["nothing", "a comma", "too short", "a strange character", "cut off", "not ASCII"],
)
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


def test_p7_a_key_that_was_put_in_front_meanwhile_is_found_by_looking_again() -> None:
    former, newest = new_key(), new_key()
    kept = [former]

    def look() -> list[bytes]:
        return parse_keys(",".join(kept), origin="a test")

    running = Vault(look(), look_again=look)
    kept.insert(0, newest)
    sealed = Vault(look()).seal(b"hush", **PLACE)
    assert running.open(sealed, **PLACE) == b"hush"
    assert running.key_id == key_id_of(sealed), "from now on it seals with the newest, too"


def test_a_key_that_is_nowhere_is_named_and_the_ring_stays() -> None:
    own = new_key()
    vault = Vault(parse_keys(own, origin="a test"), look_again=list)
    with pytest.raises(ConfigurationError, match="another key"):
        vault.open(Vault.from_text(new_key()).seal(b"hush", **PLACE), **PLACE)
    assert vault.open(vault.seal(b"hush", **PLACE), **PLACE) == b"hush"


def test_p7_what_is_sealed_is_sealed_with_the_key_that_is_in_front_now() -> None:
    kept = [new_key()]
    running = Vault(parse_keys(kept[0], origin="a test"), look_again=lambda: parse_keys(",".join(kept), origin="a test"))
    kept.insert(0, new_key())
    assert key_id_of(running.seal(b"hush", **PLACE)) == Vault.from_text(kept[0]).key_id


def test_a_source_that_does_not_answer_costs_nothing_that_is_to_be_sealed() -> None:
    def away() -> list[bytes]:
        raise OSError("the key server is down")

    vault = Vault(parse_keys(KEY, origin="a test"), look_again=away)
    assert vault.open(vault.seal(b"hush", **PLACE), **PLACE) == b"hush"
