"""Interpolation: what the catalogue's properties cannot see."""

import numpy as np
import pytest
import torch
from beside_torch import beside_torch

import impl

RANKS = {"nearest": 1, "nearest-exact": 2, "area": 3, "linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}


def shaped(rank, *lead):
    return np.random.default_rng(0).standard_normal((*lead, *(3, 1, 4)[-rank:]))


@pytest.mark.parametrize("mode", RANKS)
@pytest.mark.parametrize("size", [1, 3, 4, 7])
@pytest.mark.parametrize("align_corners", [None, False, True])
def test_sizes_are_reached_as_torch_reaches_them(mode, size, align_corners):
    if align_corners is None or mode.endswith(("linear", "cubic")):
        x = shaped(RANKS[mode], 2, 3)
        beside_torch("Upsample", x, size=size, mode=mode, align_corners=align_corners)


@pytest.mark.parametrize("mode", RANKS)
@pytest.mark.parametrize("factor", [1.5, 2.0, 2.5, 1.3])
@pytest.mark.parametrize("recompute", [None, True])
def test_factors_are_taken_as_they_are_or_computed_again(mode, factor, recompute):
    if recompute or mode.endswith("linear") or 2 * factor == int(2 * factor):
        beside_torch(
            "Upsample", shaped(RANKS[mode], 2, 3), scale_factor=factor, mode=mode, recompute_scale_factor=recompute
        )


@pytest.mark.parametrize(
    ("size", "dtype"),
    [(46, "float64"), (46, "float32"), (41, "float64"), (41, "float32"), (23, "float64"), (23, "float32")],
)
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_the_nearest_is_rounded_as_torch_rounds_it(mode, size, dtype):
    for n in (2, 4, 14):
        x = np.arange(n, dtype=dtype)[None, None]
        want = torch.nn.Upsample(size, mode=mode)(torch.tensor(x)).numpy()
        np.testing.assert_array_equal(impl.Upsample(size, mode=mode).forward({}, x).output, want)


def test_the_gradient_is_that_of_the_forward_where_torchs_is_not():
    x = np.array([[[1.0, 2.0]]])
    step = impl.Upsample(scale_factor=1.1).forward({}, x)
    np.testing.assert_array_equal(step.output, [[[1, 1]]])
    np.testing.assert_array_equal(step.backward(np.ones((1, 1, 2))).inputs[0], [[[2, 0]]])
    there = torch.tensor(x, requires_grad=True)
    y = torch.nn.Upsample(scale_factor=1.1)(there)
    y.sum().backward()
    assert y.tolist() == [[[1, 1]]]
    assert there.grad.tolist() == [[[1, 1]]]  # docs/findings.md: no longer so, if PyTorch has mended it


def test_the_classes_with_a_fixed_mode_are_torchs():
    for rank in (1, 2, 3):
        beside_torch("UpsamplingNearest2d", shaped(rank, 2, 3), scale_factor=2)
    beside_torch("UpsamplingBilinear2d", shaped(2, 2, 3), size=(2, 7))
    beside_torch("UpsamplingBilinear2d", shaped(2, 2, 3), scale_factor=(2.0, 1.3))


@pytest.mark.parametrize("mode", RANKS)
def test_an_empty_batch_passes(mode):
    assert beside_torch("Upsample", shaped(RANKS[mode], 0, 3), size=2, mode=mode).shape[0] == 0


def test_areas_may_be_none_at_all():
    assert impl.Upsample(0, mode="area").forward({}, np.ones((2, 3, 4))).output.shape == (2, 3, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "scale_factor is None, wanted either it or size, which is None"),
        ({"size": 2, "scale_factor": 2}, "scale_factor is 2, wanted either it or size, which is 2"),
        ({"size": 2.5}, "size is 2.5, wanted an integer"),
        ({"size": -1}, "size is -1, wanted an integer"),
        ({"scale_factor": 0.0}, "scale_factor is 0.0, wanted a positive number"),
        ({"scale_factor": (2.0, -1.0)}, r"scale_factor is \(2.0, -1.0\), wanted a positive number"),
        ({"size": 2, "mode": "lanczos"}, "mode is 'lanczos', wanted one of nearest, nearest-exact, area, linear"),
        ({"size": 2, "align_corners": False}, "align_corners is False, wanted None for the mode nearest"),
        ({"size": 2, "recompute_scale_factor": True}, "recompute_scale_factor is True, wanted None or False"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=f"Upsample: {message}"):
        impl.Upsample(**arguments)
    with pytest.raises((ValueError, RuntimeError, TypeError)):  # torch refuses it, too, if only in forward
        torch.nn.Upsample(**arguments)(torch.zeros(2, 3, 4, 4))


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ({"size": 2, "mode": "linear"}, (2, 3, 4, 4), r"\(2, 3, 4, 4\), wanted \(N, C, W\) for the mode linear"),
        ({"size": 2}, (3, 4), r"wanted \(N, C, W\) or \(N, C, H, W\) or \(N, C, D, H, W\) for the mode nearest"),
        ({"size": 2}, (2, 0, 4), "wanted at least one channel and one element along each axis"),
        ({"size": 2}, (2, 3, 0), "wanted at least one channel and one element along each axis"),
        ({"scale_factor": 0.2}, (2, 3, 4), r"wanted at least one channel .* also of the \[0\] that come out"),
        ({"size": (2, 2)}, (2, 3, 4), r"size is \(2, 2\), wanted one number or 1 for the shape \(2, 3, 4\)"),
        ({"scale_factor": (2.0,)}, (2, 3, 4, 4), r"scale_factor is \(2.0,\), wanted one number or 2"),
    ],
)
def test_a_wrong_input_is_named(arguments, shape, message):
    with pytest.raises(ValueError, match=f"Upsample: .*{message}"):
        impl.Upsample(**arguments).forward({}, np.zeros(shape))
    with pytest.raises((ValueError, RuntimeError, NotImplementedError)):  # torch refuses it, too
        torch.nn.Upsample(**arguments)(torch.zeros(shape))
