"""The dual number itself: arithmetic, reductions, products, and what its methods do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from reference.differences import COMPLEX_STEP
from reference.run import Array

Rule: TypeAlias = Callable[..., Any]
RULES: dict[Any, Rule] = {}
"""How functions that NumPy hands over to subclasses treat the parts: see :mod:`reference.duals.functions`."""


_Base: Any = np.ndarray  # what its methods return here is another thing to the type checker


class Units(NamedTuple):
    """Which part is 1, in which entry: ``places`` has one array of indices for each axis."""

    rows: Array
    places: tuple[Array, ...]


class Dual(_Base):
    """Real numbers, each with P infinitesimal parts: ``parts[p]`` has the shape of the array.

    What decides between branches (comparisons, ``real``) sees the numbers alone, as a complex step wants it. What
    NumPy does not hand over to a subclass, or no rule stands for here, loses the parts: the result is a plain array, as
    if it were constant. So whoever uses this compares with a complex step.

    Source: Clifford, Proc. London Math. Soc. 4 (1873); with vectors of parts, Griewank and Walther, Evaluating
    Derivatives (2008), section 3.2.
    """

    count = 0
    fresh = False
    """Whether nobody else sees this memory yet, so that a constant may still become none."""
    _parts: Array | None = None
    units: Units | None = None
    """Where the parts are 1 in one entry each and 0 elsewhere: which; products of matrices make use of that."""

    @property
    def parts(self) -> Array | None:
        """One array for each direction; None where all are 0: of a constant, among numbers that are none."""
        if self._parts is None and self.units is not None:
            self._parts = np.zeros((self.count, *self.shape))
            self._parts[(self.units.rows, *self.units.places)] = 1.0
        return self._parts

    @property
    def constant(self) -> bool:
        """Whether all parts are 0."""
        return self._parts is None and self.units is None

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
        elif method == "at" and ufunc is np.add:
            return _added_at(*inputs)
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
        return _both(self, lambda a: a[plain(index)], lambda a: a[_behind(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        """Set numbers and parts."""
        plain(self)[index] = plain(value)
        if self.constant and self.fresh and parts(value) is not None:
            self._parts = np.zeros((self.count, *self.shape))
        mine, own = self.parts, parts(value)
        self.units = None
        if mine is None:
            return
        place = mine[_behind(index)]
        if own is None:
            mine[_behind(index)] = 0.0
        elif not _same_memory(place, own):  # what stands behind += was written in place
            mine[_behind(index)] = aligned(value, place.ndim - 1)

    def reshape(self, *shape: Any, **options: Any) -> Any:
        """Give another shape."""
        sizes = shape[0] if len(shape) == 1 and not isinstance(shape[0], int | np.integer) else shape
        numbers = plain(self).reshape(sizes, **options)
        if self.units is not None:
            flat = np.ravel_multi_index(self.units.places, self.shape) if self.ndim else np.zeros(1, np.int64)
            places = np.unravel_index(flat, numbers.shape) if numbers.ndim else ()
            return dual(numbers, Units(self.units.rows, places), self.count)
        own = None if self._parts is None else self._parts.reshape(self.count, *numbers.shape)
        return dual(numbers, own, self.count)

    def ravel(self, *order: Any) -> Any:
        """Fold all axes into one."""
        return self.reshape(self.size)

    flatten = ravel

    def transpose(self, *axes: Any) -> Any:
        """Permute the axes."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        order = [axis % self.ndim for axis in order or range(self.ndim)[::-1]]
        if self.units is not None:
            places = tuple(self.units.places[axis] for axis in order)
            return dual(plain(self).transpose(order), Units(self.units.rows, places), self.count)
        return _both(self, lambda a: a.transpose(order), lambda a: a.transpose(0, *(axis + 1 for axis in order)))

    T = property(transpose)

    def swapaxes(self, first: Any, second: Any) -> Any:
        """Exchange two axes."""
        return _both(self, lambda a: a.swapaxes(first, second), lambda a: a.swapaxes(*later(self, (first, second))))

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

    def take(self, indices: Any, axis: int) -> Any:
        """Take entries along an axis."""
        return self[(slice(None),) * (axis % self.ndim) + (indices,)]

    def clip(self, low: Any, high: Any) -> Any:
        """Leave entries within bounds as they are."""
        return RULES[np.clip](self, low, high)

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


