"""What other mistakes would give, by formula: local derivatives, sums, and how contributions are added up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import combinations

import numpy as np

from backproof.alternatives import Again, settings
from reference.run import Array
from reports.evidence import Alternative

ENTRIES = 128
"""No Jacobian with more rows is computed: each is one run."""


def formulas(again: Again) -> Iterator[Alternative]:
    """Yield gradients of an input of the cotangent's shape, as the cotangent times a wrong local derivative."""
    want = again.reference.run.tensors[again.name]
    x = again.reference.values.inputs.get(again.name.node)
    for g, y in _pairs(again):
        if again.name.kind == "input" and x is not None and g.shape == y.shape == want.shape == x.shape:
            for words, derivative in _derivatives(x, y, g).items():
                yield f"is the cotangent times {words}", partial(np.multiply, g, derivative)
            yield from _without_statistics(again, x, g)
        if again.name.kind == "parameter" or g.shape != want.shape:
            yield from _sums("the cotangent", g, want)
            for i, z in enumerate(again.reference.values.inputs.values()):
                if z.shape == g.shape and z.dtype.kind == "f":
                    yield from _sums(f"the cotangent times input {i}", g * z, want)
            if y.shape == g.shape:
                yield from _sums("the cotangent times the output", g * y, want)


def _without_statistics(again: Again, x: Array, g: Array) -> Iterator[Alternative]:
    """What a normalisation gives if its mean and its variance are taken for constants."""
    eps, weight = (
        settings(again.own).get("eps"),
        again.reference.values.parameters.get(again.own.name, {}).get("weight"),
    )
    for count in range(1, x.ndim + 1) if eps is not None else ():
        for axes in combinations(range(x.ndim), count):
            slope = g / np.sqrt(x.var(axis=axes, keepdims=True) + eps)
            over = f"over axes {', '.join(map(str, axes))}" if count > 1 else f"over axis {axes[0]}"
            words = f"mean and variance {over} are taken for constants: the terms of the statistics are missing"
            yield f"is the cotangent over the standard deviation: {words}", partial(np.array, slope)
            for shaped in _shapes(weight, x):
                told = f"is the cotangent times the weight over the standard deviation: {words}"
                yield told, partial(np.multiply, slope, shaped)


def _shapes(weight: Array | None, x: Array) -> Iterator[Array]:
    """A weight as it lies over the last axes, and over the channels."""
    if weight is not None:
        if weight.shape == x.shape[x.ndim - weight.ndim :]:
            yield weight
        if x.ndim > 1 and weight.shape == x.shape[1:2]:
            yield weight.reshape(-1, *(1,) * (x.ndim - 2))


def _pairs(again: Again) -> Iterator[tuple[Array, Array]]:
    outputs = {f"{t.node}.{t.name}": y for t, y in again.reference.run.tensors.items() if t.kind == "output"}
    for reference, g in again.reference.values.cotangents.items():
        yield g, outputs[reference]


def _derivatives(x: Array, y: Array, g: Array) -> dict[str, Array]:
    """Functions of input x and output y that are easily taken for the derivative."""
    with np.errstate(all="ignore"):
        return {
            "x": x,
            "y": y,
            "x (1 - x)": x * (1 - x),
            "y (1 - y)": y * (1 - y),
            "1 - x^2": 1 - x * x,
            "1 - y^2": 1 - y * y,
            "1 - x": 1 - x,
            "1 - y": 1 - y,
            "1 + y": 1 + y,
            "(1 - y)^2": (1 - y) ** 2,
            "y^2": y * y,
            "exp(x)": np.exp(x),
            "exp(y)": np.exp(y),
            "the sign of x": np.sign(x),
            "(x > 0)": x > 0,
            "(x >= 0)": x >= 0,
            "(x < 0)": x < 0,
            "(y > 0)": y > 0,
            "(y != 0)": y != 0,
            "(its own sign > 0)": g > 0,
        }


def _sums(words: str, terms: Array, want: Array) -> Iterator[Alternative]:
    for count in range(terms.ndim + 1):
        for axes in combinations(range(terms.ndim), count):
            if terms.size and np.prod([n for a, n in enumerate(terms.shape) if a not in axes]) == want.size:
                shown = f"summed over axes {', '.join(map(str, axes))}" if axes else "not summed"
                yield f"is {words} {shown}", partial(_summed, terms, axes, want.shape)


