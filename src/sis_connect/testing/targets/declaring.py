"""What the author of a target tells the suite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from sis_connect.capabilities import Kind
from sis_connect.targets.choice import Bindable
from sis_connect.testing.targets.looking import AppRows


class Declared:
    """How to make the target, and how to look into it.

    `kind` is what most checks are about. `refused` are values, by kind and field, with which the app refuses a record, such as
    one that a constraint forbids; a SQLAlchemyTarget needs none.
    """

    kind: ClassVar[Kind] = "students"
    refused: ClassVar[Mapping[Kind, Mapping[str, Any]]] = {}

    def target(self, folder: Path) -> Bindable | None:
        """A target over a new and empty app, which may keep its files in this folder. None stands for the built-in tables."""
        raise TypeError(f"{type(self).__name__} does not say how its target is made: define `target`.")

    def look(self, target: Any) -> AppRows | None:
        """How to look into the app; None for a SQLAlchemyTarget, whose models tell that by themselves."""
        return None

    async def close(self) -> None:
        """Close what `target` opened."""
