"""What may be shown: no secret, no pupil's data (promise P7).

The first line of defence is that nothing of the kind is ever put into a message. This is the second: for URLs, headers and
settings that have to be shown, and for logs of other libraries that pass through ours.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

HIDDEN = "[redacted]"

#: Header values that tell an operator something and cannot hold data.
_SAFE_HEADERS = frozenset(
    ("accept", "content-encoding", "content-length", "content-type", "date", "retry-after", "server", "transfer-encoding")
)
_SECRET_NAME = re.compile(
    r"secret|password|passwd|token|authorization|cookie|api[_-]?key|private[_-]?key|credential", re.IGNORECASE
)
#: Names that only look like those of secrets.
_HARMLESS_NAMES = frozenset(("token_url", "token_path", "token_type", "tokens", "key_id"))
# A segment such as `ws`, `time-zones`, `v1` or `v1p2` belongs to the interface; anything else may be somebody's id or name.
_FIXED_SEGMENT = re.compile(r"[a-z]+(?:[_-][a-z]+)*|v\d+(?:p\d+)?", re.IGNORECASE)
_PATTERNS = (
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"\b(OAuth)\s+\w+=\"[^\"]*\"(?:\s*,\s*\w+=\"[^\"]*\")*", re.IGNORECASE), rf"\1 {HIDDEN}"),
    # name=value and "name": "value", where the name says that the value is a secret
    (
        re.compile(
            r"""(["']?\b(?:access_token|refresh_token|id_token|client_secret|code_verifier|password|assertion|api_key)["']?"""
            r"""\s*[=:]\s*["']?)[^\s"'&,;}]+""",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"[\w.+'-]+@[\w-]+(?:\.[\w-]+)+"), HIDDEN),
    (re.compile(r"(\bhttps?://[^\s?#\"'<>]+)[?#][^\s\"'<>]*"), rf"\1?{HIDDEN}"),
)


def path_template(path: str) -> str:
    """A path with everything that may be an id or a name left out: `/ws/v1/school/42/student` is `/ws/v1/school/{}/student`."""
    segments = urlsplit(path).path.split("/")
    return "/".join(segment if not segment or _FIXED_SEGMENT.fullmatch(segment) else "{}" for segment in segments)


def safe_url(url: str) -> str:
    """Scheme, host and the template of the path; no credentials, ids or query."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return HIDDEN
    return f"{parts.scheme}://{parts.hostname or ''}{port}{path_template(parts.path)}"


def safe_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers with only those values that cannot hold data."""
    return {name: value if name.lower() in _SAFE_HEADERS else HIDDEN for name, value in headers.items()}


def safe_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the values of secrets left out, at any depth."""
    return {name: _safe_value(name, value) for name, value in settings.items()}


def _safe_value(name: str, value: Any) -> Any:
    if is_secret_name(name) and value is not None:
        return HIDDEN
    if isinstance(value, Mapping):
        return {key: _safe_value(str(key), inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_safe_value(name, inner) for inner in value]
    return redact_text(value) if isinstance(value, str) else value


def is_secret_name(name: str) -> bool:
    """Whether a setting or log field of this name holds a secret."""
    return name.lower() not in _HARMLESS_NAMES and _SECRET_NAME.search(name) is not None


def redact_text(text: str) -> str:
    """Text without tokens, secrets, e-mail addresses and the queries of URLs."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor. Put it after `format_exc_info`, so that tracebacks pass through it too."""
    for name, value in event.items():
        event[name] = _safe_value(name, value)
    return event


class RedactingFormatter(logging.Formatter):
    """A formatter of the standard library that redacts what it has formatted, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return redact_text(super().format(record))
