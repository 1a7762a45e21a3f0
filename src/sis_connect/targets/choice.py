"""Which target an integration writes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy import select

from sis_connect.capabilities import Kind
from sis_connect.errors import ConfigurationError
from sis_connect.settings import SISProviderConfig
from sis_connect.store.elsewhere import Elsewhere
from sis_connect.store.sql import Store
from sis_connect.store.tables import integration as table
from sis_connect.store.target import BuiltInTarget, RosterTarget


class Bindable(Protocol):
    """A target as an app declares it, before it is known which integration writes to it."""

    @property
    def tells_apart(self) -> bool:
        """Whether it tells the rows of one integration from those of another."""
        ...

    def bind(self, integration_id: int, integration: str, *, batch_size: int = 200, match_email: bool = False) -> RosterTarget:
        """The target of one integration."""
        ...


@dataclass(frozen=True, slots=True)
class TargetChoice:
    """The targets of a service: `named` for single integrations, and one for all others; without, the built-in tables."""

    target: Bindable | None = None
    named: Mapping[str, Bindable] = field(default_factory=dict)

    def declared(self, name: str) -> Bindable | None:
        """What was declared for an integration; none where it is kept in the built-in tables."""
        return self.named.get(name, self.target)

    def elsewhere(self, integration_id: int, name: str, kind: Kind) -> Elsewhere | None:
        """Where an app keeps the records of a kind by itself; none where they lie in the built-in tables."""
        declared = self.declared(name)
        target = declared.bind(integration_id, name) if declared is not None else None
        return target if isinstance(target, Elsewhere) and target.keeps(kind) else None

    async def target_of(self, store: Store, integration_id: int, name: str, config: SISProviderConfig) -> RosterTarget:
        """The target of one integration."""
        declared = self.declared(name)
        if declared is None:
            return BuiltInTarget(integration_id, match_email=config.match_email)
        if not declared.tells_apart:
            await self._demand_alone(store, name, declared)
        return declared.bind(integration_id, name, batch_size=config.batch_size, match_email=config.match_email)

    async def _demand_alone(self, store: Store, name: str, declared: Bindable) -> None:
        """Ids are unique in one district only: two may not meet in one table that does not tell them apart."""
        async with store.read() as connection:
            names = (await connection.execute(select(table.c.name).where(table.c.removed_at.is_(None)))).scalars().all()
        others = [other for other in names if other != name and self.declared(other) is declared]
        if others:
            raise ConfigurationError(
                f"The integrations {name} and {others[0]} would write to the same rows of the app, by ids of their own.",
                remedy="Give each Model an attribute that holds the integration's name, or each integration a target of its own.",
            )
