"""Finite differences through an implementation's own forward, and through PyTorch's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import inf
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from backproof.alone import Alone, Given, Samples
from backproof.at_once import in_one_run
from backproof.catalogue import convention
from backproof.implementations import Completed
from backproof.judging import judged, rounding
from backproof.running import ImplementationFailed, WrongArray
from reference import Node, Reference, Tensor
from reference.differences import (
    EPS,
    Estimate,
    complex_step,
    finite_difference,
)
from reference.run import Array, is_numeric
from reference.steps import CONFIRMED
from reports import TensorAgreement

COORDINATES = 4096
"""More than these of one array are sampled; the others are seen along ``DIRECTIONS`` only."""

FEWEST = 256
"""So many are sampled at least."""

DIRECTIONS = 8

HOEFFDING = 8.0
"""Random signs add n errors up to more than this many times ``sqrt(n)`` of the largest once in 10^13 times."""

HIDDEN = 128.0
"""The first step of a difference is 1/128 of its argument: so many units in a slope are one of rounding in a value."""
HIDDEN_STILL = 2.0**24
"""The second step of a difference is 2^-24 of its argument; what cancelled in a value may hide any slope below that."""


class Claim(NamedTuple):
    """What a backward says, and what it should, entry by entry.

    ``terms`` gradients were added for each entry; where some are ``unknown`` they were not compared.
    """

    got: Array | None
    want: Array
    bound: Array
    note: str = ""
    unknown: bool = False
    terms: float = 1.0

    @property
    def holds(self) -> bool:
        """Whether every entry lies within its bound."""
        return self.got is not None and bool((np.abs(self.got - self.want) <= self.bound).all())

    def told(self, agreement: TensorAgreement) -> TensorAgreement:
        """Say in an agreement what was not checked; it is inconclusive where something could not be."""
        note = "; ".join(filter(None, (agreement.note, self.note)))
        verdict = "inconclusive" if self.unknown and agreement.verdict == "agree" else agreement.verdict
        return replace(agreement, note=note, verdict=verdict)


@dataclass(frozen=True)
class Derivative:
    """What differences say of the gradient of one array.

    Attributes
    ----------
    at, coordinates
        Flat positions in the array, and the derivatives along them.
    signs, directions
        Random signs, one row for each direction through the whole array; none if every coordinate is in ``at``.
    shape, note
        The array's shape; what there is to say.
    """

    at: Array
    coordinates: Estimate
    signs: Array
    directions: Estimate
    shape: tuple[int, ...]
    note: str

    def claims(self, got: Array | None, rounding: float) -> Iterator[Claim]:
        """Compare a gradient at the coordinates, then along the directions; each number may be off by ``rounding``."""
        if got is None and not self.coordinates.value.any() and not self.directions.value.any():
            got = np.zeros(self.shape)  # "no gradient flows" and zeros are one statement
        right = got is not None and got.shape == self.shape
        if got is not None and np.iscomplexobj(got):
            got, right = _parts(got), got.shape == self.shape[:-1]
        given = got.astype(np.float64).reshape(-1) if got is not None and right else np.zeros(int(np.prod(self.shape)))
        want, bound = given.copy(), np.zeros(given.size)
        want[self.at], bound[self.at], unknown = _wanted(self.coordinates, given[self.at])
        notes = [f"{unknown} of {given.size} coordinates have no derivative that is known"] if unknown else []
        if len(self.signs):
            notes.append(f"{len(self.at):,} of {given.size:,} coordinates, and {len(self.signs)} directions")
        note = "; ".join(filter(None, (*notes, self.note)))
        yield Claim(got, want.reshape(self.shape), bound.reshape(self.shape) + rounding, note, unknown > 0)
        if len(self.signs) and right:
            along = self.signs @ given
            want, bound, unknown = _wanted(self.directions, along)
            note = f"along {len(self.signs)} directions"
            spread = given.size**0.5
            yield Claim(along, want, bound + HOEFFDING * spread * rounding, note, unknown > 0, spread)


def _wanted(estimate: Estimate, got: Array) -> tuple[Array, Array, int]:
    """Return the wanted values, their bounds, and how many are unknown: there, what came is wanted."""
    flat = Estimate(*(np.ravel(a) for a in (vars(estimate)[name] for name in vars(estimate))))
    # At a kink every number between the one-sided derivatives is a subgradient.
    want = np.where(flat.kinks, np.clip(got, flat.lower, flat.upper), flat.value)
    known = np.isfinite(flat.bound)
    return np.where(known, want, got), np.where(known, flat.bound, 0.0), int((~known).sum())


def judged_by_differences(
    got: Array | None,
    derivative: Derivative,
    *,
    sensitivity: float,
    accumulation: int,
    dtype: str,
    labels: dict[str, Any],
    excuse: str = "",
    tolerance: tuple[float, float] = (0.0, 0.0),
) -> TensorAgreement:
    """Judge a gradient by what differences say: each coordinate, and the directions; the worse verdict counts.

    Parameters
    ----------
    got, derivative
        The gradient, and what it should be.
    sensitivity, accumulation, dtype
        What rounding does to it, see :func:`backproof.judging.rounding`.
    labels
        What it is called.
    excuse
        Why what seems to disagree may not.
    tolerance
        An absolute and a relative error that somebody wants to be agreement all the same.
    """
    absolute, relative = tolerance
    terms = max(sensitivity, float(derivative.coordinates.size.max(initial=0.0)))
    verdicts = [
        claim.told(
            judged(
                claim.got,
                claim.want,
                bound=np.maximum(claim.bound, absolute + relative * np.nan_to_num(np.abs(claim.want))),
                terms=terms * claim.terms,
                dtype=dtype,
                labels=labels,
                against="differences",
                excuse=excuse,
            )
        )
        for claim in derivative.claims(got, rounding(terms, dtype, accumulation))
    ]
    return max(verdicts, key=lambda v: ("agree", "inconclusive", "disagree").index(v.verdict))


def _parts(z: Array) -> Array:
    return np.stack([z.real, z.imag], axis=-1)


def at_every_coordinate(
    implementation: Completed, node: Node, alone: Reference, together: bool = True
) -> dict[Tensor, Derivative]:
    """Differentiate the forward of one node along the coordinates of its parameters and floating inputs.

    By complex steps where the implementation says that its forward is complex-clean, and a central difference in one
    random direction through all of them does not contradict; else by central differences, in longdouble
    where the forward runs in it. Of an array of more than ``COORDINATES`` some are drawn by the architecture's seed,
    and random directions see the rest. What the op's convention keeps from being a derivative (the padding
    row of an embedding, what CTCLoss passes on) is left out. Complex arrays are looked at along random directions of
    their parts. All coordinates are taken ``together`` in one run, on dual numbers, where the forward runs on them.
    """
    forward = Alone(implementation, node, Given.of(node, alone))
    left_out = {*alone.twin.buffers.get(node.name, ()), *convention(node)}
    names: dict[str | int, Tensor] = {
        name: Tensor("parameter", node.name, name) for name in forward.parameters if name not in left_out
    }
    names |= {
        i: Tensor("input", name, "0")
        for i, (name, x) in enumerate(alone.values.inputs.items())
        if is_numeric(x) and i not in left_out
    }
    arrays = {key: forward.every[key] for key in names}
    if any(map(np.iscomplexobj, arrays.values())):
        return {names[key]: _along_parts(forward, key, names[key], each=False) for key in arrays}
    return differentiated(forward, names, implementation.complex_clean(node), together)


def differentiated(
    forward: Alone,
    names: Mapping[str | int, Tensor],
    claims_clean: bool,
    together: bool = True,
    expected: Mapping[Tensor, Array] | None = None,
    work: float = inf,
    enough: float = CONFIRMED,
) -> dict[Tensor, Derivative]:
    """Differentiate a forward along the coordinates of some of its arrays.

    Parameters
    ----------
    forward
        What is differentiated.
    names
        What the arrays are called, by their keys.
    claims_clean
        Whether complex steps may go through, unless a difference contradicts.
    together
        Whether these may be taken in one run.
    expected
        Gradients by somebody who did not look at the function: a central difference that confirms one is enough.
    work
        How many numbers may go through the forward, roughly: where all coordinates would be more, fewer are drawn of
        arrays that are sampled anyway, and longdouble, which is slow, is used for a sixteenth of that only.
    enough
        How sharp a difference must be to confirm what is expected.
    """
    size = sum(x.size for x in forward.every.values()) + sum(c.size for c in forward.cotangents.values())
    most = int(min(max(work / max(size, 1), FEWEST), COORDINATES))
    arrays = {key: forward.every[key] for key in names}
    parted = {key for key, x in arrays.items() if np.iscomplexobj(x)}
    real = {key: x for key, x in arrays.items() if key not in parted}
    samples = {key: _sample(names[key], x.shape, forward.seed, most) for key, x in real.items()}
    fast = sum(len(at) for at, _ in samples.values()) * size * 16 > work
    found = _by_complex_steps(forward, arrays, samples, together) if claims_clean and not parted else None
    if found is None:
        note = "the forward is not complex-clean, as it claims: central differences instead" if claims_clean else ""
        wanted = {key: (expected or {}).get(name) for key, name in names.items()}
        found = _by_central_differences(forward, real, samples, note, wanted, fast, enough) if samples else {}
        found |= {key: _along_parts(forward, key, names[key], each=True) for key in parted}
    return {name: found[key] for key, name in names.items()}


def _along_parts(forward: Alone, key: str | int, name: Tensor, each: bool) -> Derivative:
    """Differentiate by real and imaginary parts: each of them by itself, or along directions through all at once.

    ``E = Re sum conj(c) y`` changes with z by ``Re sum conj(G) dz``, G the gradient in torch's convention: by the dot
    product of the parts.
    """
    z = _parts(forward.every[key])
    at, signs = np.zeros(0, np.int64), _signs(forward.seed, f"{name.node}/{name.name}", DIRECTIONS, z.size)
    if each:
        at, signs = _sample(name, z.shape, forward.seed)
    estimates = [finite_difference(forward.moving_parts(key), z, ds) for ds in _paths(z, at, signs)]
    return Derivative(at, estimates[0], signs, estimates[1], z.shape, "")


def _by_central_differences(
    forward: Alone,
    arrays: Mapping[str | int, Array],
    samples: Samples,
    note: str,
    expected: Mapping[str | int, Array | None],
    fast: bool,
    enough: float,
) -> dict[str | int, Derivative]:
    found, precise = {}, not fast and forward.precise()
    for key, (at, signs) in samples.items():
        x, claimed = arrays[key].astype(np.longdouble) if precise else arrays[key], expected[key]
        units, rows = _paths(x, at, signs)
        by_each = along = None
        if claimed is not None and claimed.shape == x.shape and claimed.dtype.kind == "f":
            flat = claimed.reshape(-1).astype(np.float64)
            by_each, along = flat[at], signs @ flat
        together = None if precise else forward.moving_together(key)
        coordinates = finite_difference(forward.moving(key), x, units, by_each, enough, together)
        directions = finite_difference(forward.moving(key), x, rows, along, enough)
        found[key] = Derivative(at, coordinates, signs, directions, x.shape, note)
    return found


def _by_complex_steps(
    forward: Alone, arrays: Mapping[str | int, Array], samples: Samples, together: bool
) -> dict[str | int, Derivative] | None:
    """Return None where a complex step raises, or says what a central difference along one direction excludes."""
    found, directions, claimed, bound = {}, {}, 0.0, 0.0
    at_once = in_one_run(forward, arrays, samples) if together else None
    try:
        for key, (at, signs) in samples.items():
            x = arrays[key]
            one = signs[:1] if len(signs) else _signs(forward.seed, str(key), 1, x.size)
            units, rows = _paths(x, at, signs)
            coordinates = at_once[key] if at_once else complex_step(forward.moving(key), x, units)
            estimates = coordinates, complex_step(forward.moving(key), x, rows)
            found[key] = Derivative(at, coordinates, signs, estimates[1], x.shape, "")
            directions[key] = one[0].reshape(x.shape)
            claimed += estimates[1].value[0] if len(signs) else float(one[0] @ estimates[0].value)
            bound += float(estimates[0].bound.sum()) + float(estimates[1].bound.sum())
    except (ImplementationFailed, WrongArray):
        return None
    check = finite_difference(forward.all_moving(directions), np.zeros(1), [np.ones(1)], expected=[claimed])
    # What a forward rounds on the way, in units of its inputs, need not show in a result that is constant but for it.
    # Where nothing moves at all, that is said of the smallest step.
    roundings = HIDDEN if check.size.any() else HIDDEN_STILL
    hidden = roundings * EPS * sum(float(np.abs(c).sum()) for c in forward.cotangents.values())
    bound += float(check.bound[0]) + hidden
    excluded = claimed < check.lower[0] - bound or claimed > check.upper[0] + bound
    # Where kinks follow one another, what autograd takes need not lie between the one-sided derivatives: relu(x) -
    # relu(-x) is x, and has at 0 the gradient 0. There a difference contradicts nothing.
    return None if excluded and not forward.bends(directions) else found


def _paths(x: Array, at: Array, signs: Array) -> tuple[Iterable[Array], Iterable[Array]]:
    def units() -> Iterator[Array]:
        for k in at:
            unit = np.zeros(x.size, x.dtype)
            unit[k] = 1
            yield unit.reshape(x.shape)

    return units(), (row.reshape(x.shape).astype(x.dtype) for row in signs)


def _signs(seed: int, name: str, rows: int, size: int) -> Array:
    rng = np.random.default_rng([seed, crc32(f"signs/{name}".encode())])
    return rng.choice(np.array([-1, 1], np.int8), (rows, size))


def _sample(name: Tensor, shape: tuple[int, ...], seed: int, most: int = COORDINATES) -> tuple[Array, Array]:
    """Draw which coordinates of an array are looked at, its corners among them, and the directions for the others."""
    size = int(np.prod(shape))
    if size <= COORDINATES:
        return np.arange(size), np.zeros((0, size), np.int8)
    label = f"{name.node}/{name.name}"
    rng = np.random.default_rng([seed, crc32(f"sample/{label}".encode())])
    corners = [np.ravel_multi_index(corner, shape) for corner in product(*({0, n - 1} for n in shape))]
    drawn = dict.fromkeys([*map(int, corners), *map(int, rng.permutation(size)[:most])])
    return np.sort(list(drawn)[:most]), _signs(seed, label, DIRECTIONS, size)
