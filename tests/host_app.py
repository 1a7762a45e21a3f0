"""An attendance app with models of its own: people with user names, classes, and who sits in which."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, UniqueConstraint, create_engine, event, func, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from sis_connect.targets import Field, Model, SQLAlchemyTarget, UserName


class Base(DeclarativeBase):
    """The app's tables."""


class User(Base):
    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("role", "sis_id"), CheckConstraint("last_name <> 'Refused'"))

    id: Mapped[int] = mapped_column(primary_key=True)
    sis_id: Mapped[str | None]
    role: Mapped[str]
    login: Mapped[str | None] = mapped_column(unique=True)
    first_name: Mapped[str]
    last_name: Mapped[str]
    grade: Mapped[str | None]
    number: Mapped[str | None]
    state_id: Mapped[str | None]
    email: Mapped[str | None]
    born: Mapped[date | None]
    schools: Mapped[list[str] | None] = mapped_column(JSON)
    plan: Mapped[str] = mapped_column(default="none")
    left_on: Mapped[date | None]
    edited_at: Mapped[datetime | None]


class Seat(Base):
    __tablename__ = "seats"

    id: Mapped[int] = mapped_column(primary_key=True)
    sis_id: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    user: Mapped[str | None]
    section: Mapped[str]
    role: Mapped[str]
    taken: Mapped[bool]


def user_name(record: Any) -> str:
    return f"{record['given_name']}.{record['family_name']}".lower()


def first_address(emails: list[dict[str, str]]) -> str | None:
    return emails[0]["address"] if emails else None


def people(role: str, /, **more: Any) -> Model:
    """Students or staff in the table of users."""
    names: dict[str, str | Field] = {"given_name": "first_name", "family_name": "last_name"}
    by_role: dict[str, str | Field] = (
        {
            "grade": "grade",
            "ids.student_number": "number",
            "ids.state_id": "state_id",
            "birth_date": "born",
            "emails": Field("email", write=first_address),
        }
        if role == "student"
        else {"schools": "schools", "email": "email", "ids.staff_number": "number"}
    )
    told = {"key": "sis_id", "where": {"role": role}, "defaults": {"plan": "free"}, "withdrawn": "left_on"}
    return Model(User, **{**told, "fields": {**names, **by_role}, "user_name": UserName("login", user_name), **more})


def seats(**more: Any) -> Model:
    fields: dict[str, str | Field] = {"user": Field("user_id", refers=True), "section": "section", "role": "role"}
    return Model(Seat, key="sis_id", fields=fields, active="taken", **more)


@dataclass
class App:
    """The app's database in a file of its own, used with sessions that wait, or with such that do not."""

    path: Path
    sessions: Any = field(init=False)
    asynchronous: bool = False
    statements: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        engine = create_engine(f"sqlite:///{self.path}")
        Base.metadata.create_all(engine)
        self._own = sessionmaker(engine)
        event.listen(engine, "before_cursor_execute", lambda *told: self.statements.append(told[2]))
        if self.asynchronous:
            self._engine = create_async_engine(f"sqlite+aiosqlite:///{self.path}")
            self.sessions: Any = async_sessionmaker(self._engine)
        else:
            self.sessions = self._own

    def target(self, **kinds: Model) -> SQLAlchemyTarget:
        models: dict[Any, Model] = {"students": people("student"), **kinds}
        return SQLAlchemyTarget(self.sessions, models)

    def bound(self, *, batch_size: int = 200, match_email: bool = False, **kinds: Model) -> Any:
        return self.target(**kinds).bind(1, "lincoln", batch_size=batch_size, match_email=match_email)

    @contextmanager
    def open(self) -> Iterator[Session]:
        """What the app itself does with its rows."""
        with self._own() as session, session.begin():
            yield session

    def users(self, role: str = "student") -> dict[str | None, dict[str, Any]]:
        """All users of a role by `sis_id`, without what is blank."""
        with self.open() as session:
            rows = session.scalars(select(User).where(User.role == role).order_by(User.id))
            return {row.sis_id: {name: value for name, value in vars(row).items() if value is not None} for row in rows}

    def number(self) -> int:
        """How many users there are."""
        with self.open() as session:
            return session.scalars(select(func.count()).select_from(User)).one()

    def add(self, **fields: Any) -> str:
        """A user whom the app had before. Returns the local id."""
        with self.open() as session:
            user = User(**{"role": "student", "first_name": "Given", "last_name": "Vale", **fields})
            session.add(user)
            session.flush()
            return str(user.id)

    def edit(self, sis_id: str, **fields: Any) -> None:
        with self.open() as session:
            user = session.scalars(select(User).where(User.sis_id == sis_id)).one()
            for name, value in fields.items():
                setattr(user, name, value)

    async def close(self) -> None:
        if self.asynchronous:
            await self._engine.dispose()
