"""Transformers: stacks of their layers, whose backward is that of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from impl.init import xavier_uniform
from impl.layer import Array, Composed, Layer, Noise, Step, reject
from impl.layers.normalization import LayerNorm
from impl.layers.transformer_layers import TransformerDecoderLayer, TransformerEncoderLayer, check_features
from impl.network import Network, Node

__all__ = ["Transformer", "TransformerDecoder", "TransformerEncoder"]


class _Stack(Composed):
    """Layers of one kind on top of one another, and a norm: ``norm(layer(... layer(x)))``, ``layers.0`` first."""

    inputs: ClassVar[tuple[str, ...]]
    num_layers: int
    norm: Layer | None

    @property
    def layer(self) -> Layer:
        """The layer that is stacked."""
        raise TypeError(f"{type(self).__name__} stacks no layer")

    def __post_init__(self) -> None:
        if self.num_layers < 1:
            raise reject(self, "num_layers", self.num_layers, "at least 1")
        if not (self.norm is None or isinstance(self.norm, Layer)):
            raise reject(self, "norm", self.norm, "None or a layer")

    def stacked(self, **options: Any) -> Network:
        """The layers, each with these forward keywords; what is not handed up is given to each of them."""
        first, *given = self.inputs
        chain = [first, *map(str, range(self.num_layers))]
        nodes = [Node(n, self.layer, (below, *given), options=options) for below, n in pairwise(chain)]
        return Network(self.inputs, nodes, chain[-1:])

    @cached_property
    def parts(self) -> Mapping[str, Layer]:
        return {"layers": self.stacked()} | ({} if self.norm is None else {"norm": self.norm})

    def initial(self, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> dict[str, Array]:
        made = super().initial(rng, dtype)
        # torch copies the one layer that it was given: all start from the same numbers.
        return {
            name: made[f"layers.0.{name.split('.', 2)[2]}"].copy() if name.startswith("layers.") else array
            for name, array in made.items()
        }

    def run(
        self, parameters: Mapping[str, Array], *inputs: Array, training: bool, noise: Noise, **options: Any
    ) -> Step:
        """Run the stack, each layer with the same options."""
        nodes = [Node("layers", self.stacked(**options), self.inputs)]
        if self.norm is not None:
            nodes.append(Node("norm", self.norm, ("layers",)))
        network = Network(self.inputs, nodes, (nodes[-1].name,))
        return network.forward(parameters, *inputs, training=training, noise=noise)


@dataclass(frozen=True, eq=False)
class TransformerEncoder(_Stack):
    """Encoder layers on top of one another: ``y = norm(layer(... layer(src)))``; backward is that of the network.

    Shapes: src and y as :class:`impl.TransformerEncoderLayer` has them. ``mask`` and ``src_key_padding_mask`` go to
    each layer. ``is_causal`` None, torch's looking whether the mask is causal, finds another way to the same numbers.

    ``enable_nested_tensor`` and ``mask_check`` change no number here: torch heeds them in evaluation only, where
    nothing asks for a gradient. There it may leave out what is padding, and put out zeros for it.

    Source: Vaswani et al., NIPS 30 (2017), section 3.1.
    """

    inputs: ClassVar[tuple[str, ...]] = ("src",)

    encoder_layer: TransformerEncoderLayer
    num_layers: int
    norm: Layer | None = None
    enable_nested_tensor: bool = True
    mask_check: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.encoder_layer, TransformerEncoderLayer):
            raise reject(self, "encoder_layer", self.encoder_layer, "a TransformerEncoderLayer")

    @property
    def layer(self) -> Layer:
        return self.encoder_layer

    def forward(
        self,
        parameters: Mapping[str, Array],
        src: Array,
        *,
        training: bool = True,
        noise: Noise = None,
        mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool | None = None,
    ) -> Step:
        return self.run(
            parameters,
            src,
            training=training,
            noise=noise,
            src_mask=mask,
            src_key_padding_mask=src_key_padding_mask,
            is_causal=bool(is_causal),
        )


@dataclass(frozen=True, eq=False)
class TransformerDecoder(_Stack):
    """Decoder layers on top of one another: ``y = norm(layer(... layer(tgt, memory), memory))``.

    Backward is that of the network: the gradient of the memory is the sum of what every layer sends back to it.
    Shapes: tgt, memory and y as :class:`impl.TransformerDecoderLayer` has them. The masks go to each layer.
    ``tgt_is_causal`` None, torch's looking whether the mask is causal, finds another way to the same numbers.

    Source: Vaswani et al., NIPS 30 (2017), section 3.1.
    """

    inputs: ClassVar[tuple[str, ...]] = ("tgt", "memory")

    decoder_layer: TransformerDecoderLayer
    num_layers: int
    norm: Layer | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.decoder_layer, TransformerDecoderLayer):
            raise reject(self, "decoder_layer", self.decoder_layer, "a TransformerDecoderLayer")

    @property
    def layer(self) -> Layer:
        return self.decoder_layer

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
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Step:
        return self.run(
            parameters,
            tgt,
            memory,
            training=training,
            noise=noise,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=bool(tgt_is_causal),
            memory_is_causal=memory_is_causal,
        )


@dataclass(frozen=True, eq=False)
class Transformer(Composed):
    """An encoder and a decoder that attends to what it puts out: ``y = decoder(tgt, encoder(src))``.

    Both are stacks of layers with a LayerNorm on top, or custom ones: layers with the inputs and forward keywords of
    :class:`impl.TransformerEncoder` and :class:`impl.TransformerDecoder`. Backward is that of the network.

    Shapes: src ``(S, N, d_model)``, tgt and y ``(T, N, d_model)``; N stands first with batch_first and is missing if
    unbatched. Masks as in :class:`impl.MultiheadAttention`. Noise: the encoder's, then the decoder's.

    Source: Vaswani et al., NIPS 30 (2017), section 3.
    """

    d_model: int = 512
    nhead: int = 8
    num_encoder_layers: int = 6
    num_decoder_layers: int = 6
    dim_feedforward: int = 2048
    dropout: float = 0.1
    activation: str | Layer = "relu"
    custom_encoder: Layer | None = None
    custom_decoder: Layer | None = None
    layer_norm_eps: float = 1e-5
    batch_first: bool = False
    norm_first: bool = False
    bias: bool = True

    def __post_init__(self) -> None:
        for argument in ("custom_encoder", "custom_decoder"):
            value = getattr(self, argument)
            if not (value is None or isinstance(value, Layer)):
                raise reject(self, argument, value, "None or a layer")
        _ = self.parts  # which check the other arguments

    @cached_property
    def parts(self) -> Mapping[str, Layer]:
        given = (
            self.d_model,
            self.nhead,
            self.dim_feedforward,
            self.dropout,
            self.activation,
            self.layer_norm_eps,
            self.batch_first,
            self.norm_first,
            self.bias,
        )
        norm = LayerNorm(self.d_model, self.layer_norm_eps, bias=self.bias)
        encoder, decoder = self.custom_encoder, self.custom_decoder
        if encoder is None:
            encoder = TransformerEncoder(TransformerEncoderLayer(*given), self.num_encoder_layers, norm)
        if decoder is None:
            decoder = TransformerDecoder(TransformerDecoderLayer(*given), self.num_decoder_layers, norm)
        return {"encoder": encoder, "decoder": decoder}

    def initial(self, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> dict[str, Array]:
        made = super().initial(rng, dtype)
        for name, shape in self.parameter_shapes.items():
            if len(shape) > 1:
                made[name] = xavier_uniform(rng, shape, dtype=dtype)
        return made

    def forward(
        self,
        parameters: Mapping[str, Array],
        src: Array,
        tgt: Array,
        *,
        training: bool = True,
        noise: Noise = None,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Step:
        check_features(self, "src", src, self.d_model)
        check_features(self, "tgt", tgt, self.d_model)
        batch = 0 if self.batch_first else 1
        if src.ndim != tgt.ndim or (src.ndim == 3 and src.shape[batch] != tgt.shape[batch]):
            raise reject(self, "the shape of tgt", tgt.shape, f"as many samples as src, {src.shape}")
        there = {"mask": src_mask, "src_key_padding_mask": src_key_padding_mask, "is_causal": src_is_causal}
        here = {
            "tgt_mask": tgt_mask,
            "memory_mask": memory_mask,
            "tgt_key_padding_mask": tgt_key_padding_mask,
            "memory_key_padding_mask": memory_key_padding_mask,
            "tgt_is_causal": tgt_is_causal,
            "memory_is_causal": memory_is_causal,
        }
        nodes = (
            Node("encoder", self.parts["encoder"], ("src",), options=there),
            Node("decoder", self.parts["decoder"], ("tgt", "encoder"), options=here),
        )
        return Network(("src", "tgt"), nodes, ("decoder",)).forward(
            parameters, src, tgt, training=training, noise=noise
        )
