"""Dual numbers with many parts: every derivative of a NumPy function from one run of it.

A complex step tells how a function changes along one direction. A :class:`Dual` carries such imaginary parts for many
directions at once, and no step: the function runs once, and each NumPy call in it runs once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from reference.run import Array

STEP = 2.0**-600
Rule = Callable[..., Any]


_Base: Any = np.ndarray  # what its methods return here is another thing to the type checker


class Dual(_Base):
    """Real numbers, each with P infinitesimal parts: ``parts[p]`` has the shape of the array.

    What decides between branches (comparisons, ``real``) sees the numbers alone, as a complex step wants it. What
    NumPy does not hand over to a subclass, or no rule stands for here, loses the parts: the result is a plain array, as
    if it were constant. So whoever uses this compares with a complex step.

    Source: Clifford, Proc. London Math. Soc. 4 (1873); with vectors of parts, Griewank and Walther, Evaluating
    Derivatives (2008), section 3.2.
    """

    parts: Array | None = None

    @property
    def real(self) -> Any:
        """The numbers without their parts."""
        return plain(self)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Apply the rule of a ufunc, or the chain rule with slopes found by a complex step of the ufunc itself."""
        out = options.pop("out", (None,))
        if method == "__call__" and not options and ufunc.nout == 1:
            found = matmul(*inputs) if ufunc is np.matmul else _elementwise(ufunc, inputs)
        elif method == "reduce" and ufunc is np.add:
            found = _summed(inputs[0], **options)
        else:
            found = getattr(ufunc, method)(*map(plain, inputs), **options)
        if out[0] is None:
            return found
        out[0][...] = found
        return out[0]

    def __array_function__(self, func: Any, types: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Apply the rule of a function to numbers and parts; without a rule, to the numbers alone."""
        rule = RULES.get(func)
        if rule is not None:
            return rule(*args, **kwargs)
        return func(*_plain_all(args), **{name: plain(value) for name, value in kwargs.items()})

    def __getitem__(self, index: Any) -> Any:
        """Take the same entries of numbers and parts."""
        return _both(self, lambda a: a[index], lambda a: a[_behind(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        """Set numbers and parts."""
        plain(self)[index] = plain(value)
        if self.parts is not None:
            own = plain(self)[index]
            self.parts[_behind(index)] = 0.0 if parts(value) is None else aligned(value, own.ndim)

    def reshape(self, *shape: Any, **options: Any) -> Any:
        """Give another shape."""
        sizes = shape[0] if len(shape) == 1 and not isinstance(shape[0], int | np.integer) else shape
        numbers = plain(self).reshape(sizes, **options)
        return dual(numbers, None if self.parts is None else self.parts.reshape(len(self.parts), *numbers.shape))

    def ravel(self, *order: Any) -> Any:
        """Fold all axes into one."""
        return self.reshape(self.size)

    flatten = ravel

    def transpose(self, *axes: Any) -> Any:
        """Permute the axes."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        order = [axis % self.ndim for axis in order or range(self.ndim)[::-1]]
        return _both(self, lambda a: a.transpose(order), lambda a: a.transpose(0, *(axis + 1 for axis in order)))

    T = property(transpose)

    def swapaxes(self, first: Any, second: Any) -> Any:
        """Exchange two axes."""
        return _both(self, lambda a: a.swapaxes(first, second), lambda a: a.swapaxes(*_later(self, (first, second))))

    def astype(self, dtype: Any, **options: Any) -> Any:
        """Keep the parts in a floating dtype."""
        return _both(self, lambda a: a.astype(dtype, **options), lambda a: a)

    def copy(self, *order: Any) -> Any:
        """Copy numbers and parts."""
        return _both(self, Array.copy, Array.copy)

    def conj(self) -> Any:
        """The same, for a step is no imaginary number."""
        return self

    def mean(self, axis: Any = None, **options: Any) -> Any:
        """The sum over the number of entries."""
        total = self.sum(axis, **options)
        return total / (self.size / max(total.size, 1))

    def squeeze(self, axis: Any = None) -> Any:
        """Leave out axes of size 1."""
        return self.reshape(plain(self).squeeze(axis).shape)


def plain(x: Any) -> Any:
    """Return the numbers without their parts."""
    return x.view(np.ndarray) if isinstance(x, Dual) else x


def _plain_all(values: Iterable[Any]) -> list[Any]:
    return [type(v)(map(plain, v)) if isinstance(v, list | tuple) else plain(v) for v in values]


def parts(x: Any) -> Array | None:
    """Return the parts, if there are any."""
    return x.parts if isinstance(x, Dual) else None


def dual(numbers: Any, found: Array | None) -> Any:
    """Put numbers and their parts together."""
    numbers = np.asarray(numbers)
    if found is None or numbers.dtype.kind != "f":
        return numbers
    made = cast(Dual, numbers.view(Dual))
    made.parts = found.reshape(len(found), *numbers.shape)
    return made


def aligned(x: Any, ndim: int) -> Array:
    """Return the parts with axes of size 1 in front, for what broadcasts to ``ndim`` axes."""
    own = parts(x)
    assert own is not None
    return own.reshape(len(own), *(1,) * (ndim + 1 - own.ndim), *own.shape[1:])


def _both(x: Dual, of_numbers: Rule, of_parts: Rule) -> Any:
    return dual(of_numbers(plain(x)), None if x.parts is None else of_parts(x.parts))


def _behind(index: Any) -> tuple[Any, ...]:
    return (slice(None), *(index if isinstance(index, tuple) else (index,)))


def _later(x: Any, axes: Iterable[int]) -> tuple[int, ...]:
    """Return the axes of the parts that stand for axes of the numbers."""
    return tuple(axis % np.ndim(x) + 1 for axis in axes)


def _elementwise(ufunc: np.ufunc, inputs: Sequence[Any]) -> Any:
    """``f(x + p e) = f(x) + f'(x) p e``, for each input by itself."""
    numbers = [plain(x) for x in inputs]
    value = ufunc(*numbers)
    if value.dtype.kind != "f":
        return value
    total: Any = None
    for i, x in enumerate(inputs):
        if parts(x) is None:
            continue
        slope = _slope(ufunc, numbers, i)
        moved = aligned(x, value.ndim)
        moved = moved if slope is None else moved * slope
        total = moved if total is None else total + moved
    if total is not None and total.shape[1:] != value.shape:
        total = np.broadcast_to(total, (len(total), *value.shape))
    return dual(value, total)


def _slope(ufunc: np.ufunc, numbers: Sequence[Any], i: int) -> Any:
    """Return the derivative by one input, None for 1."""
    if ufunc is np.add or (ufunc is np.subtract and i == 0) or ufunc is np.positive:
        return None
    if ufunc is np.multiply:
        return numbers[1 - i]
    if ufunc is np.subtract or ufunc is np.negative:
        return -1.0
    stepped = [x + 1j * STEP if j == i else x for j, x in enumerate(numbers)]
    return ufunc(*stepped).imag / STEP


def _summed(x: Any, axis: Any = 0, keepdims: bool = False, **options: Any) -> Any:
    value = np.add.reduce(plain(x), axis=axis, keepdims=keepdims, **options)
    axes: Any = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int | np.integer) else axis
    return dual(value, None if x.parts is None else x.parts.sum(_later(x, axes), keepdims=keepdims))


