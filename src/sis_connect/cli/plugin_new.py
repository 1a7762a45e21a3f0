"""`plugin new`: the beginnings of a plugin for an SIS that has none."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from sis_connect.cli.invocation import invocation_of, print_json, say
from sis_connect.cli.providers import AsJson


def new(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the provider will be called, such as harbor.")],
    into: Annotated[
        Path | None,
        typer.Option("--into", metavar="FOLDER", show_default="sis-connect-NAME", help="The folder to make, or an empty one."),
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", metavar="TEXT", show_default="NAME", help="What people call the SIS.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a new plugin: a whole distribution that passes its own tests.

    It reads a small made-up API, over a sandbox of its own. Put your SIS in the place of that, file by file.
    """
    from sis_connect.scaffold.names import named
    from sis_connect.scaffold.project import rendered, taken_names, write

    names = named(name, label, taken=taken_names(invocation_of(context).registry()))
    folder = into or Path(names.distribution)
    texts = rendered(names)
    write(texts, folder)
    if as_json:
        told = {"provider": names.provider, "distribution": names.distribution, "module": names.module}
        print_json({**told, "folder": str(folder), "files": list(texts)})
        return
    say(f"{names.distribution} is in {folder}: {len(texts)} files. It passes its own tests as it is; try it:\n")
    for step in (
        f"cd {shlex.quote(str(folder))}",
        "pip install --editable '.[test]'",
        "pytest",
        f"sis-connect plugin check {name}",
        f"sis-connect demo {name}",
    ):
        say(f"    {step}")
    say("\nThen put your SIS in the place of the made-up one. README.md says in which order.")
