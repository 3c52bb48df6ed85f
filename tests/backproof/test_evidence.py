"""Evidence: each mistake is made with a real layer on real numbers, and the diagnosis names it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import backproof
from backproof.catalogue import rows
from backproof.evidence import gather
from backproof.implementations import NumPyImplementation
from backproof.verification import Verification
from impl.layer import Gradients
from impl.layers import LAYERS
from reference import Architecture, Input, Node, Reference, Tensor
from reports import diagnose


@dataclass(frozen=True)
class Made:
    """One layer on drawn numbers, whose right gradients impl computes, and wrong ones from changed circumstances."""

    node: Node
    reference: Reference
    training: bool

    @property
    def inputs(self) -> tuple[Any, ...]:
        return tuple(self.reference.values.inputs.values())

    @property
    def g(self) -> Any:
        return next(iter(self.reference.values.cotangents.values()))

    @property
    def y(self) -> Any:
        return self.reference.run.tensors[Tensor("output", "n", "0")]

    @property
    def weight(self) -> Any:
        return self.reference.values.parameters["n"]["weight"]

    def right(self, name: str) -> Any:
        return self.reference.run.tensors[self.tensor(name)]

    def tensor(self, name: str) -> Tensor:
        kinds = {"new": "update", "output": "output"}
        word, _, last = name.rpartition(" ")
        if word in kinds:
            return Tensor(kinds[word], "n", last)
        return Tensor("input", f"n_input{last}", "0") if word == "input" else Tensor("parameter", "n", last)

    def gradients(
        self,
        *,
        inputs: Mapping[int, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        cotangents: Any = None,
        training: bool | None = None,
        options: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> Gradients:
        """Run impl's layer, with something changed."""
        layer = NumPyImplementation().layer(self.node.op, {**self.node.arguments, **arguments})
        given = [(inputs or {}).get(i, x) for i, x in enumerate(self.inputs)]
        own = {**self.reference.values.parameters.get("n", {}), **(parameters or {})}
        step = layer.forward(
            own,
            *given,
            training=self.training if training is None else training,
            noise=list(self.reference.values.noise.get("n", ())),
            **(self.node.options if options is None else options),
        )
        several = tuple(self.reference.values.cotangents.values())
        back = several if isinstance(step.output, tuple) else self.g
        return step.backward(back if cotangents is None else cotangents)

    def dx(self, **changed: Any) -> Any:
        return self.gradients(**changed).inputs[0]

    def own(self, name: str, **changed: Any) -> Any:
        return self.gradients(**changed).parameters[name]

    def told(self, name: str, got: Any) -> str | None:
        tensor = self.tensor(name)
        want = self.reference.run.tensors[tensor]
        bound = 1e-12 * max(1.0, float(np.abs(want).max(initial=0)))
        return diagnose(got, want, bound, gather(self.node, self.reference, tensor))


def make(
    op: str, *inputs: Input | tuple[int, ...], training: bool = True, options: Any = None, **arguments: Any
) -> Made:
    """Draw the numbers of one layer."""
    given = tuple(x if isinstance(x, Input) else Input(f"x{i}", x) for i, x in enumerate(inputs))
    node = Node("n", op, arguments, tuple(i.name for i in given), options or {})
    outputs = ("n", "n.1", "n.2") if op == "LSTM" else ("n",)
    verification = Verification(Architecture(given, (node,), outputs, seed=3, training=training))
    return Made(node, verification.alone["n"], training)


def ties(*shape: int) -> Input:
    return Input("x", shape, "ties")