def matmul(a: Any, b: Any) -> Any:
    """``(A + A' e)(B + B' e) = A B + (A' B + A B') e``."""
    value = np.matmul(plain(a), plain(b))
    rows = a[None] if a.ndim == 1 else a
    columns = b[:, None] if b.ndim == 1 else b
    ndim, total = max(rows.ndim, columns.ndim), None
    if parts(a) is not None:
        own = aligned(rows, ndim)
        if columns.ndim == 2:  # one product of matrices instead of many
            total = (own.reshape(own[..., 0].size, own.shape[-1]) @ plain(columns)).reshape(
                *own.shape[:-1], columns.shape[-1]
            )
        else:
            total = own @ plain(columns)
    if parts(b) is not None:
        moved = plain(rows) @ aligned(columns, ndim)
        total = moved if total is None else total + moved
    return dual(value, total)


def _each(func: Any) -> Rule:
    """Make the rule of a function that moves entries of one array about, or of several joined along an axis."""

    def rule(x: Any, *args: Any, **kwargs: Any) -> Any:
        value = func(plain(x), *args, **kwargs)
        own = parts(x)
        return dual(value, None if own is None else np.stack([func(part, *args, **kwargs) for part in own]))

    return rule


def _joined(func: Any) -> Rule:
    def rule(arrays: Sequence[Any], axis: int = 0, **kwargs: Any) -> Any:
        value = func([plain(a) for a in arrays], axis=axis, **kwargs)
        count = next((len(own) for own in map(parts, arrays) if own is not None), 0)
        every = [np.zeros((count, *np.shape(a))) if parts(a) is None else parts(a) for a in arrays]
        return dual(value, func(every, axis=axis % value.ndim + 1, **kwargs) if count else None)

    return rule


