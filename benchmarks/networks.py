"""Part one: the time and memory of a training step, ours beside PyTorch eager and the peers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from math import exp, log, log10
from typing import Any

import numpy as np

from benchmarks import memory
from benchmarks.clock import interleaved, set_threads, summary
from benchmarks.libraries import OURS, TORCH, Result, data, steps
from benchmarks.workloads import WORKLOADS
from reference import Architecture

DTYPES = ("float32", "float64")
SECONDS = 5.0
"""How long one workload is timed in one dtype, everyone together."""


def total() -> int:
    """How many ticks there will be."""
    return len(WORKLOADS) * len(DTYPES)


def rows(threads: int, tick: Callable[[], object]) -> Generator[dict[str, Any]]:
    """Measure workload after workload, in both dtypes."""
    for name, architecture in WORKLOADS.items():
        for dtype in DTYPES:
            yield {"workload": name, "dtype": dtype, **_measured(name, architecture, dtype, threads)}
            tick()


def _measured(name: str, architecture: Architecture, dtype: str, threads: int) -> dict[str, Any]:
    set_threads(threads)
    built = steps(architecture, data(architecture, dtype))
    return {
        "digits": None if draws(architecture) else common_digits([step.result() for step in built.values()]),
        "seconds": summary(interleaved({who: step.run for who, step in built.items()}, SECONDS)),
        "bytes": {who: memory.peak(name, dtype, who, threads) for who in (OURS, TORCH)},
    }


def draws(architecture: Architecture) -> bool:
    """Whether layers draw noise, so that no two steps come to the same."""
    return any(node.arguments.get("dropout") for node in architecture.nodes)


def common_digits(results: Sequence[Result]) -> float:
    """Return to how many digits all come to the same loss and gradients, relative to the largest entry of each."""
    first, *others = results
    worst = 1e-17
    for other in others:
        assert other.gradients.keys() == first.gradients.keys()
        worst = max(worst, abs(other.loss - first.loss) / abs(first.loss))
        for name, g in first.gradients.items():
            scale = float(np.abs(g).max())
            worst = max(worst, float(np.abs(other.gradients[name] - g).max()) / scale)
    return -log10(worst)


def ratio(row: Mapping[str, Any], who: str = OURS) -> float:
    """Return someone's time, divided by torch's."""
    return float(row["seconds"][who]["median"] / row["seconds"][TORCH]["median"])


def memory_ratio(row: Mapping[str, Any]) -> float | None:
    """Return our memory, divided by torch's; None where it was not measured."""
    found = row["bytes"]
    return found[OURS] / found[TORCH] if found[OURS] is not None and found[TORCH] else None


def geometric_mean(ratios: Sequence[float]) -> float:
    """Return the mean of ratios: the mean of a ratio and of its inverse is 1."""
    return exp(sum(map(log, ratios)) / len(ratios))
