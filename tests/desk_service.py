"""The service over a desk's database: what people decide there, without a sandbox."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from roster_fixture import Desk
from sis_connect.discovery import Registry
from sis_connect.roster.questions import Conflict
from sis_connect.service import Permission, SISService
from sis_connect.settings import SISConfigManager, SISProviderConfig
from sis_connect.targets.choice import Bindable, TargetChoice
from sis_connect.tokens.key_sources import TextKeys


async def service_of(
    desk: Desk, *, permission: Permission | None = None, registry: Registry | None = None, target: Bindable | None = None
) -> SISService:
    """A service that knows the desk's integration `lincoln` with the desk's settings of now."""
    registry = registry or Registry()
    registry.add(desk.sis.info, distribution="tests", version="1")
    config = SISProviderConfig(provider="fake", base_url="http://127.0.0.1", **desk.settings)
    settings: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True, exclude={"provider"})
    await desk.run("UPDATE sis_integration SET settings = :s WHERE id = 1", s=json.dumps(settings))
    service = SISService(
        desk.store,
        key_source=TextKeys("A" * 43),
        clock=desk.clock,
        today=desk.today,
        registry=registry,
        config_manager=SISConfigManager({}),
        permission=permission,
        targets=TargetChoice(target),
    )
    service._tell({}, timedelta(days=90))
    return service


async def asked(desk: Desk, state: str = "open") -> list[tuple[str, str, Any, Any, Any]]:
    """The questions in a state: record, field, and the three values."""
    found = await (await service_of(desk)).conflicts("lincoln", state=state)
    return [(it.sis_id, it.field, it.base, it.sis, it.local) for it in found]


async def only_question(desk: Desk) -> Conflict:
    (question,) = await (await service_of(desk)).conflicts("lincoln")
    return question
