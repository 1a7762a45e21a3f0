"""What holds for every test: it starts without our environment variables, and nothing outside this machine is reached."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from sis_connect.setting_types import is_loopback


@pytest.fixture(autouse=True)
def unchanged_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Our own variables are unset, and a test that leaves the environment changed fails."""
    for name in [name for name in os.environ if name.startswith("SIS_CONNECT_")]:
        monkeypatch.delenv(name)
    before = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    yield
    monkeypatch.undo()
    after = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "SIS_CONNECT_"))}
    assert after == {name: value for name, value in before.items() if not name.startswith("SIS_CONNECT_")}


@pytest.fixture(autouse=True, scope="session")
def only_loopback() -> Iterator[None]:
    """A name outside this machine is unknown, and a connection outside is refused."""
    connect = socket.socket.connect
    resolve = socket.getaddrinfo

    def connect_here(sock: socket.socket, address: Any) -> None:
        if sock.family != socket.AF_UNIX and not is_loopback(str(address[0])):
            raise ConnectionRefusedError(f"A test tried to reach {address[0]}.")
        connect(sock, address)

    def resolve_here(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name and not is_loopback(name):
            raise socket.gaierror(socket.EAI_NONAME, "A test tried to look up a name outside this machine.")
        return resolve(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_here)
        patch.setattr(socket, "getaddrinfo", resolve_here)
        yield
