"""Small disturbances of a run, by which rounding is measured; in complex numbers, of both parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor as TorchTensor

from reference.run import Array

BETWEEN = 0.7
"""Radians between the disturbances of equal numbers in one array and the next."""

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
    measured sensitivity to rounding. ``apart`` disturbs equal numbers at different places differently, and at
    the same place of different arrays, if these are ``counted`` as they come.

    What autograd saves inside a node for the way back is disturbed, too: where a tanh saturates, say, the rounding of
    its y is all that is left of 1 - y^2. Where it saves an input, as Hardtanh does, it decides once more between
    pieces: there, short numbers are left alone again.
    """

    size: float
    phase: float
    apart: bool = False
    counted: Iterator[int] = field(default_factory=lambda: repeat(0), repr=False, compare=False)

    def __call__(self, x: TorchTensor) -> TorchTensor:
        """Disturb a tensor; its gradient passes as if multiplied by a constant."""
        if not numeric(x):
            return x
        fixed = x.detach().cpu().numpy()
        return x * torch.from_numpy(np.where(_short(fixed), 1, self._factor(fixed))).to(x.device)

    def saved(self, x: TorchTensor) -> TorchTensor:
        """Disturb what was computed and saved for the way back: all of it."""
        return x * torch.from_numpy(self._factor(x.detach().cpu().numpy())).to(x.device) if numeric(x) else x

    def array(self, x: Array, spare_short: bool = True) -> Array:
        """Disturb an array, in its own dtype; short numbers only if they are not spared."""
        if x.dtype.kind not in "fc":
            return x
        wide = x.astype(np.result_type(x.dtype, np.float64))
        factor = self._factor(wide)
        return np.asarray(wide * (np.where(_short(wide), 1, factor) if spare_short else factor)).astype(x.dtype)

    def _factor(self, x: Array) -> Array:
        """Return 1 and a little; by NumPy, whose calls are short where arrays are small."""
        if np.iscomplexobj(x):  # a product of complex numbers rounds both parts by what the whole is
            return np.asarray(self._factor(x.real) + 1j * (self._factor(x.imag) - 1))
        with np.errstate(all="ignore"):  # what PyTorch saves may be anything where it is of no account
            angle = np.asarray(12345.678 * x + self.phase)
            if self.apart:
                angle += np.arange(x.size, dtype=x.dtype).reshape(x.shape) + x.dtype.type(BETWEEN * next(self.counted))
            np.sin(angle, out=angle)
            angle *= self.size
            angle += 1
        return np.where(np.isfinite(angle), angle, 1)  # infinities stay what they are


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
        places = torch.arange(x.numel(), dtype=x.real.dtype, device=x.device).reshape(x.shape)
        return x + self.amounts[node] * torch.sin(12345.678 * places + self.phase)


Disturbance: TypeAlias = Perturbation | Rounding | Blur


def _short(x: Array) -> Any:
    """Whether numbers are so short that arithmetic on them is exact."""
    if np.iscomplexobj(x):
        return _short(x.real) & _short(x.imag)
    with np.errstate(all="ignore"):
        return (np.rint(64 * x) == 64 * x) & (np.abs(x) < 16)
