"""One run of the command line: progress, the report folder, Ctrl-C, exit status."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from backproof import comparing, terminal
from backproof.cluster import ClusterError
from reference import Architecture
from reports import compare, distinct, junit, write_report
from reports.comparison import Document
from reports.row import Row
from reports.store import STRETCH, Store, StoreError

if TYPE_CHECKING:
    from backproof.corpus import Replayed

AGREE, DISAGREE, USAGE, FAILED, INTERRUPTED = 0, 1, 2, 3, 130

COMMIT = 1.0
"""Seconds after which what is verified is committed, even if it is less than a batch."""

RECOUNT = 5.0
"""Seconds after which it is looked up what other processes have added."""


class Session:
    """Gathers examples into a store, shows how far they are, and reports them, however the run ends.

    Parameters
    ----------
    folder
        Where the report goes; None: nowhere.
    json_file
        Where the numbers go, too; ``-`` is standard output, and all else then goes to standard error.
    baseline
        The document of another run, with which this one is compared at its end.
    junit_file
        Where JUnit XML goes.

    Raises
    ------
    OSError
        The folder or the file cannot be written: found out before the work, not after it.
    """

    def __init__(
        self,
        folder: Path | None,
        json_file: Path | None,
        baseline: Document | None = None,
        junit_file: Path | None = None,
    ) -> None:
        self.folder, self.json_file = folder, json_file
        self.to_stdout = json_file is not None and str(json_file) == "-"
        self.console = Console(stderr=self.to_stdout)
        self.baseline, self.junit_file = baseline, junit_file
        self.replayed: list[Replayed] = []
        self.document: dict[str, Any] = {}
        self.failed = 0
        self.worst: dict[str, float] = {}
        self.interrupted = self.unwritten = self.unshrunk = False
        self.mistake: Exception | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".probe"
            probe.touch()
            probe.unlink(missing_ok=True)
        for file in (None if self.to_stdout else json_file, junit_file):
            if file is not None:
                file.open("a").close()

    def replay(self, corpus: Generator[Replayed], count: int) -> None:
        """Take in what the saved architectures give, before the random ones; Ctrl-C ends both."""
        progress = Progress(TextColumn("replaying"), BarColumn(24), MofNCompleteColumn(), console=self.console)
        progress.live.transient = True
        try:
            with progress, closing(corpus):
                self.replayed += progress.track(corpus, count)
        except KeyboardInterrupt:
            self.interrupted = True

    def run(self, rows: Generator[Row | None], store: Store, examples: int) -> None:
        """Take everything in, until it ends or Ctrl-C is pressed; what is there by then is kept."""
        if self.interrupted:
            return
        progress = Progress(
            TextColumn("verifying"),
            BarColumn(24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[worst]}"),
            console=self.console,
            transient=True,
        )
        waiting: list[Row] = []
        try:
            there = store.count()
            if there:
                self.console.print(f"{there:,} of {examples:,} architectures are there already.", highlight=False)
            with progress, closing(rows):
                task = progress.add_task("", total=examples, completed=there, worst="")
                committed = counted = monotonic()
                for row in rows:
                    if row is not None:
                        waiting.append(row)
                        self._watch(row)
                    now = monotonic()
                    if row is None or len(waiting) >= STRETCH or now > committed + COMMIT:
                        there += store.add(waiting)
                        waiting.clear()
                        committed = now
                    if now > counted + RECOUNT:
                        there, counted = store.count(), now
                    progress.update(task, completed=there + len(waiting), worst=self._worst())
        except KeyboardInterrupt:
            self.interrupted = True
        except (ClusterError, StoreError) as error:
            self._could_not(str(error))
        except Exception as error:  # a mistake of ours: what was verified beside it is not lost
            self.mistake = error
        if waiting and not self.unwritten:
            try:
                store.add(waiting)
            except StoreError as error:
                self._could_not(str(error))

    def _watch(self, row: Row) -> None:
        self.failed += row.verdict != "agree"
        for dtype, digits in row.worst.items():
            self.worst[dtype] = min(digits, self.worst.get(dtype, digits))

    def _worst(self) -> str:
        failed = f"[red]{self.failed} failed[/] " if self.failed else ""
        return f"{failed}digits {' / '.join(f'{least:.1f}' for least in self.worst.values())}"

    def gather(self, store: Store) -> None:
        """Make the document of all that the store holds, and of what was replayed.

        Raises
        ------
        StoreError
            The store is damaged.
        """
        self.document = store.document(Architecture.from_dict, self.replayed)

    def shrink(self, store: Store) -> None:
        """Find the smallest architectures that fail like the first few failures of different kinds.

        Nothing is lost by Ctrl-C: what is not shrunk by then stays as it was found.
        """
        from backproof.campaign import shrunk

        chosen = [f for f in distinct(self.document["failures"])[: terminal.SHOWN] if not _done(f)]
        if self.interrupted or self.unwritten or not chosen:
            return
        progress = Progress(
            TextColumn("shrinking {task.fields[number]} of {task.total}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
        )
        try:
            with progress, closing(shrunk(chosen, self.document["implementation"])) as results:
                task = progress.add_task("", total=len(chosen), number=1)
                for number, (failure, found) in enumerate(zip(chosen, results), start=2):
                    failure |= found
                    store.keep_shrunk(failure, found)
                    progress.update(task, number=min(number, len(chosen)))
        except KeyboardInterrupt:
            self.unshrunk = True
        except StoreError as error:
            self._could_not(str(error))

    def finish(self) -> int:
        """Show the result, write the report, and return the exit status.

        Raises
        ------
        Exception
            A mistake of ours on the way, after all else is done.
        """
        document = self.document
        terminal.show(self.console, document, self.folder)
        regression = self._compare(document)
        if self.unshrunk:
            self.console.print("[yellow]Interrupted: not every failure is shrunk.[/]", highlight=False)
        if self.interrupted:
            done = f"{document['architectures']} of {document['requested']} architectures are verified and reported"
            self.console.print(f"[yellow]Interrupted: {done}.[/]", highlight=False)
        self._write(document)
        if self.mistake is not None:
            raise self.mistake
        if document["failed"] > document["crashed"]:
            return DISAGREE
        if document["crashed"]:
            return FAILED
        if regression:
            return DISAGREE
        if self.interrupted:
            return INTERRUPTED
        return USAGE if self.unwritten or terminal.never_drawn(document) else AGREE

    def _compare(self, document: dict[str, Any]) -> bool:
        """Compare with the baseline, if there is one: whether anything got worse."""
        if self.baseline is None:
            return False
        found = compare(self.baseline, document)
        document["comparison"] = found.document()
        comparing.show(self.console, found)
        return bool(found.worse)

    def _write(self, document: dict[str, Any]) -> None:
        """Write what can be written: one full disk must not cost the other file."""
        text = json.dumps(document, indent=1, allow_nan=False)
        try:
            if self.to_stdout:
                print(text, flush=True)
            elif self.json_file is not None:
                self.json_file.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            self._could_not(f"{error.filename or 'output'}: {error.strerror}")
        try:
            if self.junit_file is not None:
                self.junit_file.write_bytes(junit(document))
        except OSError as error:
            self._could_not(f"{error.filename or self.junit_file}: {error.strerror}")
        try:
            if self.folder is not None:
                page = write_report(self.folder, document)
                self.console.print(f"report: {page}", highlight=False, soft_wrap=True)
        except OSError as error:
            self._could_not(f"{error.filename or 'output'}: {error.strerror}")

    def _could_not(self, what: str) -> None:
        self.unwritten = True
        self.console.print(f"Error: {what}", highlight=False, soft_wrap=True, markup=False)


def _done(failure: dict[str, Any]) -> bool:
    """Whether there was an attempt to shrink it, in this run or an earlier one."""
    return bool(failure["minimal"] or failure["shrinking"])


def command() -> str:
    """Return the command that was typed."""
    import shlex

    return shlex.join(["backproof", *sys.argv[1:]])
