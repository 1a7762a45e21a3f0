"""What a provider says while it works: everything logged at any level, with tracebacks, printed, or warned of."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout


class Said(logging.Handler):
    """What was said so far."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self.logged: list[str] = []
        self.printed = io.StringIO()
        self.warned: list[warnings.WarningMessage] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line of a log, and its traceback."""
        self.logged.append(self.format(record))

    @property
    def lines(self) -> list[str]:
        """Everything, line by line."""
        return [*self.logged, *(str(warning.message) for warning in self.warned), *self.printed.getvalue().splitlines()]

    @property
    def text(self) -> str:
        """Everything."""
        return "\n".join(self.lines)


@contextmanager
def listening() -> Iterator[Said]:
    """Listen to all loggers at their most talkative, to both outputs, and to warnings."""
    said, root = Said(), logging.getLogger()
    level, disabled = root.level, logging.root.manager.disable
    root.addHandler(said)
    root.setLevel(logging.DEBUG)
    logging.disable(logging.NOTSET)
    try:
        with warnings.catch_warnings(record=True) as warned, redirect_stdout(said.printed), redirect_stderr(said.printed):
            said.warned = warned
            warnings.simplefilter("always")
            yield said
    finally:
        root.removeHandler(said)
        root.setLevel(level)
        logging.disable(disabled)