def _summed(terms: Array, axes: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    return np.asarray(terms.sum(axis=axes).reshape(shape))


def contributions(again: Again) -> Iterator[Alternative]:
    """Yield what comes of the Jacobian's rows when they are put together wrongly.

    They overwrite one another (repeated indices, overlapping windows), are averaged, only the diagonal is used, or
    the Jacobian is not transposed. A row is the gradient for a cotangent that is 1 at one entry and 0 elsewhere.
    """
    want = again.reference.run.tensors[again.name]
    for reference, g in again.reference.values.cotangents.items():
        if not 1 < g.size <= ENTRIES:
            continue
        jacobian = cache(partial(_jacobian, again, reference))
        for count in range(g.ndim, 0, -1):
            for axes in combinations(range(g.ndim), count):
                which = f"axes {', '.join(map(str, axes))}" if count > 1 else f"axis {axes[0]}"
                along = f"{which} of the cotangent" if count < g.ndim or g.ndim == 1 else "all entries of the cotangent"
                for words, combine in (
                    (f"overwrites instead of adding up: the last along {along} wins", _last),
                    (f"overwrites instead of adding up: the first along {along} wins", _first),
                    (f"averages instead of adding up what comes along {along}", _average),
                ):
                    yield words, partial(_combined, jacobian, g, axes, combine)
        if g.size == want.size:
            yield "is that of the diagonal of the Jacobian alone", partial(_diagonal, jacobian, g, want.shape)
            yield "is that of the Jacobian instead of its transpose", partial(_transposed, jacobian, g, want.shape)
        for axis, size in enumerate(g.shape):
            if again.name.kind == "input" and want.ndim > 1 and size > 1 and want.shape[axis : axis + 1] == (size,):
                words = (
                    f"keeps to one index of axis {axis}: nothing is carried back from one to another (one step, say)"
                )
                yield words, partial(_block_diagonal, again, jacobian, reference, axis)


def _jacobian(again: Again, reference: str) -> Array | None:
    values = again.reference.values
    rows = []
    for entry in range(values.cotangents[reference].size):
        cotangents = {name: np.zeros_like(g) for name, g in values.cotangents.items()}
        cotangents[reference].flat[entry] = 1
        rows.append(again.remembered(f"{reference}[{entry}]", partial(again, changed={"cotangents": cotangents})))
    return None if any(row is None for row in rows) else np.array(rows)


def _combined(
    jacobian: Callable[[], Array | None], g: Array, axes: tuple[int, ...], combine: Callable[[Array], Array | None]
) -> Array | None:
    rows = jacobian()
    if rows is None:
        return None
    parts = rows.reshape(*g.shape, *rows.shape[1:]) * g.reshape(*g.shape, *(1,) * (rows.ndim - 1))
    parts = parts.sum(axis=tuple(axis for axis in range(g.ndim) if axis not in axes))
    parts = parts.reshape(-1, *rows.shape[1:])
    overlapping = ((parts != 0).sum(axis=0) > 1).any()
    return combine(parts) if overlapping else None


def _last(parts: Array) -> Array:
    return _first(parts[::-1])


def _first(parts: Array) -> Array:
    return np.asarray(np.take_along_axis(parts, (parts != 0).argmax(axis=0)[None], axis=0)[0])


def _average(parts: Array) -> Array | None:
    counts = np.maximum((parts != 0).sum(axis=0), 1)
    return None if (counts == counts.flat[0]).all() else np.asarray(parts.sum(axis=0) / counts)


def _diagonal(jacobian: Callable[[], Array | None], g: Array, shape: tuple[int, ...]) -> Array | None:
    rows = jacobian()
    return None if rows is None else (np.diagonal(rows.reshape(g.size, g.size)) * g.ravel()).reshape(shape)


def _transposed(jacobian: Callable[[], Array | None], g: Array, shape: tuple[int, ...]) -> Array | None:
    rows = jacobian()
    return None if rows is None else (rows.reshape(g.size, g.size) @ g.ravel()).reshape(shape)


def _block_diagonal(again: Again, jacobian: Callable[[], Array | None], reference: str, axis: int) -> Array | None:
    rows, given = jacobian(), again.reference.values.cotangents
    g, want = given[reference], again.reference.run.tensors[again.name]
    if rows is None:
        return None
    parts = rows.reshape(*g.shape, *want.shape) * g.reshape(*g.shape, *(1,) * want.ndim)
    others = tuple(a for a in range(g.ndim) if a != axis)
    own = np.diagonal(np.moveaxis(parts.sum(axis=others), axis + 1, 1))
    result = np.moveaxis(own, -1, axis)
    without = partial(again, changed={"cotangents": {**given, reference: np.zeros_like(g)}})
    rest = again.remembered(f"without {reference}", without)
    if rest is not None and rest.any():
        result = result + np.where(_last_index(want.shape, axis), rest, 0)
    return np.asarray(result)


def _last_index(shape: tuple[int, ...], axis: int) -> Array:
    return np.expand_dims(np.arange(shape[axis]) == shape[axis] - 1, [*range(1, len(shape) - axis)])
