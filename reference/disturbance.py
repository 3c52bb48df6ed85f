"""Small disturbances of a run, by which rounding is measured; in complex numbers, of both parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor as TorchTensor

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "complex128": torch.float64,
}
"""In which precision what runs; complex numbers have two parts of it."""


def numeric(x: TorchTensor) -> bool:
    """Whether a tensor holds numbers that round: real or complex ones. A sparse one says nothing by itself."""
    return (x.is_floating_point() or x.is_complex()) and not x.is_sparse


@dataclass(frozen=True)
class Perturbation:
    """A small relative disturbance of every number that passes between nodes, forward and backward.

    Each x becomes ``x (1 + size sin(12345 x + phase))``: pseudo-random, but equal numbers stay equal. Multiples of 1/64
    below 16 are left alone: arithmetic on numbers that short is exact, so nothing rounds there, and ties and kinks that
    are hit on purpose, which are made of them, stay hit. How far the results move, divided by ``size``, is their
    measured sensitivity to rounding. ``apart`` disturbs equal numbers at different places differently.

    What autograd saves inside a node for the way back is disturbed, too: where a tanh saturates, say, the rounding of
    its y is all that is left of 1 - y^2. Where it saves an input, as Hardtanh does, it decides once more between
    pieces: there, short numbers are left alone again.
    """

    size: float
    phase: float
    apart: bool = False

    def __call__(self, x: TorchTensor) -> TorchTensor:
        """Disturb a tensor; its gradient passes as if multiplied by a constant."""
        if not numeric(x):
            return x
        fixed = x.detach()
        return x * (1 + torch.where(_short(fixed), 0, self._noise(fixed)))

    def saved(self, x: TorchTensor) -> TorchTensor:
        """Disturb what was computed and saved for the way back: all of it."""
        return x * (1 + self._noise(x)) if numeric(x) else x

    def _noise(self, x: TorchTensor) -> TorchTensor:
        if x.is_complex():  # a product of complex numbers rounds both parts by what the whole is
            return torch.complex(self._noise(x.real), self._noise(x.imag))
        angle = 12345.678 * x + self.phase
        if self.apart:
            angle = angle + torch.arange(x.numel(), dtype=x.dtype).reshape(x.shape)
        return torch.nan_to_num(self.size * torch.sin(angle))  # infinities stay what they are


@dataclass(frozen=True)
class Rounding:
    """Rounds every number that passes between nodes to a dtype; what is close to its smallest number underflows."""

    dtype: str

    @property
    def size(self) -> float:
        """The relative size of the disturbance."""
        return torch.finfo(DTYPES[self.dtype]).eps

    def __call__(self, x: TorchTensor) -> TorchTensor:
        """Round a tensor; its gradient passes unchanged."""
        if not numeric(x):
            return x
        if x.is_complex():
            return torch.complex(self(x.real), self(x.imag))
        fixed, limits = x.detach(), torch.finfo(DTYPES[self.dtype])
        rounded = fixed.to(DTYPES[self.dtype]).to(x.dtype)
        return x + (torch.where(fixed.abs() < 8 * limits.tiny * limits.eps, 0, rounded) - fixed)


@dataclass(frozen=True)
class Blur:
    """Moves the outputs of some nodes by up to an absolute amount, ``amounts`` by node: what cancelled in them."""

    amounts: Mapping[str, float]
    phase: float
    size: float

    def __call__(self, x: TorchTensor) -> TorchTensor:
        """Leave all else as it is."""
        return x

    def output(self, x: TorchTensor, node: str) -> TorchTensor:
        """Move an output of a node."""
        if node not in self.amounts or not numeric(x):
            return x
        places = torch.arange(x.numel(), dtype=x.real.dtype).reshape(x.shape)
        return x + self.amounts[node] * torch.sin(12345.678 * places + self.phase)


Disturbance: TypeAlias = Perturbation | Rounding | Blur


def _short(x: TorchTensor) -> TorchTensor:
    """Whether numbers are so short that arithmetic on them is exact."""
    if x.is_complex():
        return _short(x.real) & _short(x.imag)
    return (torch.frac(64 * x) == 0) & (x.abs() < 16)
