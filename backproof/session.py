"""One run of the command line: progress, the report folder, Ctrl-C, exit status."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import backproof
from backproof import comparing, terminal
from backproof.catalogue import facts
from reference.ops import STRUCTURAL
from reports import Agreement, Coverage, Summary, compare, distinct, junit, write_report
from reports.comparison import Document

if TYPE_CHECKING:
    from backproof.corpus import Replayed

AGREE, DISAGREE, USAGE, FAILED, INTERRUPTED = 0, 1, 2, 3, 130


class Session:
    """Gathers agreements, shows how far they are, and reports them, however the run ends.

    Parameters
    ----------
    implementation
        Its name.
    dtypes
        Names of the dtypes.
    requested
        How many architectures there are to be.
    folder
        Where the report goes; None: nowhere.
    json_file
        Where the numbers go, too; ``-`` is standard output, and all else then goes to standard error.
    seed
        That drew the architectures, if one did.
    layers
        The ops that are drawn, structural ones aside.
    about
        What else the document is to tell, plain JSON.
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
        implementation: str,
        dtypes: Sequence[str],
        requested: int,
        folder: Path | None,
        json_file: Path | None,
        seed: int | None = None,
        layers: Sequence[str] = (),
        about: Mapping[str, Any] | None = None,
        baseline: Document | None = None,
        junit_file: Path | None = None,
    ) -> None:
        self.folder, self.json_file, self.requested = folder, json_file, requested
        self.to_stdout = json_file is not None and str(json_file) == "-"
        self.console = Console(stderr=self.to_stdout)
        self.baseline, self.junit_file = baseline, junit_file
        told = {"implementation": implementation, "seed": seed, "requested": requested, **(about or {})}
        coverage = Coverage(facts({*layers, *STRUCTURAL}) if layers else {})
        self.summary = Summary(dtypes, told | {"command": _command(), "environment": environment()}, coverage)
        self.interrupted = False
        self.unwritten = self.died = self.unshrunk = False
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
                for replayed in progress.track(corpus, count):
                    self.summary.replay(replayed.file, replayed.agreements, replayed.unsupported)
        except KeyboardInterrupt:
            self.interrupted = True

    def run(self, batches: Generator[list[Agreement]]) -> None:
        """Take everything in, until it ends or Ctrl-C is pressed; what is there by then is kept."""
        if self.interrupted:
            return
        started = perf_counter()
        progress = Progress(
            TextColumn("verifying"),
            BarColumn(24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[worst]}"),
            console=self.console,
            transient=True,
        )
        try:
            with progress, closing(batches):
                task = progress.add_task("", total=self.requested, worst="")
                for agreements in batches:
                    self.summary.add(agreements)
                    progress.update(task, advance=1, worst=self._worst())
        except KeyboardInterrupt:
            self.interrupted = True
        except BrokenExecutor:
            self.died = True
        except Exception:  # a mistake of ours: what was verified before it is not lost
            self.summary.seconds = perf_counter() - started
            self.finish()
            raise
        self.summary.seconds = perf_counter() - started

    def shrink(self, isolated: bool) -> None:
        """Find the smallest architectures that fail like the first few failures of different kinds.

        Nothing is lost by Ctrl-C: what is not shrunk by then stays as it was found.

        Parameters
        ----------
        isolated
            In a process of its own, as :func:`backproof.campaign.shrunk` says.
        """
        from backproof.campaign import shrunk

        chosen = distinct(self.summary.failures)[: terminal.SHOWN]
        if self.interrupted or not chosen:
            return
        progress = Progress(
            TextColumn("shrinking {task.fields[number]} of {task.total}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
        )
        try:
            with progress, closing(shrunk(chosen, self.summary.about["implementation"], isolated)) as results:
                task = progress.add_task("", total=len(chosen), number=1)
                for number, (failure, found) in enumerate(zip(chosen, results), start=2):
                    failure |= found
                    progress.update(task, number=min(number, len(chosen)))
        except KeyboardInterrupt:
            self.unshrunk = True

    def _worst(self) -> str:
        failed = f"[red]{self.summary.failed} failed[/] " if self.summary.failed else ""
        digits = (f"{least:.1f}" for least in self.summary.worst_digits().values() if least is not None)
        return f"{failed}digits {' / '.join(digits)}"

    def finish(self) -> int:
        """Show the result, write the report, and return the exit status."""
        document = self.summary.document() | {"interrupted": self.interrupted}
        terminal.show(self.console, document, self.folder)
        regression = self._compare(document)
        if self.unshrunk:
            self.console.print("[yellow]Interrupted: not every failure is shrunk.[/]", highlight=False)
        if self.interrupted:
            done = f"{document['architectures']} of {self.requested} architectures are verified and reported"
            self.console.print(f"[yellow]Interrupted: {done}.[/]", highlight=False)
        if self.died:
            done = f"{document['architectures']} of {self.requested} architectures are reported"
            self.console.print(f"[red]A process died in the implementation: {done}.[/]", highlight=False)
        self._write(document)
        if document["failed"] > document["crashed"]:
            return DISAGREE
        if document["crashed"] or self.died:
            return FAILED
        if regression:
            return DISAGREE
        if self.interrupted:
            return INTERRUPTED
        return USAGE if self.unwritten else AGREE

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
            self._could_not(error)
        try:
            if self.junit_file is not None:
                self.junit_file.write_bytes(junit(document))
        except OSError as error:
            self._could_not(error)
        try:
            if self.folder is not None:
                page = write_report(self.folder, document)
                self.console.print(f"report: {page}", highlight=False, soft_wrap=True)
        except OSError as error:
            self._could_not(error)

    def _could_not(self, error: OSError) -> None:
        self.unwritten = True
        self.console.print(f"Error: {error.filename or 'output'}: {error.strerror}", highlight=False, soft_wrap=True)


def environment() -> dict[str, str]:
    """Return what the numbers may depend on."""
    return {
        "backproof": backproof.__version__,
        **{name: version(name) for name in ("torch", "numpy", "scipy", "hypothesis")},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _command() -> str:
    import shlex

    return shlex.join(["backproof", *sys.argv[1:]])
