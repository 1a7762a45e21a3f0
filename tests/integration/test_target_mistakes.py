"""The target suite finds what is wrong: each mistake that an author might make, one at a time, by a check that names it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app_accounts import REFUSED, Account, Accounts, AccountsOf, AccountsTarget, Key, Refusal, Window
from sis_connect.capabilities import Kind
from sis_connect.roster.documents import flatten
from sis_connect.store.creations import Outcome, Write
from sis_connect.store.elsewhere import Moment, Written
from sis_connect.store.target import LocalRow
from sis_connect.testing import TargetSuite, check_target
from sis_connect.testing.targets.looking import AppRows


class CreatesAgain(AccountsTarget):
    """Never looks whether a row is there."""

    def create_one(self, key: Key, account: Account | None, fields: Mapping[str, Any], *, again: bool) -> Account | None:
        if account is not None:
            self.app.rows[(*key[:2], f"{key[2]}#{account.number}")] = account
        return self.app.open(key, fields)


class GivesUpTheBatch(AccountsTarget):
    """Writes nothing of a batch in which one record is refused."""

    async def write(self, kind: Kind, writes: Sequence[Write], moment: Moment) -> Written:
        if any(flatten(write.fields).get("family_name") == REFUSED for write in writes):
            return Written(refused={write.sis_id: "Refusal" for write in writes})
        return await super().write(kind, writes, moment)


class Raises(AccountsTarget):
    """Lets what the app raises through."""

    def write_one(self, kind: Kind, write: Write, written: Written) -> Account | None:
        try:
            return super().write_one(kind, write, written)
        except Refusal as error:
            raise RuntimeError("no") from error


class SaysNothing(AccountsTarget):
    """Leaves out what was refused."""

    async def write(self, kind: Kind, writes: Sequence[Write], moment: Moment) -> Written:
        written = await super().write(kind, writes, moment)
        return Written(outcomes=written.outcomes, moved=written.moved)


class Quotes(AccountsTarget):
    """Tells what the app said, word by word."""

    async def write(self, kind: Kind, writes: Sequence[Write], moment: Moment) -> Written:
        written = await super().write(kind, writes, moment)
        told = {write.sis_id: str(dict(write.fields)) for write in writes}
        return Written(outcomes=written.outcomes, moved=written.moved, refused={one: told[one] for one in written.refused})


class WritesWhole(AccountsTarget):
    """Takes the fields of a write for all that there are."""

    def write_one(self, kind: Kind, write: Write, written: Written) -> Account | None:
        account = super().write_one(kind, write, written)
        if account is not None and write.local_id:
            account.fields = {name: account.fields[name] for name in flatten(write.fields) if name in account.fields}
        return account


class Deletes(AccountsTarget):
    """Deletes who left."""

    async def write(self, kind: Kind, writes: Sequence[Write], moment: Moment) -> Written:
        written = await super().write(kind, writes, moment)
        for write in writes:
            if write.fields.get("status") == "inactive":
                self.app.rows.pop(self.key(kind, write.sis_id), None)
        return written


class NeverMoves(AccountsTarget):
    """Has one version for all times."""

    def version(self, account: Account) -> str:
        return "1"


class AlwaysMoves(AccountsTarget):
    """Makes a row's version of the time."""

    def version(self, account: Account) -> str:
        return str(time.perf_counter_ns())


class NoticesNothing(AccountsTarget):
    """Does not look for what the app's own people did."""

    async def nominate(self, connection: AsyncConnection, kind: Kind) -> None:
        return


class ReadsNothingBack(AccountsTarget):
    """Does not tell that the app writes names in capitals."""

    def outcome(self, account: Account) -> Outcome:
        return Outcome(str(account.number))


class Ascii(AccountsTarget):
    """Has a column that holds little."""

    def write_one(self, kind: Kind, write: Write, written: Written) -> Account | None:
        account = super().write_one(kind, write, written)
        for name, value in account.fields.items() if account is not None else ():
            if account is not None and isinstance(value, str):
                account.fields[name] = value.encode("ascii", "replace").decode()
        return account


class Shortens(AccountsTarget):
    """Has a column of ten letters."""

    def write_one(self, kind: Kind, write: Write, written: Written) -> Account | None:
        account = super().write_one(kind, write, written)
        if account is not None and "given_name" in account.fields:
            account.fields["given_name"] = account.fields["given_name"][:10]
        return account


class LeavesReferences(AccountsTarget):
    """Renames a row, and not what refers to it."""

    def follow(self, fields: dict[str, Any], name: str, names: Mapping[str, str]) -> None:
        return


