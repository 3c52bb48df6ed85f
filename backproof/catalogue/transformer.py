"""Rows of the Transformer layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from backproof.catalogue.attention import causal, mask, padding
from backproof.catalogue.row import Chooser, Draw, Need, Row, Shape

ACTIVATIONS: tuple[Any, ...] = (
    "relu",
    "gelu",
    {"op": "Tanh"},
    {"op": "GELU", "arguments": {"approximate": "tanh"}},
    {"op": "Softmax", "arguments": {"dim": -1}},
)
"""By torch's names, and as layers with and without arguments of their own."""


WIDEST, STACKED = 4, 2
"""Features of the widest sequences, and of those that go through two layers: all parameters are differentiated."""


def _arguments(choose: Chooser, width: int) -> dict[str, Any]:
    """From one head to one per feature, a single hidden feature, dropout of none to all, a norm that eps flattens."""
    return {
        "d_model": width,
        "nhead": choose.one_of([n for n in range(1, width + 1) if width % n == 0]),
        "dim_feedforward": choose.integer(1, 3),
        "dropout": choose.one_of((0.0, 0.3, 0.5, 1.0)),
        "activation": choose.one_of(ACTIVATIONS),
        "layer_norm_eps": choose.one_of((1e-5, 0.5)),
        "batch_first": choose.boolean(),
        "norm_first": choose.boolean(),
        "bias": choose.one_of((True, True, False)),
    }


def _sizes(shape: Shape, batch_first: bool) -> tuple[Shape, int]:
    """The batch, if any, and the length of sequences of this shape."""
    if len(shape) == 2:
        return (), shape[0]
    return (shape[0 if batch_first else 1],), shape[1 if batch_first else 0]


def _beside(shape: Shape, batch_first: bool, length: int) -> Shape:
    """The shape of sequences of another length beside those of ``shape``."""
    batch, _ = _sizes(shape, batch_first)
    return (*batch, length, shape[-1]) if batch_first else (length, *batch, shape[-1])


Names: TypeAlias = tuple[str, str, str]
ENCODER_LAYER: Names = ("src_mask", "src_key_padding_mask", "is_causal")
ENCODER: Names = ("mask", "src_key_padding_mask", "is_causal")
SOURCE: Names = ("src_mask", "src_key_padding_mask", "src_is_causal")
TARGET: Names = ("tgt_mask", "tgt_key_padding_mask", "tgt_is_causal")
MEMORY: Names = ("memory_mask", "memory_key_padding_mask", "memory_is_causal")


def _masks(choose: Chooser, names: Names, sizes: tuple[Shape, int], heads: int, keys: int) -> dict[str, Any]:
    """Forward keywords of one attention: no mask, a drawn one, the causal one with a hint and without; padding."""
    attention_mask, key_padding_mask, hint = names
    batch, length = sizes
    options: dict[str, Any] = {}
    kind = choose.one_of(("none", "drawn", "causal", "hinted"))
    if kind == "drawn":
        options[attention_mask] = mask(choose, batch, heads, length, keys)
    elif kind != "none":
        options[attention_mask] = causal(length, keys)
    if kind == "hinted":
        options[hint] = True
    if choose.boolean():
        options[key_padding_mask] = padding(choose, batch, keys)
    return options


def _encoding(choose: Chooser, names: Names, shape: Shape, layer: Mapping[str, Any]) -> dict[str, Any]:
    sizes = _sizes(shape, layer["batch_first"])
    return _masks(choose, names, sizes, layer["nhead"], sizes[1])


def _decoding(choose: Chooser, shape: Shape, layer: Mapping[str, Any], keys: int) -> dict[str, Any]:
    sizes = _sizes(shape, layer["batch_first"])
    own = _masks(choose, TARGET, sizes, layer["nhead"], sizes[1])
    return own | _masks(choose, MEMORY, sizes, layer["nhead"], keys)


def _norm(choose: Chooser, width: int) -> dict[str, Any] | None:
    """None, the usual one, or a layer of another kind."""
    norm = {"op": "LayerNorm", "arguments": {"normalized_shape": width, "eps": choose.one_of((1e-5, 0.5))}}
    return choose.one_of((None, norm, norm, {"op": "Identity"}))


