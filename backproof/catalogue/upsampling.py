"""Rows of the interpolations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backproof.catalogue.row import Chooser, Draw, Row, Shape

HALVES = (2.0, 1.5, 0.5, 2.5)
OTHERS = (1.3, 0.8, 2.2)
LIMITS = (
    "in the modes nearest and bicubic, factors not recomputed are multiples of 1/2: where others leave a size as it "
    "is, or double it, torch's gradient is not that of its forward (docs/findings.md)"
)
OF_RANK = {3: ("linear",), 4: ("bilinear", "bicubic"), 5: ("trilinear",)}


def resized(choose: Chooser, spatial: Shape, factors: Sequence[float]) -> dict[str, Any]:
    """Larger, smaller or the same, by a size or by a factor, one for all axes or one for each."""
    one = choose.boolean()
    axes = (min(spatial),) if one else spatial
    if choose.boolean():
        sizes = [choose.integer(1, min(n + 2, 7)) for n in axes]
        return {"size": sizes[0] if one else sizes}
    chosen = [choose.one_of([f for f in factors if int(n * f)]) for n in axes]
    return {"scale_factor": chosen[0] if one else chosen}


def upsample(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Every mode of the rank; corners aligned or not; factors that are taken as they are, or recomputed."""
    mode = choose.one_of(("nearest", *OF_RANK[len(shape)], "nearest-exact", "area"))
    recompute = choose.one_of((None, False, True))
    smooth = mode.endswith("linear") or mode == "area"
    arguments = resized(choose, shape[2:], (*HALVES, *OTHERS) if smooth or recompute else HALVES)
    if "size" not in arguments:
        arguments["recompute_scale_factor"] = recompute
    if mode.endswith(("linear", "cubic")):
        arguments["align_corners"] = choose.one_of((None, False, True))
    return Draw(arguments | {"mode": mode})


def nearest(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Sizes and factors, without those of which torch's gradient is wrong."""
    return Draw(resized(choose, shape[2:], HALVES))


def bilinear(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Sizes and factors."""
    return Draw(resized(choose, shape[2:], (*HALVES, *OTHERS)))


ROWS = (
    Row("Upsample", (4, 3, 5), upsample, limits=LIMITS),
    Row("UpsamplingNearest2d", (4, 3, 5), nearest, limits=LIMITS),
    Row("UpsamplingBilinear2d", (4,), bilinear),
)
