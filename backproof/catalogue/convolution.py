"""Rows of the convolutions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from backproof.catalogue.row import Chooser, Draw, Row, Shape


def each_axis(choose: Chooser, spatial: Shape, along: Callable[[Chooser, int], dict[str, int]]) -> dict[str, Any]:
    """Draw arguments with one integer for all axes (that fits the shortest), or with one for each axis.

    ``along(choose, size)`` draws them for an axis of that size.
    """
    if not choose.boolean():
        return dict(along(choose, min(spatial)))
    axes = [along(choose, size) for size in spatial]
    return {name: [drawn[name] for drawn in axes] for name in axes[0]}


def window(choose: Chooser, size: int, *, reach: int = 2, pooling: bool = False, dilations: int = 3) -> dict[str, int]:
    """A window that fits an axis: padding up to ``reach``, any stride up to one beyond the kernel, dilation.

    For a pooling the padding is at most half of the kernel, and no dilated window may miss the input.
    """
    padding = choose.integer(0, reach)
    room = size + 2 * padding
    smallest, largest = (max(2 * padding, 1), 2 * padding + 3) if pooling else (1, 3)
    kernel = choose.integer(smallest, min(largest, room))
    widest = min(dilations, max((room - 1) // max(kernel - 1, 1), 1), size if pooling else dilations)
    dilation = choose.integer(1, widest)
    return {
        "kernel_size": kernel,
        "stride": choose.integer(1, kernel + 1),
        "padding": padding,
        "dilation": dilation,
    }


def convolution(rank: int, choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Strides beyond the kernel, even and dilated kernels, groups up to depthwise, all padding modes."""
    channels, spatial = shape[-rank - 1], shape[-rank:]
    mode = choose.one_of(("zeros", "reflect", "replicate", "circular"))
    padding = choose.one_of(("integers", "valid", "same"))
    groups = choose.one_of([d for d in range(1, channels + 1) if channels % d == 0])

    def along(choose: Chooser, size: int) -> dict[str, int]:
        reach = min(2, {"reflect": size - 1, "circular": size}.get(mode, 2))
        if padding != "same":
            return window(choose, size, reach=reach if padding == "integers" else 0)
        kernel = choose.integer(1, min(3, 2 * reach + 1))
        dilation = choose.integer(1, min(3, 2 * reach // (kernel - 1)) if kernel > 1 else 3)
        return {"kernel_size": kernel, "stride": 1, "dilation": dilation}

    arguments = {
        "in_channels": channels,
        "out_channels": groups * choose.integer(1, 3 if groups < 3 else 2),
        **each_axis(choose, spatial, along),
        "groups": groups,
        "bias": choose.boolean(),
        "padding_mode": mode,
    }
    return Draw(arguments if padding == "integers" else arguments | {"padding": padding})


def transposed(rank: int, choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Strides that leave holes, output_padding up to what torch takes, or the size of the output asked for."""
    channels, spatial = shape[-rank - 1], shape[-rank:]
    groups = choose.one_of([d for d in range(1, channels + 1) if channels % d == 0])
    reach = (12, 8, 5)[rank - 1]

    def along(choose: Chooser, size: int) -> dict[str, int]:
        kernel = choose.integer(1, 3)
        stride = choose.integer(1, max(1, min(kernel + 1, reach // size)))
        dilation = choose.integer(1, 3 if rank == 1 else 2)
        full = (size - 1) * stride + dilation * (kernel - 1) + 1
        padding = choose.integer(0, min(2, (full - 1) // 2))
        extra = choose.integer(0, max(stride, dilation) - 1)
        return {
            "kernel_size": kernel,
            "stride": stride,
            "padding": padding,
            "output_padding": extra,
            "dilation": dilation,
        }

    drawn = each_axis(choose, spatial, along)
    arguments = {
        "in_channels": channels,
        "out_channels": groups * choose.integer(1, 3 if groups < 3 else 2),
        **drawn,
        "groups": groups,
        "bias": choose.boolean(),
    }
    axes = {name: value if isinstance(value, list) else [value] * rank for name, value in drawn.items()}
    kernel, stride, padding, extra, dilation = axes.values()
    if any(e >= s for e, s in zip(extra, stride)) or not choose.boolean():
        return Draw(arguments)
    sizes = [
        (n - 1) * s + d * (k - 1) + 1 - 2 * p + e
        for n, k, s, p, e, d in zip(spatial, kernel, stride, padding, extra, dilation)
    ]
    lead = [*shape[: -rank - 1], arguments["out_channels"]] if choose.boolean() else []
    # What the constructor says then counts for nothing.
    return Draw(arguments | {"output_padding": choose.integer(0, 1)}, options={"output_size": lead + sizes})


ROWS = (
    Row("Conv1d", (3, 2), partial(convolution, 1)),
    Row("Conv2d", (4, 3), partial(convolution, 2)),
    Row("Conv3d", (5, 4), partial(convolution, 3)),
    Row("ConvTranspose1d", (3, 2), partial(transposed, 1)),
    Row("ConvTranspose2d", (4, 3), partial(transposed, 2)),
    Row("ConvTranspose3d", (5, 4), partial(transposed, 3)),
)
