"""Lookup tables: Embedding, EmbeddingBag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from impl.init import normal
from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, reject

__all__ = ["Embedding", "EmbeddingBag"]


def add_rows(table: Array, rows: Array, x: Array) -> None:
    """Add ``x[i]`` to row ``rows[i]`` of a table of one piece, in order.

    Element by element: NumPy adds at places in one axis three to five times as fast as at rows (measured).
    """
    width = table.shape[1]
    places = rows.reshape(-1, 1).astype(np.intp) * width + np.arange(width)
    np.add.at(table.reshape(-1), places.ravel(), x.ravel())


class _Lookup(Layer):
    """A table of rows ``(num_embeddings, embedding_dim)``, one of which may be padding."""

    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None
    max_norm: float | None
    scale_grad_by_freq: bool
    sparse: bool

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
        weight = normal(rng, self.parameter_shapes["weight"], dtype=dtype)
        if self.padding_idx is not None:
            weight[self.padding_idx] = 0
        return {"weight": weight}

    def check(self, weight: Array, x: Array) -> None:
        """Raise ValueError unless x holds indices of rows of the weight."""
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

    def gather(self, x: Array, kept: Array, g: Array) -> Array:
        """Add up what flows back to each row: ``g[i]`` to row ``kept[i]``; x, all that was looked up, is counted."""
        gradient = np.zeros((self.num_embeddings, self.embedding_dim), g.dtype)
        add_rows(gradient, kept, g)
        if self.scale_grad_by_freq:
            gradient /= np.maximum(np.bincount(x.ravel(), minlength=self.num_embeddings), 1)[:, None]
        if self.padding_idx is not None:
            gradient[self.padding_idx] = 0
        return gradient


@dataclass(frozen=True, eq=False)
class Embedding(_Lookup):
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

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        weight = parameters["weight"]
        self.check(weight, x)
        return Step(weight[x], lambda g: Gradients((None,), {"weight": self.gather(x, x, g)}))


@dataclass(frozen=True, eq=False)
class EmbeddingBag(_Lookup):
    """Look up bags of rows, and sum, average or maximise each bag.

    ``y[b] = sum of s[i] W[x[i]]`` over all i in bag b, s the ``per_sample_weights``, 1 if not given; with mode
    ``mean`` divided by their number, with ``max`` the largest, element by element. An empty bag is 0.

    Backward: ``dE/dW[j] = sum of s[i] g[b(i)]`` over all i with x[i] = j, and ``dE/ds[i] = W[x[i]] . g[b(i)]``;
    with ``mean`` g is divided by the number, with ``max`` it goes to the first of the largest.

    Shapes: x ``(B, N)`` of integers, or ``(N)`` with ``offsets``, which say where in it each bag starts, ascending
    from 0; with ``include_last_offset`` also where the last one ends. s as x; weight W
    ``(num_embeddings, embedding_dim)``, y ``(B, embedding_dim)``.

    Row ``padding_idx`` counts in no bag. ``scale_grad_by_freq``, ``sparse`` and ``max_norm`` are as in
    :class:`Embedding`.

    Source: Joulin et al., EACL (2017), section 2, for the mean.
    """

    num_embeddings: int
    embedding_dim: int
    max_norm: float | None = None
    norm_type: float = 2.0
    scale_grad_by_freq: bool = False
    mode: str = "mean"
    sparse: bool = False
    include_last_offset: bool = False
    padding_idx: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode not in ("sum", "mean", "max"):
            raise reject(self, "mode", self.mode, "'sum', 'mean' or 'max'")
        for argument in ("scale_grad_by_freq", "sparse"):
            if self.mode == "max" and getattr(self, argument):
                raise reject(self, argument, True, "False, because mode is 'max'")

    def forward(
        self,
        parameters: Mapping[str, Array],
        x: Array,
        per_sample_weights: Array | None = None,
        *,
        offsets: Sequence[int] | Array | None = None,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        weight = parameters["weight"]
        self.check(weight, x)
        sizes = self._sizes(x, offsets)
        if per_sample_weights is not None:
            check_shape(self, "per_sample_weights", per_sample_weights, x.shape)
            if self.mode != "sum":
                raise reject(self, "mode", self.mode, "'sum', because per_sample_weights are given")
        padding = -1 if self.padding_idx is None else self.padding_idx % self.num_embeddings
        used = np.flatnonzero(x.ravel() != padding)
        kept, bags = x.ravel()[used], np.repeat(np.arange(len(sizes)), sizes)[used]
        rows = weight[kept]
        shares = np.ones((), weight.dtype) if per_sample_weights is None else per_sample_weights.ravel()[used, None]
        members = np.bincount(bags, minlength=len(sizes))
        divisor = np.maximum(members, 1)[:, None].astype(weight.dtype) if self.mode == "mean" else weight.dtype.type(1)
        won = self._first_largest(rows, members) if self.mode == "max" else np.ones((), bool)
        y = np.zeros((len(sizes), self.embedding_dim), np.result_type(weight, shares))
        add_rows(y, bags, np.where(won, rows * shares, 0))

        def backward(g: Array) -> Gradients:
            arriving = (g / divisor)[bags]
            own = {"weight": self.gather(x, kept, np.where(won, arriving * shares, 0))}
            if per_sample_weights is None:
                return Gradients((None,), own)
            along = np.zeros(x.size, g.dtype)
            along[used] = (arriving * rows).sum(axis=-1)
            return Gradients((None, along.reshape(x.shape)), own)

        return Step(y / divisor, backward, branches=(won,) if self.mode == "max" else ())

    def _sizes(self, x: Array, offsets: Sequence[int] | Array | None) -> Array:
        """Return how many indices each bag has."""
        if x.ndim == 2 and offsets is None and x.shape[1]:
            return np.full(x.shape[0], x.shape[1])
        if x.ndim != 1 or offsets is None:
            wanted = "(B, N), N at least 1, without offsets, or (N) with offsets"
            raise reject(self, "the shape of its input", x.shape, wanted)
        edges = np.asarray(offsets, dtype=int).tolist()
        ends = edges[-1:] == [x.size] if self.include_last_offset else True
        if not self.include_last_offset:
            edges.append(x.size)
        if not ends or edges[0] != 0 or edges != sorted(edges):
            last = " and the last is the end" if self.include_last_offset else ""
            raise reject(self, "offsets", offsets, f"ascending positions in its input {x.shape}: the first is 0{last}")
        return np.diff(edges)

    def _first_largest(self, rows: Array, members: Array) -> Array:
        """Return, for each row and element, whether it is the first of the largest in its bag."""
        won = np.zeros(rows.shape, bool)
        for bag in np.split(np.arange(len(rows)), np.cumsum(members)[:-1]):
            if bag.size:
                won[bag[rows.real[bag].argmax(axis=0)], np.arange(self.embedding_dim)] = True
        return won
