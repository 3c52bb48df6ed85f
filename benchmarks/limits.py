"""What limits that which docs/speed.md falls short of: ``python -m benchmarks.limits``.

Prints how fast the processor multiplies and copies beside what the networks ask of it, and how many calls of Python
verifying takes.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from cProfile import Profile
from itertools import cycle
from statistics import median
from time import perf_counter, process_time
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from backproof.campaign import Campaign
from benchmarks.checks import NETWORKS, Checked
from benchmarks.clock import set_threads
from reference.duals import Dual

ROUNDS = 60
MIB = 2**20
ROWS, TERMS, COLUMNS = 32, 288, 4096
"""The product of each 3x3 convolution of the residual block: of 32 channels, at 16x16 places in 16 samples."""

PRODUCT = 2 * ROWS * TERMS * COLUMNS
ARCHITECTURES = 40


def seconds(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the median time of a call that finds its data in the cache, where it left them."""
    taken = []
    for _ in range(5 + rounds):
        started = perf_counter()
        call()
        taken.append(perf_counter() - started)
    return median(taken[5:])


def products(threads: int) -> dict[str, float]:
    """Return in GFLOP/s how fast matrices are multiplied, and how fast PyTorch convolves, in float32."""
    set_threads(threads)
    rng = np.random.default_rng(0)
    square, weight, columns = (
        rng.standard_normal(shape).astype(np.float32) for shape in ((1024, 1024), (ROWS, TERMS), (TERMS, COLUMNS))
    )
    written, y = columns.copy(), np.empty((ROWS, COLUMNS), np.float32)
    parts, y_parts = (a.reshape(len(a), COLUMNS // 64, 64).swapaxes(0, 1) for a in (columns, y))

    def write() -> None:
        written[...] = columns

    def write_and_multiply() -> None:
        write()
        np.matmul(weight, written, out=y)

    def gradients() -> object:
        return torch.autograd.grad(shown, (x, convolution.weight), g, retain_graph=True)

    convolution = torch.nn.Conv2d(ROWS, ROWS, 3, padding=1, bias=False)
    x = torch.randn(16, ROWS, 16, 16, requires_grad=True)
    shown = convolution(x)
    g = torch.randn_like(shown)
    with torch.no_grad():
        forward = seconds(lambda: convolution(x))
    taken = {
        "1,024 cubed": (2 * 1024**3, seconds(lambda: square @ square)),
        "32x288x4,096 whole": (PRODUCT, seconds(lambda: np.matmul(weight, columns, out=y))),
        "whole, columns just written": (PRODUCT, seconds(write_and_multiply) - seconds(write)),
        "in parts of 64 columns": (PRODUCT, seconds(lambda: np.matmul(weight, parts, out=y_parts))),
        "PyTorch's convolution": (PRODUCT, forward),
        "its gradients": (2 * PRODUCT, seconds(gradients)),
    }
    return {name: operations / time / 1e9 for name, (operations, time) in taken.items()}


def copies(size: int) -> dict[str, float]:
    """Return in GB/s, read and written, how fast so many bytes are copied, by one thread and by two of Python."""
    halves = np.ones((2, size // 8), np.float32)
    copied, helper = np.empty_like(halves), ThreadPoolExecutor(1)
    source, target = torch.ones(size // 4), torch.empty(size // 4)

    def copy(half: int) -> None:
        copied[half] = halves[half]

    def by_two(mine: int) -> None:
        helping = helper.submit(copy, 1 - mine)
        copy(mine)
        helping.result()

    def by_one() -> None:
        copy(0)
        copy(1)

    turns = cycle((0, 1))
    with helper:
        taken = {
            "one thread": seconds(by_one),
            "two": seconds(lambda: by_two(0)),
            "two, the halves exchanged each time": seconds(lambda: by_two(next(turns))),
            "PyTorch, two": seconds(lambda: target.copy_(source)),
        }
    return {name: 2 * size / time / 1e9 for name, time in taken.items()}


def waking() -> float:
    """Return the seconds until a thread that sleeps has done nothing."""
    with ThreadPoolExecutor(1) as helper:
        return seconds(lambda: helper.submit(int).result(), 1000)


def dual_calls(network: str) -> dict[str, float]:
    """Return how long all coordinates take, and how many calls of NumPy on dual numbers, of how many bytes."""
    checked, counted = Checked(NETWORKS[network]), {"calls": 0, "bytes": 0}
    plain = Dual.__array_ufunc__

    def counting(self: Any, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        found = plain(self, ufunc, method, *inputs, **options)
        moved = [*inputs, found]
        counted["calls"] += 1
        counted["bytes"] += sum(8 * x.count * x.size for x in moved if isinstance(x, Dual) and not x.constant)
        return found

    checked.ours()
    time = seconds(checked.ours, 5)
    with patch.object(Dual, "__array_ufunc__", counting):
        checked.ours()
    return {"seconds": time, **counted}


def verifying(examples: int = ARCHITECTURES) -> tuple[float, int]:
    """Return the processor's seconds for one architecture, in both dtypes, and how many calls it takes."""
    campaign = Campaign(examples=examples, seed=23).checked()
    for number in range(examples):  # what is computed once for all
        campaign.example(number)
    started = process_time()
    for number in range(examples):
        campaign.example(number)
    taken = process_time() - started
    with Profile() as profile:
        for number in range(examples):
            campaign.example(number)
    return taken / examples, sum(entry.callcount for entry in profile.getstats()) // examples


def main() -> None:
    """Print all of it."""
    by_threads = {threads: products(threads) for threads in (1, 2)}
    print("float32, in GFLOP/s                1 thread  2 threads")
    for name, alone in by_threads[1].items():
        print(f"{name:33}{alone:10.0f}{by_threads[2][name]:11.0f}")
    print("\nCopying, in GB/s read and written")
    for size in (MIB, 4 * MIB, 16 * MIB):
        print(f"{size // MIB:3} MiB: " + ", ".join(f"{name} {rate:.0f}" for name, rate in copies(size).items()))
    print(f"Waking a thread of Python: {1e6 * waking():.0f} microseconds")
    set_threads(1)
    print("\nEvery coordinate of a network")
    for network in NETWORKS:
        found = dual_calls(network)
        rate = found["bytes"] / found["seconds"] / 1e9
        print(f"{network}: {found['seconds']:.3f} s, {found['calls']:,.0f} calls on dual numbers, {rate:.0f} GB/s")
    time, calls = verifying()
    print(f"\nOne architecture: {1e3 * time:.0f} ms, {calls:,} calls, {1e6 * time / calls:.2f} microseconds each")


if __name__ == "__main__":
    main()
