"""Functions called in processes of their own, which a stranger's code may take down, hang, fill up or print into.

Each process has its own pipes: a lock or a queue that several share would be left locked by one that dies in it. The
processes are forked from a server that has loaded PyTorch already, so that a fresh one costs a few hundredths of a
second.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import resource
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import inf
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import monotonic
from typing import Any

from backproof import whereabouts

PRELOADED = ["backproof.undisturbed", "backproof.campaign", "torch._dynamo"]
"""What the server loads before it forks; the last takes PyTorch two seconds as soon as anything is computed."""

START = 300.0
"""Seconds that a process may take to start and to prepare itself, before any time limit counts."""

ROUNDS = 4096
"""Calls after which a process is replaced by a fresh one: so the memory stays flat, whatever leaks a little."""

LIMIT = 4 << 30
"""Bytes by which the data of a process may grow; beyond them its allocations fail, and the machine is spared."""

STATISTICS = Path("/proc/self/statm")
"""Where Linux says how many pages of memory a process has."""

GROWN = 1 << 30
"""Bytes of growth that are worth a remark, and a fresh process."""

KEPT = 200
"""Characters kept of what is printed in one call."""


@dataclass(frozen=True)
class Outcome:
    """What came of one call.

    Attributes
    ----------
    argument, value
        What the function was given, and what it returned.
    lost
        How the process was lost, if it was, also when it was alone with this argument.
    place
        Where it was then, as told to :mod:`backproof.whereabouts`.
    error
        What the function raised, if it did, also when it was alone.
    notes
        Remarks on what happened besides.
    """

    argument: Any
    value: Any = None
    lost: str = ""
    place: Mapping[str, Any] = field(default_factory=dict)
    error: Exception | None = None
    notes: tuple[str, ...] = ()


@dataclass
class _Printed:
    """The beginning of what is printed, and how much it is."""

    kept: bytes = b""
    size: int = 0

    def add(self, text: bytes) -> None:
        self.kept += text[: max(0, 4 * KEPT - len(self.kept))]
        self.size += len(text)

    def notes(self) -> tuple[str, ...]:
        words = " ".join(self.kept.decode(errors="replace").split())
        cut = "..." if len(words) > KEPT or self.size > len(self.kept) else ""
        return (f"prints {words[:KEPT]!r}{cut}",) if self.size else ()


@dataclass
class _Task:
    """A call that a process has before it; ``suspect``: how the process was lost with it that had it before."""

    function: Callable[[Any], Any]
    argument: Any
    suspect: str = ""


@dataclass
class _Worker:
    """A process, and what it is at."""

    prepare: Callable[[], object]
    tasks: deque[_Task] = field(default_factory=deque)
    printed: _Printed = field(default_factory=_Printed)
    place: dict[str, Any] = field(default_factory=dict)
    calls: int = 0
    first_size: int | None = None
    size: int = 0
    retired: bool = False
    output_open: bool = True

    def __post_init__(self) -> None:
        context = get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self.pipe, theirs = context.Pipe()
        self.output, written = context.Pipe(duplex=False)
        process = context.Process(target=_serve, args=(theirs, written, self.prepare, dict(os.environ)), daemon=True)
        process.start()
        self.process = process
        theirs.close()
        written.close()
        self.deadline = inf

    def give(self, tasks: Sequence[_Task]) -> None:
        """Hand over calls; they are done one after the other."""
        if not self.tasks:
            self.deadline = monotonic() + START
        self.tasks.extend(tasks)
        with suppress(OSError):  # it has died, which is noticed where its answers are awaited
            self.pipe.send([(task.function, task.argument, bool(task.suspect)) for task in tasks])

    def read_output(self) -> None:
        """Take in what is printed by now: no more than a pipe holds, for it may never end."""
        if self.output_open and self.output.poll():
            text = os.read(self.output.fileno(), 1 << 20)
            self.output_open = bool(text)
            self.printed.add(text)

    def channels(self) -> list[Any]:
        """What there is to wait for."""
        return [self.pipe, self.process.sentinel, *([self.output] if self.output_open else [])]

    def how_it_ended(self) -> str:
        code = self.process.exitcode
        if code is None:
            return "the process closed its pipe"
        return f"the process died ({signal.Signals(-code).name if code < 0 else f'exit status {code}'})"

    def grown_to(self, size: int) -> tuple[str, ...]:
        """A remark on how the memory has grown, and the end of the process after this, if that is much."""
        self.calls += 1
        here, self.size = size - self.size, size
        grown = size - (self.first_size or size)
        if grown > GROWN and not self.retired:
            self.retired = True
            return (f"memory grew by {grown >> 20} MiB in {self.calls} architectures, by {here >> 20} MiB in this one",)
        self.retired = self.retired or self.calls >= ROUNDS
        return ()

    def take_printed(self) -> tuple[str, ...]:
        notes, self.printed = self.printed.notes(), _Printed()
        return notes

    def end(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        self.output.close()
        self.process.close()


class Pool:
    """Processes that call functions.

    Parameters
    ----------
    workers
        How many at a time.
    prepare
        Called first in every process.
    limit
        Seconds that one call may take.
    confirm
        Whether a call with which a process was lost is tried once more in a fresh one, alone: then it is to blame.
    """

    def __init__(self, workers: int, prepare: Callable[[], object], limit: float, confirm: bool = True) -> None:
        self.workers, self.prepare, self.limit, self.confirm = workers, prepare, limit, confirm
        self._processes: list[_Worker] = []
        self._left: deque[list[_Task]] = deque()
        self._suspects: deque[_Task] = deque()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes, whatever they are at."""
        while self._processes:
            self._processes.pop().end()

    def outcomes(self, function: Callable[[Any], Any], batches: Iterable[Sequence[Any]]) -> Iterator[Outcome]:
        """Call a function with every argument of every batch, in no certain order.

        A batch is asked for when a process has next to nothing left to do.

        Raises
        ------
        Exception
            What a process raised when it prepared itself.
        """
        coming = iter(batches)
        self._left.clear()
        self._suspects.clear()
        while True:
            self._hand_out(function, coming)
            busy = [worker for worker in self._processes if worker.tasks]
            if not busy:
                return
            for worker in _heard_from(busy):
                yield from self._progress(worker)

    def _hand_out(self, function: Callable[[Any], Any], coming: Iterator[Sequence[Any]]) -> None:
        def batch() -> list[_Task]:
            return self._left.popleft() if self._left else [_Task(function, a) for a in next(coming, ())]

        for worker in [w for w in self._processes if w.retired and not w.tasks]:
            self._drop(worker)
        while len(self._processes) < self.workers:
            # A suspect is alone: its process is fresh, and gets nothing else until it is done.
            tasks = [self._suspects.popleft()] if self._suspects else batch()
            if not tasks:
                return
            self._processes.append(_Worker(self.prepare))
            self._processes[-1].give(tasks)
        for worker in self._processes:
            alone = any(task.suspect for task in worker.tasks)
            if len(worker.tasks) <= 1 and not worker.retired and not alone and (tasks := batch()):
                worker.give(tasks)

    def _progress(self, worker: _Worker) -> Iterator[Outcome]:
        """Take in what a process says, and find out whether it has ended."""
        worker.read_output()
        try:
            while worker in self._processes and worker.pipe.poll():
                message = worker.pipe.recv()
                worker.read_output()
                yield from self._take(worker, *message)
        except (EOFError, OSError, pickle.UnpicklingError):
            worker.process.join(1.0)
            yield from self._lose(worker, worker.how_it_ended())
            return
        if worker in self._processes and worker.tasks and monotonic() > worker.deadline:
            yield from self._lose(worker, f"the process did not come back within {self.limit:g} s")

    def _take(self, worker: _Worker, what: str, content: Any, size: int) -> Iterator[Outcome]:
        if what == "unprepared":
            raise content
        if what == "place":
            worker.place |= content
            return
        if what == "started":
            worker.deadline, worker.place = monotonic() + self.limit, {}
            worker.size = worker.size or size
            worker.first_size = worker.first_size or size
            return
        task = worker.tasks[0]
        if what == "raised" and self.confirm and not task.suspect:
            yield from self._lose(worker, f"raised {type(content).__name__}")
            return
        worker.tasks.popleft()
        worker.deadline = monotonic() + START
        notes = (*worker.take_printed(), *worker.grown_to(size))
        if task.suspect:
            notes += (f"{task.suspect} once, and not again alone in a fresh process",)
        if what == "raised":
            yield Outcome(task.argument, error=content, notes=notes)
        else:
            yield Outcome(task.argument, content, notes=notes)

    def _lose(self, worker: _Worker, how: str) -> Iterator[Outcome]:
        """End a process; what it was at is tried once more, alone, and what it had before it goes to others."""
        tasks = list(worker.tasks)
        self._drop(worker)
        if not tasks:
            return
        task, *left = tasks
        if left:
            self._left.append(left)
        if self.confirm and not task.suspect:
            self._suspects.append(replace(task, suspect=how))
        else:
            yield Outcome(task.argument, lost=how, place=worker.place, notes=worker.take_printed())

    def _drop(self, worker: _Worker) -> None:
        self._processes.remove(worker)
        worker.end()


