"""The command line as a whole: its own options, and which commands there are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from sis_connect.cli import (
    authorizing,
    deciding,
    demo,
    exporting,
    history,
    holding,
    integrations,
    plugins,
    presence,
    providers,
    quality,
    sandboxes,
    school_years,
    serving,
    syncing,
    tokens,
)
from sis_connect.cli.invocation import Invocation

app = typer.Typer(
    name="sis-connect",
    help="Bring a district's roster from its student information system into a database: planned, guarded, applied.",
    epilog="The options of sis-connect itself may also stand after the command.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
)
for part in (
    demo,
    providers,
    sandboxes,
    integrations,
    authorizing,
    tokens,
    syncing,
    holding,
    deciding,
    school_years,
    exporting,
    presence,
    history,
    quality,
    serving,
    plugins,
):
    part.register(app)

#: The options of `sis-connect` itself: whether they take a value.
OWN_OPTIONS = {
    "--database": True,
    "--key-file": True,
    "--config": True,
    "--today": True,
    "--quiet": False,
    "--verbose": False,
    "--version": False,
}


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"sis-connect {version('sis-connect')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    database: Annotated[
        str | None,
        typer.Option(
            envvar="SIS_CONNECT_DATABASE_URL", show_default="sqlite:///sis-connect.db", help="Where roster and integrations live."
        ),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(envvar="SIS_CONNECT_KEY_FILE", help="The key that seals secrets; or the key itself in SIS_CONNECT_KEY."),
    ] = None,
    config: Annotated[Path, typer.Option(help="The file that `add` applies when it is given no name.")] = Path(
        "sis-connect.toml"
    ),
    today: Annotated[
        datetime | None,
        typer.Option(envvar="SIS_CONNECT_TODAY", formats=["%Y-%m-%d"], help="The school date, if it is not today's."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="The details of errors that are our own fault.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)] = False,
) -> None:
    context.obj = Invocation(
        database=database,
        key_file=key_file,
        config=config,
        today=today.date() if today else None,
        quiet=quiet,
        verbose=verbose,
    )


def own_options_first(arguments: Sequence[str]) -> list[str]:
    """Move the options of `sis-connect` itself before the command, so that they may stand anywhere."""
    own: list[str] = []
    rest: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        name = argument.partition("=")[0]
        if argument == "--":
            rest += [argument, *remaining]
        elif name not in OWN_OPTIONS:
            rest.append(argument)
        else:
            own.append(argument)
            if OWN_OPTIONS[name] and "=" not in argument:
                own += [value for value in [next(remaining, None)] if value is not None]
    return own + rest


def run(arguments: Sequence[str]) -> None:
    """Run one command and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A name in a script that this terminal cannot show must not end the command.
            stream.reconfigure(errors="replace")
    app(args=own_options_first(arguments), prog_name="sis-connect")
