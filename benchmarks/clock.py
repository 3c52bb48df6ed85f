"""Fair timing: who is compared runs in turn, in one process, in a fresh random order each round."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from math import ceil
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from backproof.environment import environment

WARM_UP = 3
"""Calls of each before any is timed: caches, pools of threads and compilers settle."""

SAMPLE = 2e-3
"""Seconds that a sample takes at least: a shorter call is timed several times in a row."""

MOST = 500
"""Rounds at most."""


def interleaved(
    calls: Mapping[str, Callable[[], object]], seconds: float, least: int = 7, warm_up: int = WARM_UP
) -> dict[str, list[float]]:
    """Time calls against one another, for about so many seconds in all, and at least so many rounds.

    Returns
    -------
    samples
        By name, the seconds of one call, one number for each round.
    """
    repeats = {
        name: max(1, ceil(SAMPLE / min(_seconds(call, 1) for _ in range(warm_up)))) for name, call in calls.items()
    }
    rng = np.random.default_rng()
    samples: dict[str, list[float]] = {name: [] for name in calls}
    started = perf_counter()
    for done in range(MOST):
        if done >= least and perf_counter() - started > seconds:
            break
        for name in rng.permutation(list(calls)):
            samples[name].append(_seconds(calls[name], repeats[name]))
    return samples


def _seconds(call: Callable[[], object], repeats: int) -> float:
    started = perf_counter()
    for _ in range(repeats):
        call()
    return (perf_counter() - started) / repeats


def summary(samples: Mapping[str, list[float]]) -> dict[str, dict[str, float]]:
    """Return the median and the quartiles of everyone's samples, as plain JSON."""
    found = {}
    for name, seconds in samples.items():
        lower, upper = np.quantile(seconds, (0.25, 0.75))
        found[name] = {
            "median": median(seconds),
            "lower": float(lower),
            "upper": float(upper),
            "rounds": len(seconds),
        }
    return found


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(count: int) -> None:
    """Let PyTorch and NumPy's BLAS compute on so many threads each."""
    torch.set_num_threads(count)
    threadpool_limits(count)


def machine(threads: int) -> dict[str, Any]:
    """Return what the numbers depend on: machine, versions, and the libraries that multiply matrices."""
    kept = ("user_api", "internal_api", "version", "architecture", "num_threads")
    pools = [
        {"of": Path(pool["filepath"]).parent.name, **{name: pool.get(name) for name in kept}}
        for pool in threadpool_info()
    ]
    return {
        **environment(),
        "processor": _processor(),
        "cores": cores(),
        "threads": threads,
        "pools": pools,
        "torch_kernels": torch.backends.cpu.get_cpu_capability(),
        "mkl": torch.backends.mkl.is_available(),
        "onednn": torch.backends.mkldnn.is_available(),
    }


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def sentence(found: Mapping[str, Any]) -> str:
    """Say on what was measured."""
    blas = [pool for pool in found["pools"] if pool["user_api"] == "blas"]
    numpys = next(
        (pool for pool in blas if pool["of"].startswith("numpy")), blas[0] if blas else None
    )  # SciPy has its own
    library = "{internal_api} {version} ({architecture})".format(**numpys) if numpys else "an unknown BLAS"
    own = ", ".join(name for name, there in (("MKL", found["mkl"]), ("oneDNN", found["onednn"])) if there)
    return (
        f"{found['processor']}, {found['cores']} cores, {found['threads']} threads. NumPy {found['numpy']} with "
        f"{library}; PyTorch {found['torch']} with {own} ({found['torch_kernels']}); Python {found['python']}."
    )
