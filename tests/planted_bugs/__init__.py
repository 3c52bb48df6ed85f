"""Wrong backward passes, most of them re-created from mistakes that people really made; one file per family."""

from . import (
    activation,
    attention,
    convolution,
    dropout,
    embedding,
    linear,
    loss,
    normalization,
    pooling,
    recurrent,
    structural,
)
from .planting import BUGS, Bug

__all__ = [
    "BUGS",
    "Bug",
    "activation",
    "attention",
    "convolution",
    "dropout",
    "embedding",
    "linear",
    "loss",
    "normalization",
    "pooling",
    "recurrent",
    "structural",
]
