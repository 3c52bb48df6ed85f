"""Rows of the normalisations."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from backproof.catalogue.row import Chooser, Draw, Row, Shape

SLIDING = "with less than two per channel, size is not compared: PyTorch's backward is not its forward's derivative"


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


def rms_norm(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """From the last axis alone to all axes; the epsilon of the dtype, too."""
    normalized = list(shape[choose.integer(0, len(shape) - 1) :])
    arguments = {
        "normalized_shape": normalized[0] if len(normalized) == 1 and choose.boolean() else normalized,
        "eps": choose.one_of((1e-5, None, 1e-3, 0.5)),
        "elementwise_affine": choose.boolean(),
    }
    return Draw(arguments)


def group_norm(choose: Chooser, shape: Shape, training: bool) -> Draw | None:
    """One group to as many as there are channels; down to a single value, which leaves the bias."""
    groups = choose.one_of([n for n in range(1, shape[1] + 1) if shape[1] % n == 0])
    if prod(shape) == groups:
        return None
    arguments = {
        "num_groups": groups,
        "num_channels": shape[1],
        "eps": choose.one_of((1e-5, 1e-3, 0.5)),
        "affine": choose.boolean(),
        "bias": choose.boolean(),
    }
    return Draw(arguments)


def instance_norm(spatial: int) -> Callable[[Chooser, Shape, bool], Draw | None]:
    """Down to two values per channel (one in evaluation), all momenta, running statistics or none."""

    def draw(choose: Chooser, shape: Shape, training: bool) -> Draw | None:
        single = prod(shape[-spatial:]) == 1
        if single and training:
            return None
        arguments = {
            "num_features": shape[-spatial - 1],
            "eps": choose.one_of((1e-5, 1e-3, 0.5)),
            "momentum": choose.one_of((0.1, None, 1.0, 0.0)),
            "affine": choose.boolean(),
            "bias": choose.boolean(),
            "track_running_stats": single or choose.boolean(),
        }
        return Draw(arguments)

    return draw


def across_channels(least: int, per_channel: int = 0) -> Callable[[Chooser, Shape, bool], Draw]:
    """One channel alone to more than there are, from next to no normalisation to a strong one."""

    def draw(choose: Chooser, shape: Shape, training: bool) -> Draw:
        arguments = {
            "size": max(least, per_channel * shape[1]) + choose.integer(0, 4),
            "alpha": choose.one_of((1e-4, 1.0, 0.5, 0.0)),
            "beta": choose.one_of((0.75, 0.5, 1.0, 2.0, 0.0)),
            "k": choose.one_of((1.0, 2.0, 0.25)),
        }
        return Draw(arguments)

    return draw


ROWS = (
    Row("BatchNorm1d", (2, 3), batch_norm),
    Row("BatchNorm2d", (4,), batch_norm),
    Row("BatchNorm3d", (5,), batch_norm),
    Row("CrossMapLRN2d", (4,), across_channels(2, 2), limits=SLIDING),
    Row("GroupNorm", (3, 4, 2, 5), group_norm),
    Row("InstanceNorm1d", (3, 2), instance_norm(1)),
    Row("InstanceNorm2d", (4, 3), instance_norm(2)),
    Row("InstanceNorm3d", (5, 4), instance_norm(3)),
    Row("LayerNorm", (2, 3, 4, 1), layer_norm),
    Row("LocalResponseNorm", (3, 4, 5), across_channels(1)),
    Row("RMSNorm", (2, 3, 4, 1), rms_norm),
)
