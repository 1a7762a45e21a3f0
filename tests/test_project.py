"""The project holds to its own rules: which way imports point, what no file may contain, and that every promise is tested."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = ROOT / "src" / "sis_connect"
PLUGINS = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))
SHIPPED = sorted([*CORE.rglob("*.py"), *(path for plugin in PLUGINS for path in plugin.glob("src/**/*.py"))])
TESTS = sorted([*(ROOT / "tests").rglob("*.py"), *(path for plugin in PLUGINS for path in plugin.glob("tests/**/*.py"))])
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(plugin / "README.md" for plugin in PLUGINS)])
OTHERS = [
    *CORE.rglob("*.template"),
    ROOT / "noxfile.py",
    ROOT / "mkdocs.yml",
    ROOT / ".ci" / "run",
    *ROOT.glob("*.toml"),
    *ROOT.glob("plugins/*/*.toml"),
]
EVERYTHING = [*SHIPPED, *TESTS, *PAGES, *OTHERS]

PROMISES = [f"P{number}" for number in range(1, 13)]

# The ground: imports nothing of ours but the ground.
GROUND = ("errors", "clock", "capabilities", "records")
# Who may not know whom, by module below `sis_connect`. A folder stands for all that it holds.
STRANGERS = {
    "provider": ("transport", "tokens", "roster", "store", "settings", "service", "cli", "testing"),
    "hookspecs": ("transport", "tokens", "roster", "store", "settings", "service", "cli", "testing"),
    "deprecation": ("discovery", "settings", "transport", "tokens", "roster", "store", "provider", "service", "cli", "testing"),
    "guards": ("discovery", "settings", "transport", "tokens", "roster", "store", "provider", "service", "cli", "testing"),
    "keys": ("discovery", "settings", "transport", "tokens", "roster", "store", "provider", "service", "cli", "testing"),
    "chosen": ("transport", "roster", "service", "cli", "testing"),
    "hosting": ("discovery", "settings", "transport", "tokens", "roster", "store", "connection", "service", "cli", "testing"),
    "discovery": ("transport", "tokens", "roster", "store", "service", "cli", "testing"),
    "settings": ("transport", "tokens", "roster", "store", "provider", "service", "cli", "testing"),
    "setting_types": ("settings", "transport", "tokens", "roster", "store", "provider", "service", "cli", "testing"),
    "transport": ("oauth", "records", "provider", "rest_provider", "roster", "store", "service", "cli", "testing"),
    "tokens": ("oauth", "records", "provider", "rest_provider", "roster", "service", "cli", "testing"),
    "oauth": ("records", "rest_provider", "roster", "store", "connection", "service", "cli", "testing"),
    "rest_provider": ("roster", "store", "service", "cli", "testing"),
    "declared": ("roster", "store", "service", "cli", "testing"),
    "custom_fields": ("provider", "settings", "transport", "tokens", "roster", "store", "service", "cli", "testing"),
    "roster.merge": ("transport", "tokens", "store", "service", "cli", "testing"),
    "roster.conflict": ("transport", "tokens", "store", "service", "cli", "testing"),
    "roster.guard": ("transport", "tokens", "store", "service", "cli", "testing"),
    "roster.stints": ("transport", "tokens", "store", "service", "cli", "testing"),
    "roster": ("transport", "service", "cli", "testing"),
    "store": ("transport.http", "oauth.endpoint", "oauth.wiring", "provider", "rest_provider", "service", "cli", "testing"),
    "service": ("cli", "testing"),
    "connection": ("roster", "service", "cli", "testing"),
    "scaffold": ("transport", "tokens", "roster", "store", "settings", "service", "cli", "testing"),
    "testing": ("cli",),
}


def name_of(path: Path) -> str:
    """The module below `sis_connect`, such as `roster.merge`."""
    return ".".join(path.relative_to(CORE).with_suffix("").parts).removesuffix(".__init__")


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports anywhere, in full."""
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path: Path) -> set[str]:
    """What a file imports of the core, by its name below `sis_connect`."""
    return {name.removeprefix("sis_connect.") for name in imported(path) if name.startswith("sis_connect.")}


def within(name: str, area: str) -> bool:
    return name == area or name.startswith(f"{area}.")


def at(path: Path) -> str:
    return str(path.relative_to(ROOT))


def containing(pattern: str, paths: list[Path], flags: int = 0) -> list[str]:
    """Where a pattern stands, as `file:line`."""
    return [
        f"{at(path)}:{number}"
        for path in paths
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if re.search(pattern, line, flags)
    ]


