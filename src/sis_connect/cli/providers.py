"""`providers`: what is installed, and what was refused."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sis_connect.cli.invocation import answer_list, command, list_failure
from sis_connect.cli.tables import indented, table

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    command(app, "providers", failure=list_failure)(providers)


def providers(context: typer.Context, as_json: AsJson = False) -> None:
    """List the installed SIS providers and what each one offers."""
    from sis_connect.discovery import discover

    registry = discover()
    items: list[dict[str, Any]] = [
        {
            "name": found.info.name,
            "label": found.info.label,
            "distribution": found.distribution,
            "version": found.version,
            "contract": found.info.contract,
            "api_versions": list(found.info.api_versions),
            "kinds": list(found.info.capabilities.offered()),
            "sandbox": found.info.sandbox is not None,
            "usable": True,
            "reason": None,
        }
        for found in registry.installed.values()
    ]
    items += [
        {"name": refused.name, "distribution": refused.distribution, "usable": False, "reason": refused.reason}
        for refused in registry.refused
    ]
    answer_list(items, as_json, described(items))


def described(items: list[dict[str, Any]]) -> str:
    """The list for a person."""
    if not items:
        return "No provider is installed. Install the plugin of your SIS, for example: pip install 'sis-connect[all-sis]'."
    usable = [item for item in items if item["usable"]]
    rows = [
        [item["name"], item["label"], f"{item['distribution']} {item['version']}", "yes" if item["sandbox"] else "no"]
        for item in usable
    ]
    blocks = [table(["provider", "SIS", "installed by", "sandbox"], rows)] if usable else []
    blocks += [f"{item['name']} offers {', '.join(item['kinds']).replace('_', ' ') or 'nothing'}." for item in usable]
    refused = [f"{item['name']} ({item['distribution']}): {item['reason']}" for item in items if not item["usable"]]
    if refused:
        blocks.append("Refused:\n" + indented("\n".join(refused)))
    return "\n\n".join(blocks)
