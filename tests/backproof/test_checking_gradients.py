"""check_gradients: right ops agree, planted mistakes are caught and named, wrong use is told in one sentence."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import backproof
from reports import Agreement, DisagreementError, Summary, sentence

Op = Callable[..., Any]
RNG = np.random.default_rng(7)
X, W, B = RNG.standard_normal((6, 4)), RNG.standard_normal((4, 5)), RNG.standard_normal(5)


def check(forward: Op, *inputs: Any, **options: Any) -> Agreement:
    return backproof.check_gradients(forward, inputs, raise_exception=False, **options)


def linear(x: Any, W: Any, b: Any) -> Any:
    return x @ W + b, lambda g: (g @ W.T, x.T @ g, g.sum(0))


def softmax(x: Any) -> Any:
    powers = np.exp(x - x.max(-1, keepdims=True))
    y = powers / powers.sum(-1, keepdims=True)
    return y, lambda g: y * (g - (g * y).sum(-1, keepdims=True))


def relu(x: Any) -> Any:
    return np.maximum(x, 0), lambda g: g * (x > 0)


def layer_norm(x: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    root = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    y = centred / root

    def backward(g: Any) -> Any:
        return (g - g.mean(-1, keepdims=True) - y * (g * y).mean(-1, keepdims=True)) / root

    return y, backward


def sigmoid(x: Any) -> Any:
    y = 1 / (1 + np.exp(-x))
    return y, lambda g: g * y * (1 - y)


def scatter(x: Any, index: Any) -> Any:
    def backward(g: Any) -> Any:
        found = np.zeros_like(x)
        np.add.at(found, index, g)
        return found, None

    return x[index], backward


def halves(x: Any) -> Any:
    def backward(grads: Any) -> Any:
        first, second = (np.zeros_like(h) if g is None else g for g, h in zip(grads, (x[:, :2], x[:, 2:])))
        return np.concatenate([first, second], 1)

    return (x[:, :2], x[:, 2:]), backward


def product(a: Any, b: Any) -> Any:
    return a * b, lambda g: (g * b.conj(), g * a.conj())


OPS: list[tuple[Op, tuple[Any, ...]]] = [
    (linear, (X, W, B)),
    (softmax, (X,)),
    (relu, (X,)),
    (layer_norm, (X,)),
    (sigmoid, (X,)),
    (scatter, (X, np.array([1, 1, 3]))),
    (halves, (X,)),
]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "longdouble"])
@pytest.mark.parametrize(("op", "inputs"), OPS, ids=lambda value: getattr(value, "__name__", ""))
def test_right_ops_agree(op: Op, inputs: tuple[Any, ...], dtype: str) -> None:
    given = [x.astype(dtype) if x.dtype.kind == "f" else x for x in inputs]
    agreement = check(op, *given)
    assert agreement, agreement
    assert not [t for t in agreement.tensors if t.verdict != "agree"], agreement
    assert agreement.dtype == dtype
    least = {"float64": 11.0, "longdouble": 11.0, "float32": 5.5, "float16": 2.0}[dtype]
    assert agreement.worst is not None
    assert (agreement.worst.digits or 0) > least


@pytest.mark.parametrize("dtype", ["complex128", "complex64"])
def test_complex_numbers_go_back_in_pytorchs_convention(dtype: str) -> None:
    z = (X + 1j * X[::-1]).astype(dtype)
    assert check(product, z, z[::-1].copy())
    wrong = check(lambda a, b: (a * b, lambda g: (g * b, g * a)), z, z[::-1].copy())
    assert not wrong
    assert "takes the derivative where its conjugate belongs" in (wrong.diagnosis or "")


@given(
    st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=6),
    st.sampled_from([relu, softmax, sigmoid]),
    st.sampled_from(["float64", "float32"]),
)
def test_right_ops_agree_on_any_numbers_kinks_and_ties_among_them(numbers: list[float], op: Op, dtype: str) -> None:
    assert check(op, np.array(numbers, dtype))


@given(st.integers(1, 4), st.integers(2, 4), st.integers(2, 4), st.integers(0, 2**32), st.booleans())
def test_a_factor_is_caught_and_told(n: int, m: int, k: int, seed: int, right: bool) -> None:
    rng = np.random.default_rng(seed)
    factor = 1.0 if right else 1.001
    x, w, b = rng.standard_normal((n, m)), rng.standard_normal((m, k)), rng.standard_normal(k)

    def forward(x: Any, W: Any, b: Any) -> Any:
        return x @ W + b, lambda g: (g @ W.T, factor * (x.T @ g), g.sum(0))

    found = check(forward, x, w, b)
    assert bool(found) == right
    if not right:
        assert "gradient of W is 1.001 times the reference" in str(found)


def changed(what: Callable[[Any, Any, Any, Any, Any], Any]) -> Op:
    """The linear op with gradients changed: by (x, g, gx, gW, gb)."""

    def linear(x: Any, W: Any, b: Any) -> Any:
        return x @ W + b, lambda g: what(x, g, g @ W.T, x.T @ g, g.sum(0))

    return linear


def at(array: Any, index: tuple[int, ...], change: Callable[[Any], Any]) -> Any:
    found = array.copy()
    found[index] = change(found[index])
    return found


PLANTED: dict[str, tuple[Op, str]] = {
    "one element by 10 %": (
        changed(lambda x, g, gx, gW, gb: (gx, at(gW, (1, 2), lambda v: 1.1 * v), gb)),
        "gradient of W is wrong at 1 of 20 entries, the first at [1, 2]",
    ),
    "1e-9 in one coordinate": (
        changed(lambda x, g, gx, gW, gb: (gx, at(gW, (3, 0), lambda v: v + 1e-9), gb)),
        "gradient of W is wrong at 1 of 20 entries, the first at [3, 0]",
    ),
    "mean too many": (
        changed(lambda x, g, gx, gW, gb: (gx, gW, gb / len(x))),
        "gradient of b is 1/6 of the reference: a mean over axis 0 of input x",
    ),
    "mean missing": (
        lambda x: (x.mean(0), lambda g: np.broadcast_to(g, x.shape).copy()),
        "gradient of x is 6 times the reference: a mean over axis 0 of input x (6) is missing",
    ),
    "sign": (changed(lambda x, g, gx, gW, gb: (-gx, gW, gb)), "gradient of x has the wrong sign"),
    "transposed": (changed(lambda x, g, gx, gW, gb: (gx, gW.T, gb)), "gradient of W is transposed"),
    "not summed": (changed(lambda x, g, gx, gW, gb: (gx, gW, g)), "it is not summed over axis 0"),
    "zero": (changed(lambda x, g, gx, gW, gb: (gx, gW, 0 * gb)), "gradient of b is zero everywhere"),
    "none": (changed(lambda x, g, gx, gW, gb: (gx, gW, None)), "gradient of b is missing"),
    "nan": (changed(lambda x, g, gx, gW, gb: (gx, gW, np.nan * gb)), "gradient of b is not finite at all entries"),
    "ones": (
        changed(lambda x, g, gx, gW, gb: (gx, x.T @ np.ones_like(g), gb)),
        "gradient of W is that for a cotangent of output 0 of ones",
    ),
    "count": (changed(lambda x, g, gx, gW, gb: (gx, gW)), "backward returns 2 gradients for 3 inputs (x, W, b)"),
    "dtype": (
        changed(lambda x, g, gx, gW, gb: (gx.astype(np.float32), gW, gb)),
        "gradient of x has dtype float32, wanted float64",
    ),
    "list": (changed(lambda x, g, gx, gW, gb: (gx.tolist(), gW, gb)), "is a list of 6, wanted an array"),
    "softmax without its second term": (
        lambda x: (softmax(x)[0], lambda g: softmax(x)[0] * g),
        "gradient of x is the cotangent times y",
    ),
    "the forward is no pair": (lambda x: x, "forward returns an array of shape (6, 4), wanted (output, backward)"),
    "raised": (lambda x: (x, lambda g: 1 / 0), "backward raises ZeroDivisionError: division by zero ("),
    "integers": (
        lambda x: (x.argmax(0), lambda g: x),
        "output 0 is no floating array that could be differentiated: int64 (4,)",
    ),
    "in place": (
        lambda x: (np.multiply(x, 2, out=x), lambda g: 2 * g),
        "forward changes input x, which it was given",
    ),
    "index repeated": (
        lambda x: (x[[1, 1]], lambda g: at(np.zeros_like(x), ([1, 1],), lambda v: v + g)),
        "overwrites instead of adding up",
    ),
    "not deterministic": (
        lambda x: (x * np.random.default_rng().random(), lambda g: g),
        "forward is not deterministic: run again on the same numbers, it differs by",
    ),
    "at zero": (
        lambda x: ((x - x[0, 0]) * (x > x[0, 0]), lambda g: 1.5 * g * (x > x[0, 0])),
        "gradient of x is",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_caught_and_named(name: str) -> None:
    op, words = PLANTED[name]
    given = (X, W, B) if op.__name__ == "linear" else (X,)
    agreement = check(op, *given)
    assert not agreement
    assert words in str(agreement)
    with pytest.raises(DisagreementError) as raised:
        backproof.check_gradients(op, given)
    assert words in str(raised.value)


def test_a_gradient_of_another_dtype_is_told_as_that() -> None:
    agreement = check(lambda x: (2 * x, lambda g: (2 * g).astype(np.float32)), X)
    assert agreement.fault == "dtype"
    assert agreement.diagnosis == "gradient of x has dtype float32, wanted float64"
    assert "backward is wrong" not in str(agreement)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_loss_may_come_as_a_number_of_python(dtype: str) -> None:
    assert check(lambda x: (float((x * x).sum()), lambda g: 2 * x * g), X.astype(dtype))
    assert not check(lambda x: (float((x * x).sum()), lambda g: 3 * x * g), X.astype(dtype))


def test_a_small_mistake_in_float32_is_caught() -> None:
    def forward(x: Any, W: Any) -> Any:
        return x @ W, lambda g: (g @ W.T, at(x.T @ g, (1, 2), lambda v: v * np.float32(1 + 1e-4)))

    x, w = X.astype(np.float32), W.astype(np.float32)
    agreement = check(forward, x, w)
    assert not agreement
    wrong = agreement.disagreements[0]
    assert (wrong.kind, wrong.name, wrong.index) == ("input", "W", (1, 2))
    assert agreement.dtype == "float32"


def test_kinks_agree_between_the_sides_and_not_beyond() -> None:
    x = np.array([-1.0, 0.0, 0.0, 2.0])
    for slope in (0.0, 0.3, 1.0):
        assert check(lambda x, slope=slope: (np.maximum(x, 0), lambda g: g * np.where(x == 0, slope, x > 0)), x)
    beyond = check(lambda x: (np.maximum(x, 0), lambda g: g * np.where(x == 0, 1.01, x > 0)), x)
    assert not beyond
    assert "only at kinks or ties" in str(beyond) or "where the input is 0" in str(beyond)


def test_the_program_in_the_text_shows_the_mistake() -> None:
    op, _ = PLANTED["one element by 10 %"]
    agreement = check(op, X, W, B)
    assert agreement.reproduction is not None
    assert len(agreement.reproduction.splitlines()) <= 10
    values: dict[str, Any] = {"np": np, "linear": op, "x": X, "W": W, "b": B}
    exec(agreement.reproduction, values)
    wrong = agreement.disagreements[0]
    assert values["got"] == wrong.got
    assert values["wanted"] == pytest.approx(wrong.want, rel=1e-6)


def test_several_outputs_and_names() -> None:
    def by_name(w: Any, x: Any) -> Any:
        return x @ w, lambda g: {"x": g @ w.T, "w": x.T @ g}

    assert backproof.check_gradients(by_name, {"x": X, "w": W})
    unknown = backproof.check_gradients(lambda x: (x + 1, lambda g: {"y": g}), {"x": X}, raise_exception=False)
    assert "backward returns a gradient of 'y', but the inputs are x" in str(unknown)


def test_a_forward_that_claims_to_be_clean_is_differentiated_exactly_unless_it_is_not() -> None:
    seen: list[Any] = []

    def tanh(x: Any) -> Any:
        seen.append(x.dtype.kind)
        return np.tanh(x), lambda g: g * (1 - np.tanh(x) ** 2)

    assert check(tanh, X, complex_clean=True)
    assert "c" in seen or "O" in seen
    seen.clear()
    assert check(tanh, X)
    assert "c" not in seen
    # np.abs forgets the imaginary part: a complex step finds 0 where backward is right.
    magnitude = check(lambda x: (np.abs(x), lambda g: g * np.sign(x)), X, complex_clean=True)
    assert magnitude
    assert "not complex-clean, as it claims" in magnitude.tensors[0].note


def test_what_has_no_derivative_is_inconclusive_entry_by_entry() -> None:
    with np.errstate(all="ignore"):
        agreement = check(lambda x: (np.log(x), lambda g: g / x), np.array([0.0, 1.0, 2.0]))
        wrong = check(lambda x: (np.log(x), lambda g: g / x**2), np.array([0.0, 1.0, 2.0]))
        nothing = check(lambda x: (np.log(x), lambda g: g / x), np.array([-1.0]))
    assert [t.verdict for t in agreement.tensors] == ["inconclusive", "agree"]
    assert not wrong
    assert "inconclusive: is not finite at any entry" in str(nothing)


def test_a_forward_that_refuses_other_numbers_is_no_finding() -> None:
    def root(x: Any) -> Any:
        if (x < 0.99).any():
            raise ValueError("below 0.99")
        return np.sqrt(x), lambda g: g / (2 * np.sqrt(x))

    assert check(root, np.array([1.0, 2.0, 3.0]))


def test_a_float32_function_says_so_where_it_runs_in_nothing_else() -> None:
    def strict(x: Any) -> Any:
        if x.dtype != np.float32:
            raise TypeError("float32 only")
        return np.tanh(x), lambda g: g * (1 - np.tanh(x) ** 2)

    agreement = check(strict, X.astype(np.float32))
    assert agreement
    assert "differentiated in float32" in agreement.tensors[0].note
    wrong = check(lambda x: (strict(x)[0], lambda g: 1.2 * strict(x)[1](g)), X.astype(np.float32))
    assert not wrong


def test_a_large_array_is_sampled_and_seen_along_directions() -> None:
    x = RNG.standard_normal((80, 80))

    def tanh(x: Any, wrong: float = 0.0) -> Any:
        return np.tanh(x), lambda g: g * (1 - np.tanh(x) ** 2) + wrong * (np.arange(x.size).reshape(x.shape) % 97 == 5)

    agreement = check(tanh, x)
    assert agreement
    assert "of 6,400 coordinates, and 8 directions" in agreement.tensors[0].note
    assert not check(lambda x: tanh(x, 0.01), x)


def test_tolerances_widen_what_agrees_and_nothing_else() -> None:
    op = changed(lambda x, g, gx, gW, gb: (gx, gW * (1 + 1e-6), gb))
    assert not check(op, X, W, B)
    assert check(op, X, W, B, rtol=1e-5)
    assert check(op, X, W, B, atol=1e-4)
    assert check(changed(lambda x, g, gx, gW, gb: (gx.astype("f4"), gW, gb)), X, W, B, check_grad_dtypes=False)


def test_random_numbers_are_held_fixed_and_put_back() -> None:
    generator: Any = vars(np.random)["get_bit_generator"]()
    before = generator.state["state"]["key"].copy()

    def dropout(x: Any) -> Any:
        kept = vars(np.random)["random"](x.shape) > 0.5
        return x * kept, lambda g: g * kept

    assert check(dropout, X)
    assert (generator.state["state"]["key"] == before).all()


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([1.0, 2.0], "input x: is float 1.0, wanted a NumPy array of numbers"),
        (X.astype(int), "inputs: no floating or complex array that could be differentiated (there is x int64)"),
        ((), "inputs: no floating or complex array that could be differentiated (there is none)"),
        ({1: X}, "inputs: a dict has the names of forward's arguments as its keys"),
        (np.array(["a"]), "input x: is an array of <U1, wanted a NumPy array of numbers"),
    ],
)
def test_wrong_use_is_told_in_one_sentence(inputs: Any, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        backproof.check_gradients(lambda x, y=None: (x, lambda g: g), inputs)
    assert str(raised.value) == words
    with pytest.raises(ValueError, match="seed: is -1, wanted an integer from 0"):
        backproof.check_gradients(relu, X, seed=-1)
    nothing: Any = 3
    with pytest.raises(ValueError, match="forward: is int 3, wanted a function"):
        backproof.check_gradients(nothing, X)


def test_a_check_goes_where_every_agreement_goes() -> None:
    summary = Summary(("float64",), {"implementation": "mine"})
    right, wrong = check(softmax, X), check(PLANTED["sign"][0], X, W, B)
    for agreement in (right, wrong):
        summary.add([Agreement.from_dict(agreement.to_dict())])
    document = summary.document()
    assert document["failed"] == 1
    assert document["failures"][0]["op"] == "linear"
    assert "2 checks" in sentence(document)
    assert right.digest != check(softmax, X + 1).digest
    assert right.digest == check(softmax, X).digest
