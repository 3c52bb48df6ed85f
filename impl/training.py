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
        Whether the last error is finite and the goal or below; never without a goal.
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
    """Train a network whose output, or first of several, is its error: one number, the mean over its samples.

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
        Stop after an epoch whose mean error is this or less.
    callback
        ``callback(epoch, error, parameters)`` after every epoch, counted from 1.
    state
        The optimizer's, to go on from an earlier training.

    Returns
    -------
    Training
        The mean error of an epoch weights its batches by their size. An error that is NaN or infinite stops
        training at once: it is the last of ``errors``, the goal is not reached, and ``parameters`` are those
        that led to it, for no step can be taken from there.

    Raises
    ------
    ValueError
        There are no samples, the arrays differ in their number, epochs or batch_size is too small, or the
        network's first output is not one number.
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
    if epochs < 0:
        raise ValueError(f"train: epochs is {epochs}, wanted 0 or more")
    now, errors, reached = dict(parameters), [], False
    for epoch in range(1, epochs + 1):
        order = rng.permutation(count)
        total = 0.0
        for start in range(0, count, size):
            rows = order[start : start + size]
            step = network.forward(now, *(array[rows] for array in data), training=True, noise=rng)
            error = step.output[0] if isinstance(step.output, tuple) else step.output
            if error.shape != ():
                raise ValueError(f"train: the network's first output has shape {error.shape}, wanted (), the error")
            total += float(error) * len(rows)
            if not isfinite(total):
                break
            one = np.ones((), error.dtype)
            seed = (one, *(None for _ in step.output[1:])) if isinstance(step.output, tuple) else one
            gradients = step.parameters_only(seed) if step.parameters_only else step.backward(seed).parameters
            now, state = optimizer.step(now | dict(step.updates), gradients, state)
        errors.append(total / count)
        if callback is not None:
            callback(epoch, errors[-1], now)
        reached = goal is not None and isfinite(total) and errors[-1] <= goal
        if reached or not isfinite(total):
            break
    return Training(now, state, tuple(errors), reached)
