"""Which target an integration writes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Row, select

from sis_connect.capabilities import Kind
from sis_connect.errors import ConfigurationError, SISError
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
    """The targets of a service: `named` for single integrations, and one for all others, as an app has declared them.

    Where it has not, `chosen` is what an integration's settings name of what plugins bring, and `brought` finds that. Without
    either, a roster is kept in the built-in tables.
    """

    target: Bindable | None = None
    named: Mapping[str, Bindable] = field(default_factory=dict)
    brought: Callable[[str], Bindable] | None = None
    chosen: Callable[[Row[Any]], str | None] = lambda row: None

    def declared(self, name: str, chosen: str | None = None) -> Bindable | None:
        """What goes for an integration; none where it is kept in the built-in tables."""
        declared = self.named.get(name, self.target)
        return self.brought(chosen) if declared is None and chosen and self.brought is not None else declared

    def known_as(self, name: str, chosen: str | None) -> str | None:
        """The name of a plugin's target that goes for an integration, "" for the built-in tables. An app's own has none."""
        return None if self.named.get(name, self.target) is not None else chosen or ""

    def elsewhere(self, row: Row[Any], kind: Kind) -> Elsewhere | None:
        """Where the records of an integration lie, of a kind that an app keeps; none where they are in the built-in tables."""
        declared = self.declared(row.name, self.chosen(row))
        target = declared.bind(row.id, row.name) if declared is not None else None
        return target if isinstance(target, Elsewhere) and target.keeps(kind) else None

    async def target_of(self, store: Store, integration_id: int, name: str, config: SISProviderConfig) -> RosterTarget:
        """The target of one integration."""
        declared = self.declared(name, config.target)
        if declared is None:
            return BuiltInTarget(integration_id, match_email=config.match_email)
        if not declared.tells_apart:
            await self._demand_alone(store, name, declared)
        return declared.bind(integration_id, name, batch_size=config.batch_size, match_email=config.match_email)

    async def _demand_alone(self, store: Store, name: str, declared: Bindable) -> None:
        """Ids are unique in one district only: two may not meet in one table that does not tell them apart."""
        async with store.read() as connection:
            rows = (await connection.execute(select(table).where(table.c.removed_at.is_(None)))).all()
        others = [row.name for row in rows if row.name != name and self._goes_for(row, declared)]
        if others:
            raise ConfigurationError(
                f"The integrations {name} and {others[0]} would write to the same rows of the app, by ids of their own.",
                remedy="Give each Model an attribute that holds the integration's name, or each integration a target of its own.",
            )

    def _goes_for(self, row: Row[Any], declared: Bindable) -> bool:
        try:
            return self.declared(row.name, self.chosen(row)) is declared
        except SISError:
            return False  # what that one has chosen is not there: it writes nothing (promise P12)
