"""The tables of a store, version by version."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path


class StoreError(ValueError):
    """A store that cannot be read or written; the message is one line, and names the file."""


MAGIC = b"SQLite format 3\x00"
APPLICATION = 0x62707266
"""``bprf`` in the file's head: what tells a store from any other SQLite file."""

MIGRATIONS: Sequence[Sequence[str]] = (
    (
        "CREATE TABLE campaign (id INTEGER PRIMARY KEY CHECK (id = 1), definition TEXT NOT NULL, "
        "examples INTEGER NOT NULL, command TEXT NOT NULL)",
        "CREATE TABLE results (number INTEGER PRIMARY KEY, digest TEXT NOT NULL, verdict TEXT NOT NULL, "
        "packed BLOB NOT NULL, notes TEXT)",
        # By which rows are counted without reading them, and an architecture is found.
        "CREATE INDEX results_by_digest ON results (digest)",
    ),
    (
        "CREATE TABLE runs (id INTEGER PRIMARY KEY, host TEXT NOT NULL, process INTEGER NOT NULL, "
        "until REAL NOT NULL, seconds REAL NOT NULL)",
        "CREATE TABLE claims (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, run INTEGER NOT NULL)",
        "CREATE TABLE shrunk (digest TEXT NOT NULL, dtype TEXT NOT NULL, found TEXT NOT NULL, "
        "PRIMARY KEY (digest, dtype))",
    ),
)
"""What makes version n + 1 out of version n; a new store goes through all of them. Never change one: add another."""

VERSION = len(MIGRATIONS)


def migrate(database: sqlite3.Connection, version: int = VERSION) -> None:
    """Bring a store, or an empty file, to a version, wholly or not at all."""
    if database.execute("PRAGMA user_version").fetchone()[0] >= version:
        return
    database.execute("BEGIN EXCLUSIVE")
    try:
        (current,) = database.execute("PRAGMA user_version").fetchone()  # another process may have been quicker
        for statements in MIGRATIONS[current:version]:
            for statement in statements:
                database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION}")
        database.execute(f"PRAGMA user_version = {max(current, version)}")
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def tables(database: sqlite3.Connection) -> list[tuple[str, str, str | None]]:
    """What the file says of its tables: a store of ours says exactly what was created, and has no view or trigger."""
    return database.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()


def look(path: Path, new: bool) -> None:
    """Look at the head of the file, before SQLite writes anything beside it."""
    if new and not path.exists():
        return
    with path.open("rb") as opened:
        head = opened.read(100)
    if new and not head:
        return  # whoever made it was killed at once
    if not head.startswith(MAGIC):
        raise StoreError(f"{path}: is no store of backproof{'' if head else ': it is empty'}")
    if int.from_bytes(head[68:72], "big") != APPLICATION:
        raise StoreError(f"{path}: is an SQLite file, but no store of backproof")


def of_version(version: int) -> sqlite3.Connection:
    """Return an empty store of a version, in memory."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    migrate(database, version)
    return database
