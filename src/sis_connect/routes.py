"""Which endpoints a read takes, and where it begins. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sis_connect.capabilities import Kind
from sis_connect.endpoint import Asked, Endpoint, reach_of, scoped
from sis_connect.provider import Scope


def chosen(
    endpoints: Sequence[Endpoint[Any]], kinds: Collection[Kind], scope: Scope, asked: Asked
) -> tuple[list[Endpoint[Any]], list[Endpoint[Any]], dict[str, list[Endpoint[Any]]]]:
    """The endpoints that feed these kinds, those that a read starts with, and which are opened by the rows of which."""
    usable = [each for each in endpoints if each.serves(reach_of(scope)) and not each.standby]
    every = {endpoint.name: endpoint for endpoint in endpoints}
    wanted = [endpoint for endpoint in usable if set(kinds) & set(endpoint.kinds) and endpoint.needs(asked)]
    chosen, roots = list(wanted), []
    below: dict[str, list[Endpoint[Any]]] = {name: [] for name in every}
    for endpoint in chosen:  # grows while it is walked: parents have parents
        parent = every[endpoint.parent] if endpoint.parent else None
        if parent is None or parent.gives in scoped(scope):
            roots.append(endpoint)  # the scope gives the ids that a parent would bring
        else:
            below[parent.name].append(endpoint)
            if parent not in chosen:
                chosen.append(parent)
    return wanted, roots, below


def contexts(endpoint: Endpoint[Any], scope: Scope) -> list[dict[str, str]]:
    """The contexts that a read starts with."""
    for name, ids in scoped(scope).items():
        if f"{{{name}}}" in endpoint.path:
            return [{name: sis_id} for sis_id in ids]
    return [{}]