def _where(condition: Any, *choices: Any) -> Any:
    if not choices:
        return np.where(plain(condition))
    value = np.where(plain(condition), *map(plain, choices))
    count = next((len(own) for own in map(parts, choices) if own is not None), 0)
    every = [0.0 if parts(x) is None else aligned(x, value.ndim) for x in choices]
    return dual(value, np.where(plain(condition), *every) * np.ones((count, *value.shape)) if count else None)


def _like(func: Any) -> Rule:
    def rule(x: Any, *args: Any, **kwargs: Any) -> Any:
        value = func(plain(x), *map(plain, args), **kwargs)
        own = parts(x)
        return dual(value, None if own is None else np.zeros((len(own), *value.shape)))

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
    return dual(value, total)


def _method(name: str) -> Rule:
    return lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs)


def _split(x: Any, sections: Any, axis: int = 0) -> list[Any]:
    found = [None] * x.shape[axis] if x.parts is None else np.split(x.parts, sections, _later(x, (axis,))[0])
    return [dual(value, own) for value, own in zip(np.split(plain(x), sections, axis), found)]


def _broadcast(x: Any, shape: Any, subok: bool = False) -> Any:
    value = np.broadcast_to(plain(x), shape)
    own = parts(x)
    return dual(value, None if own is None else np.broadcast_to(aligned(x, value.ndim), (len(own), *value.shape)))


def _moveaxis(x: Any, source: Any, destination: Any) -> Any:
    axes = [(a,) if isinstance(a, int) else a for a in (source, destination)]
    own = parts(x)
    return dual(
        np.moveaxis(plain(x), source, destination),
        None if own is None else np.moveaxis(own, *(_later(x, axis) for axis in axes)),
    )


def _take_along_axis(x: Any, indices: Any, axis: Any = -1) -> Any:
    own = parts(x)
    later = _later(x, (axis,))[0]
    value = np.take_along_axis(plain(x), indices, axis)
    return dual(value, None if own is None else np.take_along_axis(own, indices[None], later))


METHODS = ("reshape", "swapaxes", "transpose", "ravel", "sum", "mean", "copy", "squeeze")
RULES: dict[Any, Rule] = {
    np.where: _where,
    np.einsum: _einsum,
    np.split: _split,
    np.broadcast_to: _broadcast,
    np.moveaxis: _moveaxis,
    np.take_along_axis: _take_along_axis,
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
"""How functions that NumPy hands over to subclasses treat the parts."""
