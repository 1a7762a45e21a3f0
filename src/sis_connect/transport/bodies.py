"""The body of an answer as it comes over the wire: unpacked, measured, and kept in memory or written to a file."""

from __future__ import annotations

import zlib
from typing import BinaryIO

from sis_connect.errors import StorageError, UnexpectedResponse

#: So much is unpacked at once: what is small when it is packed may be a thousand times as large.
_STEP = 2**20
_SMALLER_PAGES = "Ask for smaller pages (`page_size`); if small ones grow as large, report it to the maker of the SIS."


class BodyFile:
    """An open file that a body is written to, from where the file stands."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._start = file.tell()
        self.limit = limit

    def clear(self) -> None:
        """Cut off what an attempt has written."""
        try:
            self._file.seek(self._start)
            self._file.truncate()
        except OSError as error:
            raise _unwritable(error) from error

    def write(self, piece: bytes) -> None:
        """Add a piece."""
        try:
            self._file.write(piece)
        except OSError as error:
            raise _unwritable(error) from error


def _unwritable(error: OSError) -> StorageError:
    return StorageError(
        f"What was downloaded cannot be written ({error.strerror or type(error).__name__}).",
        remedy="Check the free space and the permissions of the folder for temporary files.",
    )


class BodyReader:
    """Puts a body together piece by piece, unpacks it, and stops as soon as it grows beyond `limit` bytes unpacked.

    With `into` it is written there, and nothing of it is kept.
    """

    def __init__(self, host: str, limit: int, into: BodyFile | None = None) -> None:
        self._host = host
        self._limit = limit
        self._into = into
        self._pieces: list[bytes] = []
        self._inflater: zlib._Decompress | None = None
        self.size = 0

    def unpack(self, encoding: str | None) -> None:
        """How the body is packed, by its `Content-Encoding`. Only gzip was asked for."""
        encoding = (encoding or "identity").strip().lower()
        if encoding not in ("identity", "gzip", "x-gzip"):
            raise UnexpectedResponse(f"{self._host} packed its answer in a way that was not asked for.")
        self._inflater = _gunzip() if encoding != "identity" else None

    def feed(self, raw: bytes) -> None:
        """Take in the next piece as it came over the wire."""
        if self._inflater is None:
            self._keep(raw)
            return
        while raw:
            if self._inflater.eof:  # a gzip body may consist of several members
                self._inflater = _gunzip()
            try:
                self._keep(self._inflater.decompress(raw, min(self._limit - self.size + 1, _STEP)))
            except zlib.error:
                raise UnexpectedResponse(f"{self._host} sent a packed answer that cannot be unpacked.", retryable=True) from None
            raw = self._inflater.unconsumed_tail or self._inflater.unused_data

    def body(self) -> bytes:
        """The whole of it. Raises where a packed body ends too early."""
        if self._inflater is not None and not self._inflater.eof:
            raise UnexpectedResponse(f"{self._host} sent a packed answer that is cut off.", retryable=True)
        return self.so_far()

    def so_far(self) -> bytes:
        """What has come so far."""
        return b"".join(self._pieces)

    def _keep(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self._limit:
            raise UnexpectedResponse(
                f"{self._host} sent more than {self._limit / 2**20:.0f} MiB in one answer.",
                remedy="Ask the district whether its export is really so large." if self._into is not None else _SMALLER_PAGES,
            )
        if self._into is not None:
            self._into.write(piece)
        else:
            self._pieces.append(piece)


def _gunzip() -> zlib._Decompress:
    return zlib.decompressobj(zlib.MAX_WBITS | 16)
