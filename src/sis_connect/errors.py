"""Every error that sis-connect raises, one root, sorted by what the reader can do about it.

    SISError
    ├── ConfigurationError       settings are wrong or missing: correct them
    │   └── MissingExtra         an optional part is not installed: install it
    ├── AuthenticationError      the SIS does not accept our credentials: renew them
    ├── AuthorizationError       the credentials lack a permission: ask the district for it
    ├── NetworkError             nothing usable came back: try again later
    │   ├── RequestTimedOut
    │   └── CircuitOpen          too many failures: calls rest until the host has recovered
    ├── RateLimited              the SIS asks us to slow down: wait `retry_after` seconds
    ├── DataValidationError      a value breaks the contract: the record waits in quarantine
    ├── ProviderError            the SIS, or its plugin, misbehaves: report it
    │   ├── UnexpectedResponse   not the content that was asked for (HTML, truncated, too large, elsewhere)
    │   └── NotOffered           this provider cannot do what was asked
    ├── ConflictError            somebody else is at work, or the world has moved on since
    │   └── EventsExpired        what happened after a cursor is not kept any more: read the whole roster once
    └── StorageError             the database cannot be read or written

An error never carries a pupil's data or a secret: its message, remedy and context are safe to log and to show.
"""

from __future__ import annotations

from typing import ClassVar, Literal

Category = Literal[
    "authentication",
    "authorization",
    "network",
    "rate_limit",
    "data_validation",
    "configuration",
    "provider",
    "conflict",
    "storage",
]
Severity = Literal["low", "medium", "high", "critical"]


class SISError(Exception):
    """The root of all errors of sis-connect.

    `category` and `severity` sort it, `retryable` says whether waiting can help (`retry_after` seconds, where the SIS told us),
    `remedy` is what to do, in one sentence.
    `integration`, `operation` and `request_id` say where it happened; they are filled in on the way out.
    """

    category: ClassVar[Category] = "provider"
    severity: Severity = "high"
    retryable: bool = False
    retry_after: float | None = None
    default_remedy: ClassVar[str] = "Run `sis-connect doctor NAME` to see what is wrong."

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        severity: Severity | None = None,
        retryable: bool | None = None,
        integration: str | None = None,
        operation: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy or self.default_remedy
        if severity is not None:
            self.severity = severity
        if retryable is not None:
            self.retryable = retryable
        self.integration = integration
        self.operation = operation
        self.request_id = request_id

    def within(self, *, integration: str | None = None, operation: str | None = None) -> SISError:
        """Fill in where it happened, unless that is known already."""
        self.integration = self.integration or integration
        self.operation = self.operation or operation
        return self

    def as_dict(self) -> dict[str, str]:
        """The shape that `--json` reports carry under `error`."""
        return {
            "category": self.category,
            "severity": self.severity,
            "message": self.message,
            "remedy": self.remedy,
        }

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}"


class ConfigurationError(SISError):
    """A setting is wrong or missing."""

    category = "configuration"
    default_remedy = "Correct the setting and try again."


class MissingExtra(ConfigurationError):  # noqa: N818 - reads as what is the case
    """An optional part of sis-connect is needed and not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs the optional part `{extra}`, which is not installed.",
            remedy=f"Install it: pip install 'sis-connect[{extra}]'.",
        )


class AuthenticationError(SISError):
    """The SIS did not accept our credentials."""

    category = "authentication"
    default_remedy = "Check client id and secret with the district's administrator, then store them again with `add`."


class AuthorizationError(SISError):
    """The credentials are valid but lack a permission."""

    category = "authorization"
    default_remedy = "Ask the district's administrator to grant the missing access."


class NetworkError(SISError):
    """The SIS could not be reached, or broke off."""

    category = "network"
    severity: Severity = "medium"
    retryable = True
    default_remedy = "Check that the SIS is up and reachable from this machine; the next sync resumes by itself."


class RequestTimedOut(NetworkError):  # noqa: N818 - reads as what is the case
    """No answer within the time allowed."""

    default_remedy = "Try again later, or raise `timeout` if this server is always slow."


class CircuitOpen(NetworkError):  # noqa: N818 - the field's term
    """Too many failures in a row: no call is made before `retry_after` seconds have passed."""

    def __init__(self, message: str, *, retry_after: float, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after = retry_after


class RateLimited(SISError):  # noqa: N818 - reads as what is the case
    """The SIS asks us to slow down."""

    category = "rate_limit"
    severity: Severity = "medium"
    retryable = True
    default_remedy = "Lower `rate_limit` for this integration, or wait and try again."

    def __init__(self, message: str, *, retry_after: float | None = None, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after = retry_after


class DataValidationError(SISError):
    """A value breaks the contract. `fields` names the fields, never their values."""

    category = "data_validation"
    severity: Severity = "low"
    default_remedy = "Have the record corrected in the SIS; it waits in quarantine and keeps its last good state."

    def __init__(self, message: str, *, fields: tuple[str, ...] = (), remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.fields = fields


class ProviderError(SISError):
    """The SIS, or the plugin that speaks to it, misbehaves."""

    category = "provider"


class UnexpectedResponse(ProviderError):  # noqa: N818 - reads as what is the case
    """The answer is not what was asked for: a web page, cut off, too large, or from another place."""

    default_remedy = "Look at the base URL and at notices of downtime from the SIS, then try again."


class NotOffered(ProviderError):  # noqa: N818 - reads as what is the case
    """The provider does not offer what was asked."""

    severity: Severity = "low"
    default_remedy = "See `sis-connect providers` for what each provider offers."


class ConflictError(SISError):
    """Somebody else is at work on the same thing, or it has changed since it was looked at."""

    category = "conflict"
    severity: Severity = "medium"
    retryable = True
    default_remedy = "Wait for the other one to finish, then try again."


class EventsExpired(ConflictError):  # noqa: N818 - reads as what is the case
    """What happened after a cursor is not known any more. `cursor` is where to go on, once the whole roster has been read."""

    retryable = False
    default_remedy = "Read the whole roster with `export`, then go on with the events after the cursor that this error carries."

    def __init__(self, message: str, *, cursor: int = 0, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.cursor = cursor


class StorageError(SISError):
    """The database cannot be read or written."""

    category = "storage"
    severity: Severity = "critical"
    default_remedy = "Check the database file or server, its permissions and free space."
