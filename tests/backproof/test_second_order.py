"""Second order: right backwards change as PyTorch's do; what is right at one point alone is found."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from backproof import NumPyImplementation, TorchImplementation, random_architecture
from backproof.campaign import Campaign
from backproof.cli import main
from backproof.examination import Examination
from backproof.reproduction import reproduction
from backproof.second_order import ALONE, PYTORCH, Line, SecondOrder, _Side
from backproof.shrinking import shrink_failure
from backproof.verification import Unsupported, Verification, verify
from impl import ELU, Gradients, Mul, Softplus, Step, Tanh
from reference import Architecture, Input, Node, Reference, Run, Tensor, Twin, draw_values
from reference.run import Array
from reference.sensitivity import THOROUGH
from reports import Agreement, TensorAgreement
from reports.agreement import SECOND_ORDER


def single(op: str, shape: tuple[int, ...] = (3, 2), seed: int = 0, inputs: int = 1, **arguments: Any) -> Architecture:
    given = tuple(Input(f"x{i}", shape, "ties" if seed else "real") for i in range(inputs))
    return Architecture(given, (Node("one", op, arguments, tuple(i.name for i in given)),), ("one",), seed)


TANH = single("Tanh")
NETWORK = Architecture(
    (Input("x", (3, 2)),),
    (
        Node("linear", "Linear", {"in_features": 2, "out_features": 4}, ("x",)),
        Node("tanh", "Tanh", {}, ("linear",)),
        Node("again", "Linear", {"in_features": 4, "out_features": 2}, ("tanh",)),
        Node("square", "Mul", {}, ("again", "again")),
    ),
    ("square",),
)


def second(agreement: Agreement) -> list[TensorAgreement]:
    return [t for t in agreement.tensors if t.against.startswith(SECOND_ORDER)]


def compared(architecture: Architecture, implementation: Any = "numpy") -> SecondOrder:
    found = Examination(Verification(architecture, implementation), "float64", second_order=True).second_order
    assert found is not None
    return found


def changed(layer: type[Any], backward: Callable[[Step, Array, Array], Array], **also: Any) -> NumPyImplementation:
    """A copy of an activation whose gradient is ``backward(step, x, g)``."""

    def forward(self: Any, parameters: Any, x: Array, **options: Any) -> Step:
        step = layer.forward(self, parameters, x, **options)
        return Step(step.output, lambda g: Gradients((backward(step, x, g),)), branches=step.branches)

    broken = type(layer.__name__, (layer,), {"forward": forward})
    return type("Changed", (NumPyImplementation,), also)({layer.__name__: broken})


def own(step: Step, g: Array) -> Array:
    gradient = step.backward(g).inputs[0]
    assert gradient is not None
    return gradient


def test_every_gradient_of_a_network_and_of_its_nodes_is_compared() -> None:
    found = second(verify(NETWORK, second_order=True))
    assert {t.verdict for t in found} == {"agree"}
    assert min(t.digits or 16 for t in found) > 13
    whole = {(t.node, t.kind, t.name) for t in found if t.against == SECOND_ORDER}
    names = {("linear", "weight"), ("linear", "bias"), ("again", "weight"), ("again", "bias")}
    assert whole == {(node, "parameter", name) for node, name in names} | {("x", "input", "0")}
    assert {t.label for t in found if t.against == ALONE and t.node == "square"} == {
        "square: second derivative of input 0",
        "square: second derivative of input 1",
    }


@pytest.mark.parametrize("seed", range(3))
def test_random_architectures_agree(seed: int) -> None:
    assert all(t.verdict != "disagree" for t in second(verify(random_architecture(seed), second_order=True)))


def test_it_is_not_compared_unless_asked_for_nor_in_float32() -> None:
    assert not second(verify(TANH))
    assert not second(verify(TANH, dtype="float32", second_order=True))


def remembering(step: Step, x: Array, g: Array) -> Array:
    """A slope looked up by the rounded input, as a cache may do: right, but blind to a small change."""
    return np.asarray(g * (1 - np.tanh(np.round(x, 8)) ** 2) + (own(step, g) - own(step, g).real))


def test_a_gradient_that_is_right_at_this_point_alone_is_found() -> None:
    """Where the input is short, as ties are, rounding it changes nothing: not at first order."""
    architecture, implementation = single("Tanh", seed=1), changed(Tanh, remembering)
    assert verify(architecture, implementation).agrees
    agreement = verify(architecture, implementation, second_order=True)
    assert (agreement.culprit, agreement.fault) == ("one", "backward")
    assert "gradient of input 0 is right at this point, but not beside it" in str(agreement.diagnosis)
    assert {t.against for t in agreement.disagreements} == {SECOND_ORDER, ALONE}


class Forgetful(Mul):
    """Its first gradient lacks ``g b`` where b is small, as if there were nothing to gain: right where b is 0."""

    def forward(self, parameters: Any, a: Array, b: Array, **options: Any) -> Step:
        step = Mul.forward(self, parameters, a, b, **options)
        lost = np.abs(b.real) < 0.01

        def backward(g: Array) -> Gradients:
            first, other = step.backward(g).inputs
            return Gradients((np.where(lost, 0 * g.real, first), other))

        return Step(step.output, backward)


def zero_factor() -> Architecture:
    for seed in range(1, 50):
        architecture = single("Mul", (1,), seed, inputs=2)
        if not draw_values(architecture, Twin(architecture)).inputs["x1"].any():
            return architecture
    raise AssertionError("no seed draws a zero")


def test_a_term_that_vanishes_at_this_point_is_looked_at_beside_it() -> None:
    architecture = zero_factor()
    implementation = NumPyImplementation({"Mul": Forgetful})
    assert verify(architecture, implementation).agrees
    agreement = verify(architecture, implementation, second_order=True)
    assert (agreement.culprit, agreement.fault) == ("one", "backward")
    assert {(t.kind, t.name) for t in agreement.disagreements if t.against == ALONE} == {("input", "0")}


def test_a_failure_of_second_order_is_shrunk_and_reproduced_with_it() -> None:
    implementation = changed(Tanh, remembering)
    nodes = (Node("one", "Tanh", {}, ("x0",)), Node("two", "Sigmoid", {}, ("one",)))
    architecture = Architecture((Input("x0", (3, 2), "ties"),), nodes, ("two",), 1)
    found = shrink_failure(architecture, implementation, "float64", second_order=True).architecture
    assert [node.op for node in found.nodes] == ["Tanh"]
    assert "dtype='float64', second_order=True)" in reproduction(found, "numpy", "float64", second_order=True)
    assert "second_order" not in reproduction(found, "numpy", "float64")


def conjugating(step: Step, x: Array, g: Array) -> Array:
    return np.asarray(own(step, g.conj()).conj())


def mixed(step: Step, x: Array, g: Array) -> Array:
    return np.asarray(own(step, g) + own(step, g.conj()).conj()) / 2


@pytest.mark.parametrize(
    ("backward", "conjugated"),
    [(lambda step, x, g: own(step, g), frozenset()), (conjugating, frozenset({"one"})), (mixed, None)],
)
def test_whether_a_backward_conjugates_is_found_out(backward: Any, conjugated: frozenset[str] | None) -> None:
    """A complex step through a backward that conjugates gives another number; one that does so by halves gives none."""
    plain = changed(Softplus, backward)
    found = compared(single("Softplus"), plain)
    side = found.alone(found.nodes[0])
    assert side.conjugated == conjugated
    assert side.found.steps == found.whole.found.steps == (conjugated is not None)
    assert {v.verdict for v in (side.verdicts | found.whole.verdicts).values()} == {"agree"}


def no_complex(step: Step, x: Array, g: Array) -> Array:
    if np.iscomplexobj(x):
        raise TypeError("real numbers only")
    return own(step, g)


def dropping(step: Step, x: Array, g: Array) -> Array:
    return own(step, g).astype(np.float64) if np.iscomplexobj(x) else own(step, g)


@pytest.mark.parametrize("backward", [no_complex, dropping])
def test_a_backward_without_complex_numbers_is_taken_by_differences(backward: Any) -> None:
    found = compared(TANH, changed(Tanh, backward))
    assert not found.whole.found.steps
    assert {v.verdict for v in found.whole.verdicts.values()} == {"agree"}


def no_longdouble(step: Step, x: Array, g: Array) -> Array:
    return own(step, g).astype(np.float64)


def unlike_in_longdouble(step: Step, x: Array, g: Array) -> Array:
    return own(step, g) * (2 if x.dtype == np.longdouble else 1)


@pytest.mark.parametrize("backward", [no_longdouble, unlike_in_longdouble])
def test_differences_take_longdouble_where_it_is_the_same(backward: Any) -> None:
    def bound(backward: Any) -> float:
        implementation = changed(Tanh, backward, complex_clean=lambda self, node: False)
        side = compared(TANH, implementation).whole
        assert {v.verdict for v in side.verdicts.values()} == {"agree"}
        return max(float(b.max()) for b in side.found.bounds.values())

    assert bound(backward) > 100 * bound(lambda step, x, g: own(step, g))


def test_at_a_jump_a_complex_step_speaks_for_the_branch_that_was_taken() -> None:
    architecture = single("ReLU", (4, 4), seed=1)
    assert {t.verdict for t in second(verify(architecture, second_order=True))} == {"agree"}


def test_at_a_jump_differences_know_nothing() -> None:
    class Real(NumPyImplementation):
        def complex_clean(self, node: Node) -> bool:
            return False

    found = second(verify(single("ReLU", (4, 4), seed=1), Real(), second_order=True))
    assert {t.verdict for t in found} == {"inconclusive"}
    assert all("of 16 entries: a kink of the gradient" in t.note for t in found)


def test_at_a_kink_of_the_gradient_either_side_is_right() -> None:
    """ELU's slope bends at 0, and PyTorch's second derivative there is of neither side."""
    found = second(verify(single("ELU", (4, 4), seed=1), second_order=True))
    assert {t.verdict for t in found} == {"inconclusive"}
    assert all("a kink of the gradient" in t.note for t in found)


def test_beside_a_kink_a_mistake_is_still_found() -> None:
    wrong = changed(ELU, lambda step, x, g: np.asarray(own(step, g) + g * (x - x.real.round(8)) * (x.real > 0.7)))
    found = second(verify(single("ELU", (4, 4), seed=1), wrong, second_order=True))
    assert {t.verdict for t in found} == {"disagree"}


def test_what_torch_refuses_is_told_and_no_agreement() -> None:
    found = second(verify(single("Hardsigmoid"), TorchImplementation(), second_order=True))
    assert [(t.node, t.op, t.verdict) for t in found] == [
        ("one", "Hardsigmoid", "inconclusive"),
        ("", "", "inconclusive"),
    ]
    assert all(t.note.startswith("torch refuses: derivative for aten::hardsigmoid_backward") for t in found)
    assert found[0].label == "one: second derivative"


def test_torch_agrees_with_itself() -> None:
    assert {t.verdict for t in second(verify(TANH, TorchImplementation(), second_order=True))} == {"agree"}


def test_a_wrong_double_backward_of_torch_is_told_and_no_disagreement(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Twin.curvature

    def wrong(self: Twin, *given: Any, **options: Any) -> Run:
        return Run({name: 1.5 * g for name, g in right(self, *given, **options).tensors.items()})

    monkeypatch.setattr(Twin, "curvature", wrong)
    assert {t.note for t in second(verify(TANH, second_order=True))} == {PYTORCH}
    assert {t.verdict for t in second(verify(TANH, second_order=True))} == {"inconclusive"}
    # Who is wrong, too, is not excused.
    both = verify(single("Tanh", seed=1), changed(Tanh, remembering), second_order=True)
    assert {t.verdict for t in second(both)} == {"disagree"}


BCE = Architecture(
    (Input("x1", (3,), "probability"), Input("x2", (3,), "probability")),
    (Node("bceloss5", "BCELoss", {"weight": [0.0, 0.0, 1.0]}, ("x1", "x2")),),
    ("bceloss5",),
    2,
)


def test_two_backwards_are_as_near_as_they_were_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's second derivative of BCELoss is off in the twelfth digit: less than rounding might do to a stencil."""
    told = {(t.name, t.note) for t in second(verify(BCE, second_order=True)) if t.verdict == "inconclusive"}
    assert ("0", PYTORCH) in told
    apart = _Side._apart

    def as_far_as_rounding_may(self: _Side, t: float) -> dict[Tensor, Array]:
        return {name: g * 0 + self._rounding(name, THOROUGH) for name, g in apart(self, t).items()}

    monkeypatch.setattr(_Side, "_apart", as_far_as_rounding_may)
    assert not verify(BCE, second_order=True).agrees


