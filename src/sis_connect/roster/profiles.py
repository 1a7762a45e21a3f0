"""Which limits the guards have on a day. Pure.

In the weeks around the change of the school year many leave and many come: limits that fit the rest of the year would hold all of
it, and limits that fit those weeks would hold nothing in October. So they go by the date, and fall back by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from types import MappingProxyType
from typing import Any

from sis_connect.calendar_settings import GuardProfile, ProfileName, Stretch, parse_limit
from sis_connect.roster.guard import UNLIMITED, Limit, Profile

#: What the profiles mean. None of them has a word in what is stopped at any number: staff, empty, absence, change of id.
PROFILES: Mapping[ProfileName, Profile] = MappingProxyType(
    {
        "normal": Profile(),
        "back_to_school": Profile(
            name="back_to_school",
            withdrawals=Limit(share=0.20, floor=100),
            withdrawals_of_school=Limit(share=0.40, floor=20),
            enrollment_withdrawals=Limit(share=0.50, floor=1),
            enrollment_withdrawals_of_school=Limit(share=0.60, floor=60),
            creates=Limit(share=0.50, floor=1, count=100, both=True),
            yearly_creates=UNLIMITED,
            identity=Limit(share=0.30, floor=20),
            blank=Limit(share=0.20, floor=20),
        ),
        "rollover": Profile(
            name="rollover",
            withdrawals=Limit(share=0.60, floor=100),
            withdrawals_of_school=Limit(share=0.60, floor=20),
            enrollment_withdrawals=Limit(share=0.60, floor=1),
            enrollment_withdrawals_of_school=Limit(share=0.60, floor=60),
            creates=Limit(share=0.60, floor=1, count=100, both=True),
            yearly_creates=UNLIMITED,
            identity=Limit(share=0.30, floor=20),
            blank=Limit(share=0.60, floor=20),
        ),
    }
)


@dataclass(frozen=True, slots=True)
class InForce:
    """What goes for the guards today: a profile, up to and including a day where it goes by the date, and a pause."""

    profile: Profile
    until: date | None = None
    pause: Stretch | None = None

    def warnings(self) -> list[dict[str, Any]]:
        """What a person should know of it; nothing on an ordinary day."""
        found: list[dict[str, Any]] = []
        if self.profile != PROFILES["normal"]:
            until = f" until {self.until}" if self.until else ""
            found.append(
                {
                    "warning": "guard_profile",
                    "message": f"The guards have the limits of the profile {self.profile.name}{until}.",
                    "profile": self.profile.name,
                    "until": self.until.isoformat() if self.until else None,
                }
            )
        if self.pause is not None:
            found.append(
                {
                    "warning": "pause",
                    "message": f"Nobody is removed without a person's consent until {self.pause.last}.",
                    "until": self.pause.last.isoformat(),
                }
            )
        return found


def in_force(profiles: Sequence[GuardProfile], pauses: Sequence[Stretch], today: date, *, rolls_over: bool = False) -> InForce:
    """What goes on a day. A roll-over has the profile made for it, unless the day has one of its own."""
    of_today = next((stretch for stretch in profiles if today in stretch), None)
    pause = max((stretch for stretch in pauses if today in stretch), key=lambda it: it.last, default=None)
    if of_today is not None:
        return InForce(_profile(of_today), of_today.last, pause)
    return InForce(PROFILES["rollover" if rolls_over else "normal"], None, pause)


def _profile(setting: GuardProfile) -> Profile:
    """The profile that a setting names, with its own limits over it. Where they count from stays as it is."""
    profile = PROFILES[setting.profile]
    limits = {}
    for name, words in setting.limits().items():
        share, count, both = parse_limit(words)
        limits[name] = Limit(share=share, count=count, both=both, floor=getattr(profile, name).floor)
    if not limits:
        return profile
    name = "own limits" if setting.profile == "normal" else f"{setting.profile} with own limits"
    return replace(profile, name=name, **limits)