def dual(numbers: Any, found: Array | Units | None, count: int = 0, fresh: bool = False) -> Any:
    """Put numbers and their parts together; without parts, but a ``count``, they are a constant among dual numbers."""
    numbers = np.asarray(numbers)
    count = len(found) if isinstance(found, np.ndarray) else count
    if not count or numbers.dtype.kind != "f":
        return numbers
    made = cast(Dual, numbers.view(Dual))
    made.count, made.fresh = count, fresh
    if isinstance(found, Units):
        made.units = found
    elif found is not None:
        made._parts = found.reshape(count, *numbers.shape)
    return made


def count_of(values: Iterable[Any]) -> int:
    """Return how many parts the dual numbers among these have."""
    return next((x.count for x in values if isinstance(x, Dual)), 0)


def aligned(x: Any, ndim: int) -> Array:
    """Return the parts with axes of size 1 in front, for what broadcasts to ``ndim`` axes."""
    own = parts(x)
    assert own is not None
    return own.reshape(len(own), *(1,) * (ndim + 1 - own.ndim), *own.shape[1:])


def _both(x: Dual, of_numbers: Rule, of_parts: Rule) -> Any:
    return dual(of_numbers(plain(x)), None if x.parts is None else of_parts(x.parts), x.count)


def _same_memory(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.strides == b.strides and a.ctypes.data == b.ctypes.data


def _behind(index: Any) -> tuple[Any, ...]:
    index = plain(index)
    return (slice(None), *(index if isinstance(index, tuple) else (index,)))


def later(x: Any, axes: Iterable[int]) -> tuple[int, ...]:
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
        if total is not None:
            total = total + (moved if slope is None else moved * slope)
        else:
            total = moved.copy() if slope is None else moved * slope  # a result shares no memory
    if total is not None and total.shape[1:] != value.shape:
        total = np.broadcast_to(total, (len(total), *value.shape)).copy()
    return dual(value, total, count_of(inputs), fresh=True)


def _slope(ufunc: np.ufunc, numbers: Sequence[Any], i: int) -> Any:
    """Return the derivative by one input, None for 1."""
    if ufunc is np.add or (ufunc is np.subtract and i == 0) or ufunc is np.positive:
        return None
    if ufunc is np.multiply:
        return numbers[1 - i]
    if ufunc is np.subtract or ufunc is np.negative:
        return -1.0
    if ufunc is np.absolute:
        return np.where(numbers[0] < 0, -1.0, 1.0)  # at 0 the slope of a side, as a complex step takes one
    if ufunc in (np.maximum, np.minimum):  # of equal numbers the first one counts
        first = numbers[0] >= numbers[1] if ufunc is np.maximum else numbers[0] <= numbers[1]
        return np.asarray(first if i == 0 else ~first, np.float64)
    stepped = [x + 1j * COMPLEX_STEP if j == i else x for j, x in enumerate(numbers)]
    return ufunc(*stepped).imag / COMPLEX_STEP


def _summed(x: Any, axis: Any = 0, keepdims: bool = False, **options: Any) -> Any:
    value = np.add.reduce(plain(x), axis=axis, keepdims=keepdims, **options)
    axes: Any = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int | np.integer) else axis
    return dual(value, None if x.parts is None else x.parts.sum(later(x, axes), keepdims=keepdims), x.count)


def _added_at(total: Any, index: Any, values: Any) -> None:
    np.add.at(plain(total), plain(index), plain(values))
    if isinstance(total, Dual) and total.parts is not None and parts(values) is not None:
        np.add.at(total.parts, _behind(index), aligned(values, plain(total)[plain(index)].ndim))


def _by_units(a: Any, b: Any) -> Array | None:
    """Return ``A' B`` or ``A B'`` where one of two matrices has a single 1 in each part: rows or columns of the other.

    None where it has not, or both have parts of that kind.
    """
    if a.ndim != 2 or b.ndim != 2:
        return None
    left, right = (x.units if isinstance(x, Dual) else None for x in (a, b))
    count = count_of((a, b))
    if left is not None and right is None:
        total = np.zeros((count, len(a), b.shape[1]))
        total[left.rows, left.places[0]] = plain(b)[left.places[1]]
        return total if parts(b) is None else total + plain(a) @ b.parts
    if right is not None and left is None and parts(a) is None:
        total = np.zeros((count, len(a), b.shape[1]))
        total[right.rows, :, right.places[1]] = plain(a).T[right.places[0]]
        return total
    return None


def matmul(a: Any, b: Any) -> Any:
    """``(A + A' e)(B + B' e) = A B + (A' B + A B') e``."""
    value = np.matmul(plain(a), plain(b))
    found = _by_units(a, b)
    if found is not None:
        return dual(value, found)
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
    return dual(value, total, count_of((a, b)), fresh=True)
