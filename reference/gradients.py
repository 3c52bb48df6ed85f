"""One pass forward in PyTorch, and what autograd yields from it, as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor as TorchTensor

from reference.run import Array, Tensor


@dataclass(frozen=True)
class Forward:
    """One pass forward: arrays that it yields, tensors to differentiate by, and outputs with their cotangents."""

    results: dict[Tensor, Array]
    sources: dict[Tensor, TorchTensor]
    ends: list[tuple[str, TorchTensor, TorchTensor]]

    def gradients(self, sources: Sequence[TorchTensor], create_graph: bool = False) -> list[TorchTensor | None]:
        """Go back from all outputs at once; None where no gradient flows."""
        pairs = [(y, c) for _, y, c in self.ends if y.requires_grad]
        if not pairs or not sources:
            return [None] * len(sources)
        ends, cotangents = zip(*pairs)
        found = torch.autograd.grad(ends, sources, cotangents, create_graph=create_graph, allow_unused=True)
        return [None if g is None else dense(g) for g in found]


def as_arrays(sources: Mapping[Tensor, TorchTensor], found: Iterable[TorchTensor | None]) -> dict[Tensor, Array]:
    """Return gradients as arrays, zeros where no gradient flows."""
    return {name: as_array(torch.zeros_like(x) if g is None else g) for (name, x), g in zip(sources.items(), found)}


def as_array(tensor: TorchTensor) -> Array:
    """Return the numbers of a tensor, whatever way it stores them."""
    return np.asarray(dense(tensor.detach()).resolve_conj().resolve_neg().cpu().numpy())


def dense(tensor: TorchTensor) -> TorchTensor:
    """Return a tensor with all its zeros."""
    return tensor.to_dense() if tensor.is_sparse else tensor
