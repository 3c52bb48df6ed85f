"""Poolings: what the catalogue's properties cannot see."""

import numpy as np
import pytest
import torch
from beside_torch import beside_torch

import impl

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("op", "arguments", "message"),
    [
        ("MaxPool2d", {"kernel_size": (2, 0)}, r"kernel_size is \(2, 0\), wanted 2 integers"),
        ("MaxPool2d", {"kernel_size": 2, "stride": 0}, "stride is 0, wanted"),
        ("MaxPool2d", {"kernel_size": 2, "dilation": 0}, "dilation is 0, wanted"),
        (
            "MaxPool2d",
            {"kernel_size": (4, 2), "padding": 2},
            r"padding is 2, wanted at most half of .*\(4, 2\)",
        ),
        ("AvgPool2d", {"kernel_size": 3, "padding": 2}, "padding is 2, wanted at most half of kernel_size 3"),
        ("AvgPool2d", {"kernel_size": 3, "divisor_override": 0}, "divisor_override is 0, wanted"),
        ("LPPool2d", {"norm_type": 2, "kernel_size": 0}, "kernel_size is 0, wanted"),
        ("LPPool2d", {"norm_type": 2, "kernel_size": 1, "stride": 0}, "stride is 0, wanted"),
    ],
)
def test_a_wrong_argument_is_named(op, arguments, message):
    with pytest.raises(ValueError, match=f"{op}: {message}"):
        getattr(impl, op)(**arguments)
    with pytest.raises(RuntimeError):  # torch refuses it, too, if only in forward
        getattr(torch.nn, op)(**arguments)(torch.zeros(1, 1, 6, 6))


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (impl.MaxPool2d(2), (4, 4), r"input is \(4, 4\), wanted \(N, C, H, W\) or \(C, H, W\)"),
        (impl.AvgPool2d(3), (1, 2, 5), r"input is \(1, 2, 5\), wanted room for a window along each axis"),
        (impl.MaxPool2d(2, dilation=3), (1, 3, 5), "wanted room for a window along each axis"),
        (impl.MaxPool1d(1), (2, 0, 5), r"input is \(2, 0, 5\), wanted at least one channel and one element"),
        (impl.AvgPool3d(1), (2, 3, 4, 0, 4), "wanted at least one channel and one element along each axis"),
        (impl.LPPool3d(2, 2), (4, 4, 4), r"wanted \(N, C, D, H, W\) or \(C, D, H, W\)"),
    ],
)
def test_a_wrong_input_is_named(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.forward({}, np.zeros(shape))


def test_a_window_in_the_padding_alone_is_refused():
    layer = impl.MaxPool2d(2, stride=1, padding=1, dilation=4)
    with pytest.raises(ValueError, match="MaxPool2d: dilation is 4, wanted one with which every window meets"):
        layer.forward({}, np.zeros((1, 3, 3)))


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((4, 4)),
        np.full((4, 4), -INF),
        np.tile([[1.0, 2.0], [2.0, 1.0]], (2, 2)),
        np.array([[NAN, 1, NAN, 0], [3, NAN, 0, INF], [-INF, -INF, INF, INF], [-INF, -INF, NAN, INF]]),
        np.array([[0.0, -0.0, -0.0, 0.0]] * 4),
    ],
    ids=["zeros", "minus infinity", "diagonal ties", "nan and infinity", "signed zeros"],
)
@pytest.mark.parametrize(
    "arguments",
    [{}, {"stride": 1, "padding": 1}, {"stride": 1, "dilation": 2}, {"stride": 3, "ceil_mode": True}],
)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_winner_of_a_tie_is_torchs(x, arguments, rank):
    shown = {1: x, 2: x[None], 3: np.stack([x, x.T, x[::-1], x])[None]}[rank]
    step = getattr(impl, f"MaxPool{rank}d")(2, return_indices=True, **arguments).forward({}, shown)
    there = torch.tensor(shown, requires_grad=True)
    y, indices = getattr(torch.nn, f"MaxPool{rank}d")(2, return_indices=True, **arguments)(there)
    np.testing.assert_array_equal(step.output[0], y.detach().numpy())
    np.testing.assert_array_equal(step.output[1], indices.numpy())
    g = np.arange(1.0, 1 + y.numel()).reshape(y.shape)
    y.backward(torch.tensor(g))
    np.testing.assert_array_equal(step.backward((g, None)).inputs[0], there.grad.numpy())
    assert step.branches[0].size == y.numel()


