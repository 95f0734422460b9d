"""The database: SQLite in a file of its own, or PostgreSQL by URL; its schema is brought up to date when it is opened.

SQLite writes ahead (WAL): readers never wait, and what was committed is there after a kill -9. All of a server's
work goes through one thread, a transaction each, so that its event loop never waits for a disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from imagebuilder.errors import ImagebuilderError, UserError

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection

_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_SECONDS = 5
_LOCK = 0x6F6E6962  # any number that is ours: of PostgreSQL's advisory lock

_HINT = "`--state` names a file, or postgresql://USER@HOST/DATABASE"

T = TypeVar("T")
Work = Callable[[Connection], T]


class Database:
    """A database that is up to date. Raises UserError when it cannot be had."""

    def __init__(self, where: str) -> None:
        """`where` is a file (SQLite), or a postgresql:// URL."""
        self.where = where
        self._thread = ThreadPoolExecutor(1, "state")
        self._engine = _engine(where)
        try:
            self.do(_migrate)
        except ImagebuilderError as error:
            self.close()
            raise UserError(error.message, hint=error.hint or _HINT) from None

    def do(self, work: Work[T]) -> T:
        """Do `work` in one transaction, here and now. Raises ImagebuilderError when the database fails."""
        try:
            with self._engine.begin() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            cause = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
            raise ImagebuilderError(f"the state in {self.where.rpartition('@')[2]} cannot be used: {cause}") from None

    async def run(self, work: Work[T]) -> T:
        """Do `work` in one transaction without holding up the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.do, work)

    def close(self) -> None:
        """Wait for what is under way, and let go."""
        self._thread.shutdown()
        self._engine.dispose()


def _engine(where: str) -> Engine:
    if "://" not in where:
        try:
            Path(where).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(ImagebuilderError.of(error).message, hint=_HINT) from None
        engine = create_engine(f"sqlite:///{where}", connect_args={"timeout": _BUSY_SECONDS})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if not where.startswith("postgresql://"):
        raise UserError(f"`{where.partition('://')[0]}` is no database that is known here", hint="postgresql:// is one")
    try:
        return create_engine(f"postgresql+psycopg://{where.removeprefix('postgresql://')}", pool_pre_ping=True)
    except ModuleNotFoundError:
        raise UserError("PostgreSQL needs `psycopg`", hint="pip install 'imagebuilder[postgresql]'") from None


def _set_up_sqlite(connection: DBAPIConnection, _: Any) -> None:
    # Python's driver would begin transactions by itself, but not for CREATE TABLE.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads and then writes would not wait for another writer, but fail.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(connection: Connection) -> None:
    """Do the migrations that were not done yet, all of them or none. Raises UserError for a newer database."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    connection.execute(text("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)"))
    done = connection.execute(text("SELECT max(version) FROM schema_version")).scalar() or 0
    known = migrations()
    if done > len(known):
        raise UserError(
            f"the state is of version {done}, and this program knows {len(known)}",
            hint="a newer imagebuilder has used it: use that one, or another `--state`",
        )
    for statements in known[done:]:
        for statement in statements:
            connection.exec_driver_sql(statement)
    connection.execute(text("DELETE FROM schema_version"))
    connection.execute(text("INSERT INTO schema_version VALUES (:version)"), {"version": len(known)})


def migrations() -> list[list[str]]:
    """The statements of each version, from the first one on."""
    files = sorted(_MIGRATIONS.glob("*.sql"))
    return [
        [statement for statement in file.read_text(encoding="utf-8").split(";\n") if statement.strip()]
        for file in files
    ]
