"""One run of the command line: progress, the report folder, Ctrl-C, exit status."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from backproof import comparing, terminal
from backproof.cluster import ClusterError
from backproof.progress import Progress, busy
from reference import Architecture
from reports import compare, distinct, in_a_sentence, junit, write_report
from reports.cases import Cases
from reports.comparison import Document
from reports.row import Row
from reports.schema import StoreError
from reports.scope import never_drawn
from reports.store import STRETCH, Store

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
    quiet
        Show only failures and the verdict.

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
        quiet: bool = False,
    ) -> None:
        self.folder, self.json_file = folder, json_file
        self.to_stdout = json_file is not None and str(json_file) == "-"
        self.console = terminal.console(stderr=self.to_stdout)
        self.baseline, self.junit_file, self.quiet = baseline, junit_file, quiet
        self.replayed: list[Replayed] = []
        self.document: dict[str, Any] = {}
        self.cases = Cases()
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
        try:
            with self._progress("replaying", count) as progress, closing(corpus):
                for done, replayed in enumerate(corpus, start=1):
                    self.replayed.append(replayed)
                    progress.update(done)
        except KeyboardInterrupt:
            self.interrupted = True

    def run(self, rows: Generator[Row | None], store: Store, examples: int) -> None:
        """Take everything in, until it ends or Ctrl-C is pressed; what is there by then is kept."""
        if self.interrupted:
            return
        waiting: list[Row] = []
        try:
            there = store.count()
            if there and not self.quiet:
                self.console.print(f"{there:,} of {examples:,} architectures are there already.", highlight=False)
            with self._progress("verifying", examples, there) as progress, closing(rows):
                committed = counted = monotonic()
                for row in rows:
                    if row is not None:
                        waiting.append(row)
                        progress.watch(row)
                    now = monotonic()
                    if row is None or len(waiting) >= STRETCH or now > committed + COMMIT:
                        there += store.add(waiting)
                        waiting.clear()
                        committed = now
                    if now > counted + RECOUNT:
                        there, counted = store.count(), now
                    progress.update(there + len(waiting))
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

    def _progress(self, verb: str, total: int, done: int = 0) -> Progress:
        return Progress(self.console, verb, total, done, self.quiet)

    def busy(self, what: str) -> AbstractContextManager[None]:
        """Say what is going on, for as long as it is."""
        return busy(self.console, what, self.quiet)

    def gather(self, store: Store) -> None:
        """Make the document of all that the store holds, and of what was replayed.

        Raises
        ------
        StoreError
            The store is damaged.
        """
        with self.busy("adding it up"):
            self.document = store.document(Architecture.from_dict, self.replayed, self.cases)

    def shrink(self, store: Store) -> None:
        """Find the smallest architectures that fail like the first few failures of different kinds.

        Nothing is lost by Ctrl-C: what is not shrunk by then stays as it was found.
        """
        from backproof.campaign import shrunk

        chosen = [f for f in distinct(self.document["failures"])[: terminal.SHOWN] if not _done(f)]
        if self.interrupted or self.unwritten or not chosen:
            return
        try:
            found = shrunk(chosen, self.document["implementation"])
            with self._progress("shrinking", len(chosen)) as progress, closing(found) as results:
                for done, (failure, smaller) in enumerate(zip(chosen, results), start=1):
                    failure |= smaller
                    store.keep_shrunk(failure, smaller)
                    progress.update(done)
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
        terminal.show(self.console, document, self.folder, self.quiet)
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
        return USAGE if self.unwritten or never_drawn(document) else AGREE

    def _compare(self, document: dict[str, Any]) -> bool:
        """Compare with the baseline, if there is one: whether anything got worse."""
        if self.baseline is None:
            return False
        found = compare(self.baseline, document)
        document["comparison"] = found.document()
        if self.quiet:
            self.console.print(terminal.plain(in_a_sentence(found)), highlight=False)
        else:
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
                with self.busy("drawing the report"):
                    page = write_report(self.folder, document, self.cases)
                if not self.quiet:
                    self.console.print(f"report: {page}", highlight=False, soft_wrap=True, markup=False)
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