LINEAR = make("Linear", (6, 4), in_features=4, out_features=5)
CONV = make("Conv2d", (2, 4, 6, 7), in_channels=4, out_channels=6, kernel_size=3, stride=2, groups=2)
LSTM = make("LSTM", (5, 2, 3), input_size=3, hidden_size=4)
ATTENTION = make(
    "MultiheadAttention",
    *[(4, 3, 8)] * 3,
    embed_dim=8,
    num_heads=2,
    options={"attn_mask": [[j > i for j in range(4)] for i in range(4)]},
)
BATCH_NORM = make("BatchNorm2d", (3, 4, 2, 3), num_features=4, eps=0.5)
LAYER_NORM = make("LayerNorm", (4, 6), normalized_shape=6)
EMBEDDING = make("Embedding", Input("i", (9,), "index", 5), num_embeddings=5, embedding_dim=3)
TARGETS = Input("t", (8,), "index", 4, -100)
CROSS_ENTROPY = make("CrossEntropyLoss", (8, 4), TARGETS, label_smoothing=0.3)
DROPOUT = make("Dropout", (5, 6), p=0.3)
POOL = make("MaxPool2d", ties(1, 2, 6, 6), kernel_size=3, stride=1)
RELU = make("ReLU", ties(5, 6))
SIGMOID = make("Sigmoid", (5, 6))
SOFTMAX = make("Softmax", (5, 6), dim=1)
CIRCLE = make("CircularPad2d", (2, 3, 4, 5), padding=[1, 2, 0, 2])
BILINEAR = make("Bilinear", (6, 3), (6, 3), in1_features=3, in2_features=3, out_features=4)


def zeroed(array: Any, *index: Any) -> Any:
    copy = np.array(array)
    copy[index] = 0
    return copy


def overwritten(made: Made) -> Any:
    table = np.zeros_like(made.right("gradient of weight"))
    table[made.inputs[0]] = made.g
    return table


def gate_changed(made: Made) -> Any:
    i, f, g, _ = np.split(made.right("gradient of bias_ih_l0"), 4)
    return np.concatenate([i, f, g, f])


