"""Word of changes, taken by HTTP: an ASGI application that a host mounts, or that `sis-connect serve` serves.

    from sis_connect import web

    app.mount("/sis", web.application(service))

Senders POST to `/hooks/{integration}/{secret}`, or signed by Standard Webhooks to `/hooks/{integration}`; `GET /health` says
whether all is well. What is sent is a hint and never data: the record is read again from the SIS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sis_connect.errors import MissingExtra

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from sis_connect.service import SISService

#: The longest body that is read, in bytes.
LONGEST_BODY = 256 * 1024

__all__ = ["LONGEST_BODY", "application"]


def application(service: SISService, *, follow: bool = True, longest_body: int = LONGEST_BODY) -> Starlette:
    """The application over a service that is open as long as it serves.

    With `follow`, what is heard is read again at once, in tasks of the same loop; without it, another process does that by
    `SISService.watch` or `drain_hints`. What was left from before is followed when the application starts; where a host mounts it
    and runs no life cycle for it, with the next word of that district. Such a host awaits `app.state.follower.aclose()` before it
    closes the service. Raises `MissingExtra` where Starlette is not installed.
    """
    try:
        from sis_connect.web.routes import build
    except ImportError as error:
        raise MissingExtra("Receiving word of changes", "web") from error
    return build(service, follow=follow, longest_body=longest_body)
