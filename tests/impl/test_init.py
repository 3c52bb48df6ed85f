"""Initializers: their distribution, their properties, and torch's numbers where nothing is drawn."""

import inspect
from math import sqrt

import numpy as np
import pytest
import torch
from scipy import stats

from impl import init

SHAPE = (100, 120, 3, 2)
FAN_IN, FAN_OUT = 720, 600
CHANCE = 1e-4
"""With some forty tests at fixed seeds, a right distribution fails one of them once in 250 choices of the seeds."""
DTYPES = [np.float16, np.float32, np.float64, np.longdouble]


def even(bound):
    return stats.uniform(-bound, 2 * bound)


def bell(std):
    return stats.norm(0, std)


LEAKY = sqrt(2 / (1 + 0.3**2))
DRAWN = [
    ("uniform", {}, stats.uniform(0, 1)),
    ("uniform", {"a": -2.0, "b": 5.0}, stats.uniform(-2, 7)),
    ("normal", {}, bell(1.0)),
    ("normal", {"mean": 3.0, "std": 0.5}, stats.norm(3, 0.5)),
    ("trunc_normal", {}, stats.truncnorm(-2, 2)),
    ("trunc_normal", {"mean": 1.0, "std": 2.0, "a": -1.0, "b": 1.5}, stats.truncnorm(-1, 0.25, 1, 2)),
    ("trunc_normal", {"a": 7.0, "b": 9.0}, stats.truncnorm(7, 9)),
    ("trunc_normal", {"a": -9.0, "b": -7.0}, stats.truncnorm(-9, -7)),
    ("trunc_normal", {"a": -1.0, "b": 40.0}, stats.truncnorm(-1, 40)),
    ("xavier_uniform", {}, even(sqrt(6 / (FAN_IN + FAN_OUT)))),
    ("xavier_uniform", {"gain": 2.0}, even(2 * sqrt(6 / (FAN_IN + FAN_OUT)))),
    ("xavier_normal", {"gain": 0.5}, bell(0.5 * sqrt(2 / (FAN_IN + FAN_OUT)))),
    ("kaiming_uniform", {}, even(sqrt(6 / FAN_IN))),
    ("kaiming_uniform", {"a": 0.3, "mode": "fan_out"}, even(LEAKY * sqrt(3 / FAN_OUT))),
    ("kaiming_normal", {"nonlinearity": "tanh"}, bell(5 / 3 / sqrt(FAN_IN))),
    ("kaiming_normal", {"a": 0.3, "mode": "fan_out"}, bell(LEAKY / sqrt(FAN_OUT))),
]


@pytest.mark.parametrize(("name", "arguments", "distribution"), DRAWN, ids=lambda value: str(value)[:40])
def test_the_distribution_is_the_one_that_is_named(name, arguments, distribution):
    drawn = getattr(init, name)(np.random.default_rng(5), SHAPE, **arguments)
    assert (drawn.shape, drawn.dtype) == (SHAPE, np.float64)
    n = drawn.size
    mean, variance, kurtosis = distribution.stats(moments="mvk")
    assert abs(drawn.mean() - mean) < 4 * sqrt(variance / n)
    assert abs(drawn.var() / variance - 1) < 4 * sqrt((kurtosis + 2) / n)
    assert stats.kstest(drawn.ravel(), distribution.cdf).pvalue > CHANCE


@pytest.mark.filterwarnings("ignore:mean is more than 2 std")
@pytest.mark.parametrize(("name", "arguments", "distribution"), DRAWN, ids=lambda value: str(value)[:40])
def test_torch_draws_from_that_distribution_too(name, arguments, distribution):
    torch.manual_seed(3)
    tensor = getattr(torch.nn.init, f"{name}_")(torch.empty(SHAPE, dtype=torch.float64), **arguments)
    assert stats.kstest(tensor.numpy().ravel(), distribution.cdf).pvalue > CHANCE


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("constant", {"shape": (2, 3), "val": 0.3}),
        ("ones", {"shape": (2, 1, 3)}),
        ("zeros", {"shape": ()}),
        ("eye", {"shape": (3, 5)}),
        ("eye", {"shape": (4, 2)}),
        ("eye", {"shape": (0, 2)}),
        ("dirac", {"shape": (3, 2, 4)}),
        ("dirac", {"shape": (6, 2, 3, 2), "groups": 2}),
        ("dirac", {"shape": (6, 5, 3, 2, 1), "groups": 3}),
        ("dirac", {"shape": (2, 2, 1), "groups": 1}),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_drawn_is_torchs(name, arguments, dtype):
    made = getattr(init, name)(**arguments, dtype=dtype)
    options = dict(arguments)
    tensor = getattr(torch.nn.init, f"{name}_")(torch.empty(options.pop("shape"), dtype=torch.float64), **options)
    np.testing.assert_array_equal(made, tensor.numpy().astype(dtype))
    assert made.dtype == dtype


def test_dirac_hands_on_the_channels_of_each_group():
    x = torch.randn(1, 4, 5, 6, dtype=torch.float64)
    weight = torch.tensor(init.dirac((4, 2, 3, 3), groups=2))
    assert torch.equal(torch.nn.functional.conv2d(x, weight, padding=1, groups=2), x)


