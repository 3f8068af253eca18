"""Opening the chat history: one SQLite file, made private, brought to today's schema, its troubles told in words."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from clearseek.conversations.errors import ChatError, DiskFull, StoreBroken


def open_database(path: Path) -> Engine:
    """An engine on the file at `path`, made if it is not there, at today's schema.

    Transactions of the engine read; those of `writing(engine)` take the write lock at once, so that none fails
    half-way because another got in between. Raises ChatError: a file that is no chat history, is damaged, was
    written by a newer version, or cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Conversations are private: made before SQLite does it, so that nobody else can read them for a moment.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreBroken(f"The chat history {path} cannot be opened: {error.strerror}.") from None
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 5}, hide_parameters=True)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    try:
        with telling(path):
            migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def writing(engine: Engine) -> Engine:
    return engine.execution_options(immediate=True)


def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
    # Transactions are begun by us (below), not guessed by the driver, so that DDL is inside them too.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 5000")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    # FULL: a question that was accepted survives the loss of power, not only of the process. It costs one fsync a
    # commit, and all answers being written share one commit four times a second.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def migrate(engine: Engine) -> None:
    """Bring the file to today's schema, in one transaction: all of it or nothing."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    # Alembic's word of each start is of no use to anyone.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with writing(engine).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turns what SQLite and Alembic raise into sentences. Inside it a transaction has been rolled back or done."""
    try:
        yield
    except ChatError:
        raise
    except CommandError:
        raise StoreBroken(
            f"The chat history {path} was written by a newer ClearSeek. Update ClearSeek to open it."
        ) from None
    except (DBAPIError, sqlite3.Error) as error:
        raise _told(error.orig if isinstance(error, DBAPIError) else error, path) from error


def _told(error: BaseException | None, path: Path) -> ChatError:
    name = getattr(error, "sqlite_errorname", "") or ""
    # SQLITE_IOERR_SHMSIZE and IOERR_WRITE are how a full disk looks when it is the log that does not fit.
    if name == "SQLITE_FULL" or name in ("SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_WRITE"):
        return DiskFull(
            f"The disk that holds {path} is full, so nothing more can be saved. "
            "Free some space and try again; everything saved before is still there."
        )
    if name in ("SQLITE_NOTADB", "SQLITE_CORRUPT") or name.startswith("SQLITE_CORRUPT"):
        return StoreBroken(
            f"The chat history {path} is damaged or is not a chat history. Move it away to start a new one, "
            "or put back a copy of it."
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreBroken(f"The chat history {path} is held by another program. Try again in a moment.")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return StoreBroken(f"The chat history {path} cannot be written: {error}. Check who may write there.")
    return StoreBroken(f"The chat history {path} could not be used: {error}.")
