"""The files of a new plugin: rendered in memory first, then written.

A template lies below `template/` where the file will be, with `.template` behind its name; the folder `module` there stands for
the package of the plugin. Within, `$name` and the like are the standard library's `string.Template`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import metadata, version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from sis_connect.errors import ConfigurationError
from sis_connect.provider import CONTRACT
from sis_connect.scaffold.names import PluginNames, requirement

if TYPE_CHECKING:
    from sis_connect.discovery import Registry

SUFFIX = ".template"
OURS = "sis-connect"


def rendered(names: PluginNames) -> dict[str, str]:
    """Every file of the new distribution: its text by its path, which has slashes."""
    values = {
        "name": names.provider,
        "label": names.label,
        "distribution": names.distribution,
        "module": names.module,
        "classes": names.classes,
        "requirement": requirement(version(OURS)),
        "contract": str(CONTRACT),
    }
    templates = files("sis_connect.scaffold") / "template"
    return {
        path.replace("src/module/", f"src/{names.module}/"): Template(text).substitute(values)
        for path, text in sorted(_texts(templates, ""))
    }


def _texts(folder: Traversable, path: str) -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _texts(entry, f"{path}{entry.name}/")
        elif entry.name.endswith(SUFFIX):
            yield f"{path}{entry.name.removesuffix(SUFFIX)}", entry.read_text(encoding="utf-8")


def write(texts: Mapping[str, str], folder: Path) -> None:
    """Write these files below a folder, which may exist but holds nothing yet, or nothing but the beginnings of a repository.

    Raises `ConfigurationError` where it holds something, or cannot be written.
    """
    if folder.exists() and not (folder.is_dir() and {entry.name for entry in folder.iterdir()} <= {".git"}):
        raise ConfigurationError(f"{folder} is there already.", remedy="Name a folder that is new or empty with --into.")
    try:
        for path, text in texts.items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
    except OSError as error:
        raise ConfigurationError(
            f"The plugin cannot be written to {folder} ({error.strerror}).", remedy="Name another folder with --into."
        ) from error


def taken_names(registry: Registry) -> dict[str, str]:
    """The names that a new provider cannot have, and by whom they are taken: what is installed, and our own extras."""
    ours = metadata(OURS).get_all("Provides-Extra") or []
    return (
        {extra.replace("-", "_"): f"sis-connect itself, as an extra: sis-connect[{extra}]" for extra in ours}
        | {refused.name: refused.distribution for refused in registry.refused}
        | {name: found.distribution for name, found in registry.installed.items()}
    )
