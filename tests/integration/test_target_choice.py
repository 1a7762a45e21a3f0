"""Which target an integration writes to, and that two never meet in one table that does not tell them apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from host_app import App, people
from roster_fixture import Desk
from sis_connect.errors import ConfigurationError
from sis_connect.settings import SISProviderConfig
from sis_connect.store.target import BuiltInTarget
from sis_connect.targets.choice import TargetChoice
from sis_connect.targets.host import HostTarget

CONFIG = SISProviderConfig(provider="fake", base_url="http://127.0.0.1", batch_size=150, match_email=True)


@pytest.fixture
async def two(desk: Desk) -> Desk:
    await desk.run(
        "INSERT INTO sis_integration (id, name, provider, settings, status, created_at) "
        "VALUES (2, 'jefferson', 'fake', '{}', 'active', '2026-08-01T00:00:00+00:00')"
    )
    return desk


async def test_settings_reach_the_target(desk: Desk, tmp_path: Path) -> None:
    chosen = await TargetChoice(App(tmp_path / "app.db").target()).target_of(desk.store, 1, "lincoln", CONFIG)
    assert isinstance(chosen, HostTarget)
    assert (chosen.batch_size, chosen.match_email) == (150, True)


async def test_an_integration_without_one_of_its_own_takes_the_one_for_all(two: Desk, tmp_path: Path) -> None:
    choice = TargetChoice(None, {"lincoln": App(tmp_path / "app.db").target()})
    assert isinstance(await choice.target_of(two.store, 1, "lincoln", CONFIG), HostTarget)
    other = await choice.target_of(two.store, 2, "jefferson", CONFIG)
    assert type(other) is BuiltInTarget
    assert other.match_email


async def test_two_integrations_never_meet_in_rows_that_nothing_tells_apart(two: Desk, tmp_path: Path) -> None:
    app = App(tmp_path / "app.db")
    for choice in (TargetChoice(app.target()), TargetChoice(None, dict.fromkeys(("lincoln", "jefferson"), app.target()))):
        with pytest.raises(ConfigurationError, match="lincoln and jefferson would write to the same rows"):
            await choice.target_of(two.store, 1, "lincoln", CONFIG)
    apart = TargetChoice(app.target(students=people("student", integration="plan")))
    assert isinstance(await apart.target_of(two.store, 1, "lincoln", CONFIG), HostTarget)
    await two.run("UPDATE sis_integration SET removed_at = '2026-09-01' WHERE id = 2")
    assert isinstance(await TargetChoice(app.target()).target_of(two.store, 1, "lincoln", CONFIG), HostTarget)
