"""The layers of Transformers: wirings of attention, linear maps, norms and dropout, which bring their own backward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from impl.layer import Array, Composed, Layer, Noise, Step, reject
from impl.layers.activation import GELU
from impl.layers.attention import MultiheadAttention
from impl.layers.dropout import Dropout
from impl.layers.linear import Linear
from impl.layers.normalization import LayerNorm
from impl.layers.rectifier import ReLU
from impl.layers.structural import Add
from impl.network import Network, Node

__all__ = ["TransformerDecoderLayer", "TransformerEncoderLayer"]


def check_features(layer: Layer, name: str, x: Array, features: int) -> None:
    """Raise ValueError unless x is a sequence, or a batch of them, of so many features."""
    if x.ndim not in (2, 3) or x.shape[-1] != features:
        raise reject(layer, f"the shape of {name}", x.shape, f"two or three axes, the last of {features}")


@dataclass(frozen=True, eq=False)
class _TransformerLayer(Composed):
    """What encoder and decoder layers have in common: attention and a feed-forward block, each beside a way around it.

    ``F(x) = dropout(linear2(dropout(activation(linear1(x)))))``. ``activation`` is "relu", "gelu" or any layer.
    """

    attentions: ClassVar[tuple[str, ...]]

    d_model: int
    nhead: int
    dim_feedforward: int = 2048
    dropout: float = 0.1
    activation: str | Layer = "relu"
    layer_norm_eps: float = 1e-5
    batch_first: bool = False
    norm_first: bool = False
    bias: bool = True

    def __post_init__(self) -> None:
        for argument, least in (("d_model", 1), ("nhead", 1), ("dim_feedforward", 0)):
            if getattr(self, argument) < least:
                raise reject(self, argument, getattr(self, argument), f"at least {least}")
        if self.d_model % self.nhead:
            raise reject(self, "nhead", self.nhead, f"a divisor of d_model ({self.d_model})")
        if not 0 <= self.dropout <= 1:
            raise reject(self, "dropout", self.dropout, "a probability, 0 to 1")
        if not (isinstance(self.activation, Layer) or self.activation in ("relu", "gelu")):
            raise reject(self, "activation", self.activation, "'relu', 'gelu' or a layer")

    @cached_property
    def parts(self) -> Mapping[str, Layer]:
        attention = MultiheadAttention(
            self.d_model, self.nhead, self.dropout, bias=self.bias, batch_first=self.batch_first
        )
        drop, norm = Dropout(self.dropout), LayerNorm(self.d_model, self.layer_norm_eps, bias=self.bias)
        numbers = range(1, len(self.attentions) + 2)
        given = {"relu": ReLU(), "gelu": GELU()}
        return {
            **dict.fromkeys(self.attentions, attention),
            "linear1": Linear(self.d_model, self.dim_feedforward, self.bias),
            "dropout": drop,
            "linear2": Linear(self.dim_feedforward, self.d_model, self.bias),
            **{f"norm{i}": norm for i in numbers},
            **{f"dropout{i}": drop for i in numbers},
            "activation": given[self.activation] if isinstance(self.activation, str) else self.activation,
        }

    def wired(self, inputs: Mapping[str, Array], masks: Mapping[str, Mapping[str, Any]]) -> Network:
        """Wire the parts up for inputs, checked, by name; ``masks`` are the forward keywords of each attention."""
        for name, array in inputs.items():
            check_features(self, name, array, self.d_model)
        nodes: list[Node] = []

        def then(name: str, *of: str, **options: Any) -> str:
            nodes.append(Node(name, Add() if name.startswith("sum") else self.parts[name], of, options=options))
            return name

        x, *memory = inputs.keys()
        for i, name in enumerate((*self.attentions, "feed_forward"), start=1):
            start = then(f"norm{i}", x) if self.norm_first else x
            if name in self.attentions:
                keys = memory[0] if i > 1 else start
                end = then(name, start, keys, keys, **masks[name], need_weights=False)
            else:
                end = then("linear2", then("dropout", then("activation", then("linear1", start))))
            x = then(f"sum{i}", x, then(f"dropout{i}", end))
            x = x if self.norm_first else then(f"norm{i}", x)
        return Network(tuple(inputs), nodes, (x,))


@dataclass(frozen=True, eq=False)
class TransformerEncoderLayer(_TransformerLayer):
    """Self-attention A and a feed-forward block F, each beside a way around it::

        x = norm1(src + A(src));  y = norm2(x + F(x))
        x = src + A(norm1(src));  y = x + F(norm2(x))                  with norm_first

    ``A(x) = dropout1(self_attn(x, x, x))``, ``F(x) = dropout2(linear2(dropout(activation(linear1(x)))))``; the
    activation is "relu", "gelu" or a layer. Backward is that of the network, see :class:`impl.Network`.

    Shapes: src and y ``(S, N, d_model)``; N stands first with batch_first and is missing if unbatched. The masks are
    those of :class:`impl.MultiheadAttention`. Noise, in this order: of self_attn, of dropout1, dropout and dropout2.

    In evaluation, where nothing asks for a gradient, torch may take a fused kernel, whose last digits are others.

    Source: Vaswani et al., NIPS 30 (2017), section 3; with norm_first Xiong et al., arXiv:2002.04745 (2020), fig. 1.
    """

    attentions: ClassVar[tuple[str, ...]] = ("self_attn",)

    def forward(
        self,
        parameters: Mapping[str, Array],
        src: Array,
        *,
        training: bool = True,
        noise: Noise = None,
        src_mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> Step:
        masks = {"attn_mask": src_mask, "key_padding_mask": src_key_padding_mask, "is_causal": is_causal}
        network = self.wired({"src": src}, {"self_attn": masks})
        return network.forward(parameters, src, training=training, noise=noise)


@dataclass(frozen=True, eq=False)
class TransformerDecoderLayer(_TransformerLayer):
    """Self-attention A, attention M to a memory, and a feed-forward block F, each beside a way around it::

        x = norm1(tgt + A(tgt));  z = norm2(x + M(x));  y = norm3(z + F(z))
        x = tgt + A(norm1(tgt));  z = x + M(norm2(x));  y = z + F(norm3(z))           with norm_first

    ``A(x) = dropout1(self_attn(x, x, x))``, ``M(x) = dropout2(multihead_attn(x, memory, memory))``,
    ``F(x) = dropout3(linear2(dropout(activation(linear1(x)))))``; the activation is "relu", "gelu" or a layer.
    Backward is that of the network, see :class:`impl.Network`: the memory is used twice, as keys and as values.

    Shapes: tgt and y ``(T, N, d_model)``, memory ``(S, N, d_model)``; N stands first with batch_first and is missing
    if unbatched. The masks are those of :class:`impl.MultiheadAttention`. Noise, in this order: of self_attn, of
    dropout1, of multihead_attn, of dropout2, dropout and dropout3.

    Source: Vaswani et al., NIPS 30 (2017), section 3; with norm_first Xiong et al., arXiv:2002.04745 (2020), fig. 1.
    """

    attentions: ClassVar[tuple[str, ...]] = ("self_attn", "multihead_attn")

    def forward(
        self,
        parameters: Mapping[str, Array],
        tgt: Array,
        memory: Array,
        *,
        training: bool = True,
        noise: Noise = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Step:
        own = {"attn_mask": tgt_mask, "key_padding_mask": tgt_key_padding_mask, "is_causal": tgt_is_causal}
        other = {
            "attn_mask": memory_mask,
            "key_padding_mask": memory_key_padding_mask,
            "is_causal": memory_is_causal,
        }
        network = self.wired({"tgt": tgt, "memory": memory}, {"self_attn": own, "multihead_attn": other})
        return network.forward(parameters, tgt, memory, training=training, noise=noise)
