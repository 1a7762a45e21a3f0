"""Whatever an installed plugin is, says or raises, looking at what is installed comes to its end and finds the others (P12)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from sis_connect.discovery import Registry, discover, refined
from sis_connect.errors import ProviderError
from sis_connect.provider import CONTRACT, ProviderInfo
from sis_connect.settings import SISProviderConfig

Install = Callable[..., None]
ODD = """
from sis_connect.capabilities import Capabilities
from sis_connect.hookspecs import hookimpl
from sis_connect.provider import CONTRACT, ProviderInfo

class Text(str):
    def __str__(self): raise ValueError
    __repr__ = __format__ = __hash__ = partition = __str__

class Raising:
    def __str__(self): raise ValueError
    __repr__ = __str__

class Classless:
    @property
    def __class__(self): raise ValueError

class Nameless:
    @property
    def name(self): raise ValueError

class Shy(ProviderInfo):
    def __getattribute__(self, name):
        if name == "name": raise GeneratorExit
        return super().__getattribute__(name)

class Turning(ProviderInfo):
    asked = 0
    def __getattribute__(self, name):
        if name == "name":
            Turning.asked += 1
            return "fine" if Turning.asked < 3 else "Powerschool"
        return super().__getattribute__(name)

class Kind(type):
    @property
    def __name__(self): raise ValueError

class Unnamed(Exception, metaclass=Kind):
    @property
    def __class__(self): raise ValueError
    def __str__(self): raise GeneratorExit

def info(name="odd", of=ProviderInfo, provider="nowhere:Provider"):
    return of(name=name, label="Odd", provider=provider, contract=CONTRACT, capabilities=Capabilities())

@hookimpl
def sis_connect_providers(): return {providers}

@hookimpl
def sis_connect_guards(): return {guards}

@hookimpl
def sis_connect_strategies():
    {strategies}
