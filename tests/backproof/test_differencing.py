"""Differences through an implementation's forward: longdouble, dishonest complex steps, samples of large arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backproof import NumPyImplementation, at_once
from backproof.differencing import COORDINATES, Claim, Derivative, at_every_coordinate
from backproof.implementations import Completed
from backproof.verification import Verification
from reference import Architecture, Input, Node, Tensor
from reference.run import Array

TANH = Architecture((Input("x", (3, 2)),), (Node("one", "Tanh", {}, ("x",)),), ("one",))
SMALL = Tensor("input", "one_input0", "0")


class Changed(NumPyImplementation):
    """NumPy's passes, with what goes in or comes out changed; complex-clean or not."""

    def __init__(
        self,
        clean: bool,
        before: Callable[[Array], Array] = lambda x: x,
        after: Callable[[Array], Array] = lambda y: y,
    ) -> None:
        super().__init__()
        self.clean, self.before, self.after = clean, before, after
        self.dtypes: set[str] = set()

    def complex_clean(self, node: Node) -> bool:
        return self.clean

    def forward(self, node: Node, parameters: Any, inputs: Any, **options: Any) -> Any:
        self.dtypes.update(str(x.dtype) for x in inputs)
        done = super().forward(node, parameters, tuple(map(self.before, inputs)), **options)
        return done._replace(outputs=tuple(map(self.after, done.outputs)))


def derivatives(implementation: NumPyImplementation, architecture: Architecture = TANH) -> dict[Tensor, Derivative]:
    alone = Verification(architecture, implementation).alone["one"]
    return at_every_coordinate(Completed(implementation), architecture.nodes[0], alone)


def gradient(architecture: Architecture, name: Tensor) -> Array:
    return Verification(architecture).alone["one"].run.tensors[name]


def no_longdouble(x: Array) -> Array:
    if x.dtype == np.longdouble:
        raise TypeError("longdouble is not for me")
    return x


def test_longdouble_is_used_where_the_forward_runs_in_it() -> None:
    gain = float(np.finfo(np.float64).eps / np.finfo(np.longdouble).eps)
    precise, plain = (derivatives(Changed(False, before))[SMALL].coordinates for before in (lambda x: x, no_longdouble))
    assert plain.bound.max() < 1e-9
    assert precise.bound.max() <= max(plain.bound.max() / min(gain, 100), 1e-15)
    for found in (precise, plain):
        assert (np.abs(found.value.reshape(3, 2) - gradient(TANH, SMALL)) <= found.bound.reshape(3, 2) + 1e-15).all()


@pytest.mark.parametrize(
    "implementation",
    [
        Changed(False, no_longdouble),
        Changed(False, lambda x: x.astype(np.float64)),
        Changed(False, lambda x: 2 * x if x.dtype == np.longdouble else x),
    ],
)
def test_a_forward_without_longdouble_is_no_finding(implementation: Changed) -> None:
    Verification(TANH, implementation).agreement("float64").raise_for_disagreement()
    assert "longdouble" in implementation.dtypes or np.dtype(np.longdouble).name in implementation.dtypes


def refuse_complex(x: Array) -> Array:
    if x.dtype.kind == "c":
        raise TypeError("complex is not for me")
    return x


@pytest.mark.parametrize(
    "implementation",
    [
        Changed(True, lambda x: x.real),
        Changed(True, np.conj),
        Changed(True, after=lambda y: np.sign(y.real) * np.abs(y)),
        Changed(True, refuse_complex),
    ],
)
def test_a_forward_that_claims_to_be_complex_clean_is_found_out(implementation: Changed) -> None:
    found = derivatives(implementation)[SMALL]
    assert "not complex-clean" in found.note
    error = np.abs(found.coordinates.value.reshape(3, 2) - gradient(TANH, SMALL))
    assert (error <= found.coordinates.bound.reshape(3, 2) + 1e-15).all()
    agreement = Verification(TANH, implementation).agreement("float64")
    assert any("not complex-clean" in t.note for t in agreement.tensors if t.against == "differences")
    assert all(t.verdict == "agree" for t in agreement.tensors if t.against == "differences" and t.kind == "input")


def test_an_honest_forward_is_believed() -> None:
    found = derivatives(NumPyImplementation())[SMALL]
    assert found.note == ""
    assert found.coordinates.bound.max() < 1e-14


LINEAR = Node("one", "Linear", {"in_features": 100, "out_features": 100}, ("x",))
LARGE = Architecture((Input("x", (2, 100)),), (LINEAR,), ("one",))
WEIGHT = Tensor("parameter", "one", "weight")


LAYERS = Architecture(
    (Input("x", (4, 3, 6)),),
    (Node("one", "LSTM", {"input_size": 6, "hidden_size": 2, "bidirectional": True}, ("x",)),),
    ("one",),
)


class Counting(Changed):
    """Counts how often it runs forward."""

    def __init__(self, before: Callable[[Array], Array] = lambda x: x) -> None:
        super().__init__(True, before)
        self.runs = 0

    def forward(self, *given: Any, **options: Any) -> Any:
        self.runs += 1
        return super().forward(*given, **options)


def no_duals(x: Array) -> Array:
    return np.array(x)  # loses the parts of dual numbers


