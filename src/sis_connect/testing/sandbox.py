"""Running a sandbox: a local server that behaves like a vendor's API, over the synthetic district.

    async with running_sandbox(info, students=200) as sandbox:
        ... connect to sandbox.base_url with sandbox.client_id and sandbox.client_secret ...
        sandbox.set_day(1)

`running_sandbox` also works with a plain `with`. Control endpoints, all below `/_sandbox` (of the server, or of the base URL):
`POST day`, `GET stats`, `POST fault`, `DELETE fault`, `GET truth?kind=K[&history=1][&fields=…]`, and `POST set` (settings while
it runs), `POST change` (a record, where the sandbox can), `GET leaks` (where a redirect or a link to another origin was followed
with credentials).
"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sis_connect.discovery import load
from sis_connect.errors import ConfigurationError, MissingExtra
from sis_connect.provider import ProviderInfo
from sis_connect.setting_types import parse_rate_limit
from sis_connect.testing.district import District
from sis_connect.testing.faults import Fault, Strikes, storm

if TYPE_CHECKING:
    from sis_connect.testing.rest_sandbox import Listing, Pages, RestSandbox
    from sis_connect.testing.sandbox_app import Sandbox, SandboxApp
    from sis_connect.testing.sandbox_server import ServerThread
    from sis_connect.testing.token_grants import TokenGrants

#: What a sandbox is built of, loaded on use: it needs the extra `sandbox`.
_KIT = {
    "Listing": "listings",
    "Pages": "listings",
    "RestSandbox": "rest_sandbox",
    "Sandbox": "sandbox_app",
    "TokenGrants": "token_grants",
}
__all__ = [
    "Fault",
    "Listing",
    "Pages",
    "RestSandbox",
    "RunningSandbox",
    "Sandbox",
    "TokenGrants",
    "build_app",
    "running_sandbox",
    "storm",
]

#: The setting that every sandbox knows: `off` leaves `Retry-After` out of refusals.
RETRY_AFTER = "retry_after"


def __getattr__(name: str) -> Any:
    if name not in _KIT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"sis_connect.testing.{_KIT[name]}"), name)
    except ModuleNotFoundError as error:
        raise MissingExtra("A sandbox", "sandbox") from error


def build_app(
    info: ProviderInfo | str,
    *,
    students: int = 10_000,
    seed: int = 1,
    day: int = 0,
    rate: str | None = None,
    latency: float = 0.0,
    faults: Sequence[str | Fault] = (),
    settings: Mapping[str, str] | None = None,
) -> SandboxApp:
    """A provider's sandbox, ready to be served. `info` may also be the sandbox's own `module:factory`. `rate` is `N/SECONDS`,
    `latency` milliseconds. Raises `MissingExtra` where Starlette or uvicorn is not installed."""
    try:
        import uvicorn  # noqa: F401 - asked for here, used by the server

        from sis_connect.testing.sandbox_app import SandboxApp
    except ImportError as error:
        raise MissingExtra("A sandbox", "sandbox") from error
    target = info if isinstance(info, str) else info.sandbox
    if target is None:
        raise ConfigurationError(
            f"The provider {info!r} has no sandbox.", remedy="See `sis-connect providers` for those that have."
        )
    chosen = dict(settings or {})
    tell = chosen.pop(RETRY_AFTER, "on") != "off"
    try:
        district = District(students=students, seed=seed)
        district.move_to(day)
        limit = parse_rate_limit(rate or "off")
    except ValueError as error:
        raise ConfigurationError(f"The sandbox cannot be built: {error}") from None
    return SandboxApp(
        load(target)(district, chosen),
        limit=limit if isinstance(limit, tuple) else None,
        latency=latency / 1000,
        faults=[fault if isinstance(fault, Fault) else Fault.parse(fault) for fault in faults],
        tell_retry_after=tell,
    )


def ready_message(provider: str, app: SandboxApp, base_url: str, rate: str | None) -> dict[str, Any]:
    """What a client needs to know to connect."""
    sandbox = app.sandbox
    return {
        "provider": provider,
        "base_url": base_url + sandbox.base_path,
        "token_url": base_url + sandbox.token_path + sandbox.token_url_query,
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "date": sandbox.district.today.isoformat(),
        "settings": {"rate_limit": rate or "off", **sandbox.told_settings()},
    }


def serve_sandbox(
    info: ProviderInfo,
    *,
    port: int = 0,
    students: int = 10_000,
    seed: int = 1,
    day: int = 0,
    rate: str | None = None,
    latency: float = 0.0,
    faults: Sequence[str | Fault] = (),
    settings: Mapping[str, str] | None = None,
) -> None:
    """Serve until interrupted. Prints one line of JSON on stdout once connections are taken."""
    app = build_app(info, students=students, seed=seed, day=day, rate=rate, latency=latency, faults=faults, settings=settings)
    from sis_connect.testing.sandbox_server import Server

    def announce() -> None:
        sys.stdout.write(json.dumps(ready_message(info.name, app, server.base_url, rate)) + "\n")
        sys.stdout.flush()

    server = Server(app, port, announce)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return


class RunningSandbox:
    """A sandbox under way, and its controls. They act between two requests and may be called from any thread."""

    def __init__(self, provider: str, app: SandboxApp, thread: ServerThread, rate: str | None) -> None:
        self._app, self._thread = app, thread
        message = ready_message(provider, app, thread.server.base_url, rate)
        self.provider: str = provider
        self.base_url: str = message["base_url"]
        self.token_url: str = message["token_url"]
        self.client_id: str = message["client_id"]
        self.client_secret: str = message["client_secret"]
        self.settings: dict[str, str] = message["settings"]

    @property
    def date(self) -> datetime.date:
        """The school date on the day that the sandbox shows."""
        return self._app.sandbox.district.today

    @property
    def district(self) -> District:
        """What the sandbox is about."""
        return self._app.sandbox.district

    def set_day(self, day: int) -> datetime.date:
        self._thread.call(lambda: self._app.set_day(day))
        return self.date

    def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = self._thread.call(self._app.traffic.stats)
        return stats

    def fault(self, name: str, value: object = "", *, count: int | None = None, path: str = "", after: int = 0) -> None:
        """Ask for a fault: `count` times, or until cleared; for paths with this prefix or pattern, after so many of them."""
        fault = Fault(name, str(value), count, path, after)
        self._thread.call(lambda: self._app.sandbox.faults.add(fault))

    def storm(self, strikes: Strikes, *, path: str = "") -> None:
        """Let a storm of your own loose, made by `storm()` or by hand; `fault("storm", seed)` is the usual one."""
        self._thread.call(lambda: self._app.sandbox.faults.rage(strikes, path))

    @property
    def struck(self) -> bool:
        """Whether any of the faults in force has struck a request yet."""
        return self._app.sandbox.faults.struck

    @property
    def held(self) -> int:
        """How many answers are being held back by `slow`."""
        return self._app.sandbox.faults.held

    def clear_faults(self) -> None:
        self._thread.call(self._app.sandbox.faults.clear)

    def set(self, **settings: str) -> None:
        """Change settings of the vendor's sandbox."""
        self._thread.call(lambda: self._app.change_settings(settings))

    def change(self, kind: str, sis_id: str, **fields: str) -> None:
        """Change a record, as somebody in the office would. Names of fields are canonical."""
        self._thread.call(lambda: self._app.change(kind, sis_id, fields))

    def rename(self) -> None:
        """Give everybody and everything another name, under the same ids, until the day is moved back."""
        self._thread.call(self._app.rename)

    def truth(self, kind: str, *, history: bool = False, fields: Collection[str] | None = ()) -> list[dict[str, Any]]:
        """What a perfect client would have, with the on-request fields that are named (None: all)."""
        lines: list[dict[str, Any]] = self._thread.call(lambda: list(self._app.truth(kind, history=history, fields=fields)))
        return lines

    @property
    def notes(self) -> list[str]:
        """What the sandbox has to say, such as a request that it has no answer to."""
        return list(self._app.sandbox.notes)

    @property
    def leaks(self) -> list[str]:
        """Paths at another origin that were reached with credentials."""
        return list(self._app.leaks)


class running_sandbox:  # noqa: N801 - used like a function
    """A sandbox in a thread of its own, for as long as the `with` or `async with` block lasts. Arguments as for `build_app`."""

    def __init__(
        self,
        info: ProviderInfo | str,
        *,
        port: int = 0,
        students: int = 200,
        seed: int = 1,
        day: int = 0,
        rate: str | None = None,
        latency: float = 0.0,
        faults: Sequence[str | Fault] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._provider = info if isinstance(info, str) else info.name
        self._port, self._rate = port, rate
        self._app = build_app(
            info, students=students, seed=seed, day=day, rate=rate, latency=latency, faults=faults, settings=settings
        )

    def __enter__(self) -> RunningSandbox:
        from sis_connect.testing.sandbox_server import ServerThread

        self._thread = ServerThread(self._app, self._port)
        return RunningSandbox(self._provider, self._app, self._thread, self._rate)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._thread.stop()

    async def __aenter__(self) -> RunningSandbox:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.__exit__(kind, error, trace)
