"""What other mistakes would give: the node run again in PyTorch, with one thing changed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, permutations
from math import prod
from typing import Any, TypeAlias

import numpy as np

from reference import Input, Node, Perturbation, Reference, Tensor, Twin, Values
from reference.ops import is_op, parameters_of, torch_layers
from reference.run import Array
from reports.evidence import Alternative, Family

WORDS = (
    ("mean", "sum", "none", "batchmean"),
    ("zeros", "reflect", "replicate", "circular"),
    ("none", "tanh"),
    ("relu", "tanh", "gelu"),
    ("nearest", "linear", "bilinear", "bicubic", "trilinear"),
)
"""Families of strings that torch's constructors take."""


FEW = 3
"""Along a longer axis only the first and the last index are looked at."""

NEAR = 2.0**-40
"""Step by which an input is moved off a kink."""

LEAST = 1e-30
"""As good as zero, where torch refuses that."""

BLOCKS = ("groups", "num_groups", "num_heads")
"""Arguments that say into how many blocks channels are divided."""


def settings(node: Node) -> dict[str, Any]:
    """Constructor arguments of a node, torch's defaults included; a stranger's function has none."""
    if not is_op(node.op):
        return dict(node.arguments)
    defaults = {name: p.default for name, p in parameters_of(node.op).items() if p.default is not p.empty}
    return {**defaults, **node.arguments}


Tensors: TypeAlias = Mapping[Tensor, Array]
Rerun: TypeAlias = tuple[str, Callable[[], "Tensors | None"]]


@dataclass(frozen=True)
class Again:
    """A node, run by PyTorch under other circumstances for the sake of one of its arrays.

    What such a run yields for the node's other arrays is remembered in ``memory``, by the words of the alternative.
    """

    reference: Reference
    name: Tensor
    memory: dict[str, Tensors | None]

    def remembered(self, words: str, evaluate: Callable[[], Tensors | None]) -> Array | None:
        """The array under circumstances that these words describe; it runs if that was not run before."""
        if words not in self.memory:
            self.memory[words] = evaluate()
        return (self.memory[words] or {}).get(self.name)

    @property
    def own(self) -> Node:
        """The node."""
        return self.reference.twin.architecture.nodes[0]

    def __call__(
        self,
        node: Node | None = None,
        training: bool | None = None,
        perturb: Perturbation | None = None,
        changed: Mapping[str, Mapping[str, Array]] | None = None,
    ) -> Tensors | None:
        """Run it, with some values ``changed`` (``parameters``, ``inputs``, ``cotangents``); None if torch refuses."""
        own, values = self.own, self.reference.values
        given: dict[str, Any] = {**vars(values), **(changed or {})}
        parameters = (changed or {}).get("parameters", values.parameters.get(own.name, {}))
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                twin = self.reference.twin if node is None and training is None else self._twin(node or own, training)
                wanted = twin.parameter_shapes.get(own.name, {})
                given["parameters"] = {own.name: {n: a for n, a in parameters.items() if n in wanted}}
                given["cotangents"] = _fitted(given["cotangents"], twin)
                return twin.run(Values(**given), perturb=perturb).tensors
        except Exception:  # whatever torch makes of other arguments: then it is no alternative
            return None

    def _twin(self, node: Node, training: bool | None) -> Twin:
        before = self.reference.twin.architecture
        inputs = tuple(
            Input(n, x.shape, "index", 1) if x.dtype.kind == "i" else Input(n, x.shape)
            for n, x in self.reference.values.inputs.items()
        )
        mode = before.training if training is None else training
        return Twin(replace(before, inputs=inputs, nodes=(node,), training=mode), device="cpu")


def _fitted(cotangents: Mapping[str, Array], twin: Twin) -> dict[str, Array]:
    """Cotangents cut, or filled with zeros at the end, to the shapes of the outputs; one number serves for all."""
    fitted = {}
    for reference, g in cotangents.items():
        name, index = twin.architecture.slot(reference)
        shape = tuple(twin.outputs[name][index].shape)
        if g.shape != shape and g.ndim in (0, len(shape)):
            whole = np.full(shape, g if g.ndim == 0 else 0.0)
            if g.ndim:
                common = tuple(slice(min(n, m)) for n, m in zip(g.shape, shape))
                whole[common] = g[common]
            g = whole
        fitted[reference] = g
    return fitted


