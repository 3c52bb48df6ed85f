"""Random decisions of torch, answered from given noise, so that every implementation takes the same ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from reference.architecture import ArchitectureError
from reference.run import Array

_BERNOULLI = torch.ops.aten.bernoulli_.float
_UNIFORM = torch.ops.aten.rand.default
_RRELU = (torch.ops.aten.rrelu_with_noise.default, torch.ops.aten.rrelu_with_noise_.default)


class Draws(TorchDispatchMode):
    """Answers torch's own draws, in the order in which torch makes them.

    Without noise it records the shapes that are drawn, in ``shapes``. With noise, a Bernoulli draw is
    ``noise < p``, and a uniform one the noise itself; it catches the draws inside LSTM and attention, too. RReLU draws
    a slope for each element that is not positive: ``lower + (upper - lower) noise``.

    Raises
    ------
    ArchitectureError
        torch draws from a distribution that is not covered.
    """

    def __init__(self, noise: Iterable[Array] | None = None) -> None:
        TorchDispatchMode.__init__(self)
        self.shapes: list[tuple[int, ...]] = []
        self._noise: Iterator[Array] | None = None if noise is None else iter(noise)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Let everything pass but draws."""
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **(kwargs or {}))
        if func is _UNIFORM:
            self.shapes.append(tuple(args[0]))
            drawn = func(*args, **(kwargs or {}))
            return drawn if self._noise is None else drawn.copy_(torch.from_numpy(next(self._noise)))
        if func in _RRELU:
            return self._rrelu(func, *args)
        if func is not _BERNOULLI:
            raise ArchitectureError(f"torch draws with {func}, which is not covered")
        target: Tensor = args[0]
        self.shapes.append(tuple(target.shape))
        if self._noise is None:
            return target
        p = args[1] if len(args) > 1 else 0.5  # dispatch leaves out what equals the default
        return target.copy_(torch.from_numpy(next(self._noise)) < p)

    def _rrelu(
        self, func: Any, x: Tensor, slopes: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False
    ) -> Any:
        """Multiply by the slopes; autograd keeps them for the way back. In evaluation nothing is drawn."""
        if not training:
            return func(x, slopes, lower, upper)
        self.shapes.append(tuple(x.shape))
        if self._noise is None:
            return func(x, slopes, lower, lower, training)
        drawn = lower + (upper - lower) * torch.from_numpy(next(self._noise)).to(x.device)
        slopes.copy_(torch.where(x <= 0, drawn, 1))
        return x.copy_(x * slopes) if func is _RRELU[1] else x * slopes


def recorded(run: Callable[[], Any]) -> tuple[Any, tuple[tuple[int, ...], ...]]:
    """Run something, and return its result with the shapes of the draws that torch made in it."""
    with Draws() as mode:
        result = run()
    return result, tuple(mode.shapes)
