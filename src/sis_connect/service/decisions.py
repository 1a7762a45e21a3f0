"""What people decide: questions about fields that changed on both sides, pins, and edits of the built-in roster."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from sqlalchemy import Select, select, union_all

from sis_connect.capabilities import KINDS, Kind
from sis_connect.errors import ConfigurationError, ConflictError
from sis_connect.records import RECORDS
from sis_connect.roster.conflict import SIDES
from sis_connect.roster.entered import checked, demand_field, from_text
from sis_connect.roster.merge import WHOLE
from sis_connect.roster.pins import Pin, find_pins, put_pin, remove_pin
from sis_connect.roster.questions import IDENTITY, Conflict, find_conflicts
from sis_connect.roster.report import SyncReport
from sis_connect.roster.resolving import MOVED_ON, Answer, give_back, resolve
from sis_connect.service.ground import Ground
from sis_connect.store.decision_tables import conflict as table
from sis_connect.store.edits import LocalEdit, edit_row, find_edits
from sis_connect.store.tables import mappings

#: What `take` may be.
Take = Literal["sis", "local"]
_UNSAID: Any = object()


class Decisions(Ground):
    """The queue of questions, pins, and the app's own edits."""

    # -- questions -----------------------------------------------------------------------------------------------------

    async def conflicts(
        self, name: str | None = None, *, kind: Kind | None = None, field: str | None = None, state: str = "open"
    ) -> list[Conflict]:
        """The questions of one integration, or of all: those that wait for a person, or those in another `state`."""
        where = [table.c.state == state]
        if name is not None:
            where.append(table.c.integration_id == (await self._integrations.row(name)).id)
        if kind is not None:
            where.append(table.c.kind == _known(kind))
        if field is not None:
            where.append(table.c.field == field)
        async with self._store.read() as connection:
            return await find_conflicts(connection, *where)

    async def resolve(self, conflict_id: str, *, take: Take | None = None, value: Any = _UNSAID, actor: str = "") -> SyncReport:
        """Decide about one question and write what that comes to: the SIS's value, the app's, or another `value`.

        None, or an empty text, is blank; a list may be given as JSON.
        Raises `ConflictError` for a question that waits no more; in the report, that is the error where it has moved on since.
        """
        question = await self._question(conflict_id)
        self._demand(actor, "resolve", question.integration)
        if question.state != "open":
            ended = {"decided": "has been decided", "closed": "has settled itself", "superseded": "was replaced by a newer one"}
            raise ConflictError(
                f"The question {question.id} {ended.get(question.state, 'is not open')}.",
                remedy=f"See `sis-connect conflicts {question.integration}` for what waits.",
                retryable=False,
            )
        return await self._resolve(question.integration, [question], _answer([question], take, value), actor=actor)

    async def resolve_all(
        self,
        name: str,
        *,
        kind: Kind | None = None,
        field: str | None = None,
        take: Take | None = None,
        value: Any = _UNSAID,
        preview: bool = False,
        actor: str = "",
    ) -> SyncReport:
        """Decide about all open questions of an integration, of a kind or a field, by one rule.

        Guards judge it like any other run. What has moved on since it was asked is left out. With `preview`, nothing is decided,
        and the report names the plan; questions about who somebody is (`local_id`) have none, since all else follows from them.
        """
        self._demand(actor, "resolve", name)
        if field == IDENTITY and preview:
            raise ConfigurationError(
                "Answers about who somebody is cannot be previewed: what follows is decided only once they are known.",
                remedy="Answer one of them with `resolve`, and look at its report; it can be undone.",
            )
        questions = await self.conflicts(name, kind=kind, field=field)
        if field != IDENTITY:
            questions = [question for question in questions if question.field != IDENTITY]
        return await self._resolve(name, questions, _answer(questions, take, value), actor=actor, preview=preview)

    async def _resolve(
        self, name: str, questions: list[Conflict], answer: Answer, *, actor: str, preview: bool = False
    ) -> SyncReport:
        if answer.take == "value" and questions:
            about = questions[0]
            row = await self._integrations.row(name)
            await self._demand_known(row.id, about.kind, {about.field: answer.value})
        async with self._synchroniser(name, None, offline=True) as run:
            report = await resolve(run, questions, answer, actor=actor, preview=preview)
        if not preview and not (report.error and report.error.message == MOVED_ON):
            await self._integrations.note_status(name, report)
        return report

    async def _question(self, conflict_id: str) -> Conflict:
        async with self._store.read() as connection:
            found = await find_conflicts(connection, table.c.id.startswith(conflict_id, autoescape=True))
        if len(found) != 1 or not conflict_id:
            what = "More than one question begins" if found and conflict_id else "There is no question that begins"
            raise ConfigurationError(f"{what} with {conflict_id!r}.", remedy="See `sis-connect conflicts` for the ids.")
        return found[0]

    # -- pins ----------------------------------------------------------------------------------------------------------

    async def pin(
        self,
        name: str,
        kind: Kind,
        sis_id: str,
        *,
        field: str = "",
        reason: str = "",
        expires_on: date | None = None,
        actor: str = "",
    ) -> Pin:
        """Protect a record from being withdrawn, or the app's value of one `field` of it, up to the day `expires_on`.

        That day is the first on which the pin holds no more, in the district's time zone. A second pin of the same replaces the
        first.
        """
        self._demand(actor, "pin", name)
        row = await self._integrations.row(name)
        today = await self._school_date(row, await self._integrations.config(row), None)
        if field:
            demand_field(_known(kind), field)
        if expires_on is not None and expires_on <= today:
            raise ConfigurationError(f"{expires_on} is not in the future.", remedy="Give a day after the school date.")
        pin = Pin.of(name, _known(kind), sis_id, field, reason=reason, actor=actor, at=self._clock.now(), expires_on=expires_on)
        async with self._store.write() as connection:
            return await put_pin(connection, row.id, pin)

    async def unpin(self, pin_id: str, *, actor: str = "") -> Pin:
        """Remove a pin. The next sync decides about what it protected."""
        async with self._store.read() as connection:
            found = [pin for pin in await find_pins(connection) if pin_id and pin.id.startswith(pin_id)]
        if len(found) != 1:
            what = "More than one pin begins" if found else "There is no pin that begins"
            raise ConfigurationError(f"{what} with {pin_id!r}.", remedy="See `sis-connect pins` for the ids.")
        self._demand(actor, "unpin", found[0].integration)
        async with self._store.write() as connection:
            await remove_pin(connection, found[0], actor=actor, at=self._clock.now())
        return found[0]

    async def pins(self, name: str | None = None) -> list[Pin]:
        """The pins of one integration, or of all, expired ones included."""
        integration_id = (await self._integrations.row(name)).id if name is not None else None
        async with self._store.read() as connection:
            return await find_pins(connection, integration_id)

    # -- edits of the app ----------------------------------------------------------------------------------------------

    async def edit(self, name: str, kind: Kind, sis_id: str, fields: dict[str, Any], *, actor: str = "") -> None:
        """Change fields of a record in the built-in roster, as the app's own edit by `actor`.

        `fields` are values as the records have them, by flat name (`grade`, `ids.locker`); None is blank. They stay until the SIS
        says something new about them, and then their strategy decides. Time and author are remembered field by field.
        """
        self._demand(actor, "edit", name)
        row = await self._integrations.row(name)
        values = checked(_known(kind), fields)
        if self._targets.elsewhere(row, kind) is not None:
            raise ConfigurationError(
                f"The {kind} of {name} are kept in the app's own models.", remedy="Edit them there; the next sync sees it."
            )
        await self._demand_known(row.id, kind, values)
        async with self._store.write() as connection:
            await edit_row(connection, row.id, name, kind, sis_id, values, actor=actor, at=self._clock.now())

    async def edits(self, name: str, *, kind: Kind | None = None) -> list[LocalEdit]:
        """What the app has edited in the built-in roster and we have not written since: by whom and when, field by field."""
        row = await self._integrations.row(name)
        async with self._store.read() as connection:
            return await find_edits(connection, row.id, _known(kind) if kind is not None else None)

    async def revert(self, name: str, kind: Kind, sis_id: str, *, fields: tuple[str, ...] = (), actor: str = "") -> SyncReport:
        """Give up the app's edits of a record, or of some `fields` of it: they become what the SIS says."""
        self._demand(actor, "revert", name)
        for field in fields:
            demand_field(_known(kind), field)
        async with self._synchroniser(name, None, offline=True) as run:
            return await give_back(run, _known(kind), sis_id, fields, actor=actor)

    async def _demand_known(self, integration_id: int, kind: Kind, values: Mapping[str, Any]) -> None:
        """Raise `ConfigurationError` where a value refers to a record that nobody knows."""
        owners: dict[str, tuple[Kind, ...]] = {name: (owner,) for name, owner in RECORDS[kind].references.items()}
        if kind == "enrollments":
            owners["user"] = ("students", "staff")
        async with self._store.read() as connection:
            for name, kinds in owners.items():
                wanted = values.get(name) or ()
                for sis_id in [wanted] if isinstance(wanted, str) else wanted:
                    query = union_all(*(_named(owner, integration_id, sis_id) for owner in kinds))
                    if (await connection.execute(query)).first() is None:
                        raise ConfigurationError(
                            f"There is no {name} {sis_id!r}.", remedy=f"See `export` of {' or '.join(kinds)} for ids."
                        )