def reruns(again: Again) -> Iterator[Rerun]:
    """Yield what the node gives with one thing changed, from the most telling to the strangest."""
    yield from _arguments(again)
    yield from _exchanged(again)
    yield from _options(again)
    training = again.reference.twin.architecture.training
    now, then = ("evaluation", "training") if training else ("training", "evaluation")
    yield f"is that of {now}, the layer being in {then}", partial(again, training=not training)
    yield from _parameters(again)
    yield from _inputs(again)
    yield from _siblings(again)


def _siblings(again: Again) -> Iterator[Rerun]:
    """Another layer with arguments of the same names, of the same rank first."""
    node = again.own
    for other in sorted(torch_layers(), key=lambda other: other[-2:] != node.op[-2:]) if node.arguments else ():
        if other != node.op and parameters_of(other).keys() == parameters_of(node.op).keys():
            yield f"is that of {other}", partial(again, replace(node, op=other))


def _arguments(again: Again) -> Iterator[Rerun]:
    """One constructor argument at another value: torch's default first."""
    for where, op, arguments, put in _tables(again.own.op, again.own.arguments):
        for name, parameter in parameters_of(op).items():
            known = parameter.default is not parameter.empty
            value = arguments.get(name, parameter.default if known else None)
            full = where + name
            changes = {}
            if name in arguments and known and value != parameter.default:
                words = f"is that of the layer with {full}={parameter.default!r}, torch's default: {full} is ignored"
                changes[words] = parameter.default
            for other in _other_values(value):
                changes[f"is that of the layer with {full}={_shown(other)} instead of {_shown(value)}"] = other
            for words, other in changes.items():
                yield words, partial(again, replace(again.own, arguments=put({**arguments, name: other})))


Arguments: TypeAlias = Mapping[str, Any]
Put: TypeAlias = Callable[[Arguments], Arguments]


def _tables(
    op: str, arguments: Arguments, put: Put = lambda changed: changed, where: str = ""
) -> Iterator[tuple[str, str, Arguments, Put]]:
    """Yield the arguments of an op and of the layers among them: where, whose, which, and how to put in others."""
    yield where, op, arguments, put
    for name, value in arguments.items():
        if isinstance(value, dict):

            def put_inside(changed: Arguments, name: str = name, value: Arguments = value) -> Arguments:
                return put({**arguments, name: {**value, "arguments": changed}})

            yield from _tables(value["op"], value.get("arguments", {}), put_inside, f"{where}{name}.")


def _exchanged(again: Again) -> Iterator[Rerun]:
    """Two constructor arguments in the place of one another."""
    node = again.own
    given = settings(node)
    for one, other in combinations(node.arguments, 2):
        a, b = given[one], given[other]
        if a != b and (type(a) is type(b) or None in (a, b)) and not isinstance(a, bool | str):
            words = f"is that of the layer with {one} and {other} exchanged"
            yield words, partial(again, replace(node, arguments={**node.arguments, one: b, other: a}))


def _shown(value: Any) -> str:
    text = repr(value) if value != LEAST else "0"
    return text if len(text) < 40 else f"{text[:36]}..."


def _other_values(value: Any) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (other for other in (1, 0) if other != value)
    elif isinstance(value, float):
        yield from (
            other for other in (0.0, LEAST, 1.0, 1.0 - value, -value, value**2, abs(value) ** 0.5) if other != value
        )
    elif isinstance(value, str):
        yield from (other for family in WORDS if value in family for other in family if other != value)
    elif isinstance(value, list | tuple) and value and all(type(entry) is int for entry in value):
        others = ([1] * len(value), [0] * len(value), list(value[::-1]), *([entry] * len(value) for entry in value))
        yield from (other for i, other in enumerate(others) if other != list(value) and other not in others[:i])


def _options(again: Again) -> Iterator[Rerun]:
    """A forward keyword ignored, or a mask the other way round."""
    node = again.own
    masks = [name for name in node.options if "mask" in name]
    if len(masks) > 1:
        without = {n: v for n, v in node.options.items() if n not in masks and not n.endswith("is_causal")}
        yield f"is that of the layer without {' and '.join(masks)}", partial(again, replace(node, options=without))
    for name, value in node.options.items():
        if value is None:
            continue
        gone = {name} if "mask" not in name else {name, *(n for n in node.options if n.endswith("is_causal"))}
        less = {n: v for n, v in node.options.items() if n not in gone}
        yield f"is that of the layer without {name}", partial(again, replace(node, options=less))
        if isinstance(value, bool):
            words = f"is that of the layer with {name}={not value}"
            yield words, partial(again, replace(node, options={**less, name: not value}))
        elif isinstance(value, list) and np.asarray(value).dtype.kind == "b":
            inverse = np.logical_not(value).tolist()
            words = f"is that of the layer with {name} the other way round"
            yield words, partial(again, replace(node, options={**less, name: inverse}))