CASES: list[tuple[Made, str, Callable[[Made], Any], str]] = [
    (LINEAR, "gradient of weight", lambda m: None, "is missing"),
    (LINEAR, "input 0", lambda m: 0 * m.dx(), "is zero everywhere"),
    (LINEAR, "input 0", lambda m: -m.dx(), "has the wrong sign"),
    (
        LINEAR,
        "gradient of bias",
        lambda m: m.g.mean(axis=0),
        "is 1/6 of the reference: a mean over axis 0 of input 0 or axis 0 of output 0 (6) where a sum belongs",
    ),
    (LINEAR, "gradient of bias", lambda m: m.g, "has shape (6, 5), wanted (5,): it is not summed over axis 0"),
    (
        LINEAR,
        "gradient of weight",
        lambda m: summed(m.own("weight")),
        "summed over the wrong axes: over axis 1",
    ),
    (LINEAR, "gradient of weight", lambda m: m.own("weight").T, "is transposed"),
    (
        CONV,
        "input 0",
        lambda m: m.dx(parameters={"weight": m.weight.swapaxes(2, 3)}),
        "is that of the layer with weight transposed to the axes 0, 1, 3, 2",
    ),
    (
        CIRCLE,
        "input 0",
        lambda m: LAYERS["ReplicationPad2d"]((1, 2, 0, 2)).forward({}, m.inputs[0]).backward(m.g).inputs[0],
        "is that of ReplicationPad2d",
    ),
    (
        LINEAR,
        "output 0",
        lambda m: m.inputs[0] @ m.weight.T,
        "with bias=False instead of True",
    ),
    (CONV, "input 0", lambda m: m.dx(parameters={"weight": flipped(m)}), "with the kernel weight flipped"),
    (
        CONV,
        "gradient of weight",
        lambda m: m.own("weight", cotangents=zeroed(m.g, ..., -1)),
        "lacks what the last index",
    ),
    (CONV, "gradient of weight", lambda m: m.own("weight") / 12, "a mean over axes 0, 2 of input 0"),
    (CONV, "gradient of weight", lambda m: m.own("weight", inputs={0: dealt(m)}), "dealt out to the groups"),
    (
        CONV,
        "gradient of weight",
        lambda m: zeroed(m.own("weight"), slice(3)),
        "is zero for number 0 of the groups",
    ),
    (LSTM, "gradient of bias_ih_l0", gate_changed, "has the numbers of gate f in the place of gate o"),
    (LSTM, "gradient of weight_hh_l0", lambda m: zeroed(m.own("weight_hh_l0"), slice(4, 8)), "is zero for gate f"),
    (LSTM, "input 0", lambda m: m.dx(cotangents=(m.g, None, None)), "lacks"),
    (ATTENTION, "input 0", lambda m: m.dx() * 2, "a division by the root of the features of a head"),
    (ATTENTION, "input 0", lambda m: m.dx(options={}), "without attn_mask"),
    (ATTENTION, "input 0", lambda m: m.gradients().inputs[1], "is the gradient of another input, input 1"),
    (BATCH_NORM, "input 0", lambda m: constants(m), "mean and variance taken for constants"),
    (BATCH_NORM, "input 0", lambda m: m.dx(eps=0.0), "with eps=0 instead of 0.5"),
    (BATCH_NORM, "input 0", lambda m: m.dx(eps=0.2), "with eps=0.2 instead of 0.5"),
    (BATCH_NORM, "input 0", lambda m: m.dx(training=False), "is that of evaluation, the layer being in training"),
    (
        BATCH_NORM,
        "input 0",
        lambda m: m.dx() + m.g.mean(axis=(0, 2, 3), keepdims=True),
        "is off by a constant for each index of axis 1: the term of a mean or a sum is missing or wrong",
    ),
    (BATCH_NORM, "new running_mean", lambda m: m.reference.values.parameters["n"]["running_mean"], "it is not updated"),
    (LAYER_NORM, "input 0", lambda m: without_statistics(m), "the terms of the statistics are missing"),
    (
        LAYER_NORM,
        "input 0",
        lambda m: m.dx() + centred(m.inputs[0]) * m.g[:, :1],
        "is off by a multiple of the input centred over axis 1 for each index of axis 0",
    ),
    (EMBEDDING, "gradient of weight", overwritten, "overwrites instead of adding up: the last along"),
    (CROSS_ENTROPY, "input 0", lambda m: m.dx(label_smoothing=0.0), "with label_smoothing=0.0, torch's default"),
    (CROSS_ENTROPY, "input 0", lambda m: m.dx(label_smoothing=0.4), "with label_smoothing=0.4 instead of 0.3"),
    (CROSS_ENTROPY, "input 0", lambda m: m.dx(cotangents=np.ones(())), "of ones"),
    (
        CROSS_ENTROPY,
        "input 0",
        lambda m: np.where((m.inputs[1] == -100)[:, None], m.inputs[0] ** 3, m.dx()),
        "is wrong only where input 1 is ignored (ignore_index)",
    ),
    (DROPOUT, "input 0", lambda m: np.where(m.dx() == 0, 0, m.g), "is 0.7 times the reference: 1 - p (0.7)"),
    (DROPOUT, "input 0", lambda m: m.g / 0.7, "where the layer drops"),
    (
        POOL,
        "input 0",
        lambda m: m.dx(inputs={0: m.inputs[0] + ramp(m.inputs[0])}),
        "kinks and ties of input 0",
    ),
    (POOL, "input 0", lambda m: last_wins(m), "overwrites instead of adding up: the last along all entries"),
    (RELU, "input 0", lambda m: np.where(m.inputs[0] < 0, 0, m.g), "is wrong only where the input is 0"),
    (RELU, "input 0", lambda m: np.where(m.g > 0, m.g, 0), "is the cotangent times (its own sign > 0)"),
    (RELU, "input 0", lambda m: np.where(m.inputs[0] < 0, -m.g, m.dx()), "where the input is below 0"),
    (SIGMOID, "input 0", lambda m: m.g * m.inputs[0] * (1 - m.inputs[0]), "is the cotangent times x (1 - x)"),
    (SIGMOID, "input 0", lambda m: m.dx(inputs={0: m.y}), "is taken at the output (output 0)"),
    (
        SIGMOID,
        "input 0",
        lambda m: np.where(np.abs(m.inputs[0]) > 1, -m.dx(), m.dx()),
        "is of the wrong sign where the magnitude of the input is at least",
    ),
    (SOFTMAX, "input 0", lambda m: m.g * m.y * (1 - m.y), "is that of the diagonal of the Jacobian alone"),
    (SOFTMAX, "input 0", lambda m: m.g * m.y, "is the cotangent times y"),
    (
        SOFTMAX,
        "input 0",
        lambda m: m.dx() + m.y * m.g[:, :1],
        "is off by a multiple of the output for each index of axis 0: a term is missing or wrong",
    ),
    (BILINEAR, "input 0", lambda m: m.gradients(inputs={1: m.inputs[0]}).inputs[0], "input 0 in the place of input 1"),
]


