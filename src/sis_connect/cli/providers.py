"""`providers`: what is installed, and what was refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sis_connect.cli.invocation import answer_list, command, invocation_of, list_failure
from sis_connect.cli.tables import indented, table

if TYPE_CHECKING:
    from sis_connect.discovery import Registry

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    command(app, "providers", failure=list_failure)(providers)


def providers(context: typer.Context, as_json: AsJson = False) -> None:
    """List the installed SIS providers and what each one offers.

    What was refused is listed with the reason, and so is what plugins did that they should not.
    """
    registry = invocation_of(context).registry()
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
            "remedy": None,
            "notes": noted(registry, found.distribution),
        }
        for found in registry.installed.values()
    ]
    items += [
        {
            "name": refused.name,
            "distribution": refused.distribution,
            "usable": False,
            "reason": refused.reason,
            "remedy": refused.remedy or None,
            "notes": noted(registry, refused.distribution),
        }
        for refused in registry.refused
    ]
    notes = list(dict.fromkeys(f"{note.distribution} {note.message}" for note in registry.notes))
    answer_list(items, as_json, described(items, registry.extras(), notes))


def described(items: list[dict[str, Any]], extras: Mapping[str, Sequence[str]], notes: Sequence[str]) -> str:
    """The list for a person, with what plugins bring beside providers, and what is to be known of them."""
    if not items and not extras:
        return "No provider is installed. Install the plugin of your SIS, for example: pip install 'sis-connect[all-sis]'."
    usable = [item for item in items if item["usable"]]
    rows = [
        [item["name"], item["label"], f"{item['distribution']} {item['version']}", "yes" if item["sandbox"] else "no"]
        for item in usable
    ]
    blocks = [table(["provider", "SIS", "installed by", "sandbox"], rows)] if usable else []
    blocks += [f"{item['name']} offers {', '.join(item['kinds']).replace('_', ' ') or 'nothing'}." for item in usable]
    blocks += [f"{nouns.capitalize()} of plugins, to be chosen by name: {', '.join(names)}." for nouns, names in extras.items()]
    if notes:
        blocks.append("Please note:\n" + indented("\n".join(notes)))
    refused = [
        f"{item['name']} ({item['distribution']}): {item['reason']} {item['remedy'] or ''}".rstrip()
        for item in items
        if not item["usable"]
    ]
    if refused:
        blocks.append("Refused:\n" + indented("\n".join(refused)))
    return "\n\n".join(blocks)


def noted(registry: Registry, distribution: str) -> list[str]:
    """What is to be known of a plugin."""
    return [note.message for note in registry.notes if note.distribution == distribution]
