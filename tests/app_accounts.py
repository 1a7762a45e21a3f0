"""An app with accounts in its own memory, and the target that keeps a roster there: transactions and local ids of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Kind
from sis_connect.roster.documents import flatten, nest
from sis_connect.store.creations import Creations, Outcome, Write
from sis_connect.store.elsewhere import Moment, Written
from sis_connect.store.renames import referring_to
from sis_connect.store.target import LocalRow
from sis_connect.targets.edits import Agreed
from sis_connect.testing.targets.looking import AppRow

#: No account of such a name is opened.
REFUSED = "Refused"
Key = tuple[str, Kind, str]


@dataclass
class Account:
    """A row of the app: what it holds of a record, by flat names."""

    number: int
    fields: dict[str, Any] = field(repr=False)


class Refusal(Exception):  # noqa: N818 - what the app says
    """What the app says of a record that it does not take. Its text quotes the record, as databases do."""


@dataclass
class Accounts:
    """The app, and how a test looks into it. It writes names in capitals."""

    rows: dict[Key, Account] = field(default_factory=dict)
    numbers: Any = field(default_factory=lambda: count(1))

    def open(self, key: Key, fields: Mapping[str, Any]) -> Account:
        account = self.rows[key] = Account(next(self.numbers), {})
        return self.change(key, account, fields)

    def change(self, key: Key, account: Account, fields: Mapping[str, Any]) -> Account:
        if fields.get("family_name") == REFUSED:
            raise Refusal(str(fields))
        capitals = {name: value.upper() if name == "family_name" and value else value for name, value in fields.items()}
        told = {**account.fields, **capitals}
        account.fields = {name: value for name, value in told.items() if value is not None}
        return account

    async def all_rows(self, kind: Kind, integration: str) -> list[AppRow]:
        there = [(key, account) for key, account in self.rows.items() if key[:2] == (integration, kind)]
        return [AppRow(key[2].partition("#")[0], str(account.number), dict(account.fields)) for key, account in there]

    async def edit(self, kind: Kind, integration: str, sis_id: str, fields: Mapping[str, Any]) -> None:
        self.rows[integration, kind, sis_id].fields.update(fields)

    async def delete(self, kind: Kind, integration: str, sis_id: str) -> None:
        del self.rows[integration, kind, sis_id]


@dataclass
class Window:
    """How the suite looks into the app."""

    app: Accounts

    async def rows(self, kind: Kind, integration: str) -> list[AppRow]:
        return await self.app.all_rows(kind, integration)

    async def edit(self, kind: Kind, integration: str, sis_id: str, fields: Mapping[str, Any]) -> None:
        await self.app.edit(kind, integration, sis_id, fields)

    async def delete(self, kind: Kind, integration: str, sis_id: str) -> None:
        await self.app.delete(kind, integration, sis_id)


class AccountsTarget:
    """The target of one integration."""

    def __init__(self, app: Accounts, integration_id: int, integration: str, batch_size: int) -> None:
        self.app, self.integration_id, self.integration, self.batch_size = app, integration_id, integration, batch_size

    def keeps(self, kind: Kind) -> bool:
        return kind in KINDS

    def fields(self, kind: Kind) -> frozenset[str]:
        return Everything()

    def key(self, kind: Kind, sis_id: str) -> Key:
        return self.integration, kind, sis_id

    def version(self, account: Account) -> str:
        return str(sorted(account.fields.items(), key=str))

    def row(self, account: Account) -> LocalRow:
        return LocalRow(str(account.number), nest(account.fields), None, self.version(account))

    async def find(self, connection: AsyncConnection, kind: Kind, sis_ids: Sequence[str]) -> dict[str, LocalRow]:
        there = {sis_id: self.app.rows.get(self.key(kind, sis_id)) for sis_id in sis_ids}
        return {sis_id: self.row(account) for sis_id, account in there.items() if account is not None}

    async def page(self, connection: AsyncConnection, kind: Kind, after: str) -> dict[str, LocalRow]:
        ids = sorted(key[2] for key in self.app.rows if key[:2] == (self.integration, kind) and key[2] > after)
        return await self.find(connection, kind, ids[:5])

    async def write(self, kind: Kind, writes: Sequence[Write], moment: Moment) -> Written:
        written = Written()
        for write in writes:
            try:
                account = self.write_one(kind, write, written)
            except Refusal as error:
                written.refused[write.sis_id] = type(error).__name__
            else:
                if account is not None:
                    written.outcomes[write.sis_id] = self.outcome(account)
        return written

    def outcome(self, account: Account) -> Outcome:
        return Outcome(str(account.number), nest(account.fields))

    def write_one(self, kind: Kind, write: Write, written: Written) -> Account | None:
        key, fields = self.key(kind, write.sis_id), flatten(write.fields)
        account = self.app.rows.get(key)
        if not write.local_id:
            return self.create_one(key, account, fields, again=write.again)
        if account is None or self.version(account) != write.version:
            written.moved.add(write.sis_id)
            return None
        return self.app.change(key, account, fields)

    def create_one(self, key: Key, account: Account | None, fields: Mapping[str, Any], *, again: bool) -> Account | None:
        if account is None:
            if fields.get("family_name") == REFUSED:
                raise Refusal(str(fields))
            return self.app.open(key, fields)
        return self.app.change(key, account, fields) if again else None

    async def create(self, connection: AsyncConnection, creations: Creations) -> None:
        """Only asked of targets that lie in our own database."""

    async def update(self, connection: AsyncConnection, kind: Kind, writes: Sequence[Write]) -> dict[str, Outcome]:
        """Only asked of targets that lie in our own database."""
        return {}

    async def settle(self, connection: AsyncConnection, kind: Kind, sis_ids: Sequence[str]) -> None:
        """It does not note who edited what."""

    async def nominate(self, connection: AsyncConnection, kind: Kind) -> None:
        await Agreed(connection, self.integration_id, kind).compare(self.pages(connection, kind), self.fields(kind))

    async def pages(self, connection: AsyncConnection, kind: Kind) -> AsyncIterator[Mapping[str, Mapping[str, Any]]]:
        after = ""
        while page := await self.page(connection, kind, after):
            yield {sis_id: row.document for sis_id, row in page.items()}
            after = list(page)[-1]

    async def rename_there(self, kind: Kind, names: Mapping[str, str]) -> Collection[str]:
        for former, new in names.items():
            if (account := self.app.rows.pop(self.key(kind, former), None)) is not None:
                self.app.rows[self.key(kind, new)] = account
        for by in referring_to(kind):
            for (integration, other, _), account in self.app.rows.items():
                if (integration, other) == (self.integration, by.kind) and by.field in account.fields:
                    self.follow(account.fields, by.field, names)
        return ()

    def follow(self, fields: dict[str, Any], name: str, names: Mapping[str, str]) -> None:
        value = fields[name]
        fields[name] = [names.get(one, one) for one in value] if isinstance(value, list) else names.get(value, value)

    async def rename(self, connection: AsyncConnection, kind: Kind, names: Mapping[str, str]) -> Collection[str]:
        return ()


class Everything(frozenset[str]):
    """All fields that there are."""

    def __contains__(self, name: object) -> bool:
        return True


@dataclass
class AccountsOf:
    """What the app hands to the service."""

    app: Accounts
    target: type[AccountsTarget] = AccountsTarget
    tells_apart: bool = True

    def bind(self, integration_id: int, integration: str, *, batch_size: int = 200, match_email: bool = False) -> AccountsTarget:
        return self.target(self.app, integration_id, integration, batch_size)
