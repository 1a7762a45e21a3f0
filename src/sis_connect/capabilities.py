"""What a provider can do, declared as data: frozen, and "no" unless it says yes.

The engine reads it to choose the safe way, the conformance suite to choose its tests, the docs to print a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

Kind = Literal[
    "schools",
    "terms",
    "courses",
    "sections",
    "students",
    "staff",
    "school_enrollments",
    "enrollments",
    "guardians",
]
#: All kinds in the order in which they depend on each other: what comes later may refer to what comes earlier.
KINDS: tuple[Kind, ...] = (
    "schools",
    "terms",
    "courses",
    "staff",
    "students",
    "school_enrollments",
    "sections",
    "enrollments",
    "guardians",
)
assert set(KINDS) == set(get_args(Kind))  # noqa: S101 - holds the two lists together

Leaving = Literal["status", "absence", "tobedeleted"]
DeltaKind = Literal["none", "updated_at", "version"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KindCapabilities:
    """What a provider can do for one kind of record.

    `leaving`: how somebody leaves. `status`: the record stays and says so, absence is an anomaly and is held. `absence`: the
    record vanishes; it is withdrawn after two complete pulls. `tobedeleted`: the record carries that mark.
    `omission_means_blank`: the interface leaves out what is empty, and a mapping may take it for blank; otherwise it names only
    what a row has.
    `reliable_updated_at`: `updated_at` moves when, and only when, the record changes.
    `stint_history`: former stays are delivered, not only the current one.
    `delta`: what changes alone can be asked for by: `updated_at`, `version`, or `none`.
    `total_count`: the SIS tells how many rows there are. `single_read`: one record can be read by its id.
    `webhooks`: the SIS sends word of changes. `writes`: nothing writes to an SIS.
    `reference_ids`: names in `ids` by which other records refer to this kind. `strong_ids`: names in `ids` that belong to one
    person or thing only, so that a new record with the `strong_id` of a missing one may be the same under a new id.
    `custom`: a district may declare fields of its own for it, which come in `custom`.
    `former_ids`: names in `ids` under which the SIS itself says by what `sis_id` it called the record before.
    """

    offered: bool = False
    leaving: Leaving = "status"
    omission_means_blank: bool = False
    reliable_updated_at: bool = False
    stint_history: bool = False
    delta: DeltaKind = "none"
    total_count: bool = False
    single_read: bool = False
    webhooks: bool = False
    writes: bool = False
    reference_ids: tuple[str, ...] = ()
    strong_ids: tuple[str, ...] = ()
    former_ids: tuple[str, ...] = ()
    custom: bool = False


NOTHING = KindCapabilities()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do, kind by kind. A kind that is not named is not offered."""

    kinds: Mapping[Kind, KindCapabilities] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", MappingProxyType(dict(self.kinds)))

    def of(self, kind: Kind) -> KindCapabilities:
        """What is offered for one kind."""
        return self.kinds.get(kind, NOTHING)

    def offered(self) -> tuple[Kind, ...]:
        """The kinds that are offered, in order of dependency."""
        return tuple(kind for kind in KINDS if self.of(kind).offered)
