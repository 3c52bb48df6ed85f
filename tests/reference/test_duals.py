"""Dual numbers: what each NumPy call does to the parts, beside complex steps."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from scipy import special

from reference.differences import complex_step
from reference.duals import Dual, Units, dual, parts, plain

X = np.random.default_rng(0).uniform(0.2, 2.0, (2, 3, 4))
A = np.random.default_rng(1).standard_normal((4, 5))
INDEX = np.array([[2, 0, 1, 1]])
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "add a constant": lambda x: x + 2.0,
    "subtract both ways": lambda x: (1.0 - x) - (x - 3.0),
    "multiply": lambda x: x * np.exp(x) * 2,
    "divide both ways": lambda x: (1.0 / x) / (x + 1),
    "powers": lambda x: x**2 + x**3 + x**0.5 + 2.0**x + x**x,
    "functions": lambda x: np.tanh(x) + np.log(x) + np.sqrt(x) + np.expm1(-x) + np.log1p(x),
    "special functions": lambda x: special.erf(x) + special.gammaln(2.0) * special.erfc(x),
    "negative": lambda x: -x + (+x),
    "broadcast": lambda x: x * x[:, :1] + x[0, 0] * x,
    "in place": lambda x: in_place(x),
    "sums": lambda x: x.sum(1) + x.sum(axis=1, keepdims=True)[:, 0] + np.sum(x) + x.sum((0, 2)).sum(),
    "means": lambda x: x.mean(-1) + np.mean(x, axis=-1, keepdims=True)[..., 0] + x.mean(),
    "a maximum that was chosen": lambda x: x - x.real.max(-1, keepdims=True),
    "products of matrices": lambda x: x @ A,
    "products from the left": lambda x: A.T @ x.swapaxes(-1, -2),
    "products of both": lambda x: x @ x.swapaxes(1, 2),
    "products with vectors": lambda x: x @ A[:, 0] + (x[0, 0] @ A).sum() + (x @ x[0, 0]),
    "einsum": lambda x: np.einsum("nij,nkj->nik", x, x) + np.einsum("...ij,jo->...oi", x, A[:, :3]),
    "reshape": lambda x: x.reshape(6, 4) + x.reshape((6, 4)) + np.reshape(x, (6, -1)),
    "ravel": lambda x: x.ravel() + x.flatten() + np.ravel(x),
    "transpose": lambda x: (
        x.transpose(2, 0, 1) + x.T.swapaxes(1, 2) + np.moveaxis(x, 2, 0) + np.transpose(x, (2, 0, 1))
    ),
    "entries": lambda x: x[:, 1] + x[:, -1] + x[..., 2, :] + x[:, [0, 1]][:, 0],
    "chosen entries": lambda x: x[x.real > 1] * 2,
    "new axes": lambda x: x[:, None, 0] + np.expand_dims(x[:, 0], 1) + np.atleast_1d(x[:, :1]),
    "take along": lambda x: np.take_along_axis(x, np.broadcast_to(INDEX, (2, 1, 4)), 1),
    "where": lambda x: np.where(x.real > 1, x, 0.5) + np.where(x.real > 1, 2.0, x * x),
    "joined": lambda x: np.concatenate([x, x * 2, np.ones((2, 1, 4))], axis=1),
    "stacked": lambda x: np.stack([x, x * x], axis=-1) + np.stack([x, x], -1),
    "split": lambda x: np.split(x, 2, axis=-1)[0] * np.split(x, [1, 3], -1)[1],
    "broadcast to": lambda x: np.broadcast_to(x[:, :1], x.shape) * x,
    "padded": lambda x: np.pad(x, ((0, 0), (1, 2), (0, 0))),
    "repeated": lambda x: np.repeat(x, 2, axis=1) + np.flip(np.repeat(x, 2, 1), 1),
    "cumulated": lambda x: np.cumsum(x, -1),
    "shifted in place": lambda x: shifted_in_place(x),
    "constants in place": lambda x: constants_in_place(x),
    "a clipped middle": lambda x: np.clip(x, 0.5, 1.5) + x.clip(0.4, 1.4),
    "the larger of two": lambda x: np.maximum(x, 1.0) + np.minimum(x, 1.2),
    "taken": lambda x: x.take(np.array([0, 2, 2]), axis=1),
    "added at places": lambda x: added_at(x),
    "buffers": lambda x: buffer(x),
    "copies": lambda x: x.copy() * np.copy(x) + np.squeeze(x[:1], 0) + x[:1].squeeze(),
    "no axis": lambda x: (x.sum() * x.sum()) + x[0, 0, 0],
}


def in_place(x: Any) -> Any:
    y = x * 1.0
    y += x * x
    y *= 2.0
    y[:, 0] = x[:, 1]
    y[:, 2] -= 1.0
    return y


def shifted_in_place(x: Any) -> Any:
    """What was only shifted is computed on in place, and the input is looked at again."""
    e = x - 1.0
    np.exp(e, out=e)
    return e + x


def constants_in_place(x: Any) -> Any:
    """A constant among dual numbers becomes none."""
    y = x.real * 1.0 + np.zeros_like(x, shape=4) * 0.0
    constant = (x * 0.0).real + 1.0
    y = np.add(y, constant)
    y += x
    return y


def buffer(x: Any) -> Any:
    y = np.zeros_like(x, shape=(2, 5, 4))
    y[:, 1:4] = x
    np.multiply(x, x, out=y[:, :3])
    return y + np.ones_like(y) * 2 + np.full_like(y, 3.0)


def added_at(x: Any) -> Any:
    total = np.zeros_like(x, shape=(3, 4))
    np.add.at(total, np.array([0, 0, 2]), x[0])
    return total


def derivatives(function: Callable[[Any], Any], x: Any) -> Any:
    found = function(dual(x, np.eye(x.size)))
    assert isinstance(found, Dual)
    own = parts(found)
    assert own is not None
    assert own.shape == (x.size, *found.shape)
    return own


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parts_are_what_complex_steps_say(name: str) -> None:
    function = FUNCTIONS[name]
    numbers = plain(function(dual(X, np.eye(X.size))))
    np.testing.assert_allclose(numbers, function(X), rtol=1e-15, atol=1e-15)
    found = derivatives(function, X)
    weights = np.random.default_rng(2).standard_normal(numbers.shape)
    want = complex_step(lambda z: weights * function(z), X)
    got = (found * weights).reshape(X.size, -1).sum(1).reshape(X.shape)
    np.testing.assert_allclose(got, want.value, rtol=1e-12, atol=1e-13)


@given(nps.arrays(np.float64, nps.array_shapes(max_dims=3, max_side=4), elements=st.floats(0.25, 4.0)))
def test_shapes_of_every_rank_broadcast(x: Any) -> None:
    found = derivatives(lambda z: z * z.sum(-1, keepdims=True) + z.sum() + z[..., :1], x)
    want = complex_step(lambda z: z * z.sum(-1, keepdims=True) + z.sum() + z[..., :1], x)
    np.testing.assert_allclose(found.reshape(x.size, -1).sum(1).reshape(x.shape), want.value, rtol=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: a @ b.T,
        lambda a, b: b @ a.T,
        lambda a, b: a.reshape(4, 3) @ b.reshape(3, 4),
        lambda a, b: (b * 2) @ a.swapaxes(0, 1),
        lambda a, b: a.T @ a,
        lambda a, b: a * b,
    ],
)
def test_a_single_one_in_each_part_is_the_same_as_that_part_written_out(function: Callable[[Any, Any], Any]) -> None:
    a, b = X[0], X[1]
    places = Units(np.arange(12), np.unravel_index(np.arange(12), a.shape))
    for constant in (b, dual(b, None, 12), dual(b, np.random.default_rng(3).standard_normal((12, 3, 4)))):
        short, long = (function(dual(a, own, 12), constant) for own in (places, np.eye(12)))
        assert np.array_equal(plain(short), plain(long))
        np.testing.assert_allclose(parts(short), parts(long), rtol=1e-14)


def test_a_constant_becomes_none_where_it_is_written_to() -> None:
    x, constant = dual(X, np.eye(X.size)), dual(X, None, X.size)
    assert parts(constant * 2) is None
    total = constant * 2
    total += x
    assert np.array_equal(parts(total), parts(x))
    room = np.empty_like(constant)
    room[...] = x
    assert np.array_equal(parts(room), parts(x))


def test_the_size_of_a_number_counts_on_both_sides_and_at_zero_as_on_the_right() -> None:
    x = np.array([-2.0, -0.5, 0.25, 3.0, 0.0, -0.0])
    assert np.array_equal(derivatives(np.abs, x), np.diag([-1.0, -1.0, 1.0, 1.0, 1.0, 1.0]))


def test_what_decides_sees_the_numbers_alone() -> None:
    x = dual(X, np.eye(X.size))
    for decided in (x > 1, x.real, np.isnan(x), np.argmax(x), x.real.max(), np.sign(x.real), np.floor(x.real)):
        assert not isinstance(decided, Dual)


def test_what_has_no_rule_loses_the_parts_and_says_so_by_its_type() -> None:
    x = dual(X, np.eye(X.size))
    for lost in (np.asarray(x), np.array(x), np.sort(x), np.maximum.reduce(x), np.linalg.norm(x[0])):
        assert parts(lost) is None
        assert not isinstance(lost, Dual)
    assert parts(np.broadcast_to(dual(X, None), X.shape)) is None


def test_a_step_is_no_imaginary_number_and_a_dtype_is_rounding() -> None:
    x = dual(X, np.eye(X.size))
    assert x.conj() is x
    assert np.array_equal(x.astype(np.float32).parts, x.parts)
