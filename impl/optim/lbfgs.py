"""L-BFGS: a step that knows how the gradient changed over the last steps, and so the curvature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from impl.layer import Array, check_shape, reject
from impl.optim.contract import Closure, Memory, Named, known

Evaluate: TypeAlias = Callable[[Any], tuple[float, Array]]
"""The loss and gradient at a distance along the direction of search."""


@dataclass(frozen=True)
class LBFGS:
    """Quasi-Newton steps from the last ``history_size`` differences of gradients y and of parameters s::

        q = -g;  for (y, s) from the newest:  a = s q / (y s),  q = q - a y
        q = (y s / y y of the newest) q
        for (y, s) from the oldest:  q = q + (a - y q / (y s)) s
        w = w + t q

    with t = lr (at the very first, ``lr min(1, 1 / sum |g|)``), or found by a search along q that ends where the strong
    Wolfe conditions hold. One ``step`` makes up to ``max_iter`` such moves, and fewer when the largest entry of g is
    ``tolerance_grad`` or less, or w or the loss changes by less than ``tolerance_change``, or the closure has been
    called ``max_eval`` times (None: 5/4 of max_iter). All parameters are one vector, so there are no groups.

    Remembers, under torch's names: ``d`` (q), ``t``, ``old_dirs`` (all y), ``old_stps`` (all s), ``ro`` (1 / (y s)),
    ``H_diag``, ``prev_flat_grad``, ``prev_loss``, ``func_evals``, ``n_iter``; and ``names``, the order of the vector.

    Source: Nocedal, Math. Comp. 35 (1980); Nocedal and Wright, Numerical Optimization (2006), algorithms 7.4, 3.5 and
    3.6, as in Schmidt's minFunc.

    Raises
    ------
    ValueError
        lr is negative, max_iter or max_eval is less than 1, or line_search_fn is unknown.
    """

    lr: float = 1.0
    max_iter: int = 20
    max_eval: int | None = None
    tolerance_grad: float = 1e-7
    tolerance_change: float = 1e-9
    history_size: int = 100
    line_search_fn: str | None = None

    def __post_init__(self) -> None:
        if not self.lr >= 0:
            raise reject(self, "lr", self.lr, "0 or more")
        for argument in ("max_iter", "max_eval", "history_size"):
            size = getattr(self, argument)
            if size is not None and size < 1:
                raise reject(self, argument, size, "1 or more")
        if self.line_search_fn not in (None, "strong_wolfe"):
            raise reject(self, "line_search_fn", self.line_search_fn, "None or 'strong_wolfe'")

    def step(
        self, parameters: Named, closure: Closure, state: Memory | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """See :meth:`impl.optim.ClosureOptimizer.step`."""
        memory: dict[str, Any] = {"func_evals": 0, "n_iter": 0, **(state or {})}
        now = dict(parameters)
        loss, gradients = closure(now)
        names = memory.setdefault("names", tuple(gradients))

        def flat(gradients: Named) -> Array:
            for name, gradient in gradients.items():
                check_shape(self, f"the gradient of {name}", gradient, known(self, now, name).shape)
                if name not in names:
                    raise reject(self, "the name of a gradient", name, f"one of the first step: {', '.join(names)}")
            # At least float32: products of differences are too small for float16.
            wide = np.result_type(np.float32, *(now[name].dtype for name in names))
            parts = (gradients.get(name, np.zeros_like(now[name])).ravel() for name in names)
            return np.concatenate(list(parts), dtype=wide) if names else np.zeros(0)

        def moved(start: Named, distance: Any, direction: Array) -> dict[str, Array]:
            ends = np.cumsum([start[name].size for name in names])
            parts = np.split(direction, ends[:-1]) if names else []
            shifted = {n: start[n] + distance * part.reshape(start[n].shape) for n, part in zip(names, parts)}
            return {**start, **{name: np.asarray(array, start[name].dtype) for name, array in shifted.items()}}

        def evaluated(there: Named) -> tuple[float, Array]:
            loss, gradients = closure(there)
            return float(loss), flat(gradients)

        loss, g = float(loss), flat(gradients)
        evaluations, most = 1, self.max_iter * 5 // 4 if self.max_eval is None else self.max_eval
        memory["func_evals"] += 1
        if np.abs(g).max(initial=0.0) <= self.tolerance_grad:
            return now, memory
        for iteration in range(1, self.max_iter + 1):
            memory["n_iter"] += 1
            memory = self._towards(g, memory)
            direction, before = memory["d"], loss
            memory |= {"prev_flat_grad": g, "prev_loss": loss}
            first = memory["n_iter"] == 1
            distance: Any = min(1.0, 1.0 / np.abs(g).sum()) * self.lr if first else self.lr
            memory["t"] = distance
            slope = g @ direction
            if slope > -self.tolerance_change:
                break
            calls = 0
            if self.line_search_fn is not None:
                start = now

                def along(distance: Any, start: Named = start, direction: Array = direction) -> tuple[float, Array]:
                    return evaluated(moved(start, distance, direction))

                loss, g, distance, calls = strong_wolfe(
                    along, distance, direction, loss, g, slope, self.tolerance_change, most - evaluations
                )
                now = moved(start, distance, direction)
            else:
                now = moved(now, distance, direction)
                if iteration != self.max_iter:  # the last point is left to the next step
                    loss, g = evaluated(now)
                    calls = 1
            memory["t"] = distance
            evaluations += calls
            memory["func_evals"] += calls
            if evaluations >= most or np.abs(g).max() <= self.tolerance_grad:
                break
            change = np.abs(direction * distance).max()
            if change <= self.tolerance_change or abs(loss - before) < self.tolerance_change:
                break
        return now, memory

    def _towards(self, g: Array, memory: dict[str, Any]) -> dict[str, Any]:
        """Find the next direction ``d``, taking the last step into the history."""
        if memory["n_iter"] == 1:
            return {**memory, "d": -g, "old_dirs": (), "old_stps": (), "ro": (), "H_diag": 1}
        y, s = g - memory["prev_flat_grad"], memory["d"] * memory["t"]
        ys = y @ s
        history = {name: memory[name] for name in ("old_dirs", "old_stps", "ro", "H_diag")}
        if ys > 1e-10:
            kept = slice(-self.history_size, None)
            history = {
                "old_dirs": (*history["old_dirs"], y)[kept],
                "old_stps": (*history["old_stps"], s)[kept],
                "ro": (*history["ro"], 1.0 / ys)[kept],
                "H_diag": ys / (y @ y),
            }
        past = list(zip(history["old_dirs"], history["old_stps"], history["ro"]))
        d, shares = -g, []
        for y, s, inverse in reversed(past):
            shares.append((s @ d) * inverse)
            d = d - shares[-1] * y
        d = d * history["H_diag"]
        for (y, s, inverse), share in zip(past, reversed(shares)):
            d = d + (share - (y @ d) * inverse) * s
        return {**memory, **history, "d": d}


@dataclass(frozen=True)
class _Point:
    """A point on the line of search: how far, the loss there, its gradient, its slope along the line."""

    distance: Any
    loss: float
    gradient: Array
    slope: Any


def strong_wolfe(
    evaluate: Evaluate,
    distance: Any,
    direction: Array,
    loss: float,
    gradient: Array,
    slope: Any,
    tolerance: float,
    most: int,
    decrease: float = 1e-4,
    curvature: float = 0.9,
) -> tuple[float, Array, Any, int]:
    """Find a distance where the loss f falls enough and its slope f' has become small enough::

        f(t) <= f(0) + decrease t f'(0)   and   |f'(t)| <= curvature |f'(0)|

    First the distance grows until such a point lies behind it, then the bracket around it is narrowed by cubics.

    Returns
    -------
    tuple
        Loss and gradient there, the distance, and how often the loss was evaluated.
    """
    origin = _Point(0, loss, gradient, slope)

    def at(distance: Any) -> _Point:
        loss, gradient = evaluate(distance)
        return _Point(distance, loss, gradient, gradient @ direction)

    def too_high(point: _Point) -> bool:
        return bool(point.loss > loss + decrease * point.distance * slope)

    def flat(point: _Point) -> bool:
        return bool(abs(point.slope) <= -curvature * slope)

    before, now, looks, calls, done = origin, at(distance), 0, 1, False
    low, high = origin, now  # where no bracket is found within the allowed calls
    while looks < most:
        if too_high(now) or (looks > 1 and now.loss >= before.loss):
            low, high = before, now
            break
        if flat(now):
            low, high, done = now, now, True
            break
        if now.slope >= 0:
            low, high = before, now
            break
        nearest = now.distance + 0.01 * (now.distance - before.distance)
        ahead = interpolated(before, now, (nearest, now.distance * 10))
        before, now = now, at(ahead)
        looks, calls = looks + 1, calls + 1
        low, high = origin, now

    # The order in the bracket counts: of two equals the first is the lower one.
    bracket = [low, high]
    best = 0 if bracket[0].loss <= bracket[1].loss else 1
    widest = np.abs(direction).max()
    stuck = False
    while not done and looks < most:
        ends = [point.distance for point in bracket]
        if abs(ends[1] - ends[0]) * widest < tolerance:
            break
        distance = interpolated(bracket[0], bracket[1])
        margin = 0.1 * (max(ends) - min(ends))
        if min(max(ends) - distance, distance - min(ends)) < margin:
            if stuck or distance >= max(ends) or distance <= min(ends):
                nearer_end = abs(distance - max(ends)) < abs(distance - min(ends))
                distance = max(ends) - margin if nearer_end else min(ends) + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        now = at(distance)
        looks, calls = looks + 1, calls + 1
        if too_high(now) or now.loss >= bracket[best].loss:
            bracket[1 - best] = now
            best = 0 if bracket[0].loss <= bracket[1].loss else 1
        else:
            if flat(now):
                done = True
            elif now.slope * (bracket[1 - best].distance - bracket[best].distance) >= 0:
                bracket[1 - best] = bracket[best]
            bracket[best] = now
    found = bracket[best]
    return found.loss, found.gradient, found.distance, calls


def interpolated(one: _Point, other: _Point, bounds: tuple[Any, Any] | None = None) -> Any:
    """Return where the cubic through two points and slopes is least, within bounds; their middle if it is nowhere."""
    lowest, highest = bounds or (min(one.distance, other.distance), max(one.distance, other.distance))
    left, right = (one, other) if one.distance <= other.distance else (other, one)
    with np.errstate(divide="ignore", invalid="ignore"):
        d1 = one.slope + other.slope - np.float64(3 * (one.loss - other.loss)) / (one.distance - other.distance)
        square = d1**2 - one.slope * other.slope
        if not square >= 0:
            return (lowest + highest) / 2
        d2 = np.sqrt(square)
        span = right.distance - left.distance
        place = right.distance - span * ((right.slope + d2 - d1) / (right.slope - left.slope + 2 * d2))
    return min(max(place, lowest), highest)
