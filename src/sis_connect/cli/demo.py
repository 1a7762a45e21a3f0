"""`demo`: a synthetic district comes over real HTTP into a database, and a school day later its changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sis_connect.cli.changes import change_table
from sis_connect.cli.demo_sandbox import DemoSandbox
from sis_connect.cli.invocation import FAILED, Invocation, actor, command, invocation_of, note, say
from sis_connect.cli.progress import ProgressLine
from sis_connect.cli.reports import describe, exit_code, hold_table
from sis_connect.cli.sandboxes import Seed, Students
from sis_connect.cli.tables import counted, indented
from sis_connect.errors import ConfigurationError

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from sis_connect.discovery import Registry
    from sis_connect.provider import ProviderInfo
    from sis_connect.service import SISService

FOLDER = Path("sis-connect-demo")
DATABASE = FOLDER / "sis-connect.db"
KEY_FILE = FOLDER / "sis-connect.key"
NAME = "demo"


def register(app: typer.Typer) -> None:
    command(app, "demo")(demo)


async def demo(
    context: typer.Context,
    provider: Annotated[
        str | None, typer.Argument(metavar="[PROVIDER]", help="Which SIS; the first installed without it.")
    ] = None,
    students: Students = 10_000,
    seed: Seed = 1,
) -> int:
    """Watch a synthetic district arrive, and its first changes."""
    invocation = invocation_of(context)
    registry = invocation.registry()
    info = chosen(registry, provider)
    prepare_folder()
    say(f"A synthetic district behind a local copy of the API of {info.label}. No network, no real person.")
    say()
    say("1. The SIS starts …")
    with DemoSandbox(info.name, students, seed, invocation.config) as sandbox:
        say(f"   It is at {sandbox.told['base_url']}: {counted(students, 'student')}, and the school date is {sandbox.date}.")
        code = await first_sync(sandbox, invocation, registry)
        if code != FAILED:
            code = await next_day(sandbox, invocation, registry)
    if code != FAILED:
        say(closing(sandbox))
    return code


def chosen(registry: Registry, name: str | None) -> ProviderInfo:
    """The provider that was asked for, or the first one with a sandbox."""
    if name is not None:
        return registry.info(name)
    for found in sorted(registry.installed):
        if registry.info(found).sandbox is not None:
            return registry.info(found)
    raise ConfigurationError(
        "No provider with a sandbox is installed.",
        remedy="Install the plugin of an SIS together with the sandbox, for example: pip install 'sis-connect[all-sis,sandbox]'.",
    )


def prepare_folder() -> None:
    """Begin with an empty database of the demo's own."""
    try:
        FOLDER.mkdir(exist_ok=True)
        for suffix in ("", "-wal", "-shm"):
            DATABASE.with_name(DATABASE.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The folder {FOLDER} cannot be written ({error.strerror}).",
            remedy="Start the demo in a folder that you may write to.",
        ) from error


def service_on(sandbox: DemoSandbox, registry: Registry) -> AbstractAsyncContextManager[SISService]:
    """The service over the demo's database, on the day that the sandbox shows."""
    from sis_connect.service import SISService

    return SISService.open(f"sqlite:///{DATABASE.as_posix()}", key_file=KEY_FILE, today=sandbox.date, registry=registry)


async def first_sync(sandbox: DemoSandbox, invocation: Invocation, registry: Registry) -> int:
    """Connect the district and read it for the first time."""
    from sis_connect.settings import validated

    say()
    say("2. The district is read for the first time, page by page, into an empty database.")
    told = ("provider", "base_url", "token_url", "client_id", "client_secret")
    settings = {name: sandbox.told[name] for name in told} | sandbox.told["settings"]
    async with service_on(sandbox, registry) as service:
        await service.create_integration(NAME, validated(settings, origin="the sandbox"), actor=actor())
        with ProgressLine(quiet=invocation.quiet) as progress:
            report = (await service.sync(NAME, progress=progress, actor=actor())).as_dict()
    return answer(report)


def answer(report: dict[str, Any]) -> int:
    """Print a report, and go on or leave with its exit code."""
    say(indented(describe(report), "   "))
    if report["error"]:
        note(f"Error: {report['error']['message']} {report['error']['remedy']}")
    return exit_code(report)


async def next_day(sandbox: DemoSandbox, invocation: Invocation, registry: Registry) -> int:
    """A school day later: what would change, what the guards say to it, and then it is done."""
    sandbox.move_to(1)
    say()
    say(f"3. It is {sandbox.date}, a school day later, and the SIS has moved on. What would a sync change?")
    async with service_on(sandbox, registry) as service:
        with ProgressLine(quiet=invocation.quiet) as progress:
            plan = await service.plan(NAME, progress=progress, actor=actor())
        planned = plan.as_dict()
        say(indented(describe(planned, next_step=False), "   "))
        say()
        say(indented(await change_table(service.plan_rows(plan.id), 5), "   "))
        say()
        say("4. Before anything is written, every guard has looked at the whole plan.")
        say(indented(hold_table(planned["holds"]) if planned["holds"] else NOTHING_HELD, "   "))
        say()
        say("5. The plan is applied.")
        with ProgressLine(quiet=invocation.quiet) as progress:
            report = (await service.apply(plan, progress=progress, actor=actor())).as_dict()
    return answer(report)


NOTHING_HELD = (
    "No guard objects: neither to how many leave, arrive, change identity or turn blank or invalid,\n"
    "in the district and in each school, nor to a kind of record that has come back empty."
)


def closing(sandbox: DemoSandbox) -> str:
    """Where everything is now, and what to try next."""
    told = {"port": sandbox.port, "students": sandbox.students, "seed": sandbox.seed, "day": 2}
    serve = f"sis-connect sandbox {sandbox.provider} {' '.join(f'--{name} {value}' for name, value in told.items())}"
    return f"""
Done. The roster is in {DATABASE}; delete the folder {FOLDER} when you have seen enough. To look around:

  cd {FOLDER}
  sis-connect list
  sis-connect operations
  sis-connect export {NAME} students --format csv

To go on, start the SIS again, one more school day later, and leave it running in another terminal. The date that it prints is the
school date for you, too:

  {serve}

  export SIS_CONNECT_TODAY=…
  sis-connect doctor {NAME}
  sis-connect plan {NAME}
  sis-connect sync {NAME}"""
