"""Attention: MultiheadAttention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, reject, uniform
from impl.layers.activation import softmax
from impl.layers.dropout import Dropout
from impl.layers.linear import matrix_gradient

__all__ = ["MultiheadAttention"]


@dataclass(frozen=True, eq=False)
class MultiheadAttention(Layer):
    """Each head mixes values by how well its query meets their keys: ``O = P V``, ``P = softmax(Q K^T / sqrt(d) + M)``.

    Q, K, V are affine maps of query, key, value, cut into ``num_heads`` pieces of width d along the features; the
    heads' outputs, put together again, go through ``out_proj``. ``add_bias_kv`` appends a learned row to K and V,
    ``add_zero_attn`` a row of zeros. M is 0 where attention is allowed and minus infinity where a boolean mask is
    True; float masks are added as they are. Masks are constants. Dropout acts on P.

    Backward: ``dV = P^T dO``, ``dP = dO V^T``, ``dS = P (dP - sum dP P)``, ``dQ = dS K / sqrt(d)``, ``dK = dS^T Q /
    sqrt(d)``.

    Shapes: query ``(L, N, embed_dim)``, key ``(S, N, kdim)``, value ``(S, N, vdim)``, with batch_first N stands
    first, unbatched it is missing. Output: as query; with need_weights also P, ``(N, L, S)``, the mean over the
    heads, or ``(N, num_heads, L, S)``. attn_mask ``(L, S)`` or ``(N num_heads, L, S)``, key_padding_mask ``(N, S)``.
    ``is_causal`` says that attn_mask is the causal one; without weights and padding that is then taken in its place,
    as torch does. Noise: ``(N num_heads, L, S)``, without weights ``(N, num_heads, L, S)``.

    Source: Vaswani et al., NIPS 30 (2017), section 3.2.
    """

    embed_dim: int
    num_heads: int
    dropout: float = 0.0
    bias: bool = True
    add_bias_kv: bool = False
    add_zero_attn: bool = False
    kdim: int | None = None
    vdim: int | None = None
    batch_first: bool = False

    def __post_init__(self) -> None:
        for argument in ("embed_dim", "num_heads"):
            if getattr(self, argument) < 1:
                raise reject(self, argument, getattr(self, argument), "at least 1")
        if self.embed_dim % self.num_heads:
            raise reject(self, "num_heads", self.num_heads, f"a divisor of embed_dim ({self.embed_dim})")
        if not 0 <= self.dropout <= 1:
            raise reject(self, "dropout", self.dropout, "a probability, 0 to 1")

    @property
    def _widths(self) -> tuple[int, int, int]:
        """Features of query, key and value."""
        return self.embed_dim, self.kdim or self.embed_dim, self.vdim or self.embed_dim

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        e = self.embed_dim
        names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
        shapes: dict[str, Shape] = {"in_proj_weight": (3 * e, e)}
        if self._widths != (e, e, e):
            shapes = {name: (e, width) for name, width in zip(names, self._widths)}
        if self.bias:
            shapes["in_proj_bias"] = (3 * e,)
        if self.add_bias_kv:
            shapes |= {"bias_k": (1, 1, e), "bias_v": (1, 1, e)}
        shapes["out_proj.weight"] = (e, e)
        if self.bias:
            shapes["out_proj.bias"] = (e,)
        return shapes

    def initial(self, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> dict[str, Array]:
        made = {}
        for name, shape in self.parameter_shapes.items():
            if name in ("in_proj_bias", "out_proj.bias"):
                made[name] = np.zeros(shape, dtype)
            elif name in ("bias_k", "bias_v"):
                made[name] = (rng.standard_normal(shape) / sqrt(self.embed_dim)).astype(dtype)
            else:
                bound = self.embed_dim**-0.5 if name == "out_proj.weight" else sqrt(6 / sum(shape))
                made[name] = uniform(rng, bound, shape, dtype)
        return made

    def forward(
        self,
        parameters: Mapping[str, Array],
        query: Array,
        key: Array,
        value: Array,
        *,
        training: bool = True,
        noise: Noise = None,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> Step:
        batched = query.ndim == 3
        for name, shape in self.parameter_shapes.items():
            check_shape(self, name, parameters[name], shape)
        inputs = [self._batch_major(x, batched) for x in self._checked(query, key, value)]
        weights, biases = self._projections(parameters)
        projected = [x @ w.T + b for x, w, b in zip(inputs, weights, biases)]
        rows = len(inputs[0])
        appended = [
            np.broadcast_to(parameters[name], (rows, 1, self.embed_dim))
            for name in ("bias_k", "bias_v")
            if self.add_bias_kv
        ]
        zeros = [np.zeros((rows, 1, self.embed_dim), query.dtype)] * self.add_zero_attn
        q = self._split(projected[0]) * query.real.dtype.type(sqrt(self.num_heads / self.embed_dim))
        k, v = (
            self._split(np.concatenate((x, *appended[n : n + 1], *zeros), axis=1)) for n, x in enumerate(projected[1:])
        )
        if is_causal and attn_mask is None:
            raise reject(self, "attn_mask", None, "the causal mask, because is_causal is True")
        if is_causal and key_padding_mask is None and not need_weights:
            scores = np.where(np.tri(q.shape[2], k.shape[2], dtype=bool), q @ k.swapaxes(-1, -2), -np.inf)
        else:
            scores = q @ k.swapaxes(-1, -2) + self._mask(attn_mask, key_padding_mask, q, inputs[1].shape[1], k.shape[2])
        p = softmax(scores, -1)
        if not need_weights:  # torch's fused function attends to nothing where all is masked, the other one to NaN
            p = np.where((scores.real == -np.inf).all(-1, keepdims=True), 0, p)
        shape = (rows * self.num_heads, *p.shape[2:]) if need_weights else p.shape
        dropped = Dropout(self.dropout).forward({}, p.reshape(shape), training=training, noise=noise)
        w = np.asarray(dropped.output).reshape(p.shape)
        mixed = self._merged(w @ v)
        y = mixed @ parameters["out_proj.weight"].T
        if self.bias:
            y = y + parameters["out_proj.bias"]
        y = self._batch_major(y, batched, back=True)
        shown = w.mean(axis=1) if average_attn_weights else w

        def backward(grads: Array | Sequence[Array | None]) -> Gradients:
            g, g_shown = grads if isinstance(grads, Sequence) else (grads, None)
            g = self._batch_major(np.zeros_like(y) if g is None else g, batched)
            g_mixed = self._split(g @ parameters["out_proj.weight"])
            g_w = g_mixed @ v.swapaxes(-1, -2)
            if g_shown is not None:
                whole = g_shown if batched else g_shown[None]
                g_w = g_w + (whole[:, None] / self.num_heads if average_attn_weights else whole)
            g_p = np.asarray(dropped.backward(g_w.reshape(shape)).inputs[0]).reshape(p.shape)
            g_s = p * (g_p - (g_p * p).sum(-1, keepdims=True))
            scale = g.dtype.type(sqrt(self.num_heads / self.embed_dim))
            g_q, g_k, g_v = g_s @ k * scale, g_s.swapaxes(-1, -2) @ q, w.swapaxes(-1, -2) @ g_mixed
            flows = [self._merged(x) for x in (g_q, g_k, g_v)]
            length = inputs[1].shape[1]
            own = {"out_proj.weight": matrix_gradient(g, mixed)}
            if self.bias:
                own["out_proj.bias"] = g.sum(axis=(0, 1))
            if self.add_bias_kv:
                own |= {name: x[:, length].sum(axis=0)[None, None] for name, x in zip(("bias_k", "bias_v"), flows[1:])}
            flows = [flows[0], *(x[:, :length] for x in flows[1:])]
            matrices = [matrix_gradient(flow, x) for flow, x in zip(flows, inputs)]
            if "in_proj_weight" in parameters:
                own["in_proj_weight"] = np.concatenate(matrices)
            else:
                own |= dict(zip(("q_proj_weight", "k_proj_weight", "v_proj_weight"), matrices))
            if self.bias:
                own["in_proj_bias"] = np.concatenate([flow.sum(axis=(0, 1)) for flow in flows])
            return Gradients(
                tuple(self._batch_major(flow @ w, batched, back=True) for flow, w in zip(flows, weights)), own
            )

        return Step((y, shown if batched else shown[0]) if need_weights else y, backward)

    def _checked(self, *inputs: Array) -> Sequence[Array]:
        query, key, _ = inputs
        batch = 0 if self.batch_first else 1
        for name, x, width in zip(("query", "key", "value"), inputs, self._widths):
            if query.ndim not in (2, 3):
                raise reject(self, "the shape of query", query.shape, f"(L, N, {width}) or (L, {width})")
            wanted = list(query.shape if name == "query" else key.shape if x.ndim == key.ndim else [0] * query.ndim)
            wanted[-1] = width
            if query.ndim == 3 and len(wanted) == 3:
                wanted[batch] = query.shape[batch]
            check_shape(self, name, x, wanted)
        return inputs

    def _projections(self, parameters: Mapping[str, Array]) -> tuple[list[Array], list[Any]]:
        if "in_proj_weight" in self.parameter_shapes:
            weights = np.split(parameters["in_proj_weight"], 3)
        else:
            weights = [parameters[f"{name}_proj_weight"] for name in "qkv"]
        return weights, np.split(parameters["in_proj_bias"], 3) if self.bias else [0, 0, 0]

    def _batch_major(self, x: Array, batched: bool, back: bool = False) -> Array:
        """Bring x to (N, L, features), or back to how it came."""
        if not batched:
            return x[0] if back else x[None]
        return x if self.batch_first else x.swapaxes(0, 1)

    def _split(self, x: Array) -> Array:
        """(N, L, embed_dim) to (N, num_heads, L, d)."""
        return x.reshape(*x.shape[:2], self.num_heads, self.embed_dim // self.num_heads).swapaxes(1, 2)

    def _merged(self, x: Array) -> Array:
        """(N, num_heads, L, d) to (N, L, embed_dim)."""
        return x.swapaxes(1, 2).reshape(x.shape[0], x.shape[2], self.embed_dim)

    def _mask(self, attn_mask: Any, key_padding_mask: Any, q: Array, given: int, keys: int) -> Array:
        """What is added to the scores ``(N, num_heads, L, keys)``; keys beyond the given ones are never masked."""
        rows, heads, length, _ = q.shape
        total = np.zeros((1, 1, 1, keys), q.real.dtype)
        if attn_mask is not None:
            mask = _additive(attn_mask, total.dtype)
            shapes = [(length, given), (rows * heads, length, given)]
            if mask.shape not in shapes:
                raise reject(self, "the shape of attn_mask", mask.shape, f"{shapes[0]} or {shapes[1]}")
            per_head = mask.reshape(-1, 1 if mask.ndim == 2 else heads, length, given)
            total = total + np.pad(per_head, ((0, 0),) * 3 + ((0, keys - given),))
        if key_padding_mask is not None:
            mask = _additive(key_padding_mask, total.dtype)
            mask = mask[None] if mask.ndim == 1 else mask
            check_shape(self, "key_padding_mask", mask, (rows, given))
            total = total + np.pad(mask, ((0, 0), (0, keys - given)))[:, None, None]
        return total


def _additive(mask: Any, dtype: np.dtype[Any]) -> Array:
    array = np.asarray(mask)
    return np.where(array, -np.inf, 0).astype(dtype) if array.dtype == bool else array.astype(dtype)
