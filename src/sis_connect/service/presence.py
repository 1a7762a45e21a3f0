"""Who was where, and who is withdrawn by hand."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection
from contextlib import aclosing
from datetime import date

from sis_connect.errors import ConfigurationError
from sis_connect.roster.report import SyncReport
from sis_connect.roster.whereabouts import Whereabouts, who_was_where
from sis_connect.roster.withdrawing import Withdrawal, known, withdraw
from sis_connect.service.ground import Ground

_REASON = re.compile(r"[a-z][a-z_]{0,39}")


class Presence(Ground):
    """Where people were, and that they are not there any more."""

    async def as_of(
        self, name: str, day: date, *, school: str | None = None, section: str | None = None
    ) -> AsyncIterator[Whereabouts]:
        """Who was where on a school date, past or to come: who was at the schools, or with `section` who was in it, teachers too.

        It is answered from stays and enrolments as the roster has them: by their dates, and for what the SIS does not date by our
        own account of when a record was active. Where an SIS tells of no stays, students were where their sections were.
        """
        row = await self._integrations.row(name)
        async with self._store.read() as connection:
            for kind, wanted in (("schools", school), ("sections", section)):
                if wanted is not None and not await known(connection, row.id, kind, [wanted]):  # type: ignore[arg-type]
                    raise ConfigurationError(
                        f"The roster has no such {kind.removesuffix('s')}.",
                        remedy=f"See `sis-connect export {name} {kind}` for their ids.",
                    )
        async with aclosing(who_was_where(self._store, row.id, day, school=school, section=section)) as found:
            async for one in found:
                yield one

    async def withdraw(
        self,
        name: str,
        *,
        students: Collection[str] = (),
        school: str | None = None,
        reason: str = "withdrawal",
        day: date | None = None,
        preview: bool = False,
        actor: str = "",
    ) -> SyncReport:
        """Withdraw students, with their open stays and section enrolments, without waiting for the SIS.

        Either `students` (by `sis_id`) or all who are at a `school`. `day` is the first school date on which they are not there
        any more, by default today; `reason` one word, such as `withdrawal`, `transfer`, `graduation` or `no_show`. Guards judge
        it like any other removal. The next sync neither undoes nor repeats it, and takes what the SIS says anew. With `preview`,
        nothing is written: the report names a plan that can be applied. Raises `ConfigurationError` for somebody whom the roster
        does not know.
        """
        self._demand(actor, "withdraw", name)
        if bool(students) == (school is not None):
            raise ConfigurationError(
                "It is not clear who is to be withdrawn.", remedy="Name some students, or one school whose students all leave."
            )
        if not _REASON.fullmatch(reason):
            raise ConfigurationError("The reason is not one word.", remedy="Give one such as withdrawal, transfer or graduation.")
        async with self._synchroniser(name, None, offline=True) as run:
            if day is not None and day > run.today:
                raise ConfigurationError(
                    f"{day} is still to come.",
                    remedy=f"Today is {run.today}: withdraw them on that day, or have the SIS announce it.",
                )
            about = Withdrawal(students=list(students), school=school, reason=reason, day=day or run.today)
            report = await withdraw(run, about, actor=actor, preview=preview)
        if report.status == "held" and not preview:
            await self._integrations.note_status(name, report)
        return report
