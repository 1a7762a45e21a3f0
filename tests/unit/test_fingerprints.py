"""Recognising unchanged rows without parsing them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sis_connect.roster.fingerprints import Fingerprints, every, fingerprint, seed_of

SEED = seed_of("1")


def raw(*names: object) -> list[bytes]:
    return [f"row {name}".encode() for name in names]


def known(rows: list[bytes]) -> Fingerprints:
    """Rows of the last read, with ids 10, 20, 30 and so on."""
    fingerprints = Fingerprints()
    fingerprints.extend((10 * number, fingerprint(row, SEED)) for number, row in enumerate(rows, start=1))
    return fingerprints


def sifted(fingerprints: Fingerprints, rows: list[bytes], pages: int = 1) -> list[bytes]:
    size = max(1, -(-len(rows) // pages))
    return [row for start in range(0, len(rows), size) for row, _ in fingerprints.sift(rows[start : start + size], SEED)]


def gone(fingerprints: Fingerprints) -> list[int]:
    return list(fingerprints.unseen())


LETTERS = raw(*"abcdefghijklmnopqrstuvwxyz")


@pytest.mark.parametrize(
    ("rows", "new", "missing"),
    [
        pytest.param(LETTERS, [], [], id="unchanged"),
        pytest.param([*LETTERS[:5], *raw("new"), *LETTERS[5:]], raw("new"), [], id="a row inserted"),
        pytest.param([*raw("new"), *LETTERS, *raw("newer")], raw("new", "newer"), [], id="rows at both ends"),
        pytest.param([*LETTERS[:5], *LETTERS[6:]], [], [60], id="a row deleted"),
        pytest.param(LETTERS[1:], [], [10], id="the first row deleted"),
        pytest.param(LETTERS[:-1], [], [260], id="the last row deleted"),
        pytest.param([*LETTERS[:5], *raw("F"), *LETTERS[6:]], raw("F"), [60], id="a row changed in place"),
        pytest.param([*LETTERS[13:], *LETTERS[:13]], [], [], id="a block moved"),
        pytest.param([*LETTERS[9:], *LETTERS[:9]], [], [], id="a block moved beyond what is looked ahead"),
        pytest.param(LETTERS[::-1], [], [], id="turned round"),
        pytest.param([], [], list(range(10, 270, 10)), id="nothing came"),
        pytest.param(LETTERS + LETTERS[:3], [], [], id="a page came twice"),
    ],
)
@pytest.mark.parametrize("pages", [1, 4])
def test_rows_that_are_new_or_changed_are_told_apart(rows: list[bytes], new: list[bytes], missing: list[int], pages: int) -> None:
    fingerprints = known(LETTERS)
    assert sifted(fingerprints, rows, pages) == new
    assert gone(fingerprints) == missing
    assert fingerprints.seen_count() == len(LETTERS) - len(missing)


numbers = st.lists(st.integers(0, 60), unique=True, max_size=60)


@given(numbers, numbers, st.integers(1, 5), st.randoms(use_true_random=False))
def test_whatever_the_order_exactly_the_new_rows_come_and_the_gone_are_unseen(
    before: list[int], after: list[int], pages: int, chance: random.Random
) -> None:
    if chance.random() < 0.5:
        after = [number for number in before if chance.random() < 0.9] + [number for number in after if number not in before]
    fingerprints = known(raw(*before))
    assert sifted(fingerprints, raw(*after), pages) == raw(*(number for number in after if number not in before))
    assert gone(fingerprints) == [10 * place for place, number in enumerate(before, start=1) if number not in after]


@given(st.lists(st.integers(0, 9), max_size=30), numbers)
def test_rows_that_come_more_than_once_are_counted_once(after: list[int], before: list[int]) -> None:
    fingerprints = known(raw(*before))
    sifted(fingerprints, raw(*after))
    assert fingerprints.seen_count() == len(set(before) & set(after))


def test_the_same_bytes_under_another_mapping_are_other_rows() -> None:
    fingerprints = known(LETTERS)
    assert [row for row, _ in fingerprints.sift(LETTERS, seed_of("2"))] == LETTERS
    assert gone(fingerprints) == list(range(10, 270, 10))


def test_what_is_sifted_carries_the_fingerprint_that_it_is_known_by_next_time() -> None:
    found = list(Fingerprints().sift(LETTERS, SEED))
    assert found == list(every(LETTERS, SEED)) == [(row, fingerprint(row, SEED)) for row in LETTERS]
    assert all(0 <= number < 1 << 63 for _, number in found)


def test_fingerprints_are_kept_and_loaded_as_they_were() -> None:
    loaded = Fingerprints()
    for portion in known(LETTERS).portions():
        loaded.take(*portion)
    assert len(loaded) == len(LETTERS)
    assert gone(loaded) == list(range(10, 270, 10))
    assert sifted(loaded, LETTERS) == []


def test_an_interrupted_read_goes_on_with_what_it_had_seen() -> None:
    begun = known(LETTERS)
    sifted(begun, LETTERS[:10])
    seen = begun.seen
    # What the interrupted read added stands behind what was known, and has been seen.
    resumed = known([*LETTERS, *raw("new")]).resumed(seen)
    assert sifted(resumed, LETTERS[8:20]) == []
    assert gone(resumed) == [210, 220, 230, 240, 250, 260]
    assert resumed.was_seen(270)


def test_a_row_that_was_parsed_is_marked_by_its_id_once() -> None:
    fingerprints = known(LETTERS)
    assert fingerprints.mark(30)
    assert not fingerprints.mark(30)
    assert not fingerprints.mark(35)
    assert not fingerprints.mark(999)
    assert fingerprints.was_seen(30)
    assert not fingerprints.was_seen(40)
    assert not fingerprints.was_seen(999)
    assert gone(fingerprints) == [row_id for row_id in range(10, 270, 10) if row_id != 30]


def test_rows_can_be_taken_in_portion_by_portion() -> None:
    whole = [(10 * number, fingerprint(row, SEED)) for number, row in enumerate(LETTERS, start=1)]
    fingerprints = Fingerprints()
    fingerprints.extend(whole[:7])
    fingerprints.extend(whole[7:])
    assert sifted(fingerprints, LETTERS) == []
    assert gone(fingerprints) == []


def test_rows_of_a_long_stream_are_kept_in_several_portions_in_their_order() -> None:
    many = [(number, number * 7) for number in range(1, 150_001)]
    fingerprints, loaded = Fingerprints(), Fingerprints()
    fingerprints.extend(many)
    portions = list(fingerprints.portions())
    for portion in portions:
        loaded.take(*portion)
    assert len(portions) == 3
    assert len(loaded) == 150_000
    assert all(loaded.mark(number) for number in (1, 65_536, 65_537, 150_000))


def test_rows_that_were_added_are_kept_behind_the_known_ones_in_the_order_they_came() -> None:
    fingerprints = known(LETTERS)
    new = raw("new", "newer")
    assert sifted(fingerprints, [*LETTERS, *new]) == new
    for row_id, row in zip((900, 800), new, strict=True):  # ids need not follow the order
        fingerprints.add(row_id, fingerprint(row, SEED))
    assert fingerprints.added_count == 2
    loaded = Fingerprints()
    for portion in fingerprints.portions():
        loaded.take(*portion)
    assert sifted(loaded, [*LETTERS, *new]) == []
    assert gone(loaded) == []


def test_a_changed_row_keeps_its_place_and_is_recognised_next_time() -> None:
    fingerprints, changed = known(LETTERS), raw("changed")
    rows = [*LETTERS[:5], *changed, *LETTERS[6:]]
    assert sifted(fingerprints, rows) == changed
    assert fingerprints.mark(60, fingerprint(changed[0], SEED))
    loaded = Fingerprints()
    for portion in fingerprints.portions():
        loaded.take(*portion)
    assert sifted(loaded, rows) == []
    assert gone(loaded) == []


def test_what_an_interrupted_read_has_changed_and_added_is_corrected_and_keeps_its_place() -> None:
    fingerprints, changed, new = known(LETTERS), raw("changed"), raw("new")
    fingerprints.correct([(60, fingerprint(changed[0], SEED)), (270, fingerprint(new[0], SEED))])
    assert sifted(fingerprints, [*LETTERS[:5], *changed, *LETTERS[6:], *new]) == []
    assert gone(fingerprints) == []


def test_a_row_that_comes_twice_is_known_by_what_it_said_last() -> None:
    fingerprints = known(LETTERS)
    first, last = raw("first", "last")
    assert fingerprints.mark(60, fingerprint(first, SEED))
    assert not fingerprints.mark(60, fingerprint(last, SEED))
    loaded = Fingerprints()
    for portion in fingerprints.portions():
        loaded.take(*portion)
    assert sifted(loaded, [*LETTERS[:5], last, *LETTERS[6:]]) == []


def test_an_added_row_that_comes_again_makes_the_fingerprints_inexact() -> None:
    fingerprints = known(LETTERS)
    fingerprints.add(270, fingerprint(raw("new")[0], SEED))
    assert fingerprints.exact
    assert not fingerprints.mark(270, fingerprint(raw("newer")[0], SEED))
    assert not fingerprints.exact
