"""Rows of the normalisations."""

from __future__ import annotations

from math import prod

from backproof.catalogue.row import Chooser, Draw, Row, Shape


def batch_norm(choose: Chooser, shape: Shape, training: bool) -> Draw | None:
    """Down to two values per channel (one in evaluation), all momenta, running statistics or none."""
    single = prod(shape) == shape[1]
    if single and training:
        return None
    arguments = {
        "num_features": shape[1],
        "eps": choose.one_of((1e-5, 1e-3, 0.5)),
        "momentum": choose.one_of((0.1, None, 1.0, 0.0)),
        "affine": choose.boolean(),
        "bias": choose.boolean(),
        "track_running_stats": single or choose.boolean(),
    }
    return Draw(arguments)


def layer_norm(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """From the last axis alone to all axes, batch included; down to a single value, which leaves the bias."""
    normalized = list(shape[choose.integer(0, len(shape) - 1) :])
    arguments = {
        "normalized_shape": normalized[0] if len(normalized) == 1 and choose.boolean() else normalized,
        "eps": choose.one_of((1e-5, 1e-3, 0.5)),
        "elementwise_affine": choose.boolean(),
        "bias": choose.boolean(),
    }
    return Draw(arguments)


ROWS = (
    Row("BatchNorm1d", (2, 3), batch_norm),
    Row("BatchNorm2d", (4,), batch_norm),
    Row("LayerNorm", (2, 3, 4, 1), layer_norm),
)
