"""Where the interface is below the base URL that somebody has copied from somewhere, with or without its last segments. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

#: Where the standard puts the rosters of each version.
TAILS = {"1.1": "/ims/oneroster/v1p1", "1.2": "/ims/oneroster/rostering/v1p2"}
_VERSION = re.compile(r"/v(\d)p(\d)(?=/|$)")


def missing(base_url: str, tail: str) -> str:
    """What of `tail` is not at the end of the base URL already: `/rostering/v1p2` after `…/ims/oneroster`."""
    path = urlsplit(base_url).path.rstrip("/").lower()
    segments = tail.strip("/").split("/")
    for count in range(len(segments), 0, -1):
        if path.endswith("/" + "/".join(segments[:count]).lower()):
            return "".join(f"/{segment}" for segment in segments[count:])
    return "" if _VERSION.search(path) else tail


def told_version(base_url: str) -> str | None:
    """The version that the base URL names."""
    found = _VERSION.search(urlsplit(base_url).path.lower())
    return f"{found[1]}.{found[2]}" if found else None
