"""Wrong backward passes, most of them re-created from mistakes that people really made; one file per family."""

from . import (
    activation,
    attention,
    composition,
    convolution,
    dropout,
    embedding,
    linear,
    loss,
    normalization,
    pooling,
    recurrent,
    state,
    structural,
    transformer,
)
from .planting import BUGS, Bug

__all__ = [
    "BUGS",
    "Bug",
    "activation",
    "attention",
    "composition",
    "convolution",
    "dropout",
    "embedding",
    "linear",
    "loss",
    "normalization",
    "pooling",
    "recurrent",
    "state",
    "structural",
    "transformer",
]
