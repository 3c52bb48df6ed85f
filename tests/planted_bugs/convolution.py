"""Mistakes in convolutions."""

import numpy as np

from impl.layer import Gradients
from impl.windows import per_axis

from .planting import Run, bug


def strides(run: Run) -> tuple[int, ...]:
    """One stride per axis."""
    return per_axis(run.layer, "stride", run.layer.rank, 1)


def unstrided(run: Run) -> Gradients:
    """Go back as if the windows lay side by side: the cotangent fills the corner of the output of stride 1."""
    step = run.again(stride=1)
    assert isinstance(step.output, np.ndarray)
    g = np.zeros_like(step.output)
    g[tuple(slice(n) for n in run.g.shape)] = run.g
    return step.backward(g)


@bug("Conv2d", words="remainder", source="f-dangel/backpack#30")
def _(run: Run) -> Gradients:
    """The gradient of the input ends where the last window does: the remainder of the stride is missing."""
    layer = run.layer
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        return run.right
    kernel, dilation, padding = (
        per_axis(layer, name, 2, least) for name, least in (("kernel_size", 1), ("dilation", 1), ("padding", 0))
    )
    sizes = zip(run.g.shape[-2:], strides(run), kernel, dilation, padding)
    reach = [(n - 1) * s + d * (k - 1) + 1 - 2 * p for n, s, k, d, p in sizes]
    return run.input(run.dx[..., : max(reach[0], 0), : max(reach[1], 0)])


@bug("Conv2d", words="means? over", source="sebgao/cTensor#3")
def _(run: Run) -> Gradients:
    """The weight is divided by the batch and by the height and width of the output."""
    count = run.g.size // run.g.shape[-3]
    return run.own(weight=lambda w: w / count)


@bug("Conv2d", words="group", source="pytorch/pytorch#51430")
def _(run: Run) -> Gradients:
    """With groups, the weight meets the input channels of other groups: they are dealt out in turn."""
    groups, channels = run.layer.groups, run.x.shape[-3]
    order = np.arange(channels).reshape(-1, groups).T.ravel()
    turned = run.again(np.take(run.x, order, axis=-3)).backward(run.g).parameters["weight"]
    return run.own(weight=lambda _: turned)


@bug("Conv2d", words="stride", source="enggen/Deep-Learning-Coursera#7")
def _(run: Run) -> Gradients:
    """Backward walks over the input in steps of 1, whatever the stride."""
    return unstrided(run) if max(strides(run)) > 1 else run.right


@bug("Conv2d", words="flip|revers", source="llvm/torch-mlir#4437")
def _(run: Run) -> Gradients:
    """The kernel is not flipped on the way back to the input where only one axis of it is longer than 1."""
    weight = run.parameters["weight"]
    if sum(n > 1 for n in weight.shape[2:]) != 1:
        return run.right
    return run.input(run.again(parameters={"weight": weight[:, :, ::-1, ::-1]}).backward(run.g).inputs[0])


@bug("Conv2d", words="border|column|edge|last")
def _(run: Run) -> Gradients:
    """The bias misses the last column of the image."""
    return run.own(bias=lambda b: b - run.g[..., -1].sum(axis=(-1, 0) if run.g.ndim == 4 else -1))


@bug("Conv1d", words="dilation|stride", source="iree-org/iree-turbine#1223")
def _(run: Run) -> Gradients:
    """Stride and dilation are exchanged in the gradient of the weight."""
    layer, x, g = run.layer, run.x, run.g
    if layer.padding not in (0, "valid") or layer.groups > 1 or x.ndim == 2:
        return run.right
    (stride,), (dilation,) = strides(run), per_axis(layer, "dilation", 1, 1)
    kernel = run.parameters["weight"].shape[-1]
    places = np.arange(g.shape[-1])[:, None] * dilation + np.arange(kernel) * stride
    seen = x[..., np.minimum(places, x.shape[-1] - 1)]
    return run.own(weight=lambda _: np.einsum("nop,ncpk->ock", g, seen))


@bug("Conv3d", words="border|slice|edge|last")
def _(run: Run) -> Gradients:
    """The bias misses the last slice in depth."""
    return run.own(bias=lambda b: b - run.g[..., -1, :, :].sum(axis=(-2, -1, 0) if run.g.ndim == 5 else (-2, -1)))


@bug("ConvTranspose1d", words="flip|revers")
def _(run: Run) -> Gradients:
    """The kernel is flipped on the way back, as if this were a convolution."""
    return run.input(run.again(parameters={"weight": run.parameters["weight"][..., ::-1]}).backward(run.g).inputs[0])


@bug("ConvTranspose2d", words="transposed")
def _(run: Run) -> Gradients:
    """The weight is read as that of a convolution: input and output channels are exchanged where they are as many."""
    weight = run.parameters["weight"]
    if weight.shape[0] != weight.shape[1]:
        return run.right
    return run.input(run.again(parameters={"weight": weight.swapaxes(0, 1)}).backward(run.g).inputs[0])


@bug("ConvTranspose2d", words="last|lacks|edge|border")
def _(run: Run) -> Gradients:
    """The bias misses the rows that output_padding adds."""
    extra, _ = per_axis(run.layer, "output_padding", 2, 0)
    if not extra or run.options.get("output_size") is not None:
        return run.right
    return run.own(bias=lambda b: b - run.g[..., -extra:, :].sum(axis=(-2, -1, 0) if run.g.ndim == 4 else (-2, -1)))


@bug("ConvTranspose3d", words="group")
def _(run: Run) -> Gradients:
    """With groups, the weight meets the input channels of other groups: they are dealt out in turn."""
    groups, channels = run.layer.groups, run.x.shape[-4]
    order = np.arange(channels).reshape(-1, groups).T.ravel()
    turned = run.again(np.take(run.x, order, axis=-4)).backward(run.g).parameters["weight"]
    return run.own(weight=lambda _: turned)
