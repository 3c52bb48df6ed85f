"""What speaks for one mistake or another: gathered around one array of a node that runs alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache, partial
from itertools import chain, combinations
from math import prod, sqrt
from typing import Any

import numpy as np

from backproof import linear, surgery
from backproof.alternatives import BLOCKS, Again, Rerun, Tensors, cotangents, families, others, ramps, reruns, settings
from reference import Node, Reference, Tensor
from reference.run import Array, magnitude
from reports import Evidence
from reports.evidence import Alternative

JUMP = 1e-4
"""A gradient that changes by this share of its size when its inputs are moved a little has a kink there."""

AROUND = ("the input", "input ", "the output", "output ", "the cotangent")
"""What arrays are called by whose values a place may be told."""


def gather(node: Node, reference: Reference, name: Tensor) -> Evidence:
    """Gather what may explain a wrong array of a node.

    Parameters
    ----------
    node
        The node, as its architecture has it.
    reference
        PyTorch on that node alone.
    name
        The array: its output, a buffer's new value, or a gradient.

    Nothing is run before a diagnosis asks for it.
    """
    shape = reference.run.tensors[name].shape
    given, again = settings(node), Again(reference, name, _memory(reference))
    arrays = dict(_around(node, reference, name))
    return Evidence(
        sizes=dict(_sizes(node, reference, given)),
        constants=dict(_constants(given)),
        terms={words: x for words, x in arrays.items() if _broadcasts(x, shape) and x.dtype.kind == "f"},
        places=dict(_places(again, arrays, given)),
        parts=_parts(name, shape, given),
        kinks=_kinks(again),
        families=families(again),
        alternatives=alternatives(again),
    )


def gather_around(again: Again, kinks: Array) -> Evidence:
    """Gather what may explain a wrong gradient of a function that is no layer of torch.nn: what its arrays tell.

    Parameters
    ----------
    again
        The function under other cotangents; what it is given and what its gradients should be.
    kinks
        Where the gradient jumps.
    """
    name, node, reference = again.name, again.own, again.reference
    shape = reference.run.tensors[name].shape
    arrays = dict(_around(node, reference, name))
    return Evidence(
        sizes=dict(_sizes(node, reference, {})),
        terms={words: x for words, x in arrays.items() if _broadcasts(x, shape) and x.dtype.kind == "f"},
        places=dict(_places(again, arrays, {})),
        kinks=kinks if kinks.any() else None,
        alternatives=chain(
            others(again), linear.contributions(again), linear.formulas(again), _remembered(again, cotangents(again))
        ),
    )


def alternatives(again: Again) -> Iterator[Alternative]:
    """Yield what other mistakes would give, from the most telling to the strangest; nothing runs before it is asked."""
    back = again.name.kind not in ("output", "update")
    if again.name.kind == "update":
        old = again.reference.values.parameters[again.own.name][again.name.name]
        yield f"is the old {again.name.name}: it is not updated", partial(np.array, old)
    yield from _remembered(again, reruns(again))
    if back:
        yield from others(again)
        yield from linear.contributions(again)
        yield from linear.formulas(again)
        yield from _remembered(again, cotangents(again))
        yield from _remembered(again, surgery.cuts(again))


def _remembered(again: Again, runs: Iterable[Rerun]) -> Iterator[Alternative]:
    for words, evaluate in runs:
        yield words, partial(again.remembered, words, evaluate)


@lru_cache(maxsize=1)
def _memory(reference: Reference) -> dict[str, Tensors | None]:
    """What was run for one node: its arrays are diagnosed one after the other."""
    return {}


def _broadcasts(array: Array, shape: tuple[int, ...]) -> bool:
    return array.ndim <= len(shape) and all(n in (1, m) for n, m in zip(array.shape[::-1], shape[::-1]))


def _sizes(node: Node, reference: Reference, given: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Sizes over which a mean may run: axes of inputs and outputs, several together, integer arguments, windows."""
    inputs = {f"input {i}": x.shape for i, x in enumerate(reference.values.inputs.values())}
    outputs = {f"output {t.name}": y.shape for t, y in reference.run.tensors.items() if t.kind == "output"}
    arrays = inputs | outputs
    if given.get("num_heads") and given.get("embed_dim"):
        yield "the features of a head", given["embed_dim"] // given["num_heads"]
    kernel = given.get("kernel_size")
    if type(kernel) is int and node.op[-2:] in ("2d", "3d"):
        yield "the window", kernel ** int(node.op[-2])
    elif isinstance(kernel, list | tuple):
        yield "the window", prod(kernel)
    for array, shape in arrays.items():
        for axis, n in enumerate(shape):
            yield f"axis {axis} of {array}", n
    for name, value in given.items():
        if type(value) is int:
            yield name, value
    for i, index in enumerate(reference.values.inputs.values()):
        if index.dtype.kind == "i" and "ignore_index" in given:
            yield f"the entries of input {i} but those of ignore_index", int((index != given["ignore_index"]).sum())
    for array, shape in arrays.items():
        for count in range(2, len(shape) + 1):
            for axes in combinations(range(len(shape)), count):
                all_of_them = f"all entries of {array}"
                named = f"axes {', '.join(map(str, axes))} of {array}" if count < len(shape) else all_of_them
                yield named, prod(shape[axis] for axis in axes)