def _heard_from(busy: Sequence[_Worker]) -> list[_Worker]:
    """Wait until one of these says something, prints, ends, or is over its time."""
    until = min(worker.deadline for worker in busy)
    ready = wait([channel for worker in busy for channel in worker.channels()], max(0.0, until - monotonic()))
    now = monotonic()
    return [w for w in busy if now > w.deadline or any(channel in ready for channel in w.channels())]


def _serve(pipe: Connection, output: Connection, prepare: Callable[[], object], environment: dict[str, str]) -> None:
    """Be a process: do what comes through the pipe, and say how far it is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    os.environ.clear()  # the server was started earlier
    os.environ.update(environment)
    for number in (1, 2):
        os.dup2(output.fileno(), number)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        prepare()
    except Exception as error:
        pipe.send(("unprepared", _portable(error), 0))
        return
    _limit_memory()
    c_library = ctypes.CDLL(None)
    while True:
        try:
            calls = pipe.recv()
        except (EOFError, OSError):
            return
        for function, argument, watched in calls:
            pipe.send(("started", None, _size()))
            whereabouts.listener = (lambda where: pipe.send(("place", where, 0))) if watched else None
            try:
                said = ("returned", function(argument))
            except Exception as error:
                said = ("raised", _portable(error))
            with suppress(Exception):  # whatever a stranger has put there
                sys.stdout.flush()
                sys.stderr.flush()
            c_library.fflush(None)
            pipe.send((*said, _size()))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _limit_memory() -> None:
    """Let allocations fail beyond a limit: a MemoryError is the implementation's, a full machine is everybody's."""
    if STATISTICS.exists():  # elsewhere the growth is only told
        data = int(STATISTICS.read_text().split()[5]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (data + LIMIT, hard))


def _size() -> int:
    """Bytes of memory that the process has now; where nobody says so, at most that it has had."""
    if STATISTICS.exists():  # one large architecture, given back, is no leak
        return int(STATISTICS.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note, or words about it if it cannot go from one process to another."""
    told = "".join(traceback.format_exception(error))
    error.add_note(f"in another process:\n{told}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(told)
    return error