def flipped(made: Made) -> Any:
    return made.weight[:, :, ::-1, ::-1]


def dealt(made: Made) -> Any:
    x = made.inputs[0]
    return x.reshape(2, 2, 2, 6, 7).swapaxes(1, 2).reshape(x.shape)


def summed(w: Any) -> Any:
    return np.broadcast_to(w.sum(axis=1, keepdims=True), w.shape)


def centred(x: Any) -> Any:
    return x - x.mean(axis=-1, keepdims=True)


def constants(made: Made) -> Any:
    x = made.inputs[0]
    weight = made.weight.reshape(1, -1, 1, 1)
    return made.g * weight / np.sqrt(x.var(axis=(0, 2, 3), keepdims=True) + 0.5)


def without_statistics(made: Made) -> Any:
    weight = made.weight
    return made.g * weight / np.sqrt(made.inputs[0].var(axis=-1, keepdims=True) + 1e-5)


def ramp(x: Any) -> Any:
    return 1e-7 * np.arange(x.size).reshape(x.shape)


def last_wins(made: Made) -> Any:
    spread = np.zeros_like(made.right("input 0"))
    for place in np.ndindex(made.g.shape):
        one = np.zeros_like(made.g)
        one[place] = made.g[place]
        part = made.dx(cotangents=one)
        spread = np.where(part != 0, part, spread)
    return spread


@pytest.mark.parametrize(("made", "name", "wrong", "words"), CASES)
def test_a_mistake_is_named(made: Made, name: str, wrong: Callable[[Made], Any], words: str) -> None:
    assert words in str(made.told(name, wrong(made)))


@pytest.mark.parametrize(("made", "name", "wrong", "words"), [c for c in CASES if c[0] not in (RELU, DROPOUT)])
def test_a_claim_that_one_entry_contradicts_is_not_made(
    made: Made, name: str, wrong: Callable[[Made], Any], words: str
) -> None:
    got = wrong(made)
    if isinstance(got, np.ndarray) and got.shape == made.right(name).shape:
        got = np.array(got)
        got.flat[0] += 0.123
        assert words not in str(made.told(name, got))


@given(st.sampled_from(sorted(rows())), st.integers(0, 2**32 - 1))
def test_a_random_array_gets_no_claim(op: str, seed: int) -> None:
    architecture = backproof.random_architecture(seed % 1000, layers=[op], max_nodes=1)
    reference = Verification(architecture).alone[architecture.nodes[0].name]
    rng = np.random.default_rng(seed)
    for name, want in reference.run.tensors.items():
        if want.dtype.kind == "f" and name.kind != "adjoint" and want.size > 3:
            got = want + rng.standard_normal(want.shape)
            told = diagnose(got, want, 1e-12, gather(architecture.nodes[0], reference, name))
            assert told == "is wrong at all entries"


@given(st.sampled_from(sorted(rows())), st.integers(0, 1000))
def test_what_is_right_is_not_diagnosed_and_runs_nothing(op: str, seed: int) -> None:
    architecture = backproof.random_architecture(seed, layers=[op], max_nodes=1)
    reference = Verification(architecture).alone[architecture.nodes[0].name]
    for name, want in reference.run.tensors.items():
        evidence = gather(architecture.nodes[0], reference, name)
        asked: list[Any] = []
        watched = replace(
            evidence, alternatives=(asked.append(words) or (words, f) for words, f in evidence.alternatives)
        )
        assert diagnose(want, want, 1e-12, watched) is None
        assert not asked
