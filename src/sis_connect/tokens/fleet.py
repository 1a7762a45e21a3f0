"""The same thing for many integrations: a few at a time, one result each, and one that fails disturbs no other (promise P12)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from sis_connect.errors import SISError
from sis_connect.hosting.faults import passes

#: So many integrations are worked on at once. Each is another SIS, so that no limit of theirs is touched.
AT_ONCE = 8
Action = Literal["renew", "revoke", "cleanup"]
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenResult:
    """What came of one action for one integration.

    `outcome` is one word, `message` a sentence for people, `detail` what else is worth telling. Where something failed, `error`
    says what; part of it may have worked all the same, as `outcome` tells.
    """

    integration: str
    action: Action
    outcome: str
    message: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    error: SISError | None = None

    @property
    def ok(self) -> bool:
        """Whether all of it worked."""
        return self.error is None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "integration": self.integration,
            "action": self.action,
            "outcome": self.outcome,
            "message": self.message,
            **self.detail,
            "error": self.error.as_dict() if self.error else None,
        }


async def for_each(
    items: Sequence[_Item],
    act: Callable[[_Item], Awaitable[TokenResult]],
    *,
    name: Callable[[_Item], str],
    action: Action,
    at_once: int = AT_ONCE,
) -> list[TokenResult]:
    """Do something for each of many, `at_once` at a time, in their order. What one raises is its own result."""
    turns = asyncio.Semaphore(at_once)

    async def one(item: _Item) -> TokenResult:
        async with turns:
            try:
                return await act(item)
            except SISError as error:
                return failed(name(item), action, error)
            except BaseException as error:
                if passes(error):
                    raise
                return failed(name(item), action, unexpected(error))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(item)) for item in items]
    return [task.result() for task in tasks]


def failed(integration: str, action: Action, error: SISError) -> TokenResult:
    """The result of an action that came to nothing."""
    return TokenResult(
        integration=integration, action=action, outcome="failed", message=str(error), error=error.within(integration=integration)
    )


def unexpected(error: BaseException) -> SISError:
    """A fault of ours, or of a plugin. What it says may hold anything, so only its class is shown."""
    return SISError(
        f"Something failed that should not ({type(error).__name__}).", remedy="Report it as a bug.", severity="critical"
    )
