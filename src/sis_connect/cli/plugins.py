"""`plugin new|check`: for those who write a plugin."""

from __future__ import annotations

import typer

from sis_connect.cli import plugin_check, plugin_new
from sis_connect.cli.invocation import command


def register(app: typer.Typer) -> None:
    plugin = typer.Typer(help="Write a plugin for an SIS, and check it.", rich_markup_mode=None, no_args_is_help=True)
    command(plugin, "new")(plugin_new.new)
    command(plugin, "check")(plugin_check.check)
    app.add_typer(plugin, name="plugin")
