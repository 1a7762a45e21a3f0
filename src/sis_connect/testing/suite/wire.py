"""What the wire does to a provider: whatever goes wrong on it passes, or is told. It is never an empty list (P1, P9)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from sis_connect.errors import Category
from sis_connect.oauth.wiring import has_token
from sis_connect.testing.suite.bench import Bench
from sis_connect.testing.suite.check import Check, Failed, NotApplicable, either
from sis_connect.testing.suite.identity import needs_sandbox
from sis_connect.testing.suite.lists import List, busy, demand_honest, demand_same, fullest, in_several, lists, read_through
from sis_connect.testing.suite.outcome import ReadOutcome

_LET_THROUGH = (
    "Ask through the transport that the provider is handed, and let its errors pass: RestProvider makes a page with an error of "
    "them, by hand it is Page(error=…)."
)
_AGAIN = "The transport tries again by itself: ask through it, and do not catch its errors before it has."
Run = Callable[[Bench], Coroutine[Any, Any, None]]
Needs = Callable[[Bench], str | None]
#: So many seconds an answer may take, and so many it takes: until the faults are cleared.
_PATIENCE, _DELAY = 1.0, 600
#: Seeds of the storms.
STORMS = (1, 2)


def needs_token(bench: Bench) -> str | None:
    """For checks that let a token die."""
    return None if has_token(bench.info, bench.config()) else "Its requests are not made with tokens."


async def _under(
    bench: Bench, each: List, name: str, value: object = "", count: int | None = None, **settings: Any
) -> ReadOutcome:
    """Read a list's kind with something wrong with that list."""
    bench.fault(name, value, count=count, path=each.path)
    outcome = await read_through(bench, {each.kind}, **settings)
    bench.clear_faults()
    return outcome


async def _later_page(bench: Bench, name: str, value: object) -> None:
    """Have a page refused that is not the first one, once and for good: what came before is no whole list."""
    each = await fullest(bench)
    size = each.third
    path = await in_several(bench, each, size)
    if path is None:
        return  # every list comes in one answer
    bench.fault(name, value, count=1, path=path, after=1)
    outcome = await read_through(bench, {each.kind}, page_size=size, max_attempts=1, concurrency=1)
    bench.clear_faults()
    what = f"Where the server answers a later page of {each.name} with {'a web page' if name == 'html' else value},"
    demand_honest(outcome, each.clean, each.kind, what, f"Only what the SIS says is the end of a list. {_LET_THROUGH}")


async def _refused(bench: Bench, status: int, category: Category | None) -> None:
    """Have each list refused in turn, as often as it is asked for."""
    await _later_page(bench, "status", status)
    for each in await lists(bench):
        outcome = await _under(bench, each, "status", status)
        what = f"Where the server answers {each.name} with {status},"
        demand_honest(outcome, each.clean, each.kind, what, _LET_THROUGH, may_be_left_out=status == 404)
        if category and outcome.errors and all(error.category != category for error in outcome.errors):
            raise Failed(
                f"{what} the error is told as {outcome.errors[0].category!r} and should be {category!r}, so that an operator "
                f"knows what to do. {_LET_THROUGH}"
            )


async def forbidden_is_told(bench: Bench) -> None:
    await _refused(bench, 403, "authorization")


async def unknown_path_is_told(bench: Bench) -> None:
    await _refused(bench, 404, None)


async def web_page_is_told(bench: Bench) -> None:
    await _later_page(bench, "html", 200)
    for each in await lists(bench):
        outcome = await _under(bench, each, "html", 200)
        what = f"Where a web page stands at {each.name}, with status 200,"
        demand_honest(outcome, each.clean, each.kind, what, "Ask with transport.get_json(), which demands JSON.")


async def broken_list_is_told(bench: Bench) -> None:
    await _later_page(bench, "status", 503)
    each = await busy(bench)
    outcome = await _under(bench, each, "status", 503)
    what = f"Where the server fails at {each.name} again and again,"
    demand_honest(outcome, each.clean, each.kind, what, _LET_THROUGH)


