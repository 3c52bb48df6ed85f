"""What functions of NumPy do with the parts of dual numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from reference.duals.numbers import RULES, Dual, Rule, aligned, count_of, dual, later, parts, plain


def _each(func: Any) -> Rule:
    """Make the rule of a function that moves entries of one array about, or of several joined along an axis."""

    def rule(x: Any, *args: Any, **kwargs: Any) -> Any:
        value = func(plain(x), *args, **kwargs)
        own = parts(x)
        found = None if own is None else np.stack([func(part, *args, **kwargs) for part in own])
        return dual(value, found, count_of((x,)))

    return rule


def _joined(func: Any) -> Rule:
    def rule(arrays: Sequence[Any], axis: int = 0, **kwargs: Any) -> Any:
        value, count = func([plain(a) for a in arrays], axis=axis, **kwargs), count_of(arrays)
        if all(parts(a) is None for a in arrays):
            return dual(value, None, count)
        every = [np.zeros((count, *np.shape(a))) if parts(a) is None else parts(a) for a in arrays]
        return dual(value, func(every, axis=axis % value.ndim + 1, **kwargs))

    return rule


def _where(condition: Any, *choices: Any) -> Any:
    if not choices:
        return np.where(plain(condition))
    value, count = np.where(plain(condition), *map(plain, choices)), count_of(choices)
    if all(parts(x) is None for x in choices):
        return dual(value, None, count)
    every = [0.0 if parts(x) is None else aligned(x, value.ndim) for x in choices]
    found = np.where(plain(condition), *every)
    return dual(value, np.broadcast_to(found, (count, *value.shape)).copy())


def _like(func: Any) -> Rule:
    """Make the rule of a function that makes an array like another: one with room for parts."""

    def rule(x: Any, *args: Any, **kwargs: Any) -> Any:
        value = func(plain(x), *map(plain, args), **kwargs)
        return dual(value, np.zeros((x.count, *value.shape)) if isinstance(x, Dual) else None)

    return rule


def _einsum(subscripts: str, *operands: Any) -> Any:
    """The sum is linear in each operand; Z runs over the parts."""
    value = np.einsum(subscripts, *map(plain, operands))
    before, after = subscripts.split("->")
    letters, total = before.split(","), None
    for i, x in enumerate(operands):
        if parts(x) is not None:
            named = ",".join(f"Z{axes}" if j == i else axes for j, axes in enumerate(letters))
            given: list[Any] = [parts(y) if j == i else plain(y) for j, y in enumerate(operands)]
            moved = np.einsum(f"{named}->Z{after}", *given)
            total = moved if total is None else total + moved
    return dual(value, total, count_of(operands))


def _method(name: str) -> Rule:
    return lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs)


def _split(x: Any, sections: Any, axis: int = 0) -> list[Any]:
    values = np.split(plain(x), sections, axis)
    found = [None] * len(values) if x.parts is None else np.split(x.parts, sections, later(x, (axis,))[0])
    return [dual(value, own, x.count) for value, own in zip(values, found)]


def _broadcast(x: Any, shape: Any, subok: bool = False) -> Any:
    value = np.broadcast_to(plain(x), shape)
    own = parts(x)
    found = None if own is None else np.broadcast_to(aligned(x, value.ndim), (len(own), *value.shape))
    return dual(value, found, x.count)


def _moveaxis(x: Any, source: Any, destination: Any) -> Any:
    axes = [(a,) if isinstance(a, int) else a for a in (source, destination)]
    own = parts(x)
    return dual(
        np.moveaxis(plain(x), source, destination),
        None if own is None else np.moveaxis(own, *(later(x, axis) for axis in axes)),
        x.count,
    )


def _clip(x: Any, low: Any, high: Any, **options: Any) -> Any:
    value = np.clip(plain(x), low, high, **options)
    return _where(value == plain(x), x, value)


def _take_along_axis(x: Any, indices: Any, axis: Any = -1) -> Any:
    own = parts(x)
    value = np.take_along_axis(plain(x), indices, axis)
    found = None if own is None else np.take_along_axis(own, indices[None], later(x, (axis,))[0])
    return dual(value, found, count_of((x,)))


METHODS = ("reshape", "swapaxes", "transpose", "ravel", "sum", "mean", "copy", "squeeze")
RULES |= {
    np.where: _where,
    np.einsum: _einsum,
    np.split: _split,
    np.broadcast_to: _broadcast,
    np.moveaxis: _moveaxis,
    np.take_along_axis: _take_along_axis,
    np.clip: _clip,
    np.expand_dims: lambda x, axis: x.reshape(np.expand_dims(plain(x), axis).shape),
    np.atleast_1d: lambda x: x if x.ndim else x.reshape(1),
    **{func: _joined(func) for func in (np.concatenate, np.stack)},
    **{func: _like(func) for func in (np.zeros_like, np.ones_like, np.empty_like, np.full_like)},
    **{func: _each(func) for func in (np.repeat, np.pad, np.flip, np.roll, np.cumsum, np.diag)},
    **{
        getattr(np, name): _method(name)
        for name in ("reshape", "swapaxes", "transpose", "ravel", "sum", "mean", "copy", "squeeze")
    },
}