@pytest.mark.parametrize("shape", [(3, 3), (5, 2), (2, 5), (1, 4), (4, 1), (3, 2, 2), (7, 2, 3)])
def test_orthogonal_is_orthogonal(shape):
    flat = init.orthogonal(np.random.default_rng(1), shape, gain=3.0).reshape(shape[0], -1)
    gram = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    np.testing.assert_allclose(gram, 9 * np.eye(len(gram)), atol=1e-14)


def test_orthogonal_prefers_no_direction():
    # An entry of a uniform 3 by 3 orthogonal matrix is the height of a uniform point on the sphere: U(-1, 1).
    rng = np.random.default_rng(7)
    drawn = np.array([init.orthogonal(rng, (3, 3)) for _ in range(1500)])
    for i, j in [(0, 0), (1, 0), (2, 2), (0, 2)]:
        assert stats.kstest(drawn[:, i, j], even(1.0).cdf).pvalue > CHANCE
    assert 0.45 < np.mean(np.linalg.det(drawn) > 0) < 0.55


def test_sparse_is_as_sparse_as_torchs_in_every_column():
    made = init.sparse(np.random.default_rng(2), (101, 60), 0.3, std=2.0)
    tensor = torch.nn.init.sparse_(torch.empty(101, 60), 0.3)
    np.testing.assert_array_equal((made == 0).sum(0), (tensor == 0).sum(0).numpy())
    kept = made[made != 0]
    assert stats.kstest(kept, bell(2.0).cdf).pvalue > CHANCE
    assert stats.kstest(np.nonzero(made == 0)[0], stats.randint(0, 101).cdf).statistic < 0.03


def test_gains_are_torchs():
    names = inspect.get_annotations(torch.nn.init.calculate_gain)["nonlinearity"].__args__
    assert {*init.GAINS, "leaky_relu"} == set(names)
    for name in names:
        assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert init.calculate_gain("leaky_relu", 2.5) == torch.nn.init.calculate_gain("leaky_relu", 2.5)


def test_names_and_defaults_are_torchs():
    for name in init.__all__:
        theirs = inspect.signature(getattr(torch.nn.init, f"{name}_", None) or getattr(torch.nn.init, name)).parameters
        ours = inspect.signature(getattr(init, name)).parameters
        left_out = ("tensor", "generator", "rng", "shape", "dtype")
        wanted, found = ([(p.name, p.default) for p in s.values() if p.name not in left_out] for s in (theirs, ours))
        assert found == wanted, name


RANDOM = ["uniform", "normal", "trunc_normal", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"]


@pytest.mark.parametrize("name", [*RANDOM, "orthogonal", "sparse"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_dtype_is_kept_also_for_no_elements(name, dtype):
    options = {"sparsity": 0.5} if name == "sparse" else {}
    for shape in ((3, 4), (0, 4), (4, 0), (0, 0)):
        made = getattr(init, name)(np.random.default_rng(0), shape, **options, dtype=dtype)
        assert (made.shape, made.dtype) == (shape, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_truncated_normal_stays_within_its_bounds(dtype):
    made = init.trunc_normal(np.random.default_rng(0), (5000,), std=5.0, a=-0.3, b=0.1, dtype=dtype)
    assert made.min() >= dtype(-0.3)
    assert made.max() <= dtype(0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda rng: init.calculate_gain("mish"),
            "calculate_gain: nonlinearity is 'mish', wanted leaky_relu or one of",
        ),
        (lambda rng: init.eye((2, 2, 2)), r"eye: shape is \(2, 2, 2\), wanted two axes"),
        (lambda rng: init.sparse(rng, (2,), 0.5), r"sparse: shape is \(2,\), wanted two axes"),
        (lambda rng: init.dirac((2, 2)), r"dirac: shape is \(2, 2\), wanted three to five axes"),
        (lambda rng: init.dirac((3, 2, 2), 2), "dirac: groups is 2, wanted a divisor of 3"),
        (lambda rng: init.dirac((3, 2, 2), 0), "dirac: groups is 0, wanted a divisor of 3"),
        (lambda rng: init.xavier_uniform(rng, (3,)), r"xavier_uniform: shape is \(3,\), wanted two axes or more"),
        (lambda rng: init.xavier_normal(rng, ()), r"xavier_normal: shape is \(\), wanted two axes or more"),
        (lambda rng: init.kaiming_uniform(rng, (3,)), r"kaiming_uniform: shape is \(3,\), wanted two axes or more"),
        (lambda rng: init.kaiming_normal(rng, (3, 2), mode="fan"), "kaiming_normal: mode is 'fan', wanted 'fan_in'"),
        (lambda rng: init.orthogonal(rng, (3,)), r"orthogonal: shape is \(3,\), wanted two axes or more"),
        (lambda rng: init.trunc_normal(rng, (3,), std=0.0), "trunc_normal: std is 0.0, wanted more than 0"),
        (lambda rng: init.trunc_normal(rng, (3,), a=2.0), "trunc_normal: a is 2.0, wanted less than b, which is 2.0"),
    ],
)
def test_a_wrong_argument_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make(np.random.default_rng(0))
