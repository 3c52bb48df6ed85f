"""Part four: how the time grows with batch, width, depth, image, sequence and coordinates, beside its arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from benchmarks.checks import SLOW, Checked
from benchmarks.clock import interleaved, set_threads, summary
from benchmarks.libraries import OURS, TORCH, data, ours, pytorch
from benchmarks.workloads import cnn, encoder, mlp, recurrent
from reference import Architecture, Node, Twin
from reference.run import is_numeric

DTYPE = "float32"
SECONDS = 1.5
"""How long one size is timed, everyone together."""

ALIKE = 0.15
"""Exponents that are nearer than this are called the same."""


Calls = Mapping[str, Callable[[], object]]


class Series(NamedTuple):
    """Networks that differ in one size, ``n``."""

    name: str
    sizes: tuple[int, ...]
    at: Callable[[int], Architecture]
    what: str


STEPS: tuple[Series, ...] = (
    Series("batch", (16, 32, 64, 128, 256, 512, 1024), lambda n: mlp(256, 256, 10, batch=n), "MLP 256-256-10"),
    Series("width", (32, 64, 128, 256, 512, 1024), lambda n: mlp(n, n, 10, batch=64), "MLP n-n-10, batch 64"),
    Series("depth", (1, 2, 4, 8, 16, 32), lambda n: mlp(*[128] * n, 10, batch=64), "MLP of n layers, batch 64"),
    Series("image size", (8, 16, 24, 32, 48, 64), lambda n: cnn(3, 16, 32, size=n, batch=8), "CNN 3-16-32, batch 8"),
    Series(
        "sequence of LSTM",
        (5, 10, 20, 40, 80, 160),
        lambda n: recurrent("LSTM", 64, 128, steps=n, batch=16),
        "LSTM 64-128, batch 16",
    ),
    Series(
        "sequence of encoder",
        (32, 64, 128, 256, 512, 1024),
        lambda n: encoder(64, 4, 128, steps=n, batch=1, dropout=0.0),
        "encoder 64, 4 heads, batch 1",
    ),
)
CHECKS = Series("coordinates", (1, 2, 4, 8, 16), lambda n: mlp(*[16] * n, 10, batch=8), "MLP 16-16-...-10, batch 8")
"""The number of coordinates grows with the depth: the network is checked, not trained."""


def total() -> int:
    """How many ticks there will be."""
    return sum(len(series.sizes) for series in (*STEPS, CHECKS))


def rows(threads: int, tick: Callable[[], object]) -> Generator[dict[str, Any]]:
    """Measure curve after curve."""
    for series in STEPS:
        points, arithmetic = [], []
        for architecture in map(series.at, series.sizes):
            set_threads(threads)
            given = data(architecture, DTYPE)
            calls: Calls = {OURS: ours(architecture, given).run, TORCH: pytorch(architecture, given).run}
            points.append(summary(interleaved(calls, SECONDS)))
            arithmetic.append(sum(operations(architecture).values()))
            tick()
        yield row(series.name, series.what, series.sizes, points, dict.fromkeys((OURS, TORCH), arithmetic))
    sizes, points, checks = [], [], []
    for architecture in map(CHECKS.at, CHECKS.sizes):
        checked = Checked(architecture)
        calls = {OURS: checked.ours, SLOW: checked.gradcheck(fast=False)}
        sizes.append(checked.coordinates)
        points.append(summary(interleaved(calls, SECONDS, least=3, warm_up=1)))
        checks.append(checking(checked))
        tick()
    yield row(CHECKS.name, CHECKS.what, sizes, points, {who: [check[who] for check in checks] for who in (OURS, SLOW)})


def row(
    name: str,
    what: str,
    sizes: Sequence[int],
    points: Sequence[Mapping[str, Mapping[str, float]]],
    arithmetic: Mapping[str, Sequence[float]],
) -> dict[str, Any]:
    """Fit the exponents of one curve, measured and of the arithmetic, by who ran."""
    return {
        "series": name,
        "what": what,
        "points": [{"size": size, "seconds": seconds} for size, seconds in zip(sizes, points)],
        "exponents": {
            who: {
                "measured": exponent(sizes, [point[who]["median"] for point in points]),
                "arithmetic": exponent(sizes, counts),
            }
            for who, counts in arithmetic.items()
        },
    }


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Fit p in ``cost = c n^p`` over the upper half of the sizes n: at small ones the calls cost more than the work."""
    upper = len(sizes) // 2
    slope, _ = np.polyfit(np.log(sizes[upper:]), np.log(costs[upper:]), 1)
    return float(slope)


def words(exponents: Mapping[str, float]) -> str:
    """Say how the time grows beside its arithmetic."""
    more = exponents["measured"] - exponents["arithmetic"]
    return "as its arithmetic" if abs(more) <= ALIKE else "faster" if more > 0 else "more slowly"


def operations(architecture: Architecture) -> dict[str, int]:
    """Count the multiplications of each node's forward; of a node without any, the numbers that it returns."""
    twin = Twin(architecture)

    def shape(reference: str) -> tuple[int, ...]:
        name, index = architecture.slot(reference)
        given = next((i.shape for i in architecture.inputs if i.name == name), None)
        return tuple(twin.outputs[name][index].shape) if given is None else given

    return {node.name: _operations(node, shape(node.inputs[0]), shape(node.name)) for node in architecture.nodes}


def _operations(node: Node, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    arguments: Mapping[str, int] = node.arguments
    if node.op == "Linear":
        return prod(y) * x[-1]
    if node.op == "Conv2d":
        return prod(y) * x[1] // arguments.get("groups", 1) * arguments["kernel_size"] ** 2
    if node.op == "LSTM":
        return prod(x[:-1]) * 4 * y[-1] * (x[-1] + y[-1])
    if node.op == "TransformerEncoderLayer":
        batch, steps, width = x
        return batch * steps * width * (4 * width + 2 * arguments["dim_feedforward"] + 2 * steps)
    return prod(max(x, y, key=prod))


def checking(checked: Checked) -> dict[str, int]:
    """Count the multiplications of a check: for a coordinate ours runs its node again, gradcheck the whole network."""
    count = operations(checked.architecture)
    own = 0
    for node, alone in checked.alone.items():
        given = (*alone.values.parameters[node].values(), *alone.values.inputs.values())
        own += count[node] * sum(array.size for array in given if is_numeric(array))
    return {OURS: own, SLOW: checked.coordinates * sum(count.values())}