@pytest.mark.parametrize("op", ["MaxPool2d", "AvgPool2d"])
def test_ceil_mode_leaves_out_a_window_that_begins_in_the_padding(op):
    arguments = {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True}
    for size in range(1, 9):
        x = np.random.default_rng(size).integers(-9, 10, (1, 1, size, size)).astype(float)  # sums are exact
        expected = getattr(torch.nn, op)(**arguments)(torch.tensor(x)).numpy()
        np.testing.assert_allclose(getattr(impl, op)(**arguments).forward({}, x).output, expected, rtol=1e-15)


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("ceil_mode", [True, False])
@pytest.mark.parametrize("size", [4, 5, 6])
def test_the_mean_divides_by_what_torch_divides_by(count_include_pad, ceil_mode, size):
    arguments = {"kernel_size": (2, 3), "stride": (1, 2), "padding": (1, 1)}
    arguments |= {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    x = torch.tensor(np.random.default_rng(0).standard_normal((2, 1, size, size)), requires_grad=True)
    y = torch.nn.AvgPool2d(**arguments)(x)
    g = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(torch.tensor(g))
    step = impl.AvgPool2d(**arguments).forward({}, x.detach().numpy())
    np.testing.assert_allclose(step.output, y.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(step.backward(g).inputs[0], x.grad.numpy(), rtol=1e-12)


TIES = np.array([[1.0, -1.0, 0.0, 0.0, 0.0, -0.5, 0.5], [0.5, 0.5, -0.5, 1.0, -1.0, 0.0, 0.0]])


@pytest.mark.parametrize("norm_type", [np.inf, -np.inf, 1.0, 2.0, 3.0, 4])
@pytest.mark.parametrize("windows", [{"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "ceil_mode": True}])
@pytest.mark.filterwarnings("ignore:(invalid value|divide by zero)")  # a root of a negative sum is NaN, as in torch
def test_norms_are_torchs_at_ties_and_where_the_sum_is_zero(norm_type, windows):
    beside_torch("LPPool1d", TIES, norm_type=norm_type, **windows)
    beside_torch("LPPool2d", TIES[None], norm_type=norm_type, kernel_size=(1, windows["kernel_size"]))
    beside_torch("LPPool3d", TIES[None, None, None], norm_type=norm_type, kernel_size=(1, 2, 2), stride=(1, 1, 3))


def test_no_gradient_flows_through_a_sum_that_is_zero():
    step = impl.LPPool1d(1, 2).forward({}, np.array([[1.0, -1.0, 1.0, 2.0]]))
    np.testing.assert_array_equal(step.output, [[0, 3]])
    np.testing.assert_array_equal(step.backward(np.ones((1, 2))).inputs[0], [[0, 0, 1, 1]])
    np.testing.assert_array_equal(step.branches[0], [[True, False]])


def test_a_norm_of_order_0_is_refused():
    with pytest.raises(ValueError, match="LPPool1d: norm_type is 0, wanted a number other than 0"):
        impl.LPPool1d(0, 2)
    with pytest.raises(ZeroDivisionError):
        torch.nn.LPPool1d(0, 2)(torch.ones(1, 4))


@pytest.mark.parametrize("op", ["MaxPool", "AvgPool", "LPPool"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_an_empty_batch_passes(op, rank):
    arguments = {"kernel_size": 2} | ({"norm_type": 2.0} if op == "LPPool" else {})
    assert beside_torch(f"{op}{rank}d", np.zeros((0, 3, *(4,) * rank)), **arguments).shape == (0, 3, *(2,) * rank)


def test_an_infinity_stays_in_its_windows():
    x = np.array([[1.0, INF, 2.0, 3.0, -INF, 4.0]])
    np.testing.assert_array_equal(beside_torch("AvgPool1d", x, kernel_size=2, padding=1), [[0.5, INF, -INF, 2]])


def test_sums_of_short_floats_are_taken_in_longer_ones():
    x = np.full((1, 4), 60000, np.float16)
    y = impl.AvgPool1d(4).forward({}, x).output
    assert y.dtype == np.float16
    assert y == np.float16(60000)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("batch_last", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_tiles_find_the_greatest_and_send_back_as_windows_do(seed, batch_last, dtype):
    rng = np.random.default_rng(seed)
    rank, kernel = 1 + seed % 3, tuple(map(int, rng.integers(1, 4, 1 + seed % 3)))
    spatial = [k * int(rng.integers(1, 4)) + int(rng.integers(0, k)) for k in kernel]
    x = rng.integers(-2, 3, (3, 2, *spatial)).astype(dtype)  # full of ties
    if batch_last:
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)
    tiles, general = (
        getattr(impl, f"MaxPool{rank}d")(kernel, return_indices=indices).forward({}, x) for indices in (False, True)
    )
    np.testing.assert_array_equal(tiles.output, general.output[0])
    assert len(tiles.branches) == sum(k - 1 for k in kernel)  # the way for tiles was taken
    g = rng.standard_normal(tiles.output.shape).astype(dtype)
    g.flat[0] = np.inf
    gradients = tiles.backward(g).inputs[0], general.backward((g, None)).inputs[0]
    np.testing.assert_array_equal(*gradients)
    assert gradients[0].dtype == dtype


def test_elements_behind_the_last_tile_count_for_nothing():
    x = np.array([[1.0, 2.0, NAN]])
    step = impl.MaxPool1d(2).forward({}, x)
    np.testing.assert_array_equal(step.output, [[2]])
    np.testing.assert_array_equal(step.backward(np.ones((1, 1))).inputs[0], [[0, 1, 0]])


def test_a_complex_input_is_decided_by_its_real_part():
    x = np.array([[1 + 2j, 1 + 9j, 0 + 3j, 2 - 1j]])
    np.testing.assert_array_equal(impl.MaxPool1d(2).forward({}, x).output, [[1 + 2j, 2 - 1j]])


def test_a_nan_wins_its_tile():
    step = impl.MaxPool1d(2).forward({}, np.array([[1.0, NAN, NAN, 1.0]]))
    np.testing.assert_array_equal(step.output, [[NAN, NAN]])
    np.testing.assert_array_equal(step.backward(np.array([[2.0, 3.0]])).inputs[0], [[0, 2, 3, 0]])
