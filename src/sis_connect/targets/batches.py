"""Writing a batch of records to the app's rows, in one transaction: one record that fails leaves the others alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from sis_connect.capabilities import Kind
from sis_connect.roster.documents import flatten
from sis_connect.store.creations import Outcome, Write
from sis_connect.store.elsewhere import Moment, Written
from sis_connect.store.sql import chunks
from sis_connect.targets.models import UserName, Values
from sis_connect.targets.rows import Rows, Unwritable

#: What is no fault of a record: the database is away.
AWAY = (OperationalError, InterfaceError, PoolTimeout)


def local_names(session: Session, kinds: Mapping[Kind, Rows], wanted: Mapping[Kind, set[str]]) -> dict[tuple[Kind, str], str]:
    """What rows of the app are called here, by kind and local id."""
    found: dict[tuple[Kind, str], str] = {}
    for kind, local_ids in wanted.items():
        if rows := kinds.get(kind):
            for local_id, row in rows.by_identity(session, local_ids).items():
                if (sis_id := getattr(row, rows.model.key)) is not None:
                    found[kind, local_id] = sis_id
    return found


@dataclass(slots=True)
class Batch:
    """Some records of one kind, on their way into the app's rows."""

    session: Session
    kinds: Mapping[Kind, Rows]
    rows: Rows
    moment: Moment
    written: Written = field(default_factory=Written)
    #: What may not be blank and was, where one record alone was tried.
    blank: list[str] = field(default_factory=list)

    def write(self, writes: Sequence[Write]) -> None:
        """Write these; of those that cannot be written together, each half by itself, down to the ones that are at fault."""
        try:
            with self.session.begin_nested():
                outcomes, moved = self._write(writes)
        except AWAY:
            raise
        except Exception as error:
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                raise
            if len(writes) == 1:
                self.written.refused[writes[0].sis_id] = self._why(error)
                return
            for half in (writes[: len(writes) // 2], writes[len(writes) // 2 :]):
                self.write(half)
        else:
            self.written.outcomes |= outcomes
            self.written.moved |= moved

    def _write(self, writes: Sequence[Write]) -> tuple[dict[str, Outcome], set[str]]:
        self.blank, keys = [], self._keys(writes)
        created = self._create([write for write in writes if not write.local_id], keys)
        updated, moved = self._update([write for write in writes if write.local_id], keys)
        self.session.flush()
        statuses = {write.sis_id: write.fields.get("status") for write in writes}
        return self._read_back(created | updated, statuses), moved

    def _why(self, error: Exception) -> str:
        """What was wrong: the name of the error and never its text, which may quote values (promise P7)."""
        if isinstance(error, Unwritable):
            return str(error)
        kind = type(error.orig if isinstance(error, DBAPIError) and error.orig is not None else error).__name__
        if isinstance(error, IntegrityError) and self.blank:
            return f"{kind}: {', '.join(self.blank)} may not be blank"
        return kind

    def _look_at(self, rows: Mapping[str, Any], *, new: bool) -> None:
        if len(rows) == 1:
            (row,) = rows.values()
            self.blank = self.rows.blank(row, new=new)

    # -- creating ------------------------------------------------------------------------------------------------------

    def _create(self, writes: Sequence[Write], keys: Mapping[tuple[Kind, str], Any]) -> dict[str, Any]:
        model, there = self.rows.model, self.rows.by_key(self.session, [write.sis_id for write in writes], lock=True)
        created: dict[str, Any] = {}
        new: list[tuple[Write, dict[str, Any]]] = []
        for write in writes:
            values = self._values(write, None, keys)
            if write.sis_id not in there:
                values = {**model.defaults, **values, **self.rows.own, model.key: write.sis_id}
                if model.before_create is not None:
                    values = model.before_create(values, flatten(write.fields))
                if values is None:
                    raise Unwritable("before_create returns no attributes")
                new.append((write, values))
            elif write.again:
                created[write.sis_id] = self._set(there[write.sis_id], values)
        self._name(new)
        for write, values in new:
            created[write.sis_id] = row = model.model(**values)
            self.session.add(row)
        self._look_at(created, new=bool(new))
        if model.after_create is not None and new:
            self.session.flush()
            for write, _ in new:
                model.after_create(self.session, created[write.sis_id])
        return created

    def _name(self, new: Sequence[tuple[Write, dict[str, Any]]]) -> None:
        """Give user names by the app's own rule to those who have none: each gets the first that nobody has, in order."""
        naming = self.rows.model.user_name
        if naming is None:
            return
        waiting = [(naming.rule(flatten(write.fields)), values) for write, values in new if not values.get(naming.attribute)]
        given: set[str] = set()
        tried: dict[tuple[str, str], int] = {}
        number = 1
        while waiting:
            proposals = [name if number == 1 else naming.again(name, number) for name, _ in waiting]
            if not all(proposals):
                raise Unwritable("the rule for user names gives none")
            taken, left = self._taken(naming, proposals), []
            for proposal, (name, values) in zip(proposals, waiting, strict=True):
                if proposal.casefold() in taken | given:
                    if tried.setdefault((name, proposal), number) < number:
                        raise Unwritable("the rule for user names gives no other name")
                    left.append((name, values))
                else:
                    given.add(proposal.casefold())
                    values[naming.attribute] = proposal
            waiting, number = left, number + 1

    def _taken(self, naming: UserName, names: Sequence[str]) -> set[str]:
        column = self.rows.column(naming.attribute)
        taken: set[str] = set()
        for some in chunks(sorted({name.lower() for name in names})):
            taken.update(name.casefold() for name in self.session.scalars(select(column).where(func.lower(column).in_(some))))
        return taken

    # -- updating ------------------------------------------------------------------------------------------------------

    def _update(self, writes: Sequence[Write], keys: Mapping[tuple[Kind, str], Any]) -> tuple[dict[str, Any], set[str]]:
        model, there = self.rows.model, self.rows.by_identity(self.session, [write.local_id for write in writes], lock=True)
        names = local_names(self.session, self.kinds, self.rows.referred(there.values()))
        updated, moved = {}, set()
        for write in writes:
            row = there.get(write.local_id)
            same = row is not None and self.rows.version(self.rows.document(row, names)) == write.version
            if not same or getattr(row, model.key) not in (None, write.sis_id):
                moved.add(write.sis_id)
                continue
            values = {**self._values(write, row, keys), model.key: write.sis_id}
            updated[write.sis_id] = self._set(row, values)
        self._look_at(updated, new=False)
        hooked = [write for write in writes if write.sis_id in updated and "status" in write.fields]
        if hooked and (model.after_withdraw or model.after_reenroll):
            self.session.flush()
            for write in hooked:
                hook = model.after_withdraw if write.fields["status"] == "inactive" else model.after_reenroll
                if hook is not None:
                    hook(self.session, updated[write.sis_id])
        return updated, moved

    @staticmethod
    def _set(row: Any, values: Values) -> Any:
        for attribute, value in values.items():
            if getattr(row, attribute) != value:
                setattr(row, attribute, value)
        return row

    # -- both ----------------------------------------------------------------------------------------------------------

    def _values(self, write: Write, row: Any | None, keys: Mapping[tuple[Kind, str], Any]) -> dict[str, Any]:
        return self.rows.values(write.fields, keys, role=self.rows.role_of(write.fields, row), moment=self.moment)

    def _keys(self, writes: Sequence[Write]) -> dict[tuple[Kind, str], Any]:
        """The app's own keys of whom these records refer to, where the app refers by them."""
        wanted: dict[Kind, set[str]] = {}
        for write in writes:
            for owner, sis_id in self.rows.owners(write.fields):
                wanted.setdefault(owner, set()).add(sis_id)
        found: dict[tuple[Kind, str], Any] = {}
        for owner, sis_ids in wanted.items():
            if theirs := self.kinds.get(owner):
                rows = theirs.by_key(self.session, sis_ids)
                found |= {(owner, sis_id): getattr(row, theirs.identity) for sis_id, row in rows.items()}
        return found

    def _read_back(self, rows: Mapping[str, Any], statuses: Mapping[str, Any]) -> dict[str, Outcome]:
        """What stands there now: a column that trims, or a hook that changes something, is no edit of anybody's."""
        there = self.rows.by_key(self.session, list(rows))
        names = local_names(self.session, self.kinds, self.rows.referred(there.values()))
        outcomes = {}
        for sis_id, row in there.items():
            document, told = self.rows.document(row, names), statuses[sis_id]
            if told is not None and (document.get("status") or "inactive") == "inactive":
                # Whether somebody is only gone, or not here yet, is more than such a column tells.
                document["status"] = told if "status" not in document or told == "scheduled" else document["status"]
            outcomes[sis_id] = Outcome(self.rows.local_id(row), document)
        return outcomes
