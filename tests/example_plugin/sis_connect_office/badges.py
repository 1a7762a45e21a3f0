"""A listener: the badge printer takes its orders from a file."""

import os
from pathlib import Path

from sis_connect import RosterEvent


def order_badge(event: RosterEvent) -> None:
    """Order a badge for who is new, and take back that of who has left."""
    orders = Path(os.environ["OFFICE_BADGES"])
    done = [int(line.split()[0]) for line in orders.read_text().splitlines()] if orders.exists() else []
    if event.kind == "students" and event.id > max(done, default=0):  # after a crash, the last events come again
        with orders.open("a") as file:
            file.write(f"{event.id} {event.name} {event.local_id}\n")