def _with(again: Again, kind: str, name: str, change: Callable[[], Array]) -> Callable[[], Tensors | None]:
    """Run on values of which one array is changed: ``parameters``, ``inputs`` or ``cotangents``."""

    def evaluate() -> Tensors | None:
        values = again.reference.values
        arrays = values.parameters[again.own.name] if kind == "parameters" else getattr(values, kind)
        return again(changed={kind: {**arrays, name: np.array(change(), order="C")}})

    return evaluate


def _parameters(again: Again) -> Iterator[Rerun]:
    """A parameter ignored, transposed, flipped, or taken for another."""
    parameters = {
        n: p for n, p in again.reference.values.parameters.get(again.own.name, {}).items() if p.dtype.kind == "f"
    }
    for name, p in parameters.items():
        changed = partial(_with, again, "parameters", name)
        yield f"is that of the layer without {name} (zeros)", changed(partial(np.zeros_like, p))
        yield f"is that of the layer without {name} (ones)", changed(partial(np.ones_like, p))
        for axes in permutations(range(p.ndim)):
            if axes != tuple(range(p.ndim)) and p.transpose(axes).shape == p.shape:
                how = "transposed" if p.ndim == 2 else f"transposed to the axes {', '.join(map(str, axes))}"
                yield f"is that of the layer with {name} {how}", changed(partial(np.transpose, p, axes))
        if p.ndim > 2:
            spatial = tuple(range(2, p.ndim))
            yield f"is that of the layer with the kernel {name} flipped", changed(partial(np.flip, p, spatial))
    yield from _constant_statistics(again)
    for one, other in combinations(parameters, 2):
        if parameters[one].shape == parameters[other].shape:
            yield (
                f"is that of the layer with {one} in the place of {other}",
                _with(again, "parameters", other, partial(np.array, parameters[one])),
            )
            yield (
                f"is that of the layer with {other} in the place of {one}",
                _with(again, "parameters", one, partial(np.array, parameters[other])),
            )


def _constant_statistics(again: Again) -> Iterator[Rerun]:
    """The batch's statistics, through which no gradient flows: those of evaluation, were these the running ones."""
    parameters = again.reference.values.parameters.get(again.own.name, {})
    x = next(iter(again.reference.values.inputs.values()))
    if "running_mean" in parameters and again.name.kind not in ("output", "update") and x.ndim > 1:
        axes = (0, *range(2, x.ndim))
        batch = {"running_mean": x.mean(axis=axes), "running_var": x.var(axis=axes)}
        words = "is that with mean and variance taken for constants: the terms of the statistics are missing"
        yield words, partial(again, training=False, changed={"parameters": {**parameters, **batch}})


