"""A target: the accounts of the office's own app, in its own database."""

import os
from datetime import date

from sqlalchemy import UniqueConstraint, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

from sis_connect.errors import ConfigurationError
from sis_connect.targets import Model, SQLAlchemyTarget


class Base(DeclarativeBase):
    """The tables of the app."""


class Account(Base):
    """Somebody who may sign in."""

    __tablename__ = "accounts"
    __table_args__ = (UniqueConstraint("district", "sis_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    district: Mapped[str]
    sis_id: Mapped[str | None]
    first_name: Mapped[str]
    last_name: Mapped[str]
    grade: Mapped[str | None]
    left_on: Mapped[date | None]


def accounts() -> SQLAlchemyTarget:
    """The target, made when the first integration writes to it."""
    url = os.environ.get("OFFICE_DATABASE")
    if not url:
        raise ConfigurationError("OFFICE_DATABASE is not set.", remedy="Set it to the address of the app's database.")
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    fields = {"given_name": "first_name", "family_name": "last_name", "grade": "grade"}
    students = Model(Account, key="sis_id", integration="district", fields=fields, withdrawn="left_on")
    return SQLAlchemyTarget(sessionmaker(engine), {"students": students})
