"""The target suite passes what is right: the built-in tables, an app's own models, and a target made from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from app_accounts import REFUSED, Accounts, AccountsOf, Window
from host_app import App, people, seats
from sis_connect.testing import TargetSuite
from sis_connect.testing.targets.looking import AppRows


class TestBuiltInTables(TargetSuite):
    def target(self, folder: Path) -> None:
        return None


class TestOwnModels(TargetSuite):
    def target(self, folder: Path) -> Any:
        return App(folder / "app.db").target(staff=people("staff"), enrollments=seats())


class TestOwnModelsAsynchronously(TargetSuite):
    only = ("arrives", "bad_record")

    def target(self, folder: Path) -> Any:
        self.app = App(folder / "app.db", asynchronous=True)
        return self.app.target()

    async def close(self) -> None:
        await self.app.close()


class TestAccounts(TargetSuite):
    refused: ClassVar[Any] = {"students": {"family_name": REFUSED}}

    def target(self, folder: Path) -> Any:
        self.app = Accounts()
        return AccountsOf(self.app)

    def look(self, target: Any) -> AppRows:
        return Window(self.app)