class OpensAnother(AccountsTarget):
    """Opens another account for a new id."""

    async def rename_there(self, kind: Kind, names: Mapping[str, str]) -> Collection[str]:
        await super().rename_there(kind, names)
        for new in names.values():
            if (account := self.app.rows.get(self.key(kind, new))) is not None:
                account.number = next(self.app.numbers)
        return ()


class Mixes(AccountsTarget):
    """Does not tell two districts apart."""

    def key(self, kind: Kind, sis_id: str) -> Key:
        return "lincoln", kind, sis_id


class PagesInOnePiece(AccountsTarget):
    """Comes with its first page again and again."""

    async def page(self, connection: AsyncConnection, kind: Kind, after: str) -> dict[str, LocalRow]:
        return await super().page(connection, kind, "")

    async def nominate(self, connection: AsyncConnection, kind: Kind) -> None:
        return


class FindsStrangers(AccountsTarget):
    """Finds a row for whoever is asked for."""

    async def find(self, connection: AsyncConnection, kind: Kind, sis_ids: Sequence[str]) -> dict[str, LocalRow]:
        found = await super().find(connection, kind, sis_ids)
        return found | {one: LocalRow("0", {}, None, "") for one in sis_ids if one.startswith("stranger")}


class OwnBatches(AccountsTarget):
    """Takes batches of its own size."""

    def __init__(self, app: Accounts, integration_id: int, integration: str, batch_size: int) -> None:
        super().__init__(app, integration_id, integration, 500)


class OtherIds(AccountsTarget):
    """Calls rows by our ids."""

    def outcome(self, account: Account) -> Outcome:
        return Outcome("account", super().outcome(account).read_back)


class LosesOne(AccountsTarget):
    """Says that it wrote the last of a batch, and did not."""

    async def write(self, kind: Kind, writes: Sequence[Write], moment: Moment) -> Written:
        written = await super().write(kind, writes, moment)
        if not writes[-1].local_id:
            self.app.rows.pop(self.key(kind, writes[-1].sis_id), None)
        return written


class TakesNoBlanks(AccountsTarget):
    """Keeps a value where the SIS has none any more."""

    def write_one(self, kind: Kind, write: Write, written: Written) -> Account | None:
        told = {name: value for name, value in write.fields.items() if value is not None}
        return super().write_one(kind, write._replace(fields=told), written)


class WritesOver(AccountsTarget):
    """Writes over what somebody edited in the meantime, and what somebody deleted."""

    def write_one(self, kind: Kind, write: Write, written: Written) -> Account | None:
        key = self.key(kind, write.sis_id)
        return self.app.change(key, self.app.rows.get(key) or self.app.open(key, {}), flatten(write.fields))


MISTAKES: Mapping[str, type[AccountsTarget]] = {
    "killed_first": CreatesAgain,
    "bad_record": GivesUpTheBatch,
    "bad_record ": Raises,
    "bad_record  ": SaysNothing,
    "bad_record   ": Quotes,
    "change": WritesWhole,
    "leaving": Deletes,
    "edit_meanwhile": NeverMoves,
    "edit_meanwhile ": WritesOver,
    "second_sync": AlwaysMoves,
    "change ": ReadsNothingBack,
    "edit_noticed": NoticesNothing,
    "deletion": NoticesNothing,
    "deletion_asked": NoticesNothing,
    "unicode": Ascii,
    "unicode ": Shortens,
    "other_ids": LeavesReferences,
    "other_ids ": OpensAnother,
    "two_integrations": Mixes,
    "finds": PagesInOnePiece,
    "finds ": FindsStrangers,
    "batches": OwnBatches,
    "local_ids": OtherIds,
    "arrives": LosesOne,
    "blanks": TakesNoBlanks,
}


@pytest.mark.parametrize(("check", "mistake"), [(name.strip(), target) for name, target in MISTAKES.items()])
async def test_a_mistake_is_caught_by_the_check_that_is_about_it(check: str, mistake: type[AccountsTarget]) -> None:
    class Wrong(TargetSuite):
        only = (check,)
        refused: ClassVar[Any] = {"students": {"family_name": REFUSED}}

        def target(self, folder: Path) -> Any:
            self.app = Accounts()
            return AccountsOf(self.app, mistake)

        def look(self, target: Any) -> AppRows:
            return Window(self.app)

    report = await check_target(Wrong)
    (outcome,) = report.outcomes
    assert outcome.state == "failed"
    assert len(outcome.detail) > 40
    assert REFUSED not in outcome.detail
