"""Commands call the service, print one answer on stdout and leave with the right code, whatever happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from sis_connect.cli import application, invocation
from sis_connect.cli.application import own_options_first
from sis_connect.cli.invocation import Invocation, command, explained
from sis_connect.errors import AuthenticationError, ConfigurationError, NetworkError
from sis_connect.provider import Finding
from sis_connect.roster.report import SyncReport
from sis_connect.settings import SISProviderConfig

REPORT: dict[str, Any] = SyncReport(
    operation="op-7",
    integration="lincoln",
    requests=3,
    bytes=900,
    seconds=0.2,
    records={"students": 2},
    changes={"students": {"create": 2}},
).as_dict()
KEYS = list(REPORT)


@dataclass
class Told:
    """Something with `as_dict()`, as the service returns."""

    values: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return self.values


@dataclass
class Service:
    """Stands in for the service: answers as told and remembers what it was asked."""

    asked: list[tuple[str, Any, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=lambda: {"stored_settings": {}})
    opened: list[Invocation] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def answer(*arguments: Any, **options: Any) -> Any:
            await asyncio.sleep(0)
            self.asked.append((name, arguments, options))
            result = self.answers[name]
            if isinstance(result, BaseException):
                raise result
            return result

        return answer

    async def export(self, name: str, kind: str) -> AsyncIterator[dict[str, object]]:
        result = self.answers["export"]
        if isinstance(result, BaseException):
            raise result
        for row in result:
            yield row


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    it = Service()

    @asynccontextmanager
    async def opened(self: Invocation) -> AsyncIterator[Service]:
        it.opened.append(self)
        yield it

    monkeypatch.setattr(Invocation, "service", opened)
    return it


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process: exit code, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            application.run(arguments)
        out, err = capfd.readouterr()
        return (left.value.code if isinstance(left.value.code, int) else 0, out, err)

    return call


def test_an_async_command_really_runs(capfd: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()
    ran = []

    @command(app, "one")
    async def one(context: typer.Context, name: str) -> int:
        await asyncio.sleep(0)
        ran.append(name)
        return 4

    app.command("two")(lambda: None)
    with pytest.raises(SystemExit) as left:
        app(args=["one", "lincoln"])
    assert (ran, left.value.code) == (["lincoln"], 4)


def test_the_list_of_commands_says_what_each_does_in_whole_sentences(run: Run) -> None:
    code, out, _ = run("--help")
    assert (code, [line for line in out.split("Commands:")[1].splitlines() if line.endswith("...")]) == (0, [])


def test_every_command_runs_through_the_one_door_that_awaits_it() -> None:
    assert application.app.registered_commands
    for registered in application.app.registered_commands:
        assert registered.callback is not None
        assert not asyncio.iscoroutinefunction(registered.callback)


@pytest.mark.parametrize(("status", "code"), [("succeeded", 0), ("failed", 1), ("held", 3), ("incomplete", 4)])
def test_a_sync_leaves_with_the_code_of_its_outcome(service: Service, run: Run, status: str, code: int) -> None:
    service.answers["sync"] = Told(REPORT | {"status": status})
    assert run("sync", "lincoln")[0] == code
    left, out, _ = run("sync", "lincoln", "--json")
    assert (left, json.loads(out)["status"], list(json.loads(out))) == (code, status, KEYS)


def test_what_is_asked_for_reaches_the_service(service: Service, run: Run) -> None:
    service.answers["sync"] = Told(REPORT)
    arguments = ["--full", "--strict", "--kind", "students", "--kind", "staff", "--school", "3", "--student", "2156"]
    assert run("sync", "lincoln", *arguments)[0] == 0
    [(_, given, options)] = service.asked
    assert given == ("lincoln",)
    assert (options["full"], options["strict"], options["school"], options["student"]) == (True, True, "3", "2156")
    assert options["kinds"] == ["students", "staff"]
    assert options["actor"]


@pytest.mark.parametrize("name", ["sync", "plan"])
def test_a_failure_has_the_full_shape_on_stdout_and_a_sentence_on_stderr(service: Service, run: Run, name: str) -> None:
    service.answers[name] = AuthenticationError("The SIS does not accept the client secret.").within(integration="lincoln")
    code, out, err = run(name, "lincoln", "--json")
    document = json.loads(out)
    assert code == 1
    assert document["error"]["category"] == "authentication"
    assert set(document) == set(KEYS) - {"operation"} | {"plan" if name == "plan" else "operation"}
    assert err.startswith("Error: The SIS does not accept the client secret. Check client id")


def test_a_run_that_reports_its_failure_is_told_on_stderr_too(service: Service, run: Run) -> None:
    service.answers["sync"] = Told(REPORT | {"status": "failed", "error": NetworkError("The SIS did not answer.").as_dict()})
    for arguments in ([], ["--json"]):
        code, _, err = run("sync", "lincoln", *arguments)
        assert (code, err.startswith("Error: The SIS did not answer. Check that")) == (1, True)


@pytest.mark.parametrize("name", ["list", "holds", "operations", "doctor", "health"])
def test_a_list_that_fails_is_still_a_list(service: Service, run: Run, name: str) -> None:
    error = ConfigurationError("There is no such thing.")
    service.answers |= {"integrations": error, "holds": error, "operations": error, "doctor": error, "health": error}
    code, out, err = run(name, *(["lincoln"] if name == "doctor" else []), "--json")
    assert code == 1
    assert json.loads(out) == {"items": [], "error": error.as_dict()}
    assert "Traceback" not in err


def test_nobody_sees_a_traceback_unless_they_ask(service: Service, run: Run) -> None:
    service.answers["sync"] = ZeroDivisionError("secret detail")
    code, out, err = run("sync", "lincoln")
    assert (code, out) == (1, "")
    assert "Traceback" not in err
    assert "secret detail" not in err
    assert "ZeroDivisionError" in err
    assert "report" in err
    assert "Traceback" in run("--verbose", "sync", "lincoln")[2]


def test_stopping_is_a_clean_failure(service: Service, run: Run) -> None:
    service.answers["sync"] = KeyboardInterrupt()
    code, out, err = run("sync", "lincoln", "--json")
    assert (code, json.loads(out)["status"]) == (1, "failed")
    assert err.startswith("Error: Stopped before the end, as asked.")


def test_an_error_of_ours_is_found_in_a_group() -> None:
    ours = NetworkError("No answer.")
    assert explained(ExceptionGroup("all", [ValueError("x"), ExceptionGroup("some", [ours])])) is ours


@pytest.mark.parametrize(
    "arguments",
    [
        ("sync",),
        ("sync", "lincoln", "--kind", "pupils"),
        ("sync", "lincoln", "--no-such-option"),
        ("no-such-command",),
        ("--today", "tomorrow", "list"),
        ("export", "lincoln", "pupils"),
        ("export", "lincoln", "students", "--format", "xlsx"),
        ("add", "lincoln", "--set", "page_size"),
        ("add", "lincoln", "--set", "client_secret=hunter2"),
        ("add", "--provider", "acme"),
    ],
)
def test_a_wrong_call_is_a_usage_error(service: Service, run: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "Error: " in err
    assert "hunter2" not in err


def test_a_plan_is_shown_with_its_first_changes(service: Service, run: Run) -> None:
    plan = {"plan": "p-9"} | {key: value for key, value in REPORT.items() if key != "operation"}

    async def rows(plan_id: str) -> AsyncIterator[Any]:
        for number in range(3):
            yield SimpleNamespace(
                kind="students",
                action="update",
                sis_id=str(number),
                reason="transfer",
                before={"school": "3"},
                after={"school": "4"},
            )

    made = SimpleNamespace(id="p-9", as_dict=lambda: plan)
    service.answers["plan"] = made
    service.plan_rows = rows  # type: ignore[attr-defined]
    code, out, _ = run("plan", "lincoln", "--rows", "2")
    assert code == 0
    assert "Apply it with: sis-connect apply p-9" in out
    assert "The first 2 changes:" in out
    assert "update  students  1              transfer  school" in out


def test_holds_are_listed_and_decided(service: Service, run: Run) -> None:
    hold = {
        "id": "h-1",
        "integration": "lincoln",
        "guard": "withdrawals",
        "kind": "students",
        "action": "withdraw",
        "scope": "district",
        "count": 640,
        "of": 10000,
        "limit": "5%",
        "state": "open",
        "created": "2026-11-22T07:00:00+00:00",
        "expires": "2026-12-06T07:00:00+00:00",
        "owner": None,
    }
    service.answers |= {"holds": [Told(hold)], "approve": Told(REPORT), "reject": Told(hold | {"state": "rejected"})}
    assert "h-1  withdrawals  withdraw students" in run("holds")[1]
    assert run("holds")[1].endswith("\n\nDecide with `sis-connect approve ID` or `sis-connect reject ID`.\n")
    assert json.loads(run("holds", "--json")[1]) == {"items": [hold]}
    assert run("approve", "h-1")[0] == 0
    assert "Rejected h-1. These changes do not come back" in run("reject", "h-1")[1]
    service.answers["reject"] = Told(hold | {"guard": "strict"})
    assert "The next sync proposes them again." in run("reject", "h-1")[1]
    service.answers["reject"] = Told(hold | {"state": "rejected"})
    assert json.loads(run("reject", "h-1", "--json")[1])["state"] == "rejected"
    service.answers["holds"] = []
    assert run("holds")[1] == "Nothing is held.\n"


def test_doctor_fails_where_something_is_broken(service: Service, run: Run) -> None:
    fine = Finding(topic="time", level="ok", message="The clocks agree.", facts={"skew": 0.2})
    broken = Finding(topic="credentials", level="error", message="The secret is not accepted.", remedy="Ask for a new one.")
    service.answers["doctor"] = [fine]
    assert run("doctor", "lincoln")[0] == 0
    service.answers["doctor"] = [fine, broken]
    code, out, _ = run("doctor", "lincoln")
    assert code == 1
    assert "[  ok   ] time: The clocks agree." in out
    assert "[ ERROR ] credentials: The secret is not accepted.\n          Ask for a new one." in out
    items = json.loads(run("doctor", "lincoln", "--json")[1])["items"]
    assert [item["level"] for item in items] == ["ok", "error"]
    assert items[0]["facts"] == {"skew": 0.2}


def added(service: Service) -> SISProviderConfig:
    [(_, (_, config), _)] = [call for call in service.asked if call[0] == "create_integration"]
    assert isinstance(config, SISProviderConfig)
    return config


def test_a_district_is_added_with_all_that_was_said(
    service: Service, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.answers["create_integration"] = Told({"name": "lincoln"})
    (tmp_path / "secret").write_text("hunter2\n", encoding="utf-8")
    monkeypatch.setenv("SIS_CONNECT_CLIENT_SECRET", "the file wins")
    given = ["--provider", "acme", "--base-url", "https://sis.example.org/", "--client-id", "me"]
    code, out, _ = run(
        "add", "lincoln", *given, "--client-secret-file", str(tmp_path / "secret"), "--set", "page_size=50", "--set", "a=b=c"
    )
    assert code == 0
    assert "Added lincoln: acme at https://sis.example.org." in out
    assert "hunter2" not in out
    config = added(service)
    assert config.client_secret is not None
    assert config.client_secret.get_secret_value() == "hunter2"
    assert (config.page_size, config.options) == (50, {"a": "b=c"})


def test_a_secret_may_come_from_the_environment(service: Service, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    service.answers["create_integration"] = Told({"name": "lincoln"})
    monkeypatch.setenv("SIS_CONNECT_CLIENT_SECRET", "hunter2")
    assert run("add", "lincoln", "--provider", "acme", "--base-url", "https://sis.example.org")[0] == 0
    secret = added(service).client_secret
    assert secret is not None
    assert secret.get_secret_value() == "hunter2"


def test_what_is_not_said_stays_as_it_is_stored(service: Service, run: Run) -> None:
    stored = {"provider": "acme", "base_url": "https://sis.example.org", "rate_limit": "9/60", "options": {"a": "b"}}
    service.answers |= {"create_integration": Told({"name": "lincoln"}), "stored_settings": stored}
    code, out, _ = run("add", "lincoln", "--set", "page_size=50")
    assert (code, out.splitlines()[0]) == (0, "Changed lincoln: acme at https://sis.example.org.")
    config = added(service)
    assert (config.base_url, config.rate_limit, config.page_size, config.options) == (
        "https://sis.example.org", (9, 60.0), 50, {"a": "b"},
    )  # fmt: skip


def test_districts_are_added_from_a_file(service: Service, run: Run, tmp_path: Path) -> None:
    service.answers["create_integration"] = Told({"name": "?"})
    path = tmp_path / "districts.toml"
    path.write_text(
        "".join(f"[{name}]\nprovider='acme'\nbase_url='https://{name}.example.org'\n" for name in "ab"), encoding="utf-8"
    )
    assert run("add", "--from", str(path))[0] == 0
    assert run("add", "--config", str(path))[0] == 0
    assert [call[1][0] for call in service.asked] == ["a", "b", "a", "b"]
    assert run("add", "b", "--from", str(path))[0] == 0
    assert service.asked[-1][1][0] == "b"
    code, _, err = run("add", "c", "--from", str(path))
    assert code == 1
    assert "declares no integration 'c'" in err
    path.write_text("", encoding="utf-8")
    assert "declares no integration" in run("add", "--from", str(path))[2]


def test_the_options_of_the_program_may_stand_anywhere(service: Service, run: Run) -> None:
    service.answers["holds"] = []
    for arguments in (
        ["--database", "sqlite:///x.db", "--today=2026-11-20", "holds"],
        ["holds", "--today", "2026-11-20", "--database=sqlite:///x.db"],
    ):
        assert run(*arguments)[0] == 0
    assert [(it.database, it.today) for it in service.opened] == [("sqlite:///x.db", date(2026, 11, 20))] * 2


def test_what_comes_after_two_dashes_is_left_alone() -> None:
    assert own_options_first(["sync", "x", "--", "--quiet"]) == ["sync", "x", "--", "--quiet"]
    assert own_options_first(["sync", "--quiet", "x", "--database"]) == ["--quiet", "--database", "sync", "x"]


def test_the_environment_gives_what_is_not_said(service: Service, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    service.answers["holds"] = []
    monkeypatch.setenv("SIS_CONNECT_DATABASE_URL", "sqlite:///env.db")
    monkeypatch.setenv("SIS_CONNECT_TODAY", "2026-11-20")
    monkeypatch.setenv("SIS_CONNECT_KEY_FILE", "env.key")
    run("holds")
    run("--database", "sqlite:///said.db", "holds")
    assert [it.database for it in service.opened] == ["sqlite:///env.db", "sqlite:///said.db"]
    assert (service.opened[0].today, service.opened[0].key_file) == (date(2026, 11, 20), Path("env.key"))


def test_text_from_elsewhere_cannot_steer_the_terminal(service: Service, run: Run) -> None:
    service.answers["doctor"] = [Finding(topic="SIS", level="ok", message="\x1b[2Jgone\r")]
    out = run("doctor", "lincoln")[1]
    assert "\x1b" not in out
    assert "\r" not in out


def test_the_version_is_told(run: Run) -> None:
    assert run("--version")[1].startswith("sis-connect 0.")


def test_an_unnamed_user_is_still_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError

    monkeypatch.setattr("getpass.getuser", nobody)
    assert invocation.actor() == "command line"
