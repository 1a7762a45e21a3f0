"""Harbor for sis-connect, declared in one file."""

from __future__ import annotations

from sis_connect.declared import Declared

declared = Declared(__name__, "harbor.toml")
sis_connect_providers = declared.sis_connect_providers
