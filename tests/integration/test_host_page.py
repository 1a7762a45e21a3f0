"""What the page about an app's own models shows does what it says."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy import func, select

from sis_connect.capabilities import KINDS, Kind
from sis_connect.discovery import discover
from sis_connect.records import RECORDS
from sis_connect.service import SISService
from sis_connect.settings import SISProviderConfig
from sis_connect.store.tables import roster_fields
from sis_connect.targets import Model
from sis_connect.testing import check_target
from sis_connect.testing.sandbox import running_sandbox
from sis_connect.testing.target_suite import target_checks

PAGE = Path(__file__).parents[2] / "docs" / "your-own-models.md"


def examples() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


async def test_the_page_about_your_own_models_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "attendance_app.py").write_text("\n\n".join(examples()), encoding="utf-8")
    app = vars(import_module("attendance_app"))
    with running_sandbox(discover().info("powerschool"), students=60) as sandbox:
        monkeypatch.setenv("SIS_CONNECT_TODAY", sandbox.date.isoformat())
        config = SISProviderConfig(
            provider="powerschool",
            base_url=sandbox.base_url,
            client_id=sandbox.client_id,
            client_secret=sandbox.client_secret,
            rate_limit="off",
        )
        async with SISService.open("sqlite:///sis-connect.db") as service:
            await service.create_integration("lincoln", config)
        for _ in range(2):
            await app["nightly"]()
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"succeeded \{'create': \d\d, 'unchanged': \d+\} \{\}", first)
    assert re.fullmatch(r"succeeded \{'unchanged': \d+\} \{\}", second)
    with app["sessions"]() as session:
        user, membership = app["User"], app["Membership"]
        assert session.scalars(select(func.count(user.login.distinct()))).one() > 60
        assert session.scalars(select(func.count()).select_from(membership).join(user)).one() > 100
    app["engine"].dispose()
    suite = type("Some", (app["TestRosterInOurModels"],), {"only": ("arrives", "blanks", "bad_record")})
    report = await check_target(suite)
    assert len(report.of("passed")) == 3, report.text()


def test_the_page_names_every_check_of_the_suite() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.read_text(encoding="utf-8").partition("## Testing")[2], re.MULTILINE))
    assert told == {check.name: check.title for check in target_checks()}


def test_the_page_explains_every_part_of_a_model() -> None:
    text = PAGE.read_text(encoding="utf-8")
    parts = set(Model.__dataclass_fields__) - {"model", "_"}
    assert [name for name in sorted(parts) if f"`{name}`" not in text and f"**`{name}(" not in text] == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_names_every_field_and_which_of_them_are_never_blank(kind: Kind) -> None:
    rows = re.findall(rf"^\| (?:`{kind}`|each) \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = set(re.findall(r"`([a-z_]+)(?:\.…)?`", " ".join(rows))) - {"active", "inactive", "scheduled"}
    assert named == set(roster_fields(kind))
    record = RECORDS[kind]
    demanded = {name for name, each in record.model_fields.items() if each.is_required()} | set(record.required_references)
    assert set(re.findall(r"\*\*`(\w+)`\*\*", " ".join(rows))) == demanded - {"sis_id"} | {"status"}
