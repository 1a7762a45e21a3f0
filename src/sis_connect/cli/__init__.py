"""The same sentences on a command line: each command calls the service and prints what it says. No decision is made here."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `sis-connect` with the arguments of this process, and leave with its exit code."""
    from sis_connect.cli.application import run

    run(sys.argv[1:])
