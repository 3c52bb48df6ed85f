"""Rows of the structural ops: how branches join and part."""

from __future__ import annotations

from math import prod

from backproof.catalogue.row import Chooser, Draw, Need, Row, Shape, axis


def add(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Two or three summands, one of them sometimes broadcast."""
    needs = [Need(shape) for _ in range(choose.integer(1, 2))]
    return Draw({}, (*needs[:-1], _broadcast(choose, shape)))


def mul(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """A gate of the same shape, or a broadcast one."""
    return Draw({}, (_broadcast(choose, shape),))


def _broadcast(choose: Chooser, shape: Shape) -> Need:
    if choose.one_of((False, False, False, True)):
        kept = tuple(n if choose.boolean() else 1 for n in shape)
        return Need(kept[choose.integer(0, len(kept)) :])
    return Need(shape)


def matmul(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """A matrix for the whole batch, or one for each member."""
    leading = shape[:-2] if choose.boolean() else ()
    return Draw({}, (Need((*leading, shape[-1], choose.integer(1, 4))),))


def cat(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Two or three pieces along any axis, of different sizes."""
    dim = axis(choose, shape)
    pieces = [
        Need(shape),
        Need(tuple(choose.integer(1, 3) if i == dim % len(shape) else n for i, n in enumerate(shape))),
    ]
    return Draw({"dim": dim}, tuple(pieces[: choose.integer(1, 2)]))


def chunk(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """More pieces than the axis is long, and a last one that is smaller."""
    return Draw({"chunks": choose.integer(1, 4), "dim": axis(choose, shape)})


def reshape(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """One axis more, one less, or one size left to be found."""
    if len(shape) > 1 and choose.boolean():
        merged = (*shape[:-2], shape[-2] * shape[-1])
        return Draw({"shape": [*merged[:-1], -1 if prod(merged) and choose.boolean() else merged[-1]]})
    divisor = choose.one_of([d for d in range(1, shape[-1] + 1) if shape[-1] % d == 0])
    return Draw({"shape": [*shape[:-1], divisor, shape[-1] // divisor]})


def transpose(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Any two axes, an axis with itself included."""
    return Draw({"dim0": axis(choose, shape), "dim1": axis(choose, shape)})


def mean(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Over one axis, several or all."""
    dims = choose.one_of((axis(choose, shape), list(range(len(shape) - 1)) or [0], None))
    return Draw({"dim": dims, "keepdim": choose.boolean()})


ROWS = (
    Row("Add", (2, 3, 4, 1, 5, 0), add),
    Row("Mul", (2, 3, 4, 1, 5, 0), mul),
    Row("MatMul", (2, 3, 4, 5), matmul),
    Row("Cat", (2, 3, 4, 1, 5), cat),
    Row("Chunk", (2, 3, 4, 1, 5), chunk),
    Row("Reshape", (2, 3, 4, 1, 5), reshape),
    Row("Transpose", (2, 3, 4, 5), transpose),
    Row("Mean", (2, 3, 4, 1, 5), mean),
)
