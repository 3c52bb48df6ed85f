"""What speaks for one mistake or another: gathered around one array of a node that runs alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from math import prod, sqrt
from typing import Any

import numpy as np

from backproof import linear, surgery
from backproof.alternatives import Again, cotangents, others, reruns
from reference import Node, Reference, Tensor
from reference.ops import parameters_of
from reference.run import Array
from reports import Evidence
from reports.evidence import Alternative


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
    given = settings(node)
    arrays = dict(_around(node, reference, name))
    return Evidence(
        sizes=dict(_sizes(node, reference, given)),
        constants=dict(_constants(given)),
        terms={words: x for words, x in arrays.items() if _broadcasts(x, shape) and x.dtype.kind == "f"},
        places=dict(_places(node, reference, name, arrays, given)),
        alternatives=alternatives(Again(reference, name)),
    )


def alternatives(again: Again) -> Iterator[Alternative]:
    """Yield what other mistakes would give, from the most telling to the strangest; nothing runs before it is asked."""
    yield from reruns(again)
    if again.name.kind not in ("output", "update"):
        yield from others(again)
        yield from linear.formulas(again)
        yield from linear.contributions(again)
        yield from cotangents(again)
        yield from surgery.cuts(again)


def settings(node: Node) -> dict[str, Any]:
    """Constructor arguments of a node, torch's defaults included."""
    defaults = {name: p.default for name, p in parameters_of(node.op).items() if p.default is not p.empty}
    return {**defaults, **node.arguments}


def _broadcasts(array: Array, shape: tuple[int, ...]) -> bool:
    return array.ndim <= len(shape) and all(n in (1, m) for n, m in zip(array.shape[::-1], shape[::-1]))


def _sizes(node: Node, reference: Reference, given: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Sizes over which a mean may run: axes of inputs and outputs, several together, integer arguments, windows."""
    inputs = {f"input {i}": x.shape for i, x in enumerate(reference.values.inputs.values())}
    outputs = {f"output {t.name}": y.shape for t, y in reference.run.tensors.items() if t.kind == "output"}
    arrays = inputs | outputs
    for array, shape in arrays.items():
        for axis, n in enumerate(shape):
            yield f"axis {axis} of {array}", n
    for name, value in given.items():
        if isinstance(value, list | tuple) and all(type(n) is int for n in value):
            yield f"the product of {name}", prod(value)
        elif type(value) is int:
            yield name, value
            if name == "kernel_size" and node.op[-2:] in ("2d", "3d"):
                yield f"the product of {name}", value ** int(node.op[-2])
    if given.get("num_heads") and given.get("embed_dim"):
        yield "the features of a head", given["embed_dim"] // given["num_heads"]
    for array, shape in arrays.items():
        for count in range(2, len(shape) + 1):
            for axes in combinations(range(len(shape)), count):
                all_of_them = f"all entries of {array}"
                named = f"axes {', '.join(map(str, axes))} of {array}" if count < len(shape) else all_of_them
                yield named, prod(shape[axis] for axis in axes)


def _constants(given: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Numbers of the constructor, and what formulas make of them."""
    for name, value in given.items():
        if type(value) is float or type(value) is int:
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
    for x, words in ((x, "the input") for x in inputs[:1] if x.dtype.kind == "f"):
        # What a normalisation makes of its input is the input, centred, but for a factor of each group.
        for count in range(1, x.ndim + 1):
            for axes in combinations(range(x.ndim), count):
                if prod(x.shape[axis] for axis in axes) > 2:
                    over = f"axes {', '.join(map(str, axes))}" if count > 1 else f"axis {axes[0]}"
                    yield f"{words} centred over {over}", x - x.mean(axis=axes, keepdims=True)
    for tensor, gradient in reference.run.tensors.items():
        if tensor.kind in ("parameter", "input") and tensor != name:
            yield f"the gradient of {_called(tensor)}", gradient


def _called(name: Tensor) -> str:
    return name.name if name.kind == "parameter" else f"input {name.node.rpartition('_input')[2]}"


def _places(
    node: Node, reference: Reference, name: Tensor, arrays: Mapping[str, Array], given: Mapping[str, Any]
) -> Iterator[tuple[str, Array]]:
    """Masks of the array's shape: kinks, ties, sides, ignored and repeated indices, gates and heads."""
    shape = reference.run.tensors[name].shape
    for words, x in arrays.items():
        if x.shape == shape and x.dtype.kind == "f" and name.kind != "parameter" and "gradient" not in words:
            yield f"where {words} is 0", x == 0
            yield f"where {words} is positive", x > 0
            yield f"where {words} is negative", x < 0
            if "centred" not in words:
                _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
                yield f"where {words} is tied (equal values)", (counts[inverse] > 1).reshape(shape)
            for bound, value in given.items():
                if type(value) in (int, float):
                    yield f"where {words} is {bound}", x == value
                    yield f"where {words} is beyond {bound}", x > value
                    yield f"where {words} is below {bound}", x < value
    for words, index in arrays.items():
        if index.dtype.kind != "i" or name.kind == "output":
            continue
        if len(shape) > 1 and index.size and index.min() >= 0 and index.max() < shape[0] and name.kind == "parameter":
            counts = np.bincount(index.ravel(), minlength=shape[0]).reshape(-1, *(1,) * (len(shape) - 1))
            yield f"at rows whose index stands more than once in {words}", np.broadcast_to(counts > 1, shape)
            yield f"at rows whose index stands once in {words}", np.broadcast_to(counts == 1, shape)
            yield f"at rows whose index does not stand in {words}", np.broadcast_to(counts == 0, shape)
        ignored = given.get("ignore_index")
        if ignored is not None and len(shape) == index.ndim + 1:
            mask = np.expand_dims(index == ignored, min(1, index.ndim))
            yield f"where {words} is ignored", np.broadcast_to(mask, shape)
    padding = given.get("padding_idx")
    if padding is not None and name.kind == "parameter":
        yield "at the row of padding_idx", _block(shape, 0, padding % shape[0], padding % shape[0] + 1)
    yield from _parts(name, shape, given)
    yield from _borders(shape)


def _parts(name: Tensor, shape: tuple[int, ...], given: Mapping[str, Any]) -> Iterator[tuple[str, Array]]:
    """Gates, query, key and value, groups, heads: blocks of an axis of a parameter or of channels."""
    gates = {"LSTM": ("i", "f", "g", "o"), "GRU": ("r", "z", "n")}
    named: dict[str, tuple[int, tuple[str, ...]]] = {}
    if name.kind == "parameter":
        for names in gates.values():
            if name.name.startswith(("weight_", "bias_")) and shape[0] == len(names) * given.get("hidden_size", 0):
                named["for gate"] = (0, names)
        if name.name.startswith("in_proj"):
            named["for the"] = (0, ("query", "key", "value"))
    for words, (axis, names) in named.items():
        size = shape[axis] // len(names)
        for i, part in enumerate(names):
            yield f"{words} {part}", _block(shape, axis, i * size, (i + 1) * size)
    for argument, words in (("groups", "group"), ("num_groups", "group"), ("num_heads", "head")):
        count = given.get(argument, 1)
        for axis, size in enumerate(shape):
            if count > 1 and size % count == 0 and size >= count:
                for i in range(count):
                    mask = _block(shape, axis, i * size // count, (i + 1) * size // count)
                    yield f"for {words} {i} (axis {axis})", mask
                yield f"for all but {words} 0 (axis {axis})", ~_block(shape, axis, 0, size // count)


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
