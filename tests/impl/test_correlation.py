"""The products that convolutions are made of, against the sums that they stand for."""

from math import prod

import numpy as np
import pytest

import impl
from impl import correlation
from impl.correlation import adjoint, batch_last, both_gradients, correlate, weight_gradient
from impl.windows import Grid, windows

SHAPES = range(40)


@pytest.fixture(params=[{}, {"COLUMNS_AT_ONCE": 256}, {"SMALL_PRODUCT": 64}], ids=["whole", "in shares", "in parts"])
def sizes(request, monkeypatch):
    """Sizes of pieces, large ones and those that cut even the smallest arrays."""
    for name, value in request.param.items():
        monkeypatch.setattr(correlation, name, value)


def drawn(seed):
    """Draw a grid, an array that it fits on, a weight for it, and what comes out, in any memory layout."""
    rng = np.random.default_rng(seed)
    rank, groups = int(rng.integers(1, 4)), int(rng.choice([1, 1, 2, 3]))
    kernel, stride, dilation = (tuple(map(int, rng.integers(1, most, rank))) for most in (4, 3, 3))
    grid = Grid(kernel, stride, dilation, groups)
    spatial = tuple(d * (k - 1) + int(rng.integers(1, 7)) for k, d in zip(kernel, dilation))
    count, rows, columns = int(rng.integers(0, 20)), int(rng.choice([1, 2, 5])), int(rng.choice([1, 2, 4]))
    x = rng.standard_normal((count, groups * columns, *spatial))
    weight = rng.standard_normal((groups, rows, columns * prod(kernel)))
    g = rng.standard_normal((count, groups * rows, *grid.counts(spatial)))
    return grid, weight, (batch_last(x) if seed % 2 else x), (batch_last(g) if seed % 3 else g)


def terms(grid, x):
    """Return what each window sees, ``(N, groups, C / groups * kernel, windows)``."""
    view = windows(x, grid.kernel, grid.stride, grid.dilation)
    seen, count = x.shape[1] // grid.groups * prod(grid.kernel), prod(view.shape[2 + len(grid.kernel) :])
    return view.reshape(len(x), grid.groups, seen, count)


@pytest.mark.parametrize("seed", SHAPES)
def test_a_correlation_is_the_sum_over_each_window(seed, sizes):
    grid, weight, x, g = drawn(seed)
    y = correlate(weight, x, grid)
    np.testing.assert_allclose(y, np.einsum("grk,ngkp->ngrp", weight, terms(grid, x)).reshape(g.shape), atol=1e-12)
    assert y.shape == g.shape


@pytest.mark.parametrize("seed", SHAPES)
def test_the_gradient_of_the_weight_is_the_sum_over_all_windows(seed, sizes):
    grid, weight, x, g = drawn(seed)
    columns = terms(grid, x)
    rows = g.reshape(len(g), grid.groups, weight.shape[1], columns.shape[-1])
    found = weight_gradient(g, x, grid)
    np.testing.assert_allclose(found, np.einsum("ngrp,ngkp->grk", rows, columns), atol=1e-12)


@pytest.mark.parametrize("seed", SHAPES)
def test_the_adjoint_is_the_adjoint(seed, sizes):
    grid, weight, x, g = drawn(seed)
    back = adjoint(weight, g, grid, x.shape[2:], [(0, 0)] * len(grid.kernel))
    assert back.shape == x.shape
    np.testing.assert_allclose((back * x).sum(), (g * correlate(weight, x, grid)).sum(), atol=1e-10)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("rows", [1, 5])
def test_margins_of_the_adjoint_are_cut_off(stride, rows):
    rng = np.random.default_rng(0)
    grid = Grid((3, 2), (stride, 1), (1, 2))
    weight = rng.standard_normal((1, rows, 3 * 6))
    g = rng.standard_normal((4, rows, *grid.counts((9, 8))))
    whole, cut = (adjoint(weight, g, grid, (9, 8), margins) for margins in ([(0, 0)] * 2, [(3, 1), (0, 2)]))
    np.testing.assert_allclose(cut, whole[:, :, 3:-1, :-2], atol=1e-13)


@pytest.mark.parametrize("seed", SHAPES)
def test_both_gradients_are_those_found_one_by_one(seed, sizes):
    grid, weight, x, g = drawn(seed)
    weight, x, g = (array * (1 + 1j * array) for array in (weight, x, g))  # so that both have to conjugate
    margins = [(n // 3, 0) for n in x.shape[2:]]
    padded = np.zeros_like(x)
    place = (..., *(slice(before, None) for before, _ in margins))
    padded[place] = x[place]
    dx, gradient = both_gradients(weight, g, padded, grid, margins)
    np.testing.assert_allclose(dx, adjoint(weight.conj(), g, grid, x.shape[2:], margins), atol=1e-11)
    np.testing.assert_allclose(gradient, weight_gradient(g, padded.conj(), grid), atol=1e-11)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 20])
def test_the_batch_lies_last_in_memory(count):
    x = np.random.default_rng(0).standard_normal((count, 3, 4, 5))
    turned = batch_last(x)
    np.testing.assert_array_equal(turned, x)
    assert np.moveaxis(turned, 0, -1).flags.c_contiguous
    assert batch_last(turned) is turned


def test_a_kernel_of_one_element_copies_no_columns():
    x = batch_last(np.ones((2, 3, 4, 5)))
    ((_, columns),) = correlation._columns(x, Grid((1, 1), (1, 1), (1, 1)))
    assert np.shares_memory(columns, x)


@pytest.mark.parametrize("arguments", [{}, {"stride": 2, "groups": 2}, {"padding_mode": "circular", "bias": False}])
def test_the_gradients_of_parameters_alone_are_those_that_come_with_the_inputs(arguments):
    rng = np.random.default_rng(0)
    layer = impl.Conv2d(4, 6, 3, padding=1, **arguments)
    step = layer.forward(layer.initial(rng), rng.standard_normal((3, 4, 5, 6)))
    g = rng.standard_normal(step.output.shape)
    alone, beside = step.parameters_only(g), step.backward(g).parameters
    assert alone.keys() == beside.keys() == layer.parameter_shapes.keys()
    for name, gradient in alone.items():
        np.testing.assert_array_equal(gradient, beside[name])


def test_the_memory_layout_passes_through_the_layers_of_a_network():
    layers = (impl.Conv2d(2, 3, 3), impl.BatchNorm2d(3), impl.ReLU(), impl.MaxPool2d(2), impl.Conv2d(3, 2, 2))
    network = impl.Sequential(*layers)
    rng = np.random.default_rng(0)
    step = network.forward(network.initial(rng), rng.standard_normal((4, 2, 9, 8)))
    for node, done in step.steps.items():
        assert np.moveaxis(done.output, 0, -1).flags.c_contiguous, node
