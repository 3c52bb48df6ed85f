"""Lookup tables: Embedding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, reject

__all__ = ["Embedding"]


@dataclass(frozen=True, eq=False)
class Embedding(Layer):
    """Look up rows: ``y[i] = W[x[i]]``; backward ``dE/dW[j] = sum of g[i] over all i with x[i] = j``.

    Shapes: x ``(*)`` of integers, weight W ``(num_embeddings, embedding_dim)``, y ``(*, embedding_dim)``.

    Row ``padding_idx`` (negative: from the end) gets no gradient; ``scale_grad_by_freq`` divides each row's
    by how often it was looked up. With ``sparse`` the gradient is dense all the same: the numbers are equal.
    ``max_norm`` is refused: it would rewrite the weight in forward, and no layer changes what it was given.

    Source: Bengio et al., JMLR 3 (2003), section 2 (the matrix C).
    """

    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None = None
    max_norm: float | None = None
    norm_type: float = 2.0
    scale_grad_by_freq: bool = False
    sparse: bool = False

    def __post_init__(self) -> None:
        if self.padding_idx is not None and not -self.num_embeddings <= self.padding_idx < self.num_embeddings:
            raise reject(self, "padding_idx", self.padding_idx, f"None or an index of {self.num_embeddings} rows")
        if self.max_norm is not None:
            raise reject(self, "max_norm", self.max_norm, "None: it would change the given weight in forward")
        if self.sparse and self.scale_grad_by_freq:
            raise reject(self, "scale_grad_by_freq", True, "False, because sparse is True")

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        return {"weight": (self.num_embeddings, self.embedding_dim)}

    def initial(self, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> dict[str, Array]:
        weight = rng.standard_normal(self.parameter_shapes["weight"]).astype(dtype)
        if self.padding_idx is not None:
            weight[self.padding_idx] = 0
        return {"weight": weight}

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        weight = parameters["weight"]
        check_shape(self, "weight", weight, self.parameter_shapes["weight"])
        if x.dtype.kind not in "iu":
            raise reject(self, "the dtype of its input", str(x.dtype), "an integer one")
        if x.size and not 0 <= x.min() <= x.max() < self.num_embeddings:
            raise reject(
                self,
                "the range of its input",
                (int(x.min()), int(x.max())),
                f"0 to {self.num_embeddings - 1}",
            )

        def backward(g: Array) -> Gradients:
            gradient = np.zeros(weight.shape, g.dtype)
            np.add.at(gradient, x, g)
            if self.scale_grad_by_freq:
                counts = np.bincount(x.ravel(), minlength=self.num_embeddings)
                gradient /= np.maximum(counts, 1)[:, None]
            if self.padding_idx is not None:
                gradient[self.padding_idx] = 0
            return Gradients((None,), {"weight": gradient})

        return Step(weight[x], backward)