async def token_dies_midway(bench: Bench) -> None:
    each = await busy(bench)
    for after in (0, max(1, each.requests // 2)):
        outcome = await _under(bench, each, "token_expiry", after, count=1)
        what = f"When the access token dies after {after} more requests,"
        demand_same(outcome, each.clean, each.kind, what, "Ask through the transport: it fetches another token and asks again.")


async def dead_token_ends_it(bench: Bench) -> None:
    each = await busy(bench)
    before = bench.stats()["requests"]
    outcome = await _under(bench, each, "token_expiry")
    asked = bench.stats()["requests"] - before
    what = "When each new token is refused, too,"
    demand_honest(outcome, each.clean, each.kind, what, _LET_THROUGH)
    if not any(error.category == "authentication" for error in outcome.errors):
        raise Failed(f"{what} nothing says so: an AuthenticationError must end the read. {_LET_THROUGH}")
    if asked > each.requests + 60:
        raise Failed(f"{what} {asked} requests are made all the same. An AuthenticationError ends the whole read.")


async def slow_down_is_heeded(bench: Bench) -> None:
    each = await busy(bench)
    for value, least in (("7", 7.0), ("date+9", 8.0)):
        slept = len(bench.clock.slept)
        outcome = await _under(bench, each, "retry_after", value, count=2)
        what = f"When the server asks twice to wait (429, Retry-After as {'a date' if 'date' in value else 'seconds'}),"
        demand_same(outcome, each.clean, each.kind, what, _AGAIN)
        if max(bench.clock.slept[slept:], default=0.0) < least:
            raise Failed(f"{what} nothing waits for so long. {_AGAIN}")
    outcome = await _under(bench, each, "status", 429, count=2)
    demand_same(outcome, each.clean, each.kind, "When the server answers 429 twice, without Retry-After,", _AGAIN)


async def refusals_end(bench: Bench) -> None:
    each = await busy(bench)
    before = bench.stats()["requests"]
    outcome = await _under(bench, each, "status", 429)
    asked = bench.stats()["requests"] - before
    what = "When the server answers 429 for ever,"
    demand_honest(outcome, each.clean, each.kind, what, _LET_THROUGH)
    if asked > 3 * each.requests + 30:
        raise Failed(
            f"{what} {asked} requests are made where a read takes {each.requests}. At most three attempts each. {_AGAIN}"
        )


async def server_errors_pass(bench: Bench) -> None:
    each = await busy(bench)
    for status in (500, 502, 503, 504):
        bench.fault("status", status, count=1, path=each.path)
        bench.fault("status", status, count=1)
    outcome = await read_through(bench, {each.kind})
    demand_honest(outcome, each.clean, each.kind, "When the server fails now and then (500, 502, 503, 504),", _LET_THROUGH)
    bench.clear_faults()
    outcome = await _under(bench, each, "status", 502, count=2)
    demand_same(outcome, each.clean, each.kind, "When the server fails twice (502),", _AGAIN)


async def broken_connections_pass(bench: Bench) -> None:
    each = await busy(bench)
    outcome = await _under(bench, each, "reset", count=2)
    demand_same(outcome, each.clean, each.kind, "When connections are reset twice,", _AGAIN)
    outcome = await _under(bench, each, "truncate", "connection", count=2)
    demand_same(outcome, each.clean, each.kind, "When connections break in the middle of two answers,", _AGAIN)


async def cut_off_is_noticed(bench: Bench) -> None:
    for each in await lists(bench):
        outcome = await _under(bench, each, "truncate", max_attempts=1)
        what = f"Where each answer to {each.name} stops in the middle,"
        demand_honest(outcome, each.clean, each.kind, what, "Ask with transport.get_json(), which demands complete JSON.")


async def slow_answers_end(bench: Bench) -> None:
    each = await fullest(bench)
    outcome = await _under(bench, each, "slow", _DELAY, count=1, timeout=_PATIENCE)
    demand_honest(outcome, each.clean, each.kind, "When an answer takes longer than the timeout,", _LET_THROUGH)


async def redirects_are_not_followed(bench: Bench) -> None:
    before = len(bench.sandbox.leaks)
    for each in await lists(bench):
        outcome = await _under(bench, each, "redirect")
        if len(bench.sandbox.leaks) > before:
            raise Failed(
                f"A redirect of {each.name} to another server was followed with our credentials. Ask through the transport that "
                "the provider is handed and through nothing else: it follows no redirect."
            )
        demand_honest(outcome, each.clean, each.kind, f"Where {each.name} redirects to another server,", _LET_THROUGH)


async def links_stay_at_home(bench: Bench) -> None:
    before = len(bench.sandbox.leaks)
    each = await fullest(bench)
    bench.fault("next_elsewhere")
    await read_through(bench, {each.kind}, page_size=each.third)
    if not bench.struck():
        raise NotApplicable("The answers of this SIS have no links to the next page.")
    bench.clear_faults()
    for each in await lists(bench):
        outcome = await _under(bench, each, "next_elsewhere", page_size=each.third)
        if len(bench.sandbox.leaks) > before:
            raise Failed(
                f"A link to the next page of {each.name} that leads to another server was followed with our credentials. Of a "
                "link, use the query only, on our own URL: the paging schemes of sis_connect.transport.paging do."
            )
        what = f"Where the links to the next page of {each.name} lead to another server,"
        demand_honest(outcome, each.clean, each.kind, what, "Use the query of a link only, on our own URL.")


async def storms_pass(bench: Bench) -> None:
    clean = await bench.roster()
    for seed in STORMS:
        bench.fault("storm", seed)
        outcome = await read_through(bench, bench.kinds)
        bench.clear_faults()
        for kind in bench.kinds:
            what = f"In a storm of passing faults (--fault storm={seed})"
            demand_honest(outcome, clean, kind, what, _LET_THROUGH)


def _check(run: Run, title: str, promise: str, needs: Needs = needs_sandbox) -> Check[Bench]:
    return Check(name=run.__name__, title=title, run=run, promise=promise, needs=needs)


_TOKEN = either(needs_sandbox, needs_token)
CHECKS: tuple[Check[Bench], ...] = (
    _check(forbidden_is_told, "A list that may not be read (403) is told as such, and is not empty.", "P9"),
    _check(unknown_path_is_told, "A list that is not there (404) is not empty.", "P9"),
    _check(web_page_is_told, "A web page in place of data is no empty list.", "P9"),
    _check(cut_off_is_noticed, "An answer that stops in the middle is noticed.", "P1"),
    _check(broken_list_is_told, "A list at which the server always fails is told.", "P9"),
    _check(token_dies_midway, "A token that dies in the middle of a read is replaced, and nothing is lost.", "P4", _TOKEN),
    _check(dead_token_ends_it, "Where no token is accepted any more, the read ends and says so.", "P9", _TOKEN),
    _check(slow_down_is_heeded, "Who is asked to wait waits as long, and nothing is lost.", "P11"),
    _check(refusals_end, "Endless refusals (429) are told, and not answered with endless requests.", "P11"),
    _check(server_errors_pass, "Errors of the server that pass lose nothing.", "P4"),
    _check(broken_connections_pass, "Connections that break lose nothing.", "P4"),
    _check(slow_answers_end, "An answer that takes too long is told, or asked for again.", "P9"),
    _check(redirects_are_not_followed, "No redirect takes our credentials to another server.", "P8"),
    _check(links_stay_at_home, "No link to a next page takes our credentials to another server.", "P8"),
    _check(storms_pass, "After a storm of passing faults the roster is the same, or an error says why not.", "P4"),
)
