"""Complex numbers: layers that say so agree in torch's convention; a conjugate that is missing is found and named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from backproof import NumPyImplementation, TorchImplementation
from backproof.campaign import Campaign
from backproof.cli import main
from backproof.complex_numbers import complex_numbers
from backproof.verification import Unsupported, Verification, verify
from backproof.witnesses import Witnesses
from impl import Gradients, Linear, Mul, Sigmoid, Step
from impl.layers import LAYERS
from reference import Architecture, Input, Node, Perturbation, Tensor
from reference.disturbance import Blur, Rounding
from reference.run import Array
from reports import Agreement, Summary, measure

LAYER = {"in_features": 2, "out_features": 3}
NETWORK = Architecture(
    (Input("x", (3, 2)), Input("y", (3, 1), "ties")),
    (
        Node("linear", "Linear", LAYER, ("x",)),
        Node("scaled", "Mul", {}, ("linear", "y")),
        Node("turned", "Transpose", {"dim0": 0, "dim1": 1}, ("scaled",)),
        Node("product", "MatMul", {}, ("scaled", "turned")),
        Node("mean", "Mean", {"dim": None}, ("product",)),
    ),
    ("product", "mean"),
)
PRODUCT = Architecture((Input("x", (3, 2)), Input("y", (2,))), (Node("one", "Mul", {}, ("x", "y")),), ("one",))


def test_a_network_of_holomorphic_layers_agrees() -> None:
    agreement = verify(NETWORK, dtype="complex128")
    assert {t.verdict for t in agreement.tensors} == {"agree"}
    assert min(t.digits for t in agreement.tensors if t.digits is not None and t.against == "autograd") > 13
    assert {t.against for t in agreement.tensors} == {"autograd", "autograd, node alone", "differences", "itself"}


def test_torch_agrees_with_itself() -> None:
    verify(PRODUCT, TorchImplementation(), "complex128").raise_for_disagreement()


def test_real_parts_stay_and_every_imaginary_part_has_its_own_stream() -> None:
    real, both = (Witnesses(NETWORK, imaginary=imaginary) for imaginary in (False, True))

    def arrays(witnesses: Witnesses) -> dict[str, Array]:
        values = witnesses.reference.values
        alone = {f"alone {node}": r.values.cotangents for node, r in witnesses.alone.items()}
        named = {"inputs": values.inputs, "cotangents": values.cotangents, **values.parameters, **alone}
        return {f"{kind}/{name}": a for kind, arrays in named.items() for name, a in arrays.items()}

    plain, full = arrays(real), arrays(both)
    assert plain.keys() == full.keys()
    imaginary = [full[name].imag for name in plain]
    for name, array in plain.items():
        assert np.array_equal(full[name].real, array)
        assert full[name].imag.any()
        assert not np.array_equal(full[name].imag, array)
        assert np.array_equal(full[name].astype(np.complex64), full[name])
    assert len({i.tobytes() for i in imaginary}) == len(imaginary)
    # Ties stay short numbers, on which arithmetic is exact.
    assert set(np.unique(full["inputs/y"].imag)) <= {-1, -0.5, 0, 0.5, 1}


def test_buffers_and_integers_stay_real() -> None:
    class Bold(NumPyImplementation):
        def holomorphic(self, node: Node) -> bool:
            return True

    nodes = (Node("b", "BatchNorm1d", {"num_features": 2}, ("x",)), Node("e", "Embedding", EMBEDDING, ("i",)))
    architecture = Architecture((Input("x", (3, 2)), Input("i", (2,), "index", below=3)), nodes, ("b", "e"))
    values = Witnesses(architecture, Bold(), imaginary=True).reference.values
    assert {name: a.dtype.kind for name, a in values.parameters["b"].items()} == {
        "weight": "c",
        "bias": "c",
        "running_mean": "f",
        "running_var": "f",
        "num_batches_tracked": "i",
    }
    assert values.inputs["i"].dtype.kind == "i"
    # PyTorch's batch normalisation takes no complex numbers, and says so.
    [refused] = verify(architecture, Bold(), "complex128").tensors
    assert refused.verdict == "inconclusive"
    assert refused.note.startswith("torch refuses: ")


EMBEDDING = {"num_embeddings": 3, "embedding_dim": 2}


class Unconjugated(Mul):
    """The product of real numbers."""

    def forward(self, parameters: Any, a: Array, b: Array, **options: Any) -> Step:
        step = super().forward(parameters, a, b, **options)
        return Step(step.output, lambda g: Gradients((g * b, (g * a).sum(axis=0))))


class Conjugating(Mul):
    """A product with the conjugate, as of vectors: another function, and no holomorphic one."""

    def forward(self, parameters: Any, a: Array, b: Array, **options: Any) -> Step:
        return super().forward(parameters, a, b.conj(), **options)


def test_a_missing_conjugate_is_found_and_named() -> None:
    implementation = NumPyImplementation({"Mul": Unconjugated})
    assert verify(PRODUCT, implementation).agrees
    agreement = verify(PRODUCT, implementation, "complex128")
    assert (agreement.culprit, agreement.fault) == ("one", "backward")
    assert agreement.diagnosis == "gradient of input 0 takes the derivative where PyTorch takes its conjugate"
    assert {t.against for t in agreement.disagreements} == {"autograd", "autograd, node alone", "differences"}


def test_another_function_of_complex_numbers_is_found() -> None:
    agreement = verify(PRODUCT, NumPyImplementation({"Mul": Conjugating}), "complex128")
    assert agreement.culprit == "one"
    wrong = {(t.kind, t.name) for t in agreement.disagreements if t.against == "autograd, node alone"}
    assert wrong == {("output", "0"), ("input", "0")}
    # It goes back by the derivative as to the first factor, but not as to the second, which it conjugates.
    assert {t.name for t in agreement.disagreements if t.against == "differences"} == {"1"}
    assert agreement.diagnosis is None


def test_a_real_gradient_where_a_complex_one_is_wanted_is_wrong() -> None:
    class Real(Linear):
        def forward(self, parameters: Any, x: Array, **options: Any) -> Step:
            step = super().forward(parameters, x, **options)

            def backward(g: Array) -> Gradients:
                right = step.backward(g)
                return Gradients(tuple(None if g is None else g.real for g in right.inputs), right.parameters)

            return Step(step.output, backward)

    one = Architecture((Input("x", (3, 2)),), (Node("one", "Linear", LAYER, ("x",)),), ("one",))
    agreement = verify(one, NumPyImplementation({"Linear": Real}), "complex128")
    wrong = {(t.kind, t.name) for t in agreement.disagreements}
    assert wrong == {("input", "0")}


def test_a_layer_that_does_not_say_so_is_refused() -> None:
    relu = Architecture((Input("x", (3,)),), (Node("one", "ReLU", {}, ("x",)),), ("one",))
    with pytest.raises(Unsupported, match=r"numpy does not say that it computes node one \(ReLU\) of complex numbers"):
        verify(relu, dtype="complex128")
    stranger = type("Silent", (), {"name": "silent", "supports": lambda s, n: True, "forward": lambda *given: None})()
    with pytest.raises(Unsupported, match="silent does not say"):
        verify(PRODUCT, stranger, "complex128")


def test_a_campaign_draws_what_is_holomorphic() -> None:
    drawn = Campaign(dtypes=("float64", "complex128")).checked().layers
    assert drawn is not None
    assert {"Linear", "MatMul"} <= set(drawn)
    assert all(LAYERS[op].holomorphic for op in drawn)
    assert "ReLU" in (Campaign().checked().layers or ())
    with pytest.raises(Unsupported, match="numpy does not support ReLU in complex numbers"):
        Campaign(dtypes=("complex128",), layers=("ReLU",)).checked()


def test_the_command_line_runs_in_complex_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = (
        "verify",
        "--examples",
        "3",
        "--layers",
        "Linear",
        "--workers",
        "1",
        "--dtype",
        "complex128",
        "--json",
        "n",
    )
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    assert json.loads(Path("n").read_text())["worst_digits"]["complex128"] > 12


def test_a_report_of_complex_numbers_is_plain_json() -> None:
    summary = Summary(["complex128"])
    summary.add([verify(PRODUCT, NumPyImplementation({"Mul": Unconjugated}), "complex128")])
    shown = json.loads(json.dumps(summary.document()))["failures"][0]["tensors"][0]
    assert complex(shown["got"]) != complex(shown["want"])


def test_errors_and_digits_are_of_the_modulus() -> None:
    names = {"node": "n", "op": "Mul", "kind": "input", "name": "0", "against": "autograd"}
    want = np.array([3 + 4j, 1j])
    found = measure(want + np.array([0.03 + 0.04j, 0]), want, bound=0.04, scale=5.0, dtype="complex128", **names)
    assert (found.verdict, found.index) == ("disagree", (0,))
    assert found.max_absolute == pytest.approx(0.05)
    assert found.digits == pytest.approx(2.0)
    assert found.want == 3 + 4j
    assert measure(want, want, bound=0.0, scale=5.0, dtype="complex128", **names).verdict == "agree"
    assert measure(want.real, want, bound=0.04, scale=5.0, dtype="complex128", **names).verdict == "disagree"
    assert measure(want, want.real, bound=0.04, scale=5.0, dtype="complex128", **names).verdict == "disagree"


def test_an_agreement_of_complex_numbers_survives_its_json() -> None:
    agreement = verify(PRODUCT, NumPyImplementation({"Mul": Unconjugated}), "complex128")
    document = json.loads(json.dumps(agreement.to_dict()))
    again = Agreement.from_dict(document)
    assert again == agreement
    assert any(isinstance(t.got, complex) for t in again.tensors)


def test_disturbances_touch_both_parts_and_spare_short_numbers() -> None:
    z = torch.tensor([0.3 + 0.7j, 0.5 - 1j, 0.5 + 0.7j], dtype=torch.complex128)
    moved = Perturbation(2.0**-20, 0.5)(z) - z
    assert moved[1] == 0
    assert all(part != 0 for x in (moved[0], moved[2]) for part in (x.real, x.imag))
    assert moved.abs().max() < 2.0**-19
    assert Perturbation(2.0**-20, 0.5).saved(z)[1] != z[1]
    rounded = Rounding("float32")(z)
    assert rounded[0] == complex(np.complex64(0.3 + 0.7j))
    assert Blur({"n": 0.5}, 1.0, 1.0).output(z, "n")[0] != z[0]


def test_behaviour_is_tried_with_complex_numbers() -> None:
    kept: list[Array] = []

    class Keeping(Mul):
        def forward(self, parameters: Any, a: Array, b: Array, **options: Any) -> Step:
            kept[:] = [b]
            step = super().forward(parameters, a, b, **options)
            return Step(step.output, lambda g: Gradients((g * kept[0].conj(), step.backward(g).inputs[1])))

    agreement = verify(PRODUCT, NumPyImplementation({"Mul": Keeping}), "complex128")
    assert agreement.fault == "state"


class Unturned(Sigmoid):
    """A sigmoid that goes back without the conjugate."""

    def forward(self, parameters: Any, x: Array, **options: Any) -> Step:
        step = super().forward(parameters, x, **options)

        def backward(g: Array) -> Gradients:
            return Gradients(tuple(None if d is None else d.conj() for d in step.backward(g.conj()).inputs))

        return Step(step.output, backward)


def test_where_torch_overflows_in_complex_numbers_nothing_is_certain() -> None:
    """PyTorch's sigmoid of a complex number far to the left is NaN, where it is 0."""
    nodes = (Node("square", "Mul", {}, ("x", "x")), Node("curve", "Sigmoid", {}, ("square",)))
    architecture = Architecture((Input("x", (8, 4), "wide"),), nodes, ("curve",))
    agreement = verify(architecture, dtype="complex128")
    agreement.raise_for_disagreement()
    curve = [t for t in agreement.tensors if t.node == "curve" and t.kind in ("output", "input")]
    assert {t.verdict for t in curve} == {"inconclusive"}
    assert all("PyTorch is not finite there" in t.note for t in curve)

    class Spoilt(Sigmoid):
        def forward(self, parameters: Any, x: Array, **options: Any) -> Step:
            step = super().forward(parameters, x, **options)
            return Step(np.where(np.abs(x) < 0.1, np.nan, step.output), step.backward)

    assert verify(architecture, NumPyImplementation({"Sigmoid": Spoilt}), "complex128").culprit == "curve"
    # Differences are not asked there, so they do not speak for a gradient either.
    assert verify(architecture, NumPyImplementation({"Sigmoid": Unturned}), "complex128").fault == "backward"