def _inputs(again: Again) -> Iterator[Rerun]:
    """An input ignored, taken for another or for the output."""
    given = again.reference.values.inputs
    for i, (name, index) in enumerate(given.items()):
        if index.dtype.kind == "i":
            words = f"is that with all of input {i} set to index 0 (one row)"
            yield words, _with(again, "inputs", name, partial(np.zeros_like, index))
    inputs = {n: x for n, x in given.items() if x.dtype.kind == "f"}
    numbers = {n: i for i, n in enumerate(again.reference.values.inputs)}
    outputs = {t: y for t, y in again.reference.run.tensors.items() if t.kind == "output"}
    for name, x in inputs.items():
        changed = partial(_with, again, "inputs", name)
        for argument, count in settings(again.own).items():
            for axis, size in enumerate(x.shape):
                if argument in BLOCKS and 1 < count < size and size % count == 0:
                    words = (
                        f"is that of the layer with axis {axis} of input {numbers[name]} dealt out to the {argument}"
                    )
                    yield f"{words} in turn", changed(partial(_dealt, x, axis, count))
                    yield f"{words} the other way round", changed(partial(_dealt, x, axis, size // count))
        for t, y in outputs.items():
            if y.shape == x.shape and again.name.kind != "output":
                words = f"is taken at the output (output {t.name}) instead of the input (input {numbers[name]})"
                yield words, changed(partial(np.array, y))
        if again.name.kind != "output":
            for favoured, ramp in ramps(x.shape).items():
                words = f"is that with kinks and ties of input {numbers[name]} broken in favour of {favoured}"
                yield words, changed(partial(np.add, x, ramp))
        if len(inputs) > 1:
            yield f"is that of the layer without input {numbers[name]} (zeros)", changed(partial(np.zeros_like, x))
        for other, z in inputs.items():
            if other != name and z.shape == x.shape:
                words = f"is that of the layer with input {numbers[other]} in the place of input {numbers[name]}"
                yield words, changed(partial(np.array, z))


def _dealt(array: Array, axis: int, count: int) -> Array:
    parts = array.reshape(*array.shape[:axis], count, -1, *array.shape[axis + 1 :])
    return parts.swapaxes(axis, axis + 1).reshape(array.shape)


def ramps(shape: tuple[int, ...]) -> dict[str, Array]:
    """Steps far above rounding and far below the data, so that of equal entries another one wins."""
    first = NEAR * np.arange(prod(shape), 0, -1).reshape(shape)
    column = NEAR * np.arange(prod(shape), 0, -1).reshape(shape[::-1]).T
    return {
        "the last": -first,
        "the first": first,
        "the first in column-major order": column,
        "the last in column-major order": -column,
    }


def others(again: Again) -> Iterator[Alternative]:
    """Yield the gradient of something else, or the cotangent itself."""
    for name, array in again.reference.run.tensors.items():
        if name != again.name and name.kind in ("parameter", "input"):
            called = name.name if name.kind == "parameter" else f"input {name.node.rpartition('_input')[2]}"
            kind = "another" if name.kind == again.name.kind else "an" if name.kind == "input" else "a"
            yield f"is the gradient of {kind} {name.kind}, {called}", partial(np.array, array)
    want = again.reference.run.tensors[again.name]
    for reference, g in again.reference.values.cotangents.items():
        if g.shape == want.shape:
            yield f"is the cotangent of output {reference.rpartition('.')[2]} itself", partial(np.array, g)


def cotangents(again: Again) -> Iterator[Rerun]:
    """Yield what another cotangent gives: ones, nothing for one output, a part missing or alone, one sign of it."""
    given = again.reference.values.cotangents
    for reference, g in given.items():
        what = f"cotangent of output {reference.rpartition('.')[2]}"
        changed = partial(_with, again, "cotangents", reference)
        yield f"is that for a {what} of ones", changed(partial(np.ones_like, g))
        if len(given) > 1:
            yield f"lacks what the {what} adds", changed(partial(np.zeros_like, g))
            alone = {name: other if name == reference else np.zeros_like(other) for name, other in given.items()}
            yield f"lacks all but what the {what} adds", partial(again, changed={"cotangents": alone})
        yield f"is that of the positive part of the {what}", changed(partial(np.maximum, g, 0))
        yield f"is that of the magnitude of the {what}", changed(partial(np.abs, g))
        for axis, size in enumerate(g.shape):
            yield f"is that for a {what} reversed along axis {axis}", changed(partial(np.flip, g, axis))
            if size > 1:
                along = f"axis {axis} of the {what}"
                yield f"is that with the first index along {along} for all", changed(partial(_spread, g, axis, 0))
                yield f"is that with the last index along {along} for all", changed(partial(_spread, g, axis, -1))
                yield f"is that with the mean along {along} for all", changed(partial(_averaged, g, axis))
            for i in sorted({0, size - 1} if size > FEW else range(size)) if size > 1 else ():
                which = "the last index" if i == size - 1 else f"index {i}"
                words = f"{which} of axis {axis} (size {size}) of the {what}"
                yield f"lacks what {words} adds", changed(partial(_masked, g, axis, i, False))
                yield f"is what {words} alone adds", changed(partial(_masked, g, axis, i, True))


def _masked(array: Array, axis: int, index: int, only: bool) -> Array:
    here = np.arange(array.shape[axis]) == index
    return np.where(np.expand_dims(here == only, [*range(1, array.ndim - axis)]), array, 0)


def _spread(array: Array, axis: int, index: int) -> Array:
    return np.broadcast_to(np.take(array, [index], axis), array.shape)


def _averaged(array: Array, axis: int) -> Array:
    return np.broadcast_to(array.mean(axis=axis, keepdims=True), array.shape)


def families(again: Again) -> Iterator[Family]:
    """Yield every real number among the constructor arguments, and what the node gives with it at another value."""
    for name, value in settings(again.own).items():
        if type(value) is float:
            yield name, value, partial(_at_value, again, name)


def _at_value(again: Again, name: str, value: float) -> Array | None:
    changed = replace(again.own, arguments={**again.own.arguments, name: value})
    return again.remembered(f"{name}={value!r}", partial(again, changed))