def test_what_a_convention_keeps_from_being_a_derivative_does_not_move() -> None:
    """The padding row of an embedding has no gradient, though what comes after depends on it."""
    table = {"num_embeddings": 3, "embedding_dim": 2, "padding_idx": 1}
    nodes = (Node("table", "Embedding", table, ("i",)), Node("square", "Mul", {}, ("table", "table")))
    architecture = Architecture((Input("i", (6,), "index", below=3),), nodes, ("square",))
    found = second(verify(architecture, second_order=True))
    assert {t.verdict for t in found} == {"agree"}
    values = draw_values(architecture, twin := Twin(architecture))
    assert not Line(Reference(twin, values)).direction.parameters["table"]["weight"].any()


def test_what_has_no_gradient_does_not_move() -> None:
    values = draw_values(NETWORK, twin := Twin(NETWORK))
    assert twin.reached(values) == {n for n in twin.run(values).tensors if n.kind in ("parameter", "input")}
    batch = Architecture((Input("x", (3, 2)),), (Node("b", "BatchNorm1d", {"num_features": 2}, ("x",)),), ("b",))
    line = Line(Verification(batch).reference)
    assert {n for n, d in line.direction.parameters["b"].items() if d.any()} == {"weight", "bias"}


def test_everything_moves_in_proportion_to_its_size() -> None:
    line = Line(Verification(single("Mul", (64,), seed=3, inputs=2)).reference)
    x, along = line.values.inputs["x0"], line.direction.inputs["x0"]
    assert (along[x == 0] != 0).all()
    assert 0.3 < np.abs(along[np.abs(x) == 1]).mean() / np.abs(along[np.abs(x) == 0.5]).mean() / 2 < 3
    assert (line.direction.cotangents["one"] != 0).all()
    assert np.array_equal(line.at(0.25).inputs["x0"], x + 0.25 * along)


