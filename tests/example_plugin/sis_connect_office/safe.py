"""A key source: keys that somebody puts into a file of a mounted volume, the newest first, one on each line."""

import base64
import os
from pathlib import Path

from sis_connect.errors import ConfigurationError


class Safe:
    """The safe of the office."""

    def keys(self) -> list[bytes]:
        """All keys, 32 bytes each; none where there is no key yet."""
        place = os.environ.get("OFFICE_SAFE")
        if not place:
            raise ConfigurationError("OFFICE_SAFE is not set.", remedy="Set it to the file that holds the keys.")
        lines = Path(place).read_text(encoding="ascii").split() if Path(place).exists() else []
        return [base64.urlsafe_b64decode(line) for line in lines]
