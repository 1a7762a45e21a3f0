"""What a suite found, as text, as JSON and as one line for a README."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sis_connect.testing.suite.check import Outcome, State

Over = Literal["sandbox", "recorded"]
#: Which checks there are, and how strict they are, has a version of its own.
SUITE_VERSION = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteReport:
    """How a run of a suite ended. `provider` is what was checked; a target that is checked has a name only.

    `over` is what it was checked over: `sandbox`, with a district of so many `students`, or `recorded`, which knows no number of
    them and no faults. `settings` and `sandbox_settings` are the names of those that were given.
    """

    provider: str
    outcomes: Sequence[Outcome]
    distribution: str | None = None
    version: str | None = None
    contract: int | None = None
    suite: str = "ProviderSuite"
    over: Over = "sandbox"
    students: int | None = None
    settings: Sequence[str] = ()
    sandbox_settings: Sequence[str] = ()

    def of(self, state: State) -> list[Outcome]:
        """The checks that ended so."""
        return [outcome for outcome in self.outcomes if outcome.state == state]

    @property
    def passed(self) -> bool:
        """Whether something was checked, and nothing failed."""
        return bool(self.of("passed")) and not self.of("failed")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "provider": self.provider,
            "distribution": self.distribution,
            "version": self.version,
            "contract": self.contract,
            "suite": self.suite,
            "suite_version": SUITE_VERSION,
            "over": self.over,
            "students": self.students,
            "settings": list(self.settings),
            "sandbox_settings": list(self.sandbox_settings),
            "passed": len(self.of("passed")),
            "failed": len(self.of("failed")),
            "not_applicable": len(self.of("not_applicable")),
            "not_checked": len(self.of("not_checked")),
            "checks": [outcome.as_dict() for outcome in self.outcomes],
        }

    def text(self) -> str:
        """For a person: what failed comes last, where it is seen, and what was not checked for that reason only in the count."""
        lines = [outcome.line() for state in ("passed", "not_applicable", "failed") for outcome in self.of(state)]
        return "\n".join([*lines, "", self.summary()])

    def summary(self) -> str:
        """One sentence."""
        counts = f"{len(self.of('passed'))} checks passed, {len(self.of('failed'))} failed"
        return f"{self._who()}: {counts}, {len(self.of('not_applicable'))} do not apply{self._left()}, {self._over()}."

    def badge(self) -> str:
        """One line of Markdown, for a README."""
        conforms = "conforms as far as recorded" if self.over == "recorded" else "conforms"
        mark = conforms if self.passed else "does not conform"
        contract = f"contract {self.contract}, " if self.contract is not None else ""
        counts = f"{len(self.of('passed'))} checks passed, {len(self.of('not_applicable'))} do not apply"
        failed = (f", {len(self.of('failed'))} failed" if self.of("failed") else "") + self._left()
        return f"**sis-connect: {mark}** · {self._who()} · {contract}suite {SUITE_VERSION} · {self._over()} · {counts}{failed}"

    def _left(self) -> str:
        left = len(self.of("not_checked"))
        return f", {left} not checked" if left else ""

    def _over(self) -> str:
        among = f" of {self.students} students" if self.students is not None and self.over == "sandbox" else ""
        given = (("set", self.settings), ("sandbox-set", self.sandbox_settings))
        names = "".join(f", {option}: {', '.join(each)}" for option, each in given if each)
        return f"over {'recorded payloads' if self.over == 'recorded' else f'a sandbox{among}'}{names}"

    def _who(self) -> str:
        shipped = " ".join(filter(None, (self.distribution, self.version)))
        return f"{self.provider} ({shipped})" if shipped else self.provider