"""


def odd(providers: str = "[]", guards: str = "{}", strategies: str = "return {'of_its_own': len}") -> str:
    source = ODD.replace("{providers}", providers).replace("{guards}", guards)
    return source.replace("{strategies}", strategies)


def names(registry: Registry) -> list[str]:
    return [it.name for it in registry.refused if it.distribution == "aaa-odd"]


@pytest.mark.parametrize(
    ("source", "refused"),
    [
        (odd("[Nameless()]"), ["?"]),
        (odd("[Classless()]"), ["?"]),
        (odd("[info(of=Shy)]"), ["?"]),
        (odd("[info(of=Turning)]"), ["Powerschool"]),
        (odd("[info(Text('odd'))]"), []),
        (odd("[info(provider=Text('nowhere:Provider'))]"), []),
        (odd("[info(Raising())]"), [""]),
        (odd(guards="{Raising(): len}"), ["odd:"]),
        (odd(guards="{'classless': Classless()}"), ["odd:classless"]),
        (odd(guards="{None: len, ('a',): len}"), ["odd:None", "odd:('a',)"]),
        (odd(guards="[1, 2]"), ["odd"]),
        (odd(strategies="raise Unnamed"), ["odd"]),
        (odd(strategies="raise GeneratorExit"), ["odd"]),
        (odd(strategies="raise StopIteration"), ["odd"]),
        ("raise GeneratorExit", ["odd"]),
        ("import asyncio\nraise asyncio.CancelledError", ["odd"]),
        ("raise BaseExceptionGroup('both', [GeneratorExit(), KeyboardInterrupt()])", ["odd"]),
        (f"{odd()}\nraise Unnamed", ["odd"]),
        ("raise StopIteration", ["odd"]),
    ],
)
def test_p12_a_plugin_that_is_odd_in_any_way_takes_nobody_else_along(install: Install, source: str, refused: list[str]) -> None:
    install("aaa-odd", "odd", source)
    registry = discover()
    assert names(registry) == refused
    assert "oneroster" in registry.installed


def test_p12_what_a_plugin_is_called_stays_as_it_was_looked_at(install: Install) -> None:
    install("aaa-odd", "odd", odd("[info(Text('odd'))]"))
    install("bbb-odd", "other", odd(guards="{Text('watch'): len}").replace("__hash__ =", "").replace("{'of_its_own': len}", "{}"))
    registry = discover()
    assert (type(registry.info("odd").name), [type(it) for it in registry.guards]) == (str, [str])
    assert list(registry.guards) == ["other:watch"]


@pytest.mark.parametrize("metadata", [None, "Metadata-Version: 2.1\n", "Name: \nVersion: \n", b"\xff\xfe".decode("latin-1")])
@pytest.mark.parametrize("entry_point", ["odd", "oneroster"])
def test_p12_what_a_broken_removal_left_takes_nobody_else_along(install: Install, metadata: str | None, entry_point: str) -> None:
    install("aaa-odd", entry_point, odd("[info()]", guards="{'watch': len}"), metadata=metadata)
    registry = discover()
    assert registry.installed["odd"].distribution == "an unknown distribution"
    assert list(registry.guards) == (["odd:watch"] if entry_point == "odd" else [])
    assert "oneroster" in registry.installed


def test_p12_metadata_that_no_one_can_read_take_nobody_else_along(install: Install, tmp_path: Path) -> None:
    install("aaa-odd", "odd", odd("[info()]"))
    information = tmp_path / "aaa_odd-1.0.dist-info"
    (information / "METADATA").write_bytes(b"Name: \xff\n")
    assert discover().installed["odd"].distribution == "an unknown distribution"
    (information / "entry_points.txt").write_bytes(b"[sis_connect.plugins]\n\xff = odd\n")
    registry = discover()
    assert "oneroster" in registry.installed
    assert [(it.name, it.reason) for it in registry.refused] == [("?", "its entry points cannot be read.")]


def test_p12_of_two_copies_of_a_distribution_the_first_is_the_one_that_is_found(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("aaa-odd", "odd", odd("[info()]"))
    copy = tmp_path / "elsewhere"
    information = copy / "aaa_odd-2.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Name: AAA_odd\nVersion: 2.0\n")
    (information / "entry_points.txt").write_text("[sis_connect.plugins]\nodd = aaa_odd\n")
    monkeypatch.syspath_prepend(str(copy))
    registry = discover()
    assert (registry.installed["odd"].version, registry.refused) == ("2.0", [])


async def test_p12_a_plugin_that_raises_a_cancellation_does_not_end_whoever_is_about_to_be_cancelled(install: Install) -> None:
    install("aaa-odd", "odd", "import asyncio\nraise asyncio.CancelledError")
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    registry = discover()
    task.uncancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(0)
    assert names(registry) == ["odd"]


def test_ctrl_c_is_no_fault_of_a_plugin(install: Install) -> None:
    install("aaa-odd", "odd", odd("[info(of=Shy)]").replace("raise GeneratorExit", "raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        discover()


def test_p12_a_provider_that_is_another_one_with_settings_each_time_it_is_asked_is_an_error(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("aaa-odd", "odd", odd("[info()]"))
    info = discover().info("odd")
    answers = iter([info.name, info.name, "Powerschool", "Powerschool"])

    class Turning(ProviderInfo):
        def __getattribute__(self, name: str) -> object:
            return next(answers, "Powerschool") if name == "name" else super().__getattribute__(name)

    said = Turning(name="odd", label="Odd", provider="nowhere:Provider", contract=CONTRACT, capabilities=info.capabilities)
    module = SimpleNamespace(refine=lambda info, config: said)
    monkeypatch.setitem(sys.modules, "refining_under_test", module)
    object.__setattr__(info, "refine", "refining_under_test:refine")
    with pytest.raises(ProviderError, match="does not say what it is"):
        refined(info, SISProviderConfig(provider="odd", base_url="file:///srv/odd"))
