"""Optimizers: fifty steps beside torch.optim, on the same gradients."""

import inspect
from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from impl import optim

STEPS = 50
SHAPES: dict[str, tuple[int, ...]] = {"weight": (3, 2), "scale": (), "kernel": (2, 3, 2)}
few = settings(max_examples=settings.default.max_examples // 3)
OPS = [name for name in optim.__all__ if hasattr(torch.optim, name) and name != "Optimizer"]
DENSE = [op for op in OPS if op not in ("LBFGS", "SparseAdam")]
DTYPES = [np.float16, np.float32, np.float64, np.longdouble]
LEFT_OUT = {"params", "foreach", "fused", "capturable", "differentiable"}

rates = st.floats(1e-4, 1)
shares = st.just(0.0) | st.floats(0.01, 0.99)
coins = st.booleans()
small = st.just(0.0) | st.floats(1e-10, 1e-2)
# With beta2 = 0 and decay one ulp at the start takes torch 1e-5 away from itself: no comparison.
betas = st.tuples(shares, st.floats(0.5, 0.9999))
usual = {"lr": rates, "weight_decay": shares, "maximize": coins}
DRAWN = {
    "SGD": {**usual, "momentum": shares, "dampening": shares},
    "ASGD": {**usual, "lambd": st.floats(0, 0.3), "alpha": shares, "t0": st.integers(0, 60)},
    "Adam": {**usual, "betas": betas, "eps": small, "amsgrad": coins, "decoupled_weight_decay": coins},
    "AdamW": {**usual, "betas": betas, "eps": small, "amsgrad": coins},
    "Adamax": {**usual, "betas": betas, "eps": small},
    "NAdam": {**usual, "betas": betas, "eps": small, "momentum_decay": shares, "decoupled_weight_decay": coins},
    "RAdam": {**usual, "betas": betas, "eps": small, "decoupled_weight_decay": coins},
    "Adagrad": {**usual, "eps": small, "lr_decay": shares, "initial_accumulator_value": shares},
    "Adadelta": {**usual, "rho": shares, "eps": st.floats(1e-8, 1e-2)},
    "Adafactor": {
        **usual,
        "beta2_decay": st.floats(-2, 0),
        "eps": st.tuples(st.none() | st.floats(1e-8, 1e-2), st.floats(0, 1)),
        "d": st.floats(1, 3),
    },
    "RMSprop": {**usual, "alpha": st.floats(0.5, 0.99), "eps": small, "momentum": shares},
    "Rprop": {
        "lr": rates,
        "etas": st.tuples(st.floats(0.1, 0.9), st.floats(1.1, 2)),
        "step_sizes": st.just((1e-6, 50)) | st.just((0.01, 0.1)),
        "maximize": coins,
    },
}


@pytest.fixture(autouse=True)
def scalars_in_float64(monkeypatch):
    """Torch keeps some numbers of NAdam and ASGD in its default dtype (docs/findings.md)."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def made(home, op, arguments, parameters=None):
    """An optimizer of ours, or of torch's for some parameters."""
    given = () if parameters is None else (parameters,)
    return getattr(home, op)(*given, **arguments)


def beside_torch(op, arguments, seed, shapes=SHAPES):
    rng = np.random.default_rng(seed)
    start = {name: np.asarray(rng.standard_normal(shape)) for name, shape in shapes.items()}
    theirs = {name: torch.tensor(array, requires_grad=True) for name, array in start.items()}
    ours, state = start, None
    optimizer, reference = made(optim, op, arguments), made(torch.optim, op, arguments, theirs.values())
    largest = dict.fromkeys(start, 1.0)
    for _ in range(STEPS):
        # Now and then a parameter has no gradient, so each must count its own steps.
        met = [name for name in start if rng.random() < 0.8]
        gradients = {name: np.asarray(rng.standard_normal(shapes[name])) for name in met}
        ours, state = optimizer.step(ours, gradients, state)
        for name, tensor in theirs.items():
            tensor.grad = torch.tensor(gradients[name]) if name in gradients else None
        reference.step()
        for name, tensor in theirs.items():
            wanted = tensor.detach().numpy()
            # Relative to the largest value on the way: a step through zero does not take its rounding along.
            largest[name] = max(largest[name], np.abs(wanted).max())
            assert np.abs(ours[name] - wanted).max() <= 1e-12 * largest[name], name
    for name, tensor in theirs.items():
        remembered = reference.state[tensor]
        assert set(state.get(name, {})) == {key for key, value in remembered.items() if value is not None}
        for key, value in state.get(name, {}).items():
            scale = max(1.0, float(np.abs(value).max()))
            np.testing.assert_allclose(value, remembered[key], rtol=0, atol=1e-11 * scale, err_msg=f"{name} {key}")


@pytest.mark.parametrize("op", DRAWN)
@few
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_it_goes_where_torchs_goes(op, data, seed):
    beside_torch(op, data.draw(st.fixed_dictionaries(DRAWN[op])), seed)


@few
@given(rates, st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_nesterovs_sgd_goes_where_torchs_goes(lr, momentum, seed):
    beside_torch("SGD", {"lr": lr, "momentum": momentum, "nesterov": True, "weight_decay": 0.1}, seed)


@few
@given(st.floats(0.5, 0.95), shares, st.integers(0, 2**32))
def test_centered_rmsprop_goes_where_torchs_goes(alpha, momentum, seed):
    # An eps that is not small: v - a^2 cancels at the first step, and goes through a root.
    beside_torch("RMSprop", {"alpha": alpha, "momentum": momentum, "centered": True, "eps": 1.0}, seed)


def test_a_second_moment_without_memory_is_the_gradient():
    beside_torch("Adam", {"betas": (0.9, 0.0), "amsgrad": True}, 0)
    beside_torch("RAdam", {"betas": (0.9, 0.0)}, 0)


def test_adagrad_takes_steps_that_shrink_by_themselves():
    beside_torch("Adagrad", {}, 0)
    beside_torch("Adafactor", {}, 0)
    beside_torch("NAdam", {}, 0)


MATRICES = {"tall": (5, 2), "wide": (2, 5), "square": (3, 3), "row": (1, 4)}


@few
@given(
    st.fixed_dictionaries(
        {
            "lr": rates,
            "weight_decay": shares,
            "momentum": shares,
            "nesterov": coins,
            "eps": st.floats(1e-9, 10),
            "ns_steps": st.integers(0, 6),
            "ns_coefficients": st.just((3.4445, -4.775, 2.0315)) | st.just((2.0, -1.5, 0.5)),
            "adjust_lr_fn": st.sampled_from([None, "original", "match_rms_adamw"]),
        }
    ),
    st.integers(0, 2**32),
)
def test_muon_goes_where_torchs_goes_to_a_unit_of_bfloat16(arguments, seed):
    rng = np.random.default_rng(seed)
    optimizer, state = optim.Muon(**arguments), None
    theirs = {name: torch.tensor(rng.standard_normal(s), requires_grad=True) for name, s in MATRICES.items()}
    reference = torch.optim.Muon(theirs.values(), **arguments)
    equal = []
    for _ in range(10):
        # From torch's own place each time: a rare sum that rounds the other way must not add up.
        ours = {name: tensor.detach().numpy().copy() for name, tensor in theirs.items()}
        gradients = {name: rng.standard_normal(shape) for name, shape in MATRICES.items()}
        after, state = optimizer.step(ours, gradients, state)
        for name, tensor in theirs.items():
            tensor.grad = torch.tensor(gradients[name])
        reference.step()
        for name, tensor in theirs.items():
            wanted = tensor.detach().numpy()
            unit = 2.0**-8 * np.abs(wanted - ours[name] * (1 - arguments["lr"] * arguments["weight_decay"])).max()
            np.testing.assert_allclose(after[name], wanted, rtol=0, atol=4 * unit + 1e-15)
            equal.append(np.allclose(after[name], wanted, rtol=0, atol=1e-6 * unit + 1e-15))
    assert np.mean(equal) > 0.8


OPTIMIZERS = [
    optim.SGD(),
    optim.SGD(momentum=0.9, nesterov=True),
    optim.SGD(momentum=0.9, weight_decay=0.1, maximize=True),
    optim.Adam(),
    optim.Adam(amsgrad=True, weight_decay=0.1, maximize=True),
    *(getattr(optim, op)() for op in DENSE if op not in ("SGD", "Adam", "Muon")),
    optim.ASGD(lr=0.1, t0=1),
    optim.RMSprop(centered=True, momentum=0.5, eps=0.1),
    optim.Groups([(optim.Adadelta(lr=10.0), ["weight"])]),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_step_is_pure_and_keeps_the_dtype(optimizer, dtype):
    parameters = {"weight": np.array([1, 2], dtype), "running_mean": np.array([3], dtype)}
    gradients = {"weight": np.array([0.5, -1], dtype)}
    state = None
    for _ in range(3):
        before = deepcopy((parameters, gradients, state))
        after, later = optimizer.step(parameters, gradients, state)
        again, _ = optimizer.step(parameters, gradients, state)
        np.testing.assert_equal((parameters, gradients, state), before)
        np.testing.assert_equal(again, after)
        assert after["running_mean"] is parameters["running_mean"]
        assert after["weight"].dtype == dtype
        arrays = [array for memory in later.values() for array in memory.values() if isinstance(array, np.ndarray)]
        assert all(array.dtype == dtype for array in arrays)
        assert not np.array_equal(after["weight"], parameters["weight"])
        parameters, state = after, later


@pytest.mark.parametrize("optimizer", OPTIMIZERS[:-1], ids=str)
def test_what_is_remembered_has_the_dtype_from_the_start(optimizer):
    remembered = [optimizer.start(np.ones(shape, np.float16)) for shape in ((3,), (2, 3))]
    arrays = [value for memory in remembered for value in memory.values() if hasattr(value, "dtype")]
    assert all(array.dtype == np.float16 for array in arrays)


@pytest.mark.parametrize("dtype", DTYPES)
def test_muon_keeps_the_dtype(dtype):
    after, state = optim.Muon().step({"weight": np.ones((2, 3), dtype)}, {"weight": np.eye(2, 3, dtype=dtype)})
    assert (after["weight"].dtype, state["weight"]["momentum_buffer"].dtype) == (dtype, dtype)


@pytest.mark.parametrize("op", [op for op in DENSE if op != "Muon"])
def test_float32_goes_where_torchs_float32_goes(op):
    rng = np.random.default_rng(1)
    ours, state = {"weight": rng.standard_normal((3, 4)).astype(np.float32)}, None
    tensor = torch.tensor(ours["weight"], requires_grad=True)
    optimizer, reference = getattr(optim, op)(lr=0.1), getattr(torch.optim, op)([tensor], lr=0.1)
    for _ in range(20):
        gradient = rng.standard_normal((3, 4)).astype(np.float32)
        ours, state = optimizer.step(ours, {"weight": gradient}, state)
        tensor.grad = torch.tensor(gradient)
        reference.step()
    np.testing.assert_allclose(ours["weight"], tensor.detach().numpy(), rtol=0, atol=5e-6)


@pytest.mark.parametrize("op", [op for op in DENSE if op not in ("Adafactor", "Muon")])
def test_parameters_without_elements_stay(op):
    after, _ = getattr(optim, op)().step({"weight": np.ones((0, 2))}, {"weight": np.ones((0, 2))})
    assert after["weight"].shape == (0, 2)


def test_muon_takes_matrices_only():
    with pytest.raises(ValueError, match=r"Muon: the shape of a parameter is \(2,\), wanted a matrix"):
        optim.Muon().step({"bias": np.ones(2)}, {"bias": np.ones(2)})


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_nothing_returned_shares_memory_with_what_was_given(optimizer):
    parameters, gradients = {"weight": np.array([1.0, 2.0])}, {"weight": np.array([0.5, -1.0])}
    after, state = optimizer.step(parameters, gradients)
    kept = deepcopy((after, state))
    parameters["weight"][:] = gradients["weight"][:] = np.nan
    np.testing.assert_equal((after, state), kept)
    after["weight"][:] = np.nan
    np.testing.assert_equal(state, kept[1])


@pytest.mark.parametrize(
    "optimizer", [optim.SGD(np.float64(0.1), momentum=np.float64(0.9)), optim.Adam(np.float64(0.1))]
)
def test_the_parameters_dtype_wins(optimizer):
    after, state = {"weight": np.ones(2, np.float32)}, None
    for _ in range(2):
        after, state = optimizer.step(after, {"weight": np.ones(2)}, state)
    (kept, *_) = (array for array in state["weight"].values() if isinstance(array, np.ndarray))
    assert (after["weight"].dtype, kept.dtype) == (np.float32, np.float32)


@pytest.mark.parametrize("beta1", [0.9, 0.5, 0.0])
def test_an_infinite_gradient_does_to_adam_what_it_does_to_torchs(beta1):
    gradient = np.array([np.inf, 1.0])
    tensor = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    tensor.grad = torch.tensor(gradient)
    reference = torch.optim.Adam([tensor], betas=(beta1, 0.999))
    reference.step()
    with np.errstate(invalid="ignore"):
        after, state = optim.Adam(betas=(beta1, 0.999)).step({"weight": np.zeros(2)}, {"weight": gradient})
    np.testing.assert_allclose(after["weight"], tensor.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(state["weight"]["exp_avg"], reference.state[tensor]["exp_avg"].numpy(), rtol=1e-12)


def test_rprop_meets_zeros_turns_and_what_is_no_number_as_torch_does():
    signs = np.array(
        [[1.0, 0, -1, 2, np.nan, 1e-200], [1, 1, 1, -2, 1, 1e-200], [1, -1, 1, -2, 1, -1], [0, 1, 1, 2, 1, 1]]
    )
    ours, state, tensor = {"w": np.zeros(6)}, None, torch.zeros(6, requires_grad=True)
    reference = torch.optim.Rprop([tensor])
    for gradient in signs:
        tensor.grad = torch.tensor(gradient)
        reference.step()
        ours, state = optim.Rprop().step(ours, {"w": gradient}, state)
        np.testing.assert_array_equal(ours["w"], tensor.detach().numpy())


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        ({"wieght": np.ones(2)}, "{}: the name of a gradient is 'wieght', wanted one of weight, bias"),
        ({"weight": np.ones((3, 2))}, r"{}: the gradient of weight has shape \(3, 2\), wanted \(2\)"),
    ],
)
@pytest.mark.parametrize("op", DENSE)
def test_a_gradient_that_does_not_fit_is_named(op, gradients, message):
    with pytest.raises(ValueError, match=message.format(op)):
        getattr(optim, op)().step({"weight": np.ones(2), "bias": np.ones(1)}, gradients)


@pytest.mark.parametrize("op", OPS)
def test_names_order_and_defaults_are_torchs(op):
    theirs = inspect.signature(getattr(torch.optim, op)).parameters
    ours = inspect.signature(getattr(optim, op)).parameters
    assert set(theirs) - set(ours) <= LEFT_OUT
    assert {name: p.default for name, p in ours.items()} == {n: theirs[n].default for n in ours}
    mine, wanted = ([name for name, p in s.items() if p.kind is p.POSITIONAL_OR_KEYWORD] for s in (ours, theirs))
    if (
        "foreach" in wanted and "maximize" in wanted
    ):  # behind which maximize could not keep its place, so it must be named
        wanted.remove("maximize")
    assert mine == [name for name in wanted if name not in LEFT_OUT]


def test_all_of_torchs_optimizers_are_there():
    theirs = {
        name for name, c in vars(torch.optim).items() if inspect.isclass(c) and issubclass(c, torch.optim.Optimizer)
    }
    assert set(OPS) == theirs - {"Optimizer"}


REFUSED = [
    ("SGD", {"lr": -1.0}, "lr is -1.0, wanted 0 or more"),
    ("SGD", {"momentum": -0.5}, "momentum is -0.5, wanted 0 or more"),
    ("SGD", {"weight_decay": -1}, "weight_decay is -1, wanted 0 or more"),
    ("SGD", {"nesterov": True}, "nesterov is True, wanted False without momentum"),
    ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov is True, wanted False"),
    ("ASGD", {"weight_decay": -1}, "weight_decay is -1, wanted 0 or more"),
    *((op, {"betas": (0.9, 1.0)}, r"betas is \(0.9, 1.0\), wanted two numbers") for op in OPS if "dam" in op),
    ("Adam", {"betas": (-0.1, 0.9)}, r"betas is \(-0.1, 0.9\), wanted two numbers"),
    ("Adam", {"lr": -1e-3}, "lr is -0.001, wanted 0 or more"),
    ("AdamW", {"weight_decay": -1}, "weight_decay is -1, wanted 0 or more"),
    ("Adamax", {"eps": -1e-8}, "eps is -1e-08, wanted 0 or more"),
    ("NAdam", {"momentum_decay": -1e-8}, "momentum_decay is -1e-08, wanted 0 or more"),
    ("SparseAdam", {"lr": 0.0}, "lr is 0.0, wanted more than 0"),
    ("SparseAdam", {"eps": 0.0}, "eps is 0.0, wanted more than 0"),
    ("Adagrad", {"lr_decay": -1}, "lr_decay is -1, wanted 0 or more"),
    ("Adagrad", {"initial_accumulator_value": -1}, "initial_accumulator_value is -1, wanted 0 or more"),
    ("Adagrad", {"eps": -1}, "eps is -1, wanted 0 or more"),
    ("Adadelta", {"rho": 1.1}, "rho is 1.1, wanted a number from 0 to 1"),
    ("Adadelta", {"eps": -1}, "eps is -1, wanted 0 or more"),
    ("Adafactor", {"beta2_decay": 0.1}, "beta2_decay is 0.1, wanted 0 or less"),
    ("Adafactor", {"eps": (-1.0, 1e-3)}, r"eps is \(-1.0, 0.001\), wanted None or a number of 0 or more"),
    ("Adafactor", {"eps": (None, -1.0)}, r"eps is \(None, -1.0\), wanted None or a number of 0 or more"),
    ("Adafactor", {"d": 0.5}, "d is 0.5, wanted 1 or more"),
    ("RMSprop", {"alpha": -0.1}, "alpha is -0.1, wanted 0 or more"),
    ("RMSprop", {"momentum": -0.1}, "momentum is -0.1, wanted 0 or more"),
    ("RMSprop", {"eps": -0.1}, "eps is -0.1, wanted 0 or more"),
    ("Rprop", {"etas": (0.5, 1.0)}, r"etas is \(0.5, 1.0\), wanted a number between 0 and 1, and one above 1"),
    ("LBFGS", {"lr": -1.0}, "lr is -1.0, wanted 0 or more"),
    ("Muon", {"momentum": -1.0}, "momentum is -1.0, wanted 0 or more"),
    ("Muon", {"adjust_lr_fn": "up"}, "adjust_lr_fn is 'up', wanted None, 'original' or 'match_rms_adamw'"),
]


@pytest.mark.parametrize(("op", "arguments", "message"), REFUSED, ids=str)
def test_a_wrong_argument_is_named_and_torch_refuses_it_too(op, arguments, message):
    with pytest.raises(ValueError, match=f"{op}: {message}"):
        getattr(optim, op)(**arguments)
    with pytest.raises(ValueError, match=r"Invalid|Nesterov|should be|not supported"):
        getattr(torch.optim, op)([torch.zeros(1, 1)], **arguments)


@pytest.mark.parametrize(
    ("op", "arguments", "message"),
    [
        ("LBFGS", {"line_search_fn": "armijo"}, "line_search_fn is 'armijo', wanted None or 'strong_wolfe'"),
        ("LBFGS", {"max_iter": 0}, "max_iter is 0, wanted 1 or more"),
        ("LBFGS", {"history_size": 0}, "history_size is 0, wanted 1 or more"),
        ("Muon", {"ns_steps": 100}, "ns_steps is 100, wanted less than 100"),
        ("Muon", {"ns_coefficients": (1.0, 2.0)}, r"ns_coefficients is \(1.0, 2.0\), wanted three numbers"),
    ],
)
def test_what_torch_refuses_in_a_step_is_refused_at_once(op, arguments, message):
    with pytest.raises(ValueError, match=f"{op}: {message}"):
        getattr(optim, op)(**arguments)


@pytest.mark.parametrize("op", OPS)
def test_nan_is_no_argument(op):
    with pytest.raises(ValueError, match=f"{op}: lr is nan, wanted "):
        getattr(optim, op)(lr=float("nan"))


@pytest.mark.parametrize("op", ["SGD", "Adam", "Adagrad", "NAdam", "RMSprop", "Adadelta"])
def test_without_decay_an_infinite_parameter_spoils_no_gradient(op):
    after, _ = getattr(optim, op)().step({"weight": np.array([np.inf])}, {"weight": np.ones(1)})
    assert after["weight"] == np.inf
