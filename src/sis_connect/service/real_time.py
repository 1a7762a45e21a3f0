"""Word of changes: taken from those who may send it, and asked for at the SIS."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from urllib.parse import quote, unquote

from pydantic import SecretStr
from sqlalchemy import Row, update

from sis_connect import audit
from sis_connect.errors import ConfigurationError, NotOffered
from sis_connect.hosting.containment import answer_of
from sis_connect.hosting.faults import passes
from sis_connect.provider import Hint, Subscriber
from sis_connect.roster.hints import usable
from sis_connect.service.ground import Ground
from sis_connect.setting_types import check_url
from sis_connect.store.hints import hinted_integrations, keep_hints, note_delivery
from sis_connect.store.sealed import WEBHOOK_SECRET
from sis_connect.store.tables import integration as table
from sis_connect.traffic import Traffic
from sis_connect.web.payload import hints_in
from sis_connect.web.signature import knows, secrets_in, signed_id

_log = logging.getLogger(__name__)
#: Stands in where there is no secret, so that nobody can tell by the time that there is none.
_NO_SECRET = secrets.token_urlsafe(32)

Outcome = Literal["kept", "repeated", "nothing", "unreadable", "refused"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a delivery: `kept` with so many hints, `repeated` (it was here before), `nothing` that concerns us in it,
    `unreadable`, or `refused`, since whoever sent it does not have the secret."""

    outcome: Outcome
    hints: int = 0


class RealTime(Ground):
    """Hearing of changes."""

    async def receive(self, name: str, body: bytes, *, headers: Mapping[str, str], secret: str | None = None) -> Receipt:
        """Take a delivery: the bytes as they came, the headers, and the secret that stood in the path, if any did.

        Without one, the headers must have a signature by Standard Webhooks. When this returns, the hints are stored. What is
        not for us is no error.
        """
        headers = {key.lower(): value for key, value in headers.items()}
        row = next((row for row in await self._integrations.rows() if row.name == name), None)
        known = await self._webhook_secrets(row)
        if secret is not None:
            allowed, delivery = knows(known, secret), headers.get("webhook-id", "")[:255] or None
        else:
            delivery = signed_id(known, headers, body, self._clock.now().timestamp())
            allowed = delivery is not None
        if row is None or not allowed:
            return Receipt("refused")
        info, _ = await self._integrations.opened(row)
        try:
            hints = usable(hints_in(headers, body, form=info.hints))
        except BaseException as error:  # whatever a stranger sends, and whatever a plugin makes of it
            if passes(error):
                raise
            _log.warning("A delivery for %s cannot be read (%s).", name, type(error).__name__)
            return Receipt("unreadable")
        return await self._kept(row.id, hints, delivery)

    async def hint(self, name: str, hints: Sequence[Hint]) -> Receipt:
        """Say by hand what has changed in the SIS, where an app hears of it in a way of its own."""
        row = await self._integrations.row(name)
        return await self._kept(row.id, usable(hints), None)

    async def hinted(self) -> list[str]:
        """The integrations of which hints wait to be followed."""
        async with self._store.read() as connection:
            return await hinted_integrations(connection)

    async def subscribe(self, name: str, url: str, *, replace: bool = False, actor: str = "") -> str:
        """Have the SIS send word of changes to `url`, where `sis-connect serve` is reached from outside.

        The address told to the SIS has a secret at its end; if there is none yet, one is made and stored. Returns the address
        without it. What somebody else has subscribed is replaced only with `replace`. `NotOffered` where the SIS cannot do it.
        """
        self._demand(actor, "subscribe", name)
        try:
            url = check_url(url)
        except ValueError as error:
            raise ConfigurationError(
                f"The address {error}.", remedy="Give the one under which the SIS reaches `serve`."
            ) from None
        row = await self._integrations.row(name)
        known = await self._stored_secret(row)
        secret = known or SecretStr(secrets.token_urlsafe(32))
        if known is None:
            await self._store_secret(row, secret)
        known_secrets = secrets_in(secret.get_secret_value())
        address = f"{url}/hooks/{quote(name, safe='')}"

        def ours(callback: str) -> bool:
            return callback.rpartition("/")[0] == address and knows(known_secrets, unquote(callback.rpartition("/")[2]))

        told = f"{address}/{quote(known_secrets[0], safe='')}"
        await self._arrange(row, lambda subscriber: subscriber.subscribe(told, ours=ours, replace=replace))
        await self._note(name, "webhook.subscribed", actor, {"address": address})
        return address

    async def unsubscribe(self, name: str, *, replace: bool = False, actor: str = "") -> bool:
        """Have the SIS send no more; whether there was a subscription of ours, or with `replace` of anybody."""
        self._demand(actor, "unsubscribe", name)
        row = await self._integrations.row(name)
        known = await self._webhook_secrets(row)

        def ours(callback: str) -> bool:
            return knows(known, unquote(callback.rpartition("/")[2]))

        found = bool(await self._arrange(row, lambda subscriber: subscriber.unsubscribe(ours=ours, replace=replace)))
        await self._note(name, "webhook.unsubscribed", actor, {"found": found})
        return found

    # -- how -----------------------------------------------------------------------------------------------------------

    async def _kept(self, integration_id: int, hints: Sequence[tuple[str, str, str]], delivery: str | None) -> Receipt:
        at = self._clock.now()
        async with self._store.write() as connection:
            if delivery is not None and not await note_delivery(connection, integration_id, delivery, at):
                return Receipt("repeated")
            if hints:
                await keep_hints(connection, integration_id, hints, at)
        return Receipt("kept" if hints else "nothing", len(set(hints)))

    async def _webhook_secrets(self, row: Row[Any] | None) -> Sequence[str]:
        secret = await self._stored_secret(row) if row is not None else None
        return secrets_in(secret.get_secret_value()) if secret is not None else [_NO_SECRET]

    async def _stored_secret(self, row: Row[Any]) -> SecretStr | None:
        return (await self._integrations.config(row)).webhook_secret

    async def _store_secret(self, row: Row[Any], secret: SecretStr) -> None:
        vault = await self._integrations.vault()
        sealed = vault.seal(secret.get_secret_value().encode(), integration=str(row.id), field=WEBHOOK_SECRET.field)
        async with self._store.write() as connection:
            await connection.execute(update(table).where(table.c.id == row.id).values({WEBHOOK_SECRET.column: sealed}))

    async def _arrange(self, row: Row[Any], ask: Callable[[Subscriber], Awaitable[Any]]) -> Any:
        info, config = await self._integrations.opened(row)
        async with self._provider(row, info, config, Traffic()) as opened:
            subscriber = opened.provider
            if not isinstance(subscriber, Subscriber):
                raise NotOffered(
                    f"{info.label} cannot be told where to send word of changes.",
                    remedy="Follow its changes with `sis-connect watch`, or have another sender use the webhook.",
                )
            doing = "while it arranged for word of changes"
            return await answer_of(info, doing, partial(ask, subscriber), config.budget, opened.under_way)

    async def _note(self, name: str, action: str, actor: str, detail: Mapping[str, object]) -> None:
        async with self._store.write() as connection:
            await audit.record(
                connection, at=self._clock.now(), actor=actor, action=action, integration=name, detail=dict(detail)
            )
