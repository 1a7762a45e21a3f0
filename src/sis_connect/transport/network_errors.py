"""Why no connection to a server came about, in words, and without what a library would show of the request."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from sis_connect.errors import NetworkError
from sis_connect.transport.addresses import Origin


def forget_frames(error: BaseException) -> None:
    """Leave out where in the library it happened: a report that shows local variables would show whole addresses and headers."""
    for behind in _causes(error):
        behind.__traceback__ = None


def connect_error(error: BaseException, origin: Origin) -> NetworkError:
    """Why no connection came about, told apart so that an operator knows where to look."""
    host = origin.host
    for cause in _causes(error):
        match cause:
            case socket.gaierror():
                return NetworkError(
                    f"The host {host} is not known (DNS).",
                    remedy="Check the spelling of the base URL, and that this machine can resolve names.",
                    retryable=cause.errno == socket.EAI_AGAIN,
                )
            case ssl.SSLCertVerificationError():
                return NetworkError(
                    f"The certificate of {host} cannot be trusted (TLS: {cause.verify_message}).",
                    remedy="Have the district renew it, or install the certificate authority that signed it on this machine.",
                    retryable=False,
                )
            case ssl.SSLError() if cause.reason == "WRONG_VERSION_NUMBER":
                return NetworkError(
                    f"{host} answers on port {origin.port}, but not by TLS.",
                    remedy="Check the port of the base URL, and whether the server takes https there.",
                    retryable=False,
                )
            case ssl.SSLError():
                return NetworkError(f"No secure connection to {host} came about (TLS: {cause.reason or 'failed handshake'}).")
            case ConnectionRefusedError():
                return NetworkError(
                    f"{host} refuses connections on port {origin.port}.",
                    remedy="Check the port of the base URL, and that the SIS is up.",
                )
    return NetworkError(f"{host} cannot be reached.")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that lie behind it."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                yield from _causes(inner)
        error = error.__cause__ or error.__context__
