"""Attention: MultiheadAttention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike

from impl.buffers import room
from impl.init import uniform, xavier_normal, xavier_uniform
from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, reject
from impl.layers.dropout import Dropout
from impl.layers.linear import matrix_gradient
from impl.product import as_rows
from impl.rows import softmax_rows, through_softmax_rows

__all__ = ["MultiheadAttention"]


def _affine(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """``x W^T + b`` of ``(*, in)``."""
    y = room((*x.shape[:-1], len(weight)), x, weight, *([] if bias is None else [bias]))
    np.matmul(as_rows(x), weight.T, out=as_rows(y))
    if bias is not None:
        y += bias
    return y


def _bias_gradient(g: Array) -> Array:
    return np.asanyarray(as_rows(g).sum(axis=0))


@dataclass(frozen=True, eq=False)
class MultiheadAttention(Layer):
    """Each head mixes values by how well its query meets their keys: ``O = W V`` with::

        W = dropout(P),   P = softmax(S),   S = Q K^T / sqrt(d) + M

    Q, K, V are affine maps of query, key and value, cut along the features into ``num_heads`` pieces of width d;
    the heads' outputs O, side by side, go through ``out_proj``. ``add_bias_kv`` appends a learned row to K and V,
    ``add_zero_attn`` a row of zeros. M is a constant: the sum of the masks, minus infinity where a boolean one is
    True and, in those rows, 0. Where all is masked P is NaN, but 0 without weights, as torch has it.

    Backward, with g the gradient of the weights that are shown::

        dV = W^T dO;   dW = dO V^T + g;   dP from dW by dropout
        dS = P (dP - sum dP P);   dQ = dS K / sqrt(d);   dK = dS^T Q / sqrt(d)

    Without a gradient of the output there is none of the values and of ``out_proj``, be W NaN or not.

    Shapes: query ``(L, N, embed_dim)``, key ``(S, N, kdim)``, value ``(S, N, vdim)``; N stands first with
    batch_first and is missing if unbatched. Output: as query, and with need_weights W, ``(N, num_heads, L, S)``, or
    its mean over the heads, ``(N, L, S)``. attn_mask ``(L, S)`` or ``(N num_heads, L, S)``, key_padding_mask
    ``(N, S)``. Noise ``(N num_heads, L, S)``, without weights ``(N, num_heads, L, S)``; S counts appended rows.

    ``is_causal`` promises that attn_mask is the causal one. Only without weights and padding torch relies on that.

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
        kdim, vdim = (self.embed_dim if width is None else width for width in (self.kdim, self.vdim))
        return self.embed_dim, kdim, vdim

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        e = self.embed_dim
        shapes: dict[str, Shape] = {"in_proj_weight": (3 * e, e)}
        if self._widths != (e, e, e):
            shapes = {f"{name}_proj_weight": (e, width) for name, width in zip("qkv", self._widths)}
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
                made[name] = xavier_normal(rng, shape, dtype=dtype)
            elif name == "out_proj.weight":
                made[name] = uniform(rng, shape, -(self.embed_dim**-0.5), self.embed_dim**-0.5, dtype=dtype)
            else:
                made[name] = xavier_uniform(rng, shape, dtype=dtype)
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
        self._check(parameters, query, key, value)
        if is_causal and attn_mask is None:
            raise reject(self, "attn_mask", None, "the causal mask, because is_causal is True")
        batched = query.ndim == 3
        inputs, scale = (query, key, value), sqrt(self.num_heads / self.embed_dim)
        if query is key is value and not (self.add_bias_kv or self.add_zero_attn):  # so kdim and vdim are embed_dim
            together = _affine(query, parameters["in_proj_weight"], parameters["in_proj_bias"] if self.bias else None)
            projected = roles = np.split(self._batch_first(together, batched), 3, axis=-1)
        else:
            together = None
            maps = zip(inputs, *self._projections(parameters))
            projected = [self._batch_first(_affine(x, w, b), batched) for x, w, b in maps]
            roles = [projected[0], *(self._appended(x, n, parameters) for x, n in zip(projected[1:], "kv"))]
        given = projected[1].shape[1]
        roles[0] *= scale
        q, k, v = map(self._heads, roles)
        scores = q @ k.swapaxes(-1, -2)
        if is_causal and key_padding_mask is None and not need_weights:
            scores = np.where(np.tri(*scores.shape[2:]), scores, -np.inf)
        else:
            for mask in self._masks(attn_mask, key_padding_mask, batched, scores, given):
                scores[..., :given] += mask
        p = scores  # the same memory
        softmax_rows(p, np.nan if need_weights else 0)
        drawn = (len(p) * self.num_heads, *p.shape[2:]) if need_weights else p.shape
        dropped = Dropout(self.dropout).forward({}, p.reshape(drawn), training=training, noise=noise)
        w = cast(Array, dropped.output).reshape(p.shape)
        mixed = room(query.shape, w, v)
        np.matmul(w, v, out=self._heads(self._batch_first(mixed, batched)))
        out_bias = parameters["out_proj.bias"] if self.bias else None
        y = _affine(mixed, parameters["out_proj.weight"], out_bias)

        def through(grads: Any) -> tuple[list[Array], dict[str, Array]]:
            g, g_shown = grads if need_weights else (grads, None)
            if together is None:
                flows = [np.empty_like(x) for x in roles]
            else:
                all_flows = np.empty_like(together)
                flows = np.split(self._batch_first(all_flows, batched), 3, axis=-1)
            flow_q, flow_k, flow_v = map(self._heads, flows)
            own: dict[str, Array] = {}
            if g is None:  # for zeros would become NaN where the weights are
                g_w, flow_v[...] = np.zeros_like(w), 0
                own = {n: np.zeros_like(parameters[n]) for n in self.parameter_shapes if n.startswith("out_proj")}
            else:
                g_mixed = self._heads(self._batch_first(_affine(g, parameters["out_proj.weight"].T), batched))
                g_w = g_mixed @ v.swapaxes(-1, -2)
                np.matmul(w.swapaxes(-1, -2), g_mixed, out=flow_v)
                own["out_proj.weight"] = matrix_gradient(g, mixed)
                if self.bias:
                    own["out_proj.bias"] = _bias_gradient(g)
            if g_shown is not None:
                g_shown = g_shown if batched else g_shown[None]
                g_w = g_w + (g_shown[:, None] / self.num_heads if average_attn_weights else g_shown)
            g_s = np.asanyarray(dropped.backward(g_w.reshape(drawn)).inputs[0]).reshape(p.shape)
            through_softmax_rows(p, g_s)
            np.matmul(g_s, k, out=flow_q)
            flows[0] *= scale
            np.matmul(g_s.swapaxes(-1, -2), q, out=flow_k)
            if self.add_bias_kv:
                own |= {f"bias_{n}": x[:, [given]].sum(axis=0, keepdims=True) for n, x in zip("kv", flows[1:])}
            flows = [self._as_given(flow[:, : x.shape[1]], batched) for flow, x in zip(flows, projected)]
            pairs = [*zip(flows, inputs)] if together is None else [(all_flows, query)]
            matrices = [matrix_gradient(flow, x) for flow, x in pairs]
            if "in_proj_weight" in self.parameter_shapes:
                own["in_proj_weight"] = np.concatenate(matrices)
            else:
                own |= {f"{n}_proj_weight": matrix for n, matrix in zip("qkv", matrices)}
            if self.bias:
                own["in_proj_bias"] = np.concatenate([_bias_gradient(flow) for flow, _ in pairs])
            return flows, own

        def backward(grads: Any) -> Gradients:
            flows, own = through(grads)
            weights, _ = self._projections(parameters)
            return Gradients(tuple(_affine(flow, m.T) for flow, m in zip(flows, weights)), own)

        output: Any = y
        if need_weights:
            shown = w.mean(axis=1) if average_attn_weights else w
            output = y, shown if batched else shown[0]
        return Step(output, backward, parameters_only=lambda grads: through(grads)[1])

    def _check(self, parameters: Mapping[str, Array], query: Array, key: Array, value: Array) -> None:
        for name, shape in self.parameter_shapes.items():
            check_shape(self, name, parameters[name], shape)
        if query.ndim not in (2, 3):
            raise reject(self, "the shape of query", query.shape, "two axes, or three for a batch")
        time = 1 if self.batch_first and query.ndim == 3 else 0
        wanted: list[int | None] = list(query.shape)
        for name, x, width in zip(("query", "key", "value"), (query, key, value), self._widths):
            wanted[-1] = width
            check_shape(self, name, x, wanted)
            wanted[time] = None if name == "query" else x.shape[time]  # values are as many as keys

    def _projections(self, parameters: Mapping[str, Array]) -> tuple[list[Array], list[Array | None]]:
        """Weights and biases that lead to Q, K and V."""
        if "in_proj_weight" in self.parameter_shapes:
            weights = np.split(parameters["in_proj_weight"], 3)
        else:
            weights = [parameters[f"{name}_proj_weight"] for name in "qkv"]
        return weights, [*np.split(parameters["in_proj_bias"], 3)] if self.bias else [None] * 3

    def _batch_first(self, x: Array, batched: bool) -> Array:
        """Bring x to (N, L, features)."""
        if not batched:
            return x[None]
        return x if self.batch_first else x.swapaxes(0, 1)

    def _as_given(self, x: Array, batched: bool) -> Array:
        """Bring x ``(N, L, features)`` back to the layout of the inputs."""
        if not batched:
            return x.squeeze(0)
        return x if self.batch_first else x.swapaxes(0, 1)

    def _appended(self, x: Array, name: str, parameters: Mapping[str, Array]) -> Array:
        """Add to K or V ``(N, S, embed_dim)`` the rows that nobody gave."""
        if not (self.add_bias_kv or self.add_zero_attn):
            return x
        shape = (len(x), 1, self.embed_dim)
        learned = [np.broadcast_to(parameters[f"bias_{name}"], shape)] if self.add_bias_kv else []
        zeros = [np.zeros(shape, x.dtype)] if self.add_zero_attn else []
        return np.concatenate((x, *learned, *zeros), axis=1)

    def _heads(self, x: Array) -> Array:
        """(N, L, embed_dim) to (N, num_heads, L, d)."""
        n, length, features = x.shape
        return x.reshape(n, length, self.num_heads, features // self.num_heads).swapaxes(1, 2)

    def _masks(
        self, attn_mask: Any, key_padding_mask: Any, batched: bool, scores: Array, given: int
    ) -> Iterator[Array]:
        """What is added to the scores ``(N, num_heads, L, S)`` of the given keys."""
        n, heads, length, _ = scores.shape
        if attn_mask is not None:
            shapes = ((length, given), (n * heads, length, given))
            mask = self._additive("attn_mask", attn_mask, shapes)
            yield mask if mask.ndim == 2 else mask.reshape(n, heads, length, given)
        if key_padding_mask is not None:
            shape = (n, given) if batched else (given,)
            mask = self._additive("key_padding_mask", key_padding_mask, (shape,))
            yield mask.reshape(n, 1, 1, given)

    def _additive(self, name: str, mask: Any, shapes: tuple[Shape, ...]) -> Array:
        array = np.asanyarray(mask)
        if array.shape not in shapes:
            wanted = " or ".join(str(shape) for shape in shapes)
            raise reject(self, f"the shape of {name}", array.shape, wanted)
        if array.dtype.kind not in "bf":
            raise reject(self, f"the dtype of {name}", str(array.dtype), "bool or a floating one")
        return np.where(array, -np.inf, 0) if array.dtype == bool else array