def _constants(given: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Numbers of the constructor, and what formulas make of them."""
    for name, value in given.items():
        if type(value) is float or name == "p":
            yield name, float(value)
            yield f"1 - {name}", 1.0 - value
            if value > 0:
                yield f"the root of {name}", sqrt(value)


def _around(node: Node, reference: Reference, name: Tensor) -> Iterator[tuple[str, Array]]:
    """Arrays that the node computes with, by what they are called: of any shape."""
    values = reference.values
    inputs = list(values.inputs.values())
    for i, x in enumerate(inputs):
        yield "the input" if len(inputs) == 1 else f"input {i}", x
    outputs = {t: y for t, y in reference.run.tensors.items() if t.kind == "output"}
    for t, y in outputs.items():
        yield "the output" if len(outputs) == 1 else f"output {t.name}", y
    for cotangent, g in values.cotangents.items():
        yield "the cotangent" if len(outputs) == 1 else f"the cotangent of output {cotangent.rpartition('.')[2]}", g
    for parameter, array in values.parameters.get(node.name, {}).items():
        yield parameter if name.kind != "update" or name.name != parameter else f"the old {parameter}", array
    for t, y in outputs.items():
        if y.dtype.kind == "f":
            yield f"the exponential of output {t.name}", np.exp(np.minimum(y, 50))
    for argument, value in settings(node).items():
        if isinstance(value, list) and value and all(type(entry) is float for entry in value):
            yield f"the argument {argument}", np.array(value)
            yield (
                f"the argument {argument}, per channel",
                np.array(value).reshape(-1, *(1,) * max(inputs[0].ndim - 2, 0)),
            )
    if inputs and inputs[0].dtype.kind == "f":
        yield from _statistics(inputs[0], settings(node).get("eps"))
    for tensor, gradient in reference.run.tensors.items():
        if tensor.kind in ("parameter", "input") and tensor != name:
            yield f"the gradient of {_called(tensor)}", gradient


def _statistics(x: Array, eps: float | None) -> Iterator[tuple[str, Array]]:
    """The input centred over some axes, which is its normalised self but for a factor; its softmax; what eps does."""
    for count in range(1, x.ndim + 1):
        for axes in combinations(range(x.ndim), count):
            if prod(x.shape[axis] for axis in axes) > 1:
                over = f"axes {', '.join(map(str, axes))}" if count > 1 else f"axis {axes[0]}"
                yield f"the input centred over {over}", x - x.mean(axis=axes, keepdims=True)
                variance = x.var(axis=axes, keepdims=True)
                if eps and variance.all():
                    yield f"the standard deviation over {over}", np.sqrt(variance + eps)
                    yield f"the root of 1 + eps / variance over {over}", np.sqrt(1 + eps / variance)
    for axis, size in enumerate(x.shape):
        if size > 1:
            powers = np.exp(x - x.max(axis=axis, keepdims=True))
            yield f"the softmax of the input over axis {axis}", powers / powers.sum(axis=axis, keepdims=True)


def _called(name: Tensor) -> str:
    return name.name if name.kind == "parameter" else f"input {name.node.rpartition('_input')[2]}"


def _places(again: Again, arrays: Mapping[str, Array], given: Mapping[str, Any]) -> Iterator[tuple[str, Array]]:
    """Masks of the array's shape: kinks, sides of them, what is dropped, ignored or repeated, groups, borders."""
    name, values = again.name, again.reference.values
    shape = again.reference.run.tensors[name].shape
    dropped = next(iter(values.noise.get(again.own.name, ())), np.zeros(()))
    if dropped.shape == shape and type(given.get("p")) in (int, float):
        yield "where the layer drops", dropped >= 1 - given["p"]
    for words, x in arrays.items():
        if x.shape == shape and x.dtype.kind == "f" and words.startswith(AROUND) and "centred" not in words:
            yield f"where {words} is 0", x == 0
            yield f"where {words} is above 0", x > 0
            yield f"where {words} is below 0", x < 0
            for bound, value in given.items():
                if type(value) is float or bound in ("threshold", "min_val", "max_val"):
                    yield f"where {words} is {bound}", x == value
                    yield f"where {words} is beyond {bound}", x > value
                    yield f"where {words} is below {bound}", x < value
    for words, index in arrays.items():
        if index.dtype.kind == "i" and name.kind != "output" and shape:
            yield from _indexed(name, shape, words, index, given)
    padding = given.get("padding_idx")
    if padding is not None and name.kind == "parameter":
        yield "at the row of padding_idx", _block(shape, 0, padding % shape[0], padding % shape[0] + 1)
    yield from _groups(shape, given)
    yield from _borders(shape)


def _kinks(again: Again) -> Array | None:
    """Where a gradient jumps when the inputs hardly change."""
    values, want = again.reference.values, again.reference.run.tensors[again.name]
    if again.name.kind not in ("parameter", "input"):
        return None
    jumps = np.zeros(want.shape, dtype=bool)
    steps = {n: ramps(x.shape) for n, x in values.inputs.items() if x.dtype.kind == "f"}
    for favoured in ramps(()):
        near = {n: x + steps[n][favoured] if n in steps else x for n, x in values.inputs.items()}
        moved = again.remembered(f"near {favoured}", partial(again, changed={"inputs": near}))
        if moved is not None:
            jumps |= np.abs(moved - want) > JUMP * magnitude(want)
    return jumps


def _indexed(
    name: Tensor, shape: tuple[int, ...], words: str, index: Array, given: Mapping[str, Any]
) -> Iterator[tuple[str, Array]]:
    """Rows of a table by how often they are asked for; samples whose target is ignored."""
    if name.kind == "parameter" and index.size and index.min() >= 0 and index.max() < shape[0]:
        counts = np.bincount(index.ravel(), minlength=shape[0]).reshape(-1, *(1,) * (len(shape) - 1))
        yield f"at rows whose index is repeated in {words}", np.broadcast_to(counts > 1, shape)
        yield f"at rows whose index stands once in {words}", np.broadcast_to(counts == 1, shape)
        yield f"at rows whose index is not in {words}", np.broadcast_to(counts == 0, shape)
    ignored = given.get("ignore_index")
    if ignored is not None and len(shape) == index.ndim + 1:
        mask = np.expand_dims(index == ignored, min(1, index.ndim))
        yield f"where {words} is ignored (ignore_index)", np.broadcast_to(mask, shape)


def _parts(name: Tensor, shape: tuple[int, ...], given: Mapping[str, Any]) -> dict[int, tuple[str, ...]]:
    """Gates of a recurrent layer's parameters, and query, key and value of an attention's."""
    if name.kind == "parameter" and name.name.startswith("in_proj"):
        return {0: ("the query", "the key", "the value")}
    gates = {4: ("i", "f", "g", "o"), 3: ("r", "z", "n")}
    hidden = given.get("hidden_size")
    if name.kind == "parameter" and hidden and name.name.startswith(("weight_ih", "weight_hh", "bias_")):
        return {0: tuple(f"gate {gate}" for gate in gates[shape[0] // hidden])} if shape[0] // hidden in gates else {}
    return {}


def _groups(shape: tuple[int, ...], given: Mapping[str, Any]) -> Iterator[tuple[str, Array]]:
    """Blocks of an axis that belong to one group or head."""
    for argument in BLOCKS:
        count = given.get(argument, 1)
        for axis, size in enumerate(shape):
            if count > 1 and size % count == 0:
                for i in range(count):
                    mask = _block(shape, axis, i * size // count, (i + 1) * size // count)
                    yield f"for number {i} of the {argument} (axis {axis})", mask
                yield f"for all but the first of the {argument} (axis {axis})", ~_block(shape, axis, 0, size // count)


def _borders(shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    """The border of an image: the outermost positions of the last axes."""
    for rank in (1, 2, 3):
        if len(shape) > rank and all(n > 2 for n in shape[-rank:]):
            inner = np.ones(shape, dtype=bool)
            for axis in range(len(shape) - rank, len(shape)):
                inner &= _block(shape, axis, 1, shape[axis] - 1)
            yield f"at the border (of the last {rank} axes)" if rank > 1 else "at both ends of the last axis", ~inner


def _block(shape: tuple[int, ...], axis: int, first: int, last: int) -> Array:
    mask = np.zeros(shape, dtype=bool)
    mask[(slice(None),) * axis + (slice(first, last),)] = True
    return mask