def test_differences_see_real_and_imaginary_parts() -> None:
    witnesses = Witnesses(PRODUCT, imaginary=True)
    derivative = witnesses.estimates["one"][Tensor("input", "one_input1", "0")]
    gradient = witnesses.alone["one"].run.tensors[Tensor("input", "one_input1", "0")]
    claims = list(derivative.claims(gradient, 1e-12))
    assert derivative.signs.shape == (8, 4)
    assert all(claim.holds for claim in claims)
    assert not all(claim.holds for claim in derivative.claims(gradient.conj(), 1e-12))


@pytest.mark.parametrize(
    ("op", "words"),
    [
        ("Linear", ""),
        ("Bilinear", "torch refuses: _trilinear does not support automatic differentiation"),
        ("GELU", "torch refuses: "),
    ],
)
def test_the_listing_says_why_a_layer_is_not_verified_in_complex_numbers(op: str, words: str) -> None:
    assert complex_numbers(op).startswith(words)
    assert bool(complex_numbers(op)) == bool(words)


def test_float64_is_verified_beside_complex128() -> None:
    verification = Verification(PRODUCT)
    real, both = (verification.agreement(dtype) for dtype in ("float64", "complex128"))
    assert real.agrees
    assert both.agrees
    assert real.to_dict()["tensors"] == verify(PRODUCT).to_dict()["tensors"]
