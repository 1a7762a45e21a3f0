"""What the office of an invented district adds to sis-connect. Settings choose from it; nothing here does anything by itself."""

from collections.abc import Mapping

from sis_connect.guards import Guard
from sis_connect.hookspecs import hookimpl
from sis_connect.strategies import Decider

from .rules import longer_wins, no_crowd


@hookimpl
def sis_connect_strategies() -> Mapping[str, Decider]:
    return {"longer_wins": longer_wins}


@hookimpl
def sis_connect_guards() -> Mapping[str, Guard]:
    return {"no_crowd": Guard(no_crowd, kinds=["students"], actions=["create"])}


@hookimpl
def sis_connect_listeners() -> Mapping[str, str]:
    return {"badges": "sis_connect_office.badges:order_badge"}


@hookimpl
def sis_connect_key_sources() -> Mapping[str, str]:
    return {"safe": "sis_connect_office.safe:Safe"}


@hookimpl
def sis_connect_targets() -> Mapping[str, str]:
    return {"accounts": "sis_connect_office.accounts:accounts"}