def encoder_layer(choose: Chooser, shape: Shape, training: bool) -> Draw | None:
    """All arguments, every kind of mask."""
    if shape[-1] > WIDEST:
        return None
    arguments = _arguments(choose, shape[-1])
    return Draw(arguments, (), _encoding(choose, ENCODER_LAYER, shape, arguments))


def decoder_layer(choose: Chooser, shape: Shape, training: bool) -> Draw | None:
    """All arguments, every kind of mask on both attentions, a memory of one to three positions."""
    if shape[-1] > WIDEST:
        return None
    arguments, keys = _arguments(choose, shape[-1]), choose.integer(1, 3)
    memory = Need(_beside(shape, arguments["batch_first"], keys))
    return Draw(arguments, (memory,), _decoding(choose, shape, arguments, keys))


def encoder(choose: Chooser, shape: Shape, training: bool) -> Draw | None:
    """One and two layers, with a norm on top and without."""
    if shape[-1] > WIDEST:
        return None
    layer = _arguments(choose, shape[-1])
    arguments = {
        "encoder_layer": {"op": "TransformerEncoderLayer", "arguments": layer},
        "num_layers": choose.integer(1, 2 if shape[-1] <= STACKED else 1),
        "norm": _norm(choose, shape[-1]),
        "enable_nested_tensor": choose.boolean(),
        "mask_check": choose.boolean(),
    }
    return Draw(arguments, (), _encoding(choose, ENCODER, shape, layer))


def decoder(choose: Chooser, shape: Shape, training: bool) -> Draw | None:
    """One and two layers, with a norm on top and without."""
    if shape[-1] > WIDEST:
        return None
    layer, keys = _arguments(choose, shape[-1]), choose.integer(1, 3)
    arguments = {
        "decoder_layer": {"op": "TransformerDecoderLayer", "arguments": layer},
        "num_layers": choose.integer(1, 2 if shape[-1] <= STACKED else 1),
        "norm": _norm(choose, shape[-1]),
    }
    memory = Need(_beside(shape, layer["batch_first"], keys))
    return Draw(arguments, (memory,), _decoding(choose, shape, layer, keys))


def source(choose: Chooser, shape: Shape) -> Need:
    """Few features: a Transformer has parameters enough."""
    lengths = [choose.integer(1, 3) for _ in range(choose.one_of((2, 1)))]
    return Need((*lengths, choose.integer(1, 3)))


def transformer(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """One and two layers each way; a custom stack, which has no norm on top, in the place of either."""
    layer, length = _arguments(choose, shape[-1]), choose.integer(1, 3)
    arguments = layer | {
        f"num_{kind}_layers": choose.integer(1, 2 if shape[-1] <= STACKED else 1) for kind in ("encoder", "decoder")
    }
    for kind, name in (("encoder", "TransformerEncoder"), ("decoder", "TransformerDecoder")):
        if choose.integer(0, 3) == 3:
            stacked = {"op": f"{name}Layer", "arguments": layer}
            arguments[f"custom_{kind}"] = {"op": name, "arguments": {f"{kind}_layer": stacked, "num_layers": 1}}
    target = _beside(shape, layer["batch_first"], length)
    _, keys = _sizes(shape, layer["batch_first"])
    options = _encoding(choose, SOURCE, shape, layer) | _decoding(choose, target, layer, keys)
    return Draw(arguments, (Need(target),), options)


FUNCTIONS = 'activation is "relu", "gelu" or a layer, as no function knows its own backward'

ROWS = (
    Row("TransformerEncoderLayer", (3, 2), encoder_layer, limits=FUNCTIONS),
    Row("TransformerDecoderLayer", (3, 2), decoder_layer, limits=FUNCTIONS),
    Row("TransformerEncoder", (3, 2), encoder),
    Row("TransformerDecoder", (3, 2), decoder),
    Row("Transformer", (3, 2), transformer, first=source, limits=FUNCTIONS),
)
