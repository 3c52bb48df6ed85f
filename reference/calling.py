"""How PyTorch is called: by its plain formulas, on arrays in C order."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def as_written_down() -> Iterator[None]:
    """Let torch compute by its plain formulas, as in training, and not by fused kernels.

    Those of attention say "random" whether they drop or not; those of Transformer layers run in evaluation only, where
    no gradient is asked for. And float32 by the kernels of float64, for its error is to speak for theirs.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch advises against is verified like the rest
            with sdpa_kernel(SDPBackend.MATH), torch.backends.mkldnn.flags(enabled=False):
                yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def without_looking(module: nn.Module, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options under which a Transformer asks no mask whether it is causal: on the meta device it has no numbers."""
    asked = [name for name, p in inspect.signature(module.forward).parameters.items() if p.default is None]
    return {name: False for name in asked if name.endswith("is_causal") and options.get(name) is None}


def in_order(tensor: Tensor) -> Tensor:
    """Lay out the numbers in C order, with the strides of that also where an axis of size 1 leaves them open."""
    return tensor.contiguous().view(-1).view(tensor.shape)
