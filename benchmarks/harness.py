"""Part three: how many architectures are verified in a second, what memory that takes, and how long the start is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from time import perf_counter
from typing import Any

import numpy as np

from backproof.campaign import BATCH, Campaign, one_thread
from benchmarks.clock import set_threads, summary
from benchmarks.memory import ROOT, STATUS, resident

WORKERS = (1, 2)
FEW, MANY, ROUNDS = 40, 360, 3
"""Architectures of two runs whose difference is timed: without the start and the end of the processes."""

BATCHES = (1, 20, 40, 80, 120)
"""After so many batches a worker's memory is looked at."""

STARTS = 7
IMPORT_NUMPY, IMPORT_IMPL, HELP = "import numpy", "import impl", "backproof --help"
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "python": ("pass",),
    IMPORT_NUMPY: ("import numpy",),
    IMPORT_IMPL: ("import impl",),
    HELP: ("from backproof.cli import main; main()", "--help"),
}


def total() -> int:
    """How many ticks there will be."""
    return STARTS + 1 + len(BATCHES) + 1 + ROUNDS * len(WORKERS) * 2


def rows(threads: int, tick: Callable[[], object]) -> Generator[dict[str, Any]]:
    """Measure the start, then the memory, then the rate."""
    yield {"what": "start", "seconds": summary(starts(tick))}
    yield {"what": "memory", "bytes": memory(tick)}
    yield {"what": "rate", "examples": MANY - FEW, "seconds": summary(rates(tick))}
    set_threads(threads)  # a campaign in this process computes on one


def starts(tick: Callable[[], object]) -> dict[str, list[float]]:
    """Start processes in turn, in a random order each round."""
    rng = np.random.default_rng()
    found: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(STARTS + 1):
        for name in rng.permutation(list(COMMANDS)):
            started = perf_counter()
            subprocess.run([sys.executable, "-c", *COMMANDS[name]], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            if number:  # the first reads the files from the disk
                found[name].append(perf_counter() - started)
        tick()
    return found


def memory(tick: Callable[[], object]) -> dict[str, int]:
    """Return the resident memory of a worker after so many batches; nothing where the system does not tell."""
    found = {}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=one_thread) as executor:
        for first, last in zip((0, *BATCHES), BATCHES if STATUS.exists() else ()):
            found[str(last)] = executor.submit(_resident_after, BATCH * first, BATCH * last).result()
            tick()
    return found


def _resident_after(first: int, last: int) -> int:
    campaign = Campaign(examples=last).checked()
    for number in range(first, last):
        campaign.example(number)
    return resident("VmRSS")


def rates(tick: Callable[[], object]) -> dict[str, list[float]]:
    """Return the seconds of one architecture, in both dtypes, by the number of workers."""
    rng = np.random.default_rng()
    found: dict[str, list[float]] = {str(workers): [] for workers in WORKERS}

    def taken(examples: int, workers: int) -> float:
        campaign = Campaign(examples=examples).checked()
        started = perf_counter()
        for _ in campaign.agreements(workers):
            pass
        seconds = perf_counter() - started
        tick()
        return seconds

    taken(FEW, 1)  # what is computed once for all is computed before
    for _ in range(ROUNDS):
        for workers in map(int, rng.permutation(WORKERS)):
            few, many = taken(FEW, workers), taken(MANY, workers)
            found[str(workers)].append((many - few) / (MANY - FEW))
    return found


def figures(found: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return what the rows come to, by what is measured, for tables and comparisons; absent rows are left out."""
    by = {row["what"]: row for row in found}
    figures: dict[str, float] = {}
    if rate := by.get("rate"):
        per_second = {int(workers): 1 / times["median"] for workers, times in rate["seconds"].items()}
        figures |= {f"architectures/s, {workers} worker{'s' * (workers > 1)}": n for workers, n in per_second.items()}
        figures["efficiency of 2 workers"] = per_second[2] / (2 * per_second[1])
    if (memory := by.get("memory")) and memory["bytes"]:
        sizes = {int(count): size for count, size in memory["bytes"].items()}
        figures |= {f"MiB of a worker after {BATCH * n} architectures": size / 2**20 for n, size in sizes.items()}
        middle, last = list(sizes)[(len(sizes) - 1) // 2], max(sizes)
        more = (sizes[last] - sizes[middle]) / (BATCH * (last - middle))
        figures["MiB more for 1,000 architectures, at the end"] = 1000 * more / 2**20
    if start := by.get("start"):
        times = {name: times["median"] for name, times in start["seconds"].items()}
        figures["backproof --help, s"] = times[HELP]
        figures["import impl above NumPy's own, s"] = times[IMPORT_IMPL] - times[IMPORT_NUMPY]
    return figures
