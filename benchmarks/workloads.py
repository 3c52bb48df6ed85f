"""The networks whose training steps are timed, as architectures: data, layers, and a loss at the end."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, TypeAlias

from reference import Architecture, Input, Node

Layers: TypeAlias = "tuple[tuple[str, Mapping[str, Any]], ...]"


def chain(shape: tuple[int, ...], layers: Layers, loss: str, target: Input, below: int | None = None) -> Architecture:
    """Put layers one after the other, from ``x`` to a loss; ``below`` makes ``x`` indices."""
    x = Input("x", shape, "real" if below is None else "index", below)
    names = ["x", *(f"layer{number}" for number in range(len(layers)))]
    nodes = [Node(name, op, arguments, (before,)) for before, name, (op, arguments) in zip(names, names[1:], layers)]
    return Architecture((x, target), (*nodes, Node("loss", loss, {}, (names[-1], target.name))), ("loss",))


def classes(*shape: int, below: int) -> Input:
    """The right classes, below a number."""
    return Input("target", shape, "index", below)


def numbers(*shape: int) -> Input:
    """Numbers to come near to."""
    return Input("target", shape)


def convolution(channels: int, out: int, **arguments: Any) -> tuple[str, Mapping[str, Any]]:
    """A layer of 3x3 windows which keep the size of the image, unless the arguments say otherwise."""
    return "Conv2d", {"in_channels": channels, "out_channels": out, "kernel_size": 3, "padding": 1, **arguments}


def mlp(*widths: int, batch: int, activation: str = "ReLU", loss: str = "CrossEntropyLoss") -> Architecture:
    """Linear layers with an activation between them."""
    layers: list[tuple[str, Mapping[str, Any]]] = []
    for wide, out in pairwise(widths):
        layers += [("Linear", {"in_features": wide, "out_features": out}), (activation, {})]
    last = widths[-1]
    target = classes(batch, below=last) if loss == "CrossEntropyLoss" else numbers(batch, last)
    return chain((batch, widths[0]), tuple(layers[:-1]), loss, target)


def cnn(*channels: int, size: int, batch: int) -> Architecture:
    """Convolutions, each with ReLU and a pooling that halves the image, and ten classes."""
    layers: list[tuple[str, Mapping[str, Any]]] = []
    for wide, out in pairwise(channels):
        layers += [convolution(wide, out), ("ReLU", {}), ("MaxPool2d", {"kernel_size": 2})]
    left = size >> (len(channels) - 1)
    layers += [("Flatten", {}), ("Linear", {"in_features": channels[-1] * left * left, "out_features": 10})]
    return chain((batch, channels[0], size, size), tuple(layers), "CrossEntropyLoss", classes(batch, below=10))


def recurrent(op: str, features: int, hidden: int, steps: int, batch: int) -> Architecture:
    """A recurrent layer whose outputs come near to numbers at every step."""
    layers = ((op, {"input_size": features, "hidden_size": hidden}),)
    return chain((steps, batch, features), layers, "MSELoss", numbers(steps, batch, hidden))


def encoder(width: int, heads: int, feedforward: int, steps: int, batch: int, dropout: float) -> Architecture:
    """A layer of a Transformer's encoder."""
    arguments = {"d_model": width, "nhead": heads, "dim_feedforward": feedforward, "dropout": dropout}
    layers = (("TransformerEncoderLayer", {**arguments, "batch_first": True}),)
    return chain((batch, steps, width), layers, "MSELoss", numbers(batch, steps, width))


def residual(channels: int, size: int, batch: int) -> Architecture:
    """A residual block: two convolutions with batch norm, which has their bias, and the way around them."""
    op, arguments = convolution(channels, channels, bias=False)
    nodes = (
        Node("conv1", op, arguments, ("x",)),
        Node("norm1", "BatchNorm2d", {"num_features": channels}, ("conv1",)),
        Node("relu1", "ReLU", {}, ("norm1",)),
        Node("conv2", op, arguments, ("relu1",)),
        Node("norm2", "BatchNorm2d", {"num_features": channels}, ("conv2",)),
        Node("add", "Add", {}, ("norm2", "x")),
        Node("relu2", "ReLU", {}, ("add",)),
        Node("loss", "MSELoss", {}, ("relu2", "target")),
    )
    shape = (batch, channels, size, size)
    return Architecture((Input("x", shape), numbers(*shape)), nodes, ("loss",))


def _depthwise() -> Architecture:
    """The depthwise layer stands between pointwise ones, so that it goes back to its inputs, too."""
    layers: Layers = (
        convolution(16, 32, kernel_size=1, padding=0),
        ("ReLU", {}),
        convolution(32, 32, groups=32),
        ("ReLU", {}),
        convolution(32, 16, kernel_size=1, padding=0),
    )
    return chain((16, 16, 32, 32), layers, "MSELoss", numbers(16, 16, 32, 32))


def _strided() -> Architecture:
    layers: Layers = (
        convolution(3, 16, stride=2),
        ("ReLU", {}),
        convolution(16, 32, stride=2),
        ("ReLU", {}),
        ("Flatten", {}),
        ("Linear", {"in_features": 32 * 8 * 8, "out_features": 10}),
    )
    return chain((32, 3, 32, 32), layers, "CrossEntropyLoss", classes(32, below=10))


def _language() -> Architecture:
    layers = (
        ("Embedding", {"num_embeddings": 5000, "embedding_dim": 64}),
        ("Flatten", {"start_dim": 0, "end_dim": 1}),
        ("Linear", {"in_features": 64, "out_features": 5000}),
    )
    return chain((8, 32), layers, "CrossEntropyLoss", classes(8 * 32, below=5000), below=5000)


WORKLOADS: Mapping[str, Architecture] = {
    "MLP 784-256-128-10, batch 64": mlp(784, 256, 128, 10, batch=64),
    "MLP 2-8-2, batch 4": mlp(2, 8, 2, batch=4, activation="Tanh", loss="MSELoss"),
    "CNN 3-16-32, 32x32, batch 32": cnn(3, 16, 32, size=32, batch=32),
    "residual 32, 16x16, batch 16": residual(32, size=16, batch=16),
    "depthwise 32, 32x32, batch 16": _depthwise(),
    "strided 3-16-32, batch 32": _strided(),
    "LSTM 64-128, T=20, batch 16": recurrent("LSTM", 64, 128, steps=20, batch=16),
    "GRU 64-128, T=20, batch 16": recurrent("GRU", 64, 128, steps=20, batch=16),
    "encoder 128, T=64, batch 8": encoder(128, 4, 512, steps=64, batch=8, dropout=0.1),
    "the same without dropout": encoder(128, 4, 512, steps=64, batch=8, dropout=0.0),
    "embedding, 5,000 classes": _language(),
}
"""By what they are called in tables."""
