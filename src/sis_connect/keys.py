"""What a place for keys must be able to do. Our own are in `tokens.key_sources`; apps and plugins bring others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable


class KeySource(Protocol):
    """Where keys come from. An app that keeps its keys in a place of its own gives one to `SISService.open(key_source=...)`."""

    def keys(self) -> Sequence[bytes]:
        """The keys, 32 bytes each: the first one seals, all of them open. None where there is no key yet.

        It is asked on first use, and again before anything is sealed, and where something turns out to be sealed with a key that
        it did not give then: it must answer quickly.
        """
        ...


@runtime_checkable
class KeyKeeper(KeySource, Protocol):
    """A source that can keep a new key by itself."""

    @property
    def origin(self) -> str:
        """What it is called in messages."""
        ...

    def make(self) -> None:
        """Make the first key, where there is none. Whoever comes second finds that of the first."""
        ...

    def put_in_front(self) -> None:
        """Make a new key that seals from now on; those that there are keep opening."""
        ...