def test_where_nothing_is_finite_there_is_no_second_derivative() -> None:
    nodes = (Node("none", "Mean", {"dim": 0}, ("x",)), Node("curve", "Tanh", {}, ("none",)))
    empty = Architecture((Input("x", (0, 2)),), nodes, ("curve",))
    assert not second(verify(empty, second_order=True))


def test_a_step_outside_the_domain_says_nothing() -> None:
    left: list[Array] = []

    def narrow(step: Step, x: Array, g: Array) -> Array:
        if (np.abs(x - x.astype(np.float32)) > 1e-8).any():
            left.append(x)
            raise ValueError("outside")
        return own(step, g)

    found = compared(TANH, changed(Tanh, narrow, complex_clean=lambda self, node: False))
    assert {v.verdict for v in found.whole.verdicts.values()} == {"agree"}
    assert left


def test_the_command_line_compares_it_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ("verify", "--examples", "2", "--layers", "Tanh", "--workers", "1", "--second-order", "--json", "n.json")
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    assert "second derivatives:" in done.stdout
    against = json.loads(Path("n.json").read_text())["against"]
    assert against[ALONE]["agree"] > 0
    assert against[ALONE]["worst_digits"] > 12
    assert "double backward" in Path("backproof-report/index.html").read_text(encoding="utf-8")
    Path("a.json").write_text(TANH.to_json())
    again = CliRunner().invoke(main, ("replay", "a.json", "--second-order", "--dtype", "float64"))
    assert (again.exit_code, "second derivatives:" in again.stdout) == (0, True)


