"""Rosters that are no server but a file or a folder of this machine, where a district's export arrives."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname


def is_local(url: str) -> bool:
    """Whether an address is that of a file or a folder, and not of a server."""
    return url.strip().lower().startswith("file:")


def check_file_url(url: str) -> str:
    """The address of a file or a folder, absolute and on this machine."""
    parts = urlsplit(url.strip())
    if not url.strip().lower().startswith("file:///") or not parts.path.strip("/"):
        raise ValueError("must name a file or folder by its whole path, such as file:///srv/exports/lincoln.zip")
    if parts.query or parts.fragment:
        raise ValueError("must not contain a question mark or a number sign: write %3F and %23")
    if "\0" in url2pathname(parts.path):
        raise ValueError("must not contain a zero byte")
    return "file://" + parts.path.rstrip("/")


def local_path(url: str) -> Path:
    """The file or folder that an address names."""
    return Path(url2pathname(urlsplit(url.strip()).path))
