"""What a plugin is called everywhere, from the one name that its author chooses. Pure."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from sis_connect.errors import ConfigurationError

LONGEST_NAME, LONGEST_LABEL = 32, 40


@dataclass(frozen=True, slots=True)
class PluginNames:
    """`provider` is what settings say, `label` what people read."""

    provider: str
    label: str

    @property
    def distribution(self) -> str:
        """What is installed."""
        return f"sis-connect-{self.provider.replace('_', '-')}"

    @property
    def module(self) -> str:
        """What is imported."""
        return f"sis_connect_{self.provider}"

    @property
    def classes(self) -> str:
        """What the names of its classes begin with."""
        return "".join(word.capitalize() for word in self.provider.split("_"))


def named(name: str, label: str | None = None, *, taken: Mapping[str, str]) -> PluginNames:
    """The names of a new plugin. `taken` says by whom a name is taken. Raises `ConfigurationError` where one will not do."""
    near = _near(name)
    if name.startswith("sis_connect"):
        raise ConfigurationError(
            "The name of a provider does not say sis_connect: its distribution and its module do.",
            remedy=f"Call it {near!r}." if near else "Choose one such as 'harbor'.",
        )
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise ConfigurationError(
            f"A provider cannot be called {name!r}: a name is lower-case letters and digits, its words joined by underscores.",
            remedy=f"Call it {near!r}, for example." if near else "Choose one such as 'harbor' or 'harbor_cloud'.",
        )
    if len(name) > LONGEST_NAME:
        raise ConfigurationError(
            f"The name {name!r} has more than {LONGEST_NAME} characters.",
            remedy="Shorten it: people type it. What the SIS is called in full goes into --label.",
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name) or name in sys.stdlib_module_names or name in ("test", "tests"):
        raise ConfigurationError(
            f"A provider cannot be called {name!r}: Python itself calls something so.",
            remedy=f"Choose another name, such as {f'{name}_sis'!r}: that of the SIS is best.",
        )
    if name in taken:
        raise ConfigurationError(
            f"The name {name!r} is taken by {taken[name]}.",
            remedy="Choose another name; two providers of one name cannot be installed together.",
        )
    names = PluginNames(name, name.replace("_", " ").title() if label is None else label.strip())
    if not 0 < len(names.label) <= LONGEST_LABEL or not names.label.isprintable() or set(names.label) & set('"\\`<>{}[]'):
        raise ConfigurationError(
            "This label cannot be written into a new plugin.",
            remedy=f"Give the name that people know the SIS by: 1 to {LONGEST_LABEL} characters, no quotation marks or brackets.",
        )
    return names


def _near(name: str) -> str:
    """The name that was probably meant."""
    words = re.findall(r"[a-z0-9]+", re.sub("^sis[-_]connect[-_]?", "", name.lower()))
    return "_".join(words).lstrip("0123456789_")[:LONGEST_NAME].rstrip("_")


def requirement(version: str) -> str:
    """Which versions of this library fit a plugin that is written for this one: what comes later may break it."""
    major, minor = (int(part) for part in version.split(".")[:2])
    following = f"0.{minor + 1}" if major == 0 else f"{major + 1}"
    return f">={major}.{minor},<{following}"