def test_it_wants_float64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Unsupported, match="compared in float64, which is not among float32"):
        Campaign(dtypes=("float32",), second_order=True).checked()
    done = CliRunner().invoke(main, ("verify", "--second-order", "--dtype", "float32"))
    assert done.exit_code == 2


def test_what_is_known_to_be_wrong_of_a_node_alone_excuses_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    right, apart = Twin.curvature, _Side._apart

    def wrong(self: Twin, *given: Any, **options: Any) -> Run:
        return Run({name: 1.5 * g for name, g in right(self, *given, **options).tensors.items()})

    def unsure(self: _Side, t: float) -> dict[Tensor, Array]:
        found = apart(self, t)
        return {name: g + np.inf for name, g in found.items()} if self.against == SECOND_ORDER else found

    monkeypatch.setattr(Twin, "curvature", wrong)
    monkeypatch.setattr(_Side, "_apart", unsure)
    assert {(t.verdict, t.note) for t in second(verify(TANH, second_order=True))} == {("inconclusive", PYTORCH)}


def test_where_the_double_backward_is_not_finite_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Twin.curvature

    def broken(self: Twin, *given: Any, **options: Any) -> Run:
        found = {name: g.copy() for name, g in right(self, *given, **options).tensors.items()}
        for g in found.values():
            g.flat[0] = np.nan
        return Run(found)

    monkeypatch.setattr(Twin, "curvature", broken)
    found = second(verify(TANH, second_order=True))
    assert {t.verdict for t in found} == {"inconclusive"}
    assert all(t.note.startswith("1 of 6 entries") for t in found)
