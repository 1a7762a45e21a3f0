"""Fails, and fails at saying why."""


class Speechless(Exception):  # noqa: N818 - what it is
    def __str__(self) -> str:
        raise RuntimeError


raise Speechless
