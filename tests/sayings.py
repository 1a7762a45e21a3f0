"""What an error gives away, also to a log that shows all of its chain."""

from __future__ import annotations

import traceback


def sayings(error: BaseException) -> str:
    """All that an error says of itself, and what a log that shows its traceback would say besides."""
    words, chain, seen = "".join(traceback.format_exception(error)), [error], set[int]()
    while chain:
        each = chain.pop()
        if id(each) not in seen:
            seen.add(id(each))
            words += f" {each} {each!r} {getattr(each, 'remedy', '')}"
            chain += [it for it in (each.__cause__, each.__context__, *getattr(each, "exceptions", ())) if it is not None]
    return words
