"""A local server that behaves like OneRoster at Qmlativ, over the synthetic district.

Its own settings: `product`, and `refusal`, the status with which version 1.1 answers where it does not accept a token (`500`, or
`401`). All others are those of the OneRoster sandbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from starlette.responses import Response

from sis_connect_oneroster import sandbox_settings
from sis_connect_oneroster.sandbox import Asking, OneRosterSandbox
from sis_connect_oneroster.sandbox_access import Refused

BASE = "/LincolnStuAPI"
_CHOICES = {"product": ("oneroster",), "refusal": ("500", "401")}


class SkywardOneRosterSandbox(OneRosterSandbox):
    known_settings: ClassVar[Mapping[str, str]] = {
        **sandbox_settings.SETTINGS,
        **{name: choices[0] for name, choices in _CHOICES.items()},
    }
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {**OneRosterSandbox.choices, **_CHOICES}
    client_settings = OneRosterSandbox.client_settings | {"product"}

    @property
    def bases(self) -> Mapping[str, str]:
        """Without the `/rostering` of the standard."""
        return {f"{BASE}/ims/oneroster/v1p1": "1.1", f"{BASE}/ims/oneroster/v1p2": "1.2"}

    @property
    def base_path(self) -> str:
        return BASE

    @property
    def token_path(self) -> str:
        return f"{BASE}/oauth/token"

    def _read(self, asking: Asking, url: str) -> Response:
        try:
            return super()._read(asking, url)
        except Refused as refused:
            if refused.status == 401 and asking.version == "1.1":
                raise Refused(int(self.settings["refusal"]), refused.message) from None
            raise