def test_all_coordinates_come_from_one_run_or_else_one_by_one() -> None:
    quick, slow = Counting(), Counting(no_duals)
    for implementation in (quick, slow):
        for name, found in derivatives(implementation, LAYERS).items():
            assert (found.coordinates.bound < 1e-12).all()
            np.testing.assert_allclose(
                found.coordinates.value, gradient(LAYERS, name).reshape(-1), rtol=1e-12, atol=1e-13
            )
    coordinates = sum(found.at.size for found in derivatives(quick, LAYERS).values())
    assert quick.runs < 100 < coordinates < slow.runs


def test_few_at_a_time_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = derivatives(Counting(), LAYERS)
    monkeypatch.setattr(at_once, "AT_ONCE", 1)
    for name, found in derivatives(Counting(), LAYERS).items():
        np.testing.assert_allclose(found.coordinates.value, whole[name].coordinates.value, rtol=1e-13, atol=1e-15)


def test_parts_that_are_lost_in_one_place_alone_are_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the input goes through an array that no part follows: what is left adds up to less."""

    def half(x: Array) -> Array:
        return np.concatenate([x[:1], np.array(x[1:])]) if x.ndim else x

    found = derivatives(Counting(half))[SMALL]
    np.testing.assert_allclose(found.coordinates.value.reshape(3, 2), gradient(TANH, SMALL), rtol=1e-13)
    assert found.note == ""
    monkeypatch.setattr(at_once, "_same", lambda *given: True)  # then a central difference tells
    assert "not complex-clean" in derivatives(Counting(half))[SMALL].note


def test_a_large_array_is_sampled_and_says_so() -> None:
    found = derivatives(NumPyImplementation(), LARGE)[WEIGHT]
    assert len(found.at) == COORDINATES
    assert {0, 99, 9900, 9999} <= set(found.at.tolist())
    assert found.signs.shape == (8, 10000)
    again = derivatives(NumPyImplementation(), LARGE)[WEIGHT]
    assert (found.at == again.at).all()
    assert (found.signs == again.signs).all()
    right = gradient(LARGE, WEIGHT)
    claims = list(found.claims(right, 1e-12))
    assert all(claim.holds for claim in claims)
    assert claims[0].note == "4,096 of 10,000 coordinates, and 8 directions"


@pytest.mark.parametrize("place", ["sampled", "unsampled"])
def test_an_error_in_one_coordinate_of_a_large_array_is_seen(place: str) -> None:
    found = derivatives(NumPyImplementation(), LARGE)[WEIGHT]
    unsampled = np.setdiff1d(np.arange(10000), found.at)
    wrong = gradient(LARGE, WEIGHT).copy()
    wrong.flat[(found.at if place == "sampled" else unsampled)[17]] += 1e-8
    coordinates, directions = found.claims(wrong, 1e-12)
    assert coordinates.holds == (place == "unsampled")
    assert not directions.holds


def test_the_agreement_of_a_large_array_says_what_was_not_checked() -> None:
    def verdict(architecture: Architecture, implementation: NumPyImplementation) -> Any:
        agreement = Verification(architecture, implementation).agreement("float64")
        return next(t for t in agreement.tensors if t.name == "weight" and t.against == "differences")

    class Slightly(NumPyImplementation):
        def forward(self, *given: Any, **options: Any) -> Any:
            done = super().forward(*given, **options)

            def backward(g: Any) -> Any:
                xs, own = done.backward(g)
                own["weight"].flat[unsampled] += 1e-6
                return xs, own

            return done._replace(backward=backward)

    found = derivatives(NumPyImplementation(), LARGE)[WEIGHT]
    unsampled = int(np.setdiff1d(np.arange(10000), found.at)[17])
    assert (verdict(LARGE, NumPyImplementation()).verdict, verdict(LARGE, NumPyImplementation()).note) == (
        "agree",
        "4,096 of 10,000 coordinates, and 8 directions",
    )
    assert (verdict(LARGE, Slightly()).verdict, verdict(LARGE, Slightly()).note) == ("disagree", "along 8 directions")


def test_a_coordinate_without_a_known_derivative_is_inconclusive_but_hides_no_error_beside_it() -> None:
    class Jumping(NumPyImplementation):
        def complex_clean(self, node: Node) -> bool:
            return False

        def forward(self, node: Node, parameters: Any, inputs: Any, **options: Any) -> Any:
            done = super().forward(node, parameters, inputs, **options)
            return done._replace(outputs=(done.outputs[0] + (inputs[0] > edge),))

    alone = Verification(TANH).alone["one"]
    x = alone.values.inputs["one_input0"]
    edge = np.full(x.shape, 9.0)
    edge[1, 1] = x[1, 1]
    found = derivatives(Jumping())[SMALL]
    right = gradient(TANH, SMALL)
    (claim,) = found.claims(right, 1e-12)
    assert isinstance(claim, Claim)
    assert claim.unknown
    assert claim.note == "1 of 6 coordinates have no derivative that is known"
    assert claim.holds
    (claim,) = found.claims(right + np.array([[1e-6, 0], [0, 0], [0, 0]]), 1e-12)
    assert not claim.holds
    agreement = Verification(TANH, Jumping()).agreement("float64")
    verdicts = {t.verdict for t in agreement.tensors if t.against == "differences" and t.kind == "input"}
    assert verdicts == {"inconclusive"}
