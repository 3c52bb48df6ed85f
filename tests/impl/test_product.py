"""Products of matrices: whatever way one is computed, it is the product."""

import numpy as np
import pytest

import impl.product
from impl.product import as_rows, product

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("long", [1, 4, 1000])
@pytest.mark.parametrize("shared", [0, 60, 10**9])
def test_all_ways_lead_to_the_same_product(monkeypatch, shared, long):
    monkeypatch.setattr(impl.product, "SHARED", shared)
    monkeypatch.setattr(impl.product, "LONG", long)
    for rows, terms, columns in RNG.integers(0, 9, (100, 3)):
        a, b = RNG.standard_normal((rows, terms)), RNG.standard_normal((terms, columns))
        for left in (a, np.asfortranarray(a), a.astype(np.float32), a.astype(np.float16), a + 1j):
            found = product(left, b)
            np.testing.assert_allclose(found, left @ b, rtol=1e-12, atol=1e-12)
            assert (found.dtype, found.flags.c_contiguous) == ((left @ b).dtype, True)
        np.testing.assert_allclose(product(b.T, a.T), b.T @ a.T, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("rows", "terms", "columns"), [(64, 300, 100), (64, 300, 300), (64, 100, 300), (100, 300, 64)])
def test_products_that_threads_share(rows, terms, columns):
    a, b = RNG.standard_normal((rows, terms)), RNG.standard_normal((terms, columns))
    np.testing.assert_allclose(product(a, b), np.einsum("ij,jk->ik", a, b), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(3,), (2, 4, 3), (2, 0, 3), (2, 1, 2, 3)])
def test_all_axes_before_the_last_are_rows(shape):
    a, b = RNG.standard_normal(shape), RNG.standard_normal((3, 5))
    np.testing.assert_allclose(product(a, b), a @ b, rtol=1e-12)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 4, 3), (2, 0, 3), (0,), (2, 0)])
def test_rows_are_what_the_last_axis_holds(shape):
    x = np.arange(np.prod(shape)).reshape(shape)
    rows = as_rows(x)
    assert rows.shape == (np.prod(shape[:-1]), shape[-1])
    np.testing.assert_array_equal(rows.ravel(), x.ravel())
