"""What is checked, one session each. `.ci/run` runs them all; `nox -s NAME` runs one."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2026.4"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["tests", "lint", "typing", "docs", "wheels", "lowest"]

VERSION = nox.project.load_toml("pyproject.toml")["project"]["version"]
OLDEST = "3.11"
PYTHONS = [OLDEST, "3.12", "3.13"]


def synchronise(session: nox.Session, *groups: str) -> None:
    """Install this workspace with some of its dependency groups into the session's environment."""
    chosen = [option for group in groups for option in ("--group", group)]
    session.run_install(
        "uv",
        "sync",
        "--no-default-groups",
        *chosen,
        f"--python={session.virtualenv.location}",
        env={"UV_PROJECT_ENVIRONMENT": session.virtualenv.location},
        external=True,
    )


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests; arguments go to pytest."""
    synchronise(session, "test")
    session.run("pytest", *session.posargs)


@nox.session(python=OLDEST)
def lint(session: nox.Session) -> None:
    """Style and layout of the code."""
    synchronise(session, "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session(python=OLDEST)
def typing(session: nox.Session) -> None:
    """Types of everything, strictly."""
    synchronise(session, "dev")
    session.run("mypy")


@nox.session(python=OLDEST)
def docs(session: nox.Session) -> None:
    """The documentation site; a broken link or an unlisted page fails it."""
    synchronise(session, "docs")
    session.run("mkdocs", "build", "--strict", "--site-dir", session.create_tmp(), env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session(python=OLDEST)
def wheels(session: nox.Session) -> None:
    """What the workspace hides: whether the built distributions fit each other in a clean environment."""
    folder = Path(session.create_tmp()).resolve()
    session.run("uv", "build", "--quiet", "--all-packages", "--clear", "--out-dir", str(folder / "dist"), external=True)

    # What was built before under the same version is not what is to be checked.
    fresh = [f"--refresh-package={path.name.split('-')[0].replace('_', '-')}" for path in (folder / "dist").glob("*.whl")]

    def install(extras: str) -> None:
        session.install("--find-links", str(folder / "dist"), *fresh, f"sis-connect[{extras}]=={VERSION}")
        session.run("uv", "pip", "check", external=True)

    def expect(words: str, *command: str, code: int = 0) -> None:
        said = str(session.run(*command, silent=True, success_codes=[code]))
        if words not in said:
            session.error(f"`{' '.join(command)}` does not say {words!r}: {said}")

    with session.chdir(folder):
        install("powerschool")
        expect("powerschool", "sis-connect", "providers")
        expect("sis-connect[sandbox]", "sis-connect", "demo", code=1)
        for extra in ("infinite-campus", "skyward", "oneroster"):
            install(extra)
            expect(extra.replace("-", "_"), "sis-connect", "providers")
        install("all-sis,sandbox")
        for provider in ("powerschool", "infinite_campus", "skyward"):
            session.run("sis-connect", "demo", provider, "--students", "100")

    # A plugin by somebody else, from an empty folder to a wheel and 1,000 students, as the page about it is printed.
    stranger = folder / "stranger"
    shutil.rmtree(stranger, ignore_errors=True)
    stranger.mkdir()
    session.run("python", "tests/plugin_author.py", "docs/your-first-plugin.md", str(stranger), str(folder / "dist"))


@nox.session(python=OLDEST)
def lowest(session: nox.Session) -> None:
    """The unit tests on the oldest versions that our distributions claim to work with."""
    session.install(
        "--resolution=lowest-direct",
        "--group=test",
        "--editable=.[all-sis,sandbox,web,arrow,keyring]",
        *(f"--editable={plugin.parent}" for plugin in sorted(Path("plugins").glob("*/pyproject.toml"))),
    )
    session.run("pytest", *(session.posargs or ["tests/unit"]))


@nox.session(python=OLDEST)
def benchmarks(session: nox.Session) -> None:
    """How fast we are, as ratios to a bare driver on the same machine."""
    synchronise(session, "test")
    for script in sorted(Path("tests/benchmarks").glob("[!_]*.py")):
        session.run("python", str(script), *session.posargs)


@nox.session(python=OLDEST)
def long(session: nox.Session) -> None:
    """What takes too long for every change: 500 stories of a district's life, and a year of 10,000 students, night by night."""
    synchronise(session, "test")
    session.run("pytest", "tests/model", *session.posargs, env={"MODEL_SEEDS": "500", "MODEL_STEPS": "25"})
    year = {"YEAR_STUDENTS": "10000", "YEAR_NIGHTS": "1"}
    session.run("pytest", "tests/integration/test_year.py", "--timeout=14400", *session.posargs, env=year)
