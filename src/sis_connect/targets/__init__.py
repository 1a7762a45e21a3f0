"""Targets other than the built-in tables: a host app's own SQLAlchemy models."""

from sis_connect.targets.host import SQLAlchemyTarget
from sis_connect.targets.models import Field, Model, UserName

__all__ = ["Field", "Model", "SQLAlchemyTarget", "UserName"]
