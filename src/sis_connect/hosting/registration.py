"""Whether what a plugin registers can be used at all, looked at once, in full. Pure.

What passes is copied: a plugin that changes its objects afterwards changes nothing of ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, replace
from math import isfinite
from types import MappingProxyType
from typing import Any, get_args

from sis_connect.capabilities import KINDS, Capabilities, DeltaKind, KindCapabilities, Leaving
from sis_connect.hosting.quiet import in_short, undisturbed
from sis_connect.provider import CONTRACT, GrantInfo, ProviderInfo

NAME = re.compile(r"[a-z][a-z0-9_]*")
TARGET = re.compile(r"[\w.]+:\w+")
_TEXTS_OR_NONE = ("scope", "authorize_path", "discovery_path", "revoke_path")
_TARGETS_OR_NONE = ("settings", "read_error", "refine", "hints", "sandbox")
_LISTS = ("api_versions", "auth_grants")
_MAPPINGS = ("token_headers", "token_parameters")


def objection(info: object) -> str | None:
    """Why a provider cannot be registered, as the end of a sentence that begins with its plugin; None where it can."""
    if not isinstance(info, ProviderInfo):
        return f"its hook returned {type(info).__name__} where a ProviderInfo belongs."
    # Before anything else: another contract may mean something else by everything else.
    if info.contract != CONTRACT or isinstance(info.contract, bool):
        return f"it was written for contract {info.contract!r}, this is contract {CONTRACT}."
    if not _is_text(info.name) or not NAME.fullmatch(info.name):
        return f"its name {info.name!r} is not lower-case letters, digits and underscores."
    wrong = next((each.name for each in fields(ProviderInfo) if not _is_sound(each, getattr(info, each.name))), None)
    if wrong is not None:
        return f"what it says as {wrong} of {info.name!r} is not what belongs there."
    return _objection_to_kinds(info.capabilities)


def own_copy(info: ProviderInfo) -> ProviderInfo:
    """The same in objects of ours: text as well, since one of a stranger's class may say something else each time."""
    kinds = {kind: KindCapabilities(**_values(stated)) for kind, stated in info.capabilities.kinds.items()}
    values = _values(info, ProviderInfo) | {"capabilities": Capabilities(kinds)}
    frozen = {name: MappingProxyType(dict(values[name])) for name in (*_MAPPINGS, "by_grant")}
    texts = {name: plain(value) for name, value in values.items() if isinstance(value, str)}
    lists = {name: tuple(map(plain, values[name])) for name in _LISTS}
    return ProviderInfo(**{**values, **texts, **lists, **frozen})


def own_refined(own: ProviderInfo) -> ProviderInfo:
    """What a plugin says with the settings of one integration, in objects of ours, and not to be asked again."""
    return replace(own_copy(own), refine=None)


def plain(text: object) -> str:
    """Text of ours that is the same as a stranger's; in short what is no text."""
    return str.__str__(text) if issubclass(type(text), str) else in_short(text)


def name_of(info: object) -> str:
    """What a provider calls itself, whatever that is."""
    with undisturbed():
        return plain(info.name) if isinstance(info, ProviderInfo) else "?"
    return "?"


def _values(stated: Any, model: type | None = None) -> dict[str, Any]:
    return {each.name: getattr(stated, each.name) for each in fields(model or stated)}


def _is_sound(each: Field[Any], value: object) -> bool:
    """Whether a field has what belongs there: what its test says, else something like what it has by default."""
    test = _TESTS.get(each.name)
    return test(value) if test is not None else each.default in (MISSING, None) or isinstance(value, type(each.default))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_target(value: object) -> bool:
    return isinstance(value, str) and TARGET.fullmatch(value) is not None


def _is_target_or_none(value: object) -> bool:
    return value is None or _is_target(value)


def _is_list(value: object) -> bool:
    return isinstance(value, tuple | list) and all(isinstance(item, str) for item in value)


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(item, str) for pair in value.items() for item in pair)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_limit(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and all(_is_number(part) and part > 0 for part in value)


_TESTS: Mapping[str, Callable[[Any], bool]] = {
    "provider": _is_target,
    "capabilities": lambda value: isinstance(value, Capabilities),
    "default_rate_limit": _is_limit,
    "default_page_size": lambda value: value is None or (type(value) is int and value > 0),
    "full_every": lambda value: _is_number(value) and value >= 0,
    "by_grant": lambda value: (
        isinstance(value, Mapping) and all(isinstance(k, str) and isinstance(v, GrantInfo) for k, v in value.items())
    ),
    "label": _is_text,
    **dict.fromkeys(_TEXTS_OR_NONE, _is_text_or_none),
    **dict.fromkeys(_TARGETS_OR_NONE, _is_target_or_none),
    **dict.fromkeys(_LISTS, _is_list),
    **dict.fromkeys(_MAPPINGS, _is_mapping),
}


def _objection_to_kinds(capabilities: Capabilities) -> str | None:
    for kind, stated in capabilities.kinds.items():
        if kind not in KINDS:
            return f"it declares the kind {kind!r}, which there is not."
        if not isinstance(stated, KindCapabilities):
            return f"what it declares of {kind} is no KindCapabilities."
        if stated.leaving not in get_args(Leaving) or stated.delta not in get_args(DeltaKind):
            return f"what it declares of {kind} says leaving or delta in words that there are not."
    return None
