"""What is sent, and what is noted of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sis_connect.transport.bodies import BodyFile
from sis_connect.transport.rate_limit import Limiter
from sis_connect.transport.signer import Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as the wire sends it, signed right before. Its repr shows only what a log may show.

    The body of its answer goes `into` a file where there is one. `limiter` is a limit that it counts towards besides that of all.
    """

    method: str
    template: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes | None = field(default=None, repr=False)
    json: object = field(default=None, repr=False)
    signature: Signature | None = field(default=None, repr=False)
    into: BodyFile | None = field(default=None, repr=False)
    limiter: Limiter | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that was sent, for statistics and logs: the template of its path, never a concrete path or query.

    `bytes` are those of the body, unpacked. `status` is `None` where no answer came; `error` names what went wrong.
    """

    template: str
    method: str
    status: int | None
    milliseconds: float
    bytes: int
    error: str | None


@dataclass(slots=True)
class CallInProgress:
    """A call in the making."""

    status: int | None = None
    bytes: int = 0