def _named(kind: Kind, integration_id: int, sis_id: str) -> Select[tuple[str]]:
    table = mappings[kind]
    return select(table.c.sis_id).where(table.c.integration_id == integration_id, table.c.sis_id == sis_id)


def _known(kind: Kind) -> Kind:
    if kind not in KINDS:
        raise ConfigurationError(f"There is no kind {kind!r}.", remedy=f"The kinds are {', '.join(KINDS)}.")
    return kind


def _answer(questions: list[Conflict], take: str | None, value: Any) -> Answer:
    """The answer, checked against every field that it is to be written to."""
    if (take is None) is (value is _UNSAID):
        raise ConfigurationError(
            "An answer is either a side or a value.", remedy="Take `sis` or `local`, or give the value that is right."
        )
    if take is not None:
        if take not in SIDES - {"ask"}:
            raise ConfigurationError(f"There is no side {take!r}.", remedy="Take `sis` or `local`.")
        ambiguous = [question for question in questions if question.field == IDENTITY and isinstance(question.local, list)]
        if take == "local" and ambiguous:
            raise ConfigurationError(
                "Several people in the app may be meant.", remedy="Give the local id of the right one as the value."
            )
        return Answer(take="sis" if take == "sis" else "local")
    fields = {(question.kind, question.field) for question in questions}
    if any(field == WHOLE for _, field in fields):
        raise ConfigurationError("A row that the app deleted has no value.", remedy="Take `sis` to make it again, or `local`.")
    if len(fields) > 1:
        raise ConfigurationError("One value cannot be right for several fields.", remedy="Name a kind and a field.")
    for kind, field in fields:
        if field != IDENTITY:
            given = from_text(kind, field, value) if isinstance(value, str) else value
            value = checked(kind, {field: given})[field]
    return Answer(take="value", value=value)
