"""Training: forward, error, backward, a small step; epoch after epoch until the error is small enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from impl.layer import Array, Layer
from impl.optim import Optimizer

__all__ = ["Training", "train"]


@dataclass(frozen=True)
class Training:
    """What training came to.

    Attributes
    ----------
    parameters, state
        The parameters (and buffers) after the last step, and the optimizer's state.
    errors
        The mean error of every epoch, as its batches met it, on the way.
    reached
        Whether the last error is the goal or below.
    """

    parameters: dict[str, Array]
    state: dict[str, Any] | None
    errors: tuple[float, ...]
    reached: bool


def train(
    network: Layer,
    parameters: Mapping[str, Array],
    data: Sequence[Array],
    optimizer: Optimizer,
    *,
    epochs: int,
    batch_size: int | None = None,
    rng: np.random.Generator,
    goal: float | None = None,
    callback: Callable[[int, float, Mapping[str, Array]], object] | None = None,
    state: dict[str, Any] | None = None,
) -> Training:
    """Train a network whose output is its error, a number.

    Parameters
    ----------
    network
        With the contract of a layer; a loss stands at its end.
    parameters
        To start from, for example ``network.initial(rng)``.
    data
        One array per input of the network, the samples along axis 0.
    optimizer
        For example ``impl.optim.SGD(lr=0.1)``.
    epochs
        How often to go through the data, at most.
    batch_size
        Samples per step; None: all of them. The last batch of an epoch may be smaller.
    rng
        Shuffles the samples before every epoch, and draws the noise of layers that take some.
    goal
        Stop after an epoch whose mean error is this or less. An error that is not finite stops training, too.
    callback
        ``callback(epoch, error, parameters)`` after every epoch, counted from 1.
    state
        The optimizer's, to go on from an earlier training.

    Raises
    ------
    ValueError
        There are no samples, the arrays differ in their number, or the network does not put out a number.
    """
    samples = {len(array) for array in data if array.ndim}
    if len(samples) != 1 or any(array.ndim == 0 for array in data) or samples == {0}:
        shapes = ", ".join(str(array.shape) for array in data)
        raise ValueError(
            f"train: data has the shapes {shapes}, wanted the same number of samples, at least 1, on axis 0"
        )
    (count,) = samples
    size = count if batch_size is None else batch_size
    if size < 1:
        raise ValueError(f"train: batch_size is {batch_size}, wanted at least 1")
    now, errors = dict(parameters), []
    for epoch in range(1, epochs + 1):
        order = rng.permutation(count)
        total = 0.0
        for start in range(0, count, size):
            rows = order[start : start + size]
            step = network.forward(now, *(array[rows] for array in data), training=True, noise=rng)
            error = step.output
            if not isinstance(error, np.ndarray) or error.shape != ():
                shape = error.shape if isinstance(error, np.ndarray) else "several arrays"
                raise ValueError(f"train: the network's output is {shape}, wanted one number, the error")
            gradients = step.backward(np.ones((), error.dtype)).parameters
            now, state = optimizer.step(now | dict(step.updates), gradients, state)
            total += float(error) * len(rows)
        errors.append(total / count)
        if callback is not None:
            callback(epoch, errors[-1], now)
        if not isfinite(errors[-1]) or (goal is not None and errors[-1] <= goal):
            break
    reached = bool(errors) and goal is not None and errors[-1] <= goal
    return Training(now, state, tuple(errors), reached)