def test_the_ground_knows_nothing_above_it() -> None:
    for name in GROUND:
        strangers = {other for other in ours(CORE / f"{name}.py") if not any(within(other, ground) for ground in GROUND)}
        assert strangers == set(), f"{name} imports {strangers}"


@pytest.mark.parametrize("area", STRANGERS)
def test_imports_point_one_way(area: str) -> None:
    found = {
        f"{name_of(path)} imports {other}"
        for path in CORE.rglob("*.py")
        if within(name_of(path), area)
        for other in ours(path)
        if any(within(other, stranger) for stranger in STRANGERS[area])
    }
    assert found == set()


def test_one_file_imports_the_http_library() -> None:
    assert {at(path) for path in SHIPPED if any(within(name, "httpx") for name in imported(path))} <= {
        "src/sis_connect/transport/http.py"
    }


def test_only_the_command_line_knows_the_command_line() -> None:
    outside = [path for path in SHIPPED if not (path.is_relative_to(CORE) and within(name_of(path), "cli"))]
    assert [at(path) for path in outside if any(within(name, "typer") for name in imported(path))] == []


def test_the_core_names_no_vendor() -> None:
    assert containing(r"power.?school|infinite.?campus|skyward", sorted(CORE.rglob("*.py")), re.IGNORECASE) == []


def test_a_sandbox_and_its_provider_do_not_know_each_other() -> None:
    for plugin in PLUGINS:
        for path in plugin.glob("src/*/sandbox*"):
            for file in [path] if path.is_file() else path.rglob("*.py"):
                assert [
                    name for name in imported(file) if re.search(r"\.(provider|mapping)\b", name) and "sis_connect_" in name
                ] == []


def test_importing_the_library_loads_nothing_heavy() -> None:
    heavy = ("httpx", "sqlalchemy", "pydantic", "authlib", "cryptography", "structlog", "typer", "alembic", "msgspec", "asyncio")
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, sis_connect; print(*sys.modules)"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert [name for name in heavy if name in loaded] == []


def test_no_file_is_longer_than_400_lines() -> None:
    assert {at(path): lines for path in [*SHIPPED, *TESTS] if (lines := len(text_of(path).splitlines())) > 400} == {}


def test_every_file_has_a_noun_of_its_own() -> None:
    assert [at(path) for path in [*SHIPPED, *TESTS] if re.search(r"\b_?(utils?|helpers?|common|misc)\b", path.stem)] == []


def test_nothing_is_unfinished() -> None:
    # Each pattern is written so that it does not find itself.
    assert containing(r"\b(TO[D]O|FIX[M]E|XX[X]|HA[C]K)\b|NotImplemented[E]rror", EVERYTHING) == []
    assert containing(r"pytest\.(mark\.)?(sk[i]p|xf[a]il)|import[o]rskip", EVERYTHING) == []
    assert containing(r"type: [i]gnore(?!\[)", EVERYTHING) == []


def test_no_machine_and_no_package_registry_is_named() -> None:
    assert containing(r"py[p]i\.org|python[h]osted\.org|npm[j]s\.(org|com)|deb\.[d]ebian\.org", EVERYTHING) == []
    assert containing(r"(^|[^\w.])/(wo[r]k|ro[o]t|ho[m]e)/", EVERYTHING) == []


def test_the_readme_is_short() -> None:
    assert len(text_of(ROOT / "README.md").splitlines()) <= 120


def test_plugins_follow_the_naming() -> None:
    for plugin in PLUGINS:
        project = tomllib.loads(text_of(plugin / "pyproject.toml"))["project"]
        provider = plugin.name
        assert project["name"] == f"sis-connect-{provider.replace('_', '-')}"
        assert project["entry-points"]["sis_connect.plugins"] == {provider: f"sis_connect_{provider}"}
        assert {path.name for path in (plugin / "src" / f"sis_connect_{provider}").iterdir()} >= {
            "__init__.py",
            "provider.py",
            "py.typed",
        }


def promises_in(path: Path) -> set[str]:
    """The promises that the tests of a file carry in their names or docstrings."""
    tests = [
        node
        for node in ast.walk(ast.parse(text_of(path)))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name.lower().startswith("test")
    ]
    words = " ".join(f"{test.name} {ast.get_docstring(test) or ''}" for test in tests)
    return {f"P{number}" for number in re.findall(r"(?:\b|_)[pP](\d{1,2})(?=\b|_)", words)}


@pytest.mark.parametrize("promise", PROMISES)
def test_every_promise_is_defended_by_a_test(promise: str) -> None:
    assert [at(path) for path in TESTS if promise in promises_in(path)], f"no test carries {promise}"
