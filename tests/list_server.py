"""A server on a real socket with lists by `offset` and `limit`, that may be as odd as servers of this sort are known to be."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from raw_server import Answer, Heard, json_answer


@dataclass
class ListServer:
    """Its lists by path. `total` is where it tells how many rows there are, `cap` the most that it puts on a page."""

    lists: dict[str, list[dict[str, Any]]]
    total: Literal["header", "other_header", "body", "nowhere"] = "header"
    links: bool = False
    cap: int = 10**6
    past_the_end: Literal["empty", "404"] = "empty"
    heeds_offset: bool = True
    key: str = "items"
    asked: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def __call__(self, heard: Heard) -> Answer:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.002)
        self.at_once -= 1
        return self.respond(heard)

    def respond(self, heard: Heard) -> Answer:
        self.asked.append(heard.target)
        query = dict(parse_qsl(urlsplit(heard.target).query))
        if heard.path not in self.lists:
            return json_answer({"error": "unknown"}, status=404)
        rows = self.lists[heard.path]
        if since := query.get("since"):
            rows = [row for row in rows if row.get("changed", "") > since]
        offset = int(query.get("offset", 0)) if self.heeds_offset else 0
        size = min(int(query.get("limit", 100)), self.cap)
        page = rows[offset : offset + size]
        if offset and not page and self.past_the_end == "404":
            return json_answer({"error": "nothing here"}, status=404)
        names = {"header": "x_total_count", "other_header": "x_count"}
        headers: dict[str, Any] = {names[self.total]: str(len(rows))} if self.total in names else {}
        if self.links and offset + size < len(rows):
            headers["link"] = f'<{heard.path}?limit={size}&offset={offset + size}>; rel="next"'
        body: dict[str, Any] = {self.key: page}
        if self.total == "body":
            body["totalCount"] = len(rows)
        return json_answer(body, **headers)

    def times(self, path: str) -> int:
        return sum(urlsplit(target).path == path for target in self.asked)
