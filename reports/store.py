"""The store of a campaign: one SQLite file, one row for each example, from which the whole document is made again.

Several processes may write to it at a time, and any of them may be killed at any moment: what is committed stays, and
no example is in it twice. Nothing in it is ever executed or unpickled, so a stranger's may be read.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reports.agreement import Agreement
from reports.cases import Cases
from reports.coverage import Coverage
from reports.definition import differences, facts_of, read_definition
from reports.packing import PACKED, UNPACKED, unpack
from reports.row import Row, line
from reports.schema import VERSION, StoreError, look, migrate, of_version, tables
from reports.summary import KEPT, Summary

PATIENCE = 60.0
"""Seconds for which another process may be in the middle of writing."""

LEASE = 900.0
"""Seconds after its last sign of life for which a run keeps what it claimed, if nobody sees that its process ended."""

TOLD = 200
"""Characters of SQLite's own message that are passed on."""

STRETCH = 8
"""Examples that are claimed at a time."""


_SHRUNK: Mapping[str, Any] = {"minimal": (dict, type(None)), "reproduction": (str, type(None)), "shrinking": str}
_NO_SPACE = {"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_TRUNCATE"}


class Store:
    """An open store; one for each process.

    Parameters
    ----------
    path
        Of the file; None: a temporary one, which vanishes when it is closed.
    definition
        What is verified: plain JSON, of which ``facts`` and all that :class:`Summary` shows are part. None: what the
        file says; then it must be there.
    examples
        How many are wanted; a store remembers the most that were.
    command
        That was typed.

    Raises
    ------
    StoreError
        It is damaged, of another program or of a newer version, or holds another campaign.
    OSError
        There is no such file, or it cannot be opened.
    """

    def __init__(
        self,
        path: Path | None,
        definition: Mapping[str, Any] | None = None,
        examples: int = 0,
        command: str = "",
        lease: float = LEASE,
    ) -> None:
        self.path, self.lease = path, lease
        self._next, self._run, self._started = 0, 0, time.monotonic()
        if path is not None:
            look(path, new=definition is not None)
        with self._told():
            self._database = sqlite3.connect(str(path or ""), timeout=PATIENCE, isolation_level=None)
        try:
            with self._told():
                self._database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, UNPACKED)
                for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "synchronous=FULL"):
                    self._database.execute(f"PRAGMA {pragma}")
                self._check_version()
                migrate(self._database)
                self._write_ahead()
                self.definition = self._defined(definition, examples, command)
                if definition is not None:
                    self._begin_run()
                    self.free_claims()
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back what is claimed, and close."""
        try:
            if self._run:
                with self._told(), self._transaction():
                    self._database.execute("DELETE FROM claims WHERE run = ?", (self._run,))
                    self._database.execute("UPDATE runs SET until = 0 WHERE id = ?", (self._run,))
        except StoreError:
            pass  # a full disk: the claims are known to be nobody's as soon as this process is gone
        finally:
            self._database.close()

    def _write_ahead(self) -> None:
        """Switch to the journal with which one process may write while others read; SQLite does not wait for that."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self._database.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > until:
                    raise
                time.sleep(0.05)

    # -- What is verified

    def _check_version(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise StoreError(f"{self.path}: is of version {version}; this backproof reads stores up to {VERSION}")
        if version and tables(self._database) != tables(of_version(version)):
            raise StoreError(f"{self.path}: is damaged: its tables are not those of a store of version {version}")

    def _defined(self, definition: Mapping[str, Any] | None, examples: int, command: str) -> dict[str, Any]:
        if definition is None:
            known = self._database.execute("SELECT definition FROM campaign").fetchone()
            if known is None:
                raise StoreError(f"{self.path}: holds no campaign: backproof verify --store begins one")
            return self._read_definition(known[0])
        wanted = json.dumps(definition, sort_keys=True, allow_nan=False)
        with self._transaction():
            known = self._database.execute("SELECT definition FROM campaign").fetchone()
            if known is None:
                self._database.execute("INSERT INTO campaign VALUES (1, ?, ?, ?)", (wanted, examples, command))
            elif known[0] != wanted:
                told = differences(self._read_definition(known[0]), json.loads(wanted))
                raise StoreError(f"{self.path}: holds another campaign: {told}; give this one a store of its own")
            else:
                most = (examples, command)
                self._database.execute("UPDATE campaign SET examples = max(examples, ?), command = ?", most)
        read: dict[str, Any] = json.loads(wanted)
        return read

    def _read_definition(self, text: Any) -> dict[str, Any]:
        try:
            return read_definition(text)
        except ValueError as error:
            raise StoreError(f"{self.path}: is damaged: its campaign cannot be read: {error}") from None

    # -- Sharing the work

    def _begin_run(self) -> None:
        with self._transaction():
            added = self._database.execute(
                "INSERT INTO runs (host, process, until, seconds) VALUES (?, ?, ?, 0)",
                (socket.gethostname(), os.getpid(), time.time() + self.lease),
            )
        self._run = added.lastrowid or 0

    def free_claims(self) -> None:
        """Take back what was claimed by runs that have ended without a word, and begin to look from the start."""
        runs = self._database.execute(
            "SELECT id, host, process, until FROM runs WHERE id IN (SELECT run FROM claims) AND id != ?", (self._run,)
        )
        ended = [(run,) for run, *owner in runs.fetchall() if not _alive(*owner)]
        self._next = 0
        if ended:
            with self._transaction():
                self._database.executemany("DELETE FROM claims WHERE run = ?", ended)

    def claim(self, examples: int) -> list[int]:
        """Claim the next numbers that nobody has verified, or is about to: the missing ones of one stretch.

        Nothing is left for this run where none come back; another may still be at some.
        """
        with self._told():
            while self._next < examples:
                first, self._next = self._next, self._next + STRETCH
                last = min(self._next, examples)
                if not self._missing(first, last):
                    continue
                claim = self._database.execute(
                    "INSERT OR IGNORE INTO claims VALUES (?, ?, ?)", (first, last, self._run)
                )
                if not claim.rowcount:
                    continue
                if missing := self._missing(first, last):  # asked again: another may just have finished it
                    return missing
                self._database.execute("DELETE FROM claims WHERE first = ?", (first,))
            return []

    def claimed_by_others(self) -> bool:
        """Whether another run, still alive, is at something."""
        with self._told():
            self.free_claims()
            return bool(self._database.execute("SELECT 1 FROM claims WHERE run != ?", (self._run,)).fetchone())

    def _missing(self, first: int, last: int) -> list[int]:
        found = self._database.execute("SELECT number FROM results WHERE number >= ? AND number < ?", (first, last))
        return sorted(set(range(first, last)) - {number for (number,) in found})

    # -- Results

    def add(self, rows: Sequence[Row]) -> int:
        """Commit examples in one transaction, and give back the claims that are done with.

        Returns
        -------
        How many were new; what is there already stays as it is.
        """
        before = self._database.total_changes
        with self._told(), self._transaction():
            self._database.executemany(
                "INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?, ?)",
                [(r.number, r.digest, r.verdict, r.packed, json.dumps(r.notes) if r.notes else None) for r in rows],
            )
            new = self._database.total_changes - before
            for first in {row.number - row.number % STRETCH for row in rows}:
                claim = self._database.execute(
                    "SELECT last FROM claims WHERE first = ? AND run = ?", (first, self._run)
                )
                for (last,) in claim.fetchall():
                    if not self._missing(first, last):
                        self._database.execute("DELETE FROM claims WHERE first = ?", (first,))
            alive = (time.time() + self.lease, time.monotonic() - self._started, self._run)
            self._database.execute("UPDATE runs SET until = ?, seconds = ? WHERE id = ?", alive)
        return new

    def count(self) -> int:
        """How many examples are in it."""
        with self._told():
            (count,) = self._database.execute("SELECT count(*) FROM results").fetchone()
        return int(count)

    def keep_shrunk(self, failure: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        """Keep what a failure of the document was shrunk to."""
        with self._told():
            self._database.execute(
                "INSERT OR REPLACE INTO shrunk VALUES (?, ?, ?)",
                (failure["digest"], failure["dtype"], json.dumps(found, allow_nan=False)),
            )

    def agreements(self) -> Iterator[tuple[int, list[Agreement], list[str]]]:
        """Read every example in order of number: the agreements, one per dtype, and the notes.

        Raises
        ------
        StoreError
            The file is damaged.
        """
        with self._told():
            rows = self._database.execute(
                "SELECT number, digest, substr(packed, 1, ?), notes FROM results ORDER BY number", (PACKED + 1,)
            )
            for number, digest, packed, notes in rows:
                try:
                    agreements = unpack(packed)
                    if digest != agreements[0].digest:
                        raise ValueError(f"the digest of its architecture is {digest!r:.40}")
                    said = [str(note) for note in json.loads(notes or "[]")]
                except (RecursionError, TypeError, ValueError) as error:
                    raise StoreError(f"{self.path}: is damaged: example {number}: {error}") from None
                yield number, agreements, said

    def document(
        self,
        check: Callable[[Any], object] = dict,
        saved: Iterable[tuple[str, Sequence[Agreement], str]] = (),
        cases: Cases | None = None,
    ) -> dict[str, Any]:
        """Make the document of :meth:`Summary.document` from all that is there, in order of number.

        It has, besides: ``results``, a digest of what came out (numbers, digests of architectures, verdicts and digits
        of all arrays), equal wherever the same campaign comes to the same; ``notes``, the first remarks on what the
        implementation did besides computing, and ``noted``, on how many examples there is one; ``interrupted``,
        whether examples are missing.

        Parameters
        ----------
        check
            Raises a ValueError if an architecture, as plain JSON, is none: for a store that may be a stranger's.
        saved
            What saved architectures gave, for :meth:`Summary.replay`: listed first, and not kept.
        cases
            Gathers the single architectures, for :func:`reports.write_report`.

        Raises
        ------
        StoreError
            The file is damaged.
        """
        with self._told():
            examples, command = self._database.execute(
                "SELECT CAST(examples AS INTEGER), CAST(command AS TEXT) FROM campaign"
            ).fetchone()
            (seconds,) = self._database.execute("SELECT total(seconds) FROM runs").fetchone()
        about = {"implementation": self.definition["implementation"], "seed": self.definition["seed"]}
        about |= {"requested": examples, "command": command, "environment": self.definition["environment"]}
        about |= {"chosen": self.definition["chosen"], "unsupported": self.definition["unsupported"]}
        summary = Summary(self.definition["dtypes"], about, Coverage(facts_of(self.definition)), seconds=seconds)
        results, noted = hashlib.sha256(), 0
        notes: list[dict[str, Any]] = []
        for replayed in saved:
            summary.replay(*replayed)
        for number, agreements, said in self.agreements():
            try:
                check(agreements[0].architecture)
                summary.add(agreements)
                if cases is not None:
                    cases.add(number, agreements)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                raise StoreError(f"{self.path}: is damaged: example {number}: {error!s:.200}") from None
            results.update(line(number, agreements).encode())
            noted += bool(said)
            if len(notes) < KEPT:
                notes += [{"number": number, "digest": agreements[0].digest, "note": note} for note in said]
        for failure in summary.failures:
            failure |= self._shrunk(failure, check)
        return summary.document() | {
            "results": results.hexdigest(),
            "noted": noted,
            "notes": notes,
            "interrupted": summary.architectures < examples,
        }

    def _shrunk(self, failure: Mapping[str, Any], check: Callable[[Any], object]) -> dict[str, Any]:
        with self._told():
            found = self._database.execute(
                "SELECT found FROM shrunk WHERE digest = ? AND dtype = ?", (failure["digest"], failure["dtype"])
            ).fetchone()
        if found is None:
            return {}
        try:
            kept = {name: value for name, value in json.loads(found[0]).items() if name in _SHRUNK}
            for name, value in kept.items():
                if not isinstance(value, _SHRUNK[name]):
                    raise TypeError(f"{name} is {value!r:.40}")
            if kept.get("minimal") is not None:
                check(kept["minimal"])
        except (AttributeError, RecursionError, TypeError, ValueError) as error:
            raise StoreError(f"{self.path}: is damaged: what a failure was shrunk to: {error!s:.200}") from None
        return kept

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say in one line what SQLite has to say."""
        try:
            yield
        except (UnicodeError, sqlite3.Error) as error:  # a damaged name may end up in SQLite's own message
            full = getattr(error, "sqlite_errorname", "") in _NO_SPACE
            told = "".join(c if c.isprintable() else " " for c in str(error)[:TOLD])  # it may quote what the file holds
            what = f"cannot be written: {told}; what was committed is safe" if full else told
            raise StoreError(f"{self.path or 'the temporary store'}: {what}") from error


def document(path: Path, check: Callable[[Any], object] = dict, cases: Cases | None = None) -> dict[str, Any]:
    """Make the document of a store; see :meth:`Store.document`."""
    with Store(path) as store:
        return store.document(check, cases=cases)


def _alive(host: str, process: int, until: float) -> bool:
    if time.time() > until:
        return False
    if host == socket.gethostname():
        try:
            os.kill(process, 0)  # asks whether it is there, no more
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
    return True
