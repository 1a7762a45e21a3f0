"""Running a plugin's module code so that it disturbs nobody: what it prints, warns of or turns over around it.

A module that is imported may do anything. What can be put back is put back, and all of it is named. What ends the process at
once (`os._exit`, a crash) or never returns cannot be contained in one process: block such a plugin by its name.
"""

from __future__ import annotations

import io
import logging
import operator
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TextIO

#: What of the standard library is looked after: where replacing it would turn over what all others do.
_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "sys": ("stdin", "stderr", "excepthook", "unraisablehook"),
    "builtins": ("print", "open", "__import__"),
    "socket": ("socket", "create_connection", "getaddrinfo"),
    "ssl": ("SSLContext", "create_default_context", "_create_default_https_context"),
    "time": ("sleep", "time", "monotonic"),
}


Same = Callable[[Any, Any], bool]
#: What something is that cannot even be read.
_UNREADABLE = object()


def _all_the_same(one: Sequence[object], other: Sequence[object]) -> bool:
    """Whether these are the same objects: one of a stranger's may say that it is equal to anything, or fail at saying."""
    return len(one) == len(other) and all(map(operator.is_, one, other))


@dataclass(frozen=True, slots=True)
class _Surrounding:
    """Something that everybody shares. `put_back` is None where that cannot be done."""

    what: str
    read: Callable[[], Any]
    put_back: Callable[[Any], object] | None
    same: Same = operator.eq


def _attribute(module: str, name: str) -> _Surrounding:
    owner = import_module(module)
    return _Surrounding(
        f"replaces {module}.{name}",
        lambda: getattr(owner, name, None),
        lambda value: setattr(owner, name, value),
        operator.is_,
    )


def _put_back_environment(before: Mapping[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _handler(number: signal.Signals, what: str) -> _Surrounding:
    return _Surrounding(
        f"changes what {what} does",
        lambda: signal.getsignal(number),
        lambda handler: signal.signal(number, handler),
        operator.is_,
    )


def _put_back_log_handlers(before: tuple[Any, ...]) -> None:
    logging.getLogger().handlers[:] = before


_SURROUNDINGS = (
    *(_attribute(module, name) for module, names in _ATTRIBUTES.items() for name in names),
    _Surrounding("changes the environment", lambda: dict(os.environ), _put_back_environment),
    _Surrounding("changes the working folder", os.getcwd, os.chdir),
    _handler(signal.SIGINT, "Ctrl-C"),
    _handler(signal.SIGTERM, "a request to end"),
    _Surrounding(
        "changes what is logged", lambda: logging.getLogger().level, lambda it: logging.getLogger().setLevel(it), operator.is_
    ),
    _Surrounding("changes what is logged at all", lambda: logging.root.manager.disable, logging.disable, operator.is_),
    _Surrounding(
        "changes where the log goes", lambda: tuple(logging.getLogger().handlers), _put_back_log_handlers, _all_the_same
    ),
    _Surrounding("changes for how long sockets wait", socket.getdefaulttimeout, socket.setdefaulttimeout),
    _Surrounding("changes how deep functions may nest", sys.getrecursionlimit, sys.setrecursionlimit),
    _Surrounding("changes where modules are looked for", lambda: tuple(sys.path), None, _all_the_same),
    _Surrounding("starts a thread", lambda: set(map(id, threading.enumerate())), None, operator.ge),
)


class _Aside(io.TextIOBase):
    """Where stdout leads meanwhile: a report may be on its way there, and only that belongs there."""

    def __init__(self, elsewhere: TextIO) -> None:
        self._elsewhere = elsewhere
        self.used = False

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.used = True
        return self._elsewhere.write(text)

    def flush(self) -> None:
        self._elsewhere.flush()


@contextmanager
def quiet(notes: list[str]) -> Iterator[None]:
    """Run code of a plugin, and note what it does to others, each as the end of a sentence that begins with the plugin.

    What it prints goes to stderr. A warning never becomes an error here, whatever the host's filters say: it is noted.
    """
    before = [(it, _read(it)) for it in _SURROUNDINGS]
    aside = _Aside(sys.stderr)
    warned: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as warned, redirect_stdout(aside):
            warnings.simplefilter("always")
            yield
    finally:
        if aside.used:
            notes.append("prints while it is imported; that went to stderr.")
        notes += [text for it, was in before if (text := _put_back(it, was))]
        notes += sorted({f"warns while it is imported: {in_short(it.message)}" for it in warned})
        for it in warned:
            with undisturbed():  # where warnings are errors, this is one
                warnings.warn_explicit(it.message, it.category, it.filename, it.lineno)


def _put_back(it: _Surrounding, was: Any) -> str:
    """Each for itself: whatever odd thing one of them has become, the others are put back, and it is named."""
    if _is_still(it, was):
        return ""
    if it.put_back is None:
        return f"{it.what} while it is imported, which cannot be undone."
    with undisturbed():
        it.put_back(was)
    if _is_still(it, was):
        return f"{it.what} while it is imported; that was undone."
    return f"{it.what} while it is imported, and that could not be undone."


def _read(it: _Surrounding) -> Any:
    with undisturbed():
        return it.read()
    return _UNREADABLE


def _is_still(it: _Surrounding, was: Any) -> bool:
    now = _read(it)
    if now is _UNREADABLE or was is _UNREADABLE:
        return now is was
    with undisturbed():
        return it.same(was, now)
    return False


def is_interrupt(error: BaseException) -> bool:
    """Whether this is Ctrl-C, the one thing that comes from outside to code that waits for nothing. An error may lie about it."""
    return issubclass(type(error), KeyboardInterrupt)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Around what may meet an object of a stranger's, which may raise anything."""
    try:
        yield
    except BaseException as error:
        if is_interrupt(error):
            raise


def in_short(error: object) -> str:
    """The words of an error or a warning, on one line, not too many; an error may fail even at saying what it is."""
    words = ""
    with undisturbed():
        words = " ".join(str(error).split())
    return words if len(words) <= 300 else f"{words[:299]}…"


def class_of(error: BaseException) -> str:
    """What an error calls itself; its class may be as odd as anything else of a stranger's."""
    with undisturbed():
        return str(type(error).__name__)
    return "an error that does not say what it is"
