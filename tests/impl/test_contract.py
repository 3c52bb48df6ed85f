"""What every layer of impl promises, on whatever the catalogue draws for it."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import backproof
from backproof.catalogue import rows
from backproof.verification import Verification
from impl.layer import Array, Gradients, Layer, Step
from impl.layers import LAYERS
from reference import ArchitectureError, Input, Node
from reference.ops import STRUCTURAL, build, parameters_of
from reference.twin import Twin

DTYPES = ("float64", "float32", "float16", "longdouble")
every_op = pytest.mark.parametrize("op", sorted(rows()))


@dataclass
class Case:
    """One layer with all that it runs on."""

    layer: Layer
    node: Node
    parameters: dict[str, Array]
    inputs: list[Array]
    cotangents: tuple[Array | None, ...]
    noise: tuple[Array, ...]
    training: bool

    def forward(self, cast: Any = lambda x: x) -> Step:
        parameters = {name: cast(array) for name, array in self.parameters.items()}
        inputs = [cast(x) for x in self.inputs]
        return self.layer.forward(
            parameters, *inputs, training=self.training, noise=list(self.noise), **self.node.options
        )

    def backward(self, step: Step, cast: Any = lambda x: x) -> Gradients:
        grads = tuple(None if g is None else cast(g) for g in self.cotangents)
        return step.backward(grads if isinstance(step.output, tuple) else grads[0])


@st.composite
def cases(draw: st.DrawFn, op: str) -> Case:
    architecture = draw(backproof.architectures(layers=[op], max_nodes=1))
    verification = Verification(architecture)
    node = architecture.nodes[-1]
    alone = verification.alone[node.name]
    outputs = len(alone.twin.outputs[node.name])
    return Case(
        backproof.NumPyImplementation().layer(node.op, node.arguments),
        node,
        dict(alone.values.parameters[node.name]),
        list(alone.values.inputs.values()),
        tuple(alone.values.cotangents.get(f"{node.name}.{i}") for i in range(outputs)),
        alone.values.noise.get(node.name, ()),
        architecture.training,
    )


def arrays(step: Step, gradients: Gradients) -> dict[str, Array]:
    """Everything that comes back, by name."""
    outputs = step.output if isinstance(step.output, tuple) else (step.output,)
    found = {f"output {i}": y for i, y in enumerate(outputs)}
    found |= {f"gradient of input {i}": g for i, g in enumerate(gradients.inputs) if g is not None}
    found |= {f"gradient of {name}": g for name, g in gradients.parameters.items()}
    return found | {f"update of {name}": g for name, g in step.updates.items()}


def assert_same(got: Mapping[str, Array], want: Mapping[str, Array]) -> None:
    assert got.keys() == want.keys()
    for name in want:
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)


def frozen(array: Array) -> Array:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def as_dtype(array: Array, dtype: str) -> Array:
    return array.astype(dtype) if array.dtype.kind == "f" else array


def strided(array: Array) -> Array:
    """The same numbers, but nowhere beside one another."""
    if not array.ndim:
        return array
    wide = np.full(tuple(2 * n + 1 for n in array.shape), 77, dtype=array.dtype)
    view = wide[tuple(slice(1, 2 * n, 2) for n in array.shape)]
    view[...] = array
    return view


def nothing_given_is_changed_and_backward_may_run_again(case: Case) -> None:
    step = case.forward(frozen)
    first = arrays(step, case.backward(step, frozen))
    kept = {name: array.copy() for name, array in first.items()}
    case.forward(lambda x: x / 2 if x.dtype.kind == "f" else x)  # another run in between
    assert_same(arrays(step, case.backward(step, frozen)), kept)


def parameters_have_the_same_gradients_when_nobody_asks_for_others(case: Case) -> None:
    step = case.forward()
    if step.parameters_only is not None:
        grads = case.cotangents if isinstance(step.output, tuple) else case.cotangents[0]
        assert_same(dict(step.parameters_only(grads)), dict(case.backward(step).parameters))


def layout_in_memory_does_not_matter(case: Case) -> None:
    step, other = case.forward(), case.forward(strided)
    want, got = arrays(step, case.backward(step)), arrays(other, case.backward(other, strided))
    assert got.keys() == want.keys()
    for name in want:  # BLAS adds in another order for another layout, so not to the last bit
        np.testing.assert_allclose(got[name], want[name], rtol=1e-10, atol=1e-12, err_msg=name)


def arrays_come_back_in_the_dtype_they_came_in(case: Case) -> None:
    for dtype in DTYPES:
        cast = partial(as_dtype, dtype=dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # beyond float16
            step = case.forward(cast)
            found = arrays(step, case.backward(step, cast))
        for name, array in found.items():
            assert isinstance(array, np.ndarray), name
            assert array.dtype == dtype or array.dtype.kind == "i", name


def what_comes_back_is_nobody_elses_memory(case: Case) -> None:
    if case.node.op in STRUCTURAL:
        return  # views of the cotangent are these ops' whole point
    step = case.forward()
    found = {n: a for n, a in arrays(step, case.backward(step)).items() if n.startswith("gradient")}
    own = [*case.parameters.values(), *case.inputs]
    for name, array in found.items():
        assert not any(np.shares_memory(array, other) for other in own), name
        assert not any(np.shares_memory(array, other) for n, other in found.items() if n != name), name


def no_gradient_in_no_gradient_out(case: Case) -> None:
    step = case.forward()
    zeros = case.backward(step, np.zeros_like)
    for name, array in arrays(step, zeros).items():
        if name.startswith("gradient") and np.isfinite(case.cotangents[0]).all():
            assert not np.nan_to_num(array).any(), name


def a_complex_step_decides_as_a_real_one(case: Case) -> None:
    real, complexed = case.forward(), case.forward(partial(as_dtype, dtype="complex128"))
    for got, want in zip(complexed.branches, real.branches, strict=True):
        np.testing.assert_array_equal(got, want)
    for name, want in arrays(real, Gradients(())).items():
        if name.startswith("output"):
            got = arrays(complexed, Gradients(()))[name]
            np.testing.assert_allclose(got.real, want, rtol=1e-12, atol=1e-14, err_msg=name)
            assert not np.nan_to_num(got.imag).any(), name


def parameters_carry_torchs_names_shapes_and_order(case: Case) -> None:
    if case.node.op in STRUCTURAL:
        return
    module = build(case.node.op, case.node.arguments)
    assert isinstance(module, torch.nn.Module)
    torchs = {name: tuple(p.shape) for name, p in module.named_parameters()}
    assert list(case.layer.parameter_shapes.items()) == list(torchs.items())
    initial = case.layer.initial(np.random.default_rng(0), np.float32)
    buffers = {name for name, _ in module.named_buffers()} - set(case.node.arguments)
    assert set(initial) == set(torchs) | buffers
    for name, shape in torchs.items():
        assert (initial[name].shape, initial[name].dtype) == (shape, np.float32), name


PROMISES = (
    nothing_given_is_changed_and_backward_may_run_again,
    parameters_have_the_same_gradients_when_nobody_asks_for_others,
    layout_in_memory_does_not_matter,
    arrays_come_back_in_the_dtype_they_came_in,
    what_comes_back_is_nobody_elses_memory,
    no_gradient_in_no_gradient_out,
    a_complex_step_decides_as_a_real_one,
    parameters_carry_torchs_names_shapes_and_order,
)


@every_op
@given(data=st.data())
def test_every_promise_is_kept(op: str, data: st.DataObject) -> None:
    case = data.draw(cases(op))
    for promise in PROMISES:  # in one test, for to draw a case takes longer than to try it
        promise(case)


@every_op
@settings(max_examples=8)
@given(data=st.data())
def test_an_empty_axis_is_answered_as_torch_answers_it(op: str, data: st.DataObject) -> None:
    architecture = data.draw(backproof.architectures(layers=[op], max_nodes=1))
    axis = data.draw(st.integers(0, len(architecture.inputs[0].shape) - 1))
    size = architecture.inputs[0].shape[axis]

    def emptied(given: Input) -> Input:
        same = given.shape[axis : axis + 1] == (size,)
        return replace(given, shape=(*given.shape[:axis], 0, *given.shape[axis + 1 :])) if same else given

    empty = replace(architecture, inputs=tuple(map(emptied, architecture.inputs)))
    try:
        Twin(empty, device="cpu")
    except ArchitectureError:
        return  # torch refuses it
    if axis == 1 and "num_features" in architecture.nodes[-1].arguments:
        return  # torch ignores num_features where it has no parameters, we do not
    backproof.verify(empty).raise_for_disagreement()


@every_op
def test_arguments_stand_in_torchs_order_with_torchs_defaults(op: str) -> None:
    given = inspect.signature(LAYERS[op]).parameters.values()
    ours = [(p.name, p.default) for p in given if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    deprecated = ("size_average", "reduce")
    assert ours == [(name, p.default) for name, p in parameters_of(op).items() if name not in deprecated]


def test_every_layer_has_a_row_and_every_row_a_layer() -> None:
    assert set(LAYERS) == set(rows())


def test_an_unknown_keyword_is_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword"):
        LAYERS["Linear"](2, 3, colour="red")
