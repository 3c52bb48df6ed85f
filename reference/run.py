"""What one pass through a network yields, whoever ran it: named arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Kind: TypeAlias = Literal["output", "update", "adjoint", "parameter", "input"]


class Tensor(NamedTuple):
    """The name of one array of a run.

    ``kind`` is ``output`` (of a node), ``update`` (a buffer's new value), ``adjoint`` (gradient of a node's output),
    ``parameter`` (gradient of a parameter) or ``input`` (gradient of an input of the whole graph). ``name`` is the
    parameter's, or the number of the output.
    """

    kind: Kind
    node: str
    name: str


@dataclass(frozen=True)
class Run:
    """The arrays of one pass, forward and backward; what the pass does not yield is absent."""

    tensors: Mapping[Tensor, Array]


def is_numeric(array: Array) -> bool:
    """Whether an array holds real or complex numbers, and no integers."""
    return array.dtype.kind in "fc"


def magnitude(array: Array) -> float:
    """Return the largest finite magnitude in an array."""
    sizes = np.abs(array.astype(np.complex128 if array.dtype.kind == "c" else np.float64))
    return float(np.max(sizes, initial=0.0, where=np.isfinite(sizes)))
