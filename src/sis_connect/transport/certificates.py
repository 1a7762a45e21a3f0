"""Which certificates this machine trusts, where its environment says so: told apart by what stands there now."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

#: Where a file or a folder of certificates is named.
PLACES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def named_certificates() -> Iterator[tuple[str, int, int]]:
    """Each place and each file of it, with when it was changed and which file that is: a renewed one is another."""
    for name in PLACES:
        place = os.environ.get(name, "")
        yield f"{name}={place}", 0, 0
        with suppress(OSError):  # what is not there is the library's to complain of
            inside = sorted(os.listdir(place)) if os.path.isdir(place) else []
            for file in (place, *(os.path.join(place, each) for each in inside)):
                found = os.stat(file)
                yield file, found.st_mtime_ns, found.st_ino
