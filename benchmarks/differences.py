"""How near finite differences come, and whether their bounds hold: ``python -m benchmarks.differences``.

Prints the table of docs/differences.md: functions with known derivatives, at random places, their values and
arguments multiplied by random powers of ten from 1e-30 to 1e30.
"""

from collections.abc import Callable

import numpy as np

from reference.differences import finite_difference
from reference.run import Array

CASES = 400
FUNCTIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "tanh": (np.tanh, lambda u: np.cosh(u) ** -2),
    "sine": (np.sin, np.cos),
    "bell `exp(-u²)`": (lambda u: np.exp(-u * u), lambda u: -2 * u * np.exp(-u * u)),
    "`u⁵ - 3u² + 1`": (lambda u: u**5 - 3 * u**2 + 1, lambda u: 5 * u**4 - 6 * u),
    "ReLU, kink at 1e-3 to 1e-7": (lambda u: np.maximum(u - 1, 0), lambda u: 1.0 * (u > 1)),
    "two kinks, 1e-4 apart": (
        lambda u: np.abs(u - 1) - np.abs(u - 1.0001),
        lambda u: np.sign(u - 1) - np.sign(u - 1.0001),
    ),
    "`(1e10 + u) - 1e10`": (lambda u: (1e10 + u) - 1e10, np.ones_like),
    "jump at 1e-3 to 1e-7": (lambda u: u + 1.0 * (u > 1), np.ones_like),
}


def row(name: str, dtype: type) -> str:
    """Measure one function in one dtype."""
    function, derivative = FUNCTIONS[name]
    rng = np.random.default_rng(0)
    near = any(word in name for word in ("kink", "jump"))
    errors, bounds, evaluations, violated, unknown = [], [], 0, 0, 0
    for _ in range(CASES):
        u = 1 + rng.choice([-1, 1]) * 10 ** -rng.uniform(3, 7) if near else rng.uniform(-3, 3)
        values, arguments = 10.0 ** rng.integers(-30, 31, 2)
        x: Array = np.array([u / arguments], dtype=dtype)

        def terms(z: Array, values: float = values, arguments: float = arguments) -> Array:
            nonlocal evaluations
            evaluations += 1
            return values * function(arguments * z)

        found = finite_difference(terms, x)
        true = values * arguments * float(derivative(arguments * x.astype(np.longdouble))[0])
        scale = values * arguments
        if not np.isfinite(found.bound[0]):
            unknown += 1
            continue
        error = max(found.lower[0] - true, true - found.upper[0], 0.0)
        violated += bool(error > found.bound[0] + 4e-16 * abs(true))
        errors.append(error / scale)
        bounds.append(found.bound[0] / scale)
    measured = f"{np.median(errors):.0e} | {np.median(bounds):.0e} | {max(bounds):.0e}" if bounds else "- | - | -"
    return f"| {name} | {dtype.__name__} | {measured} | {violated} | {unknown} | {evaluations / CASES:.0f} |"


if __name__ == "__main__":
    print("| function | dtype | median error | median bound | largest bound | violated | unknown | evaluations |")
    print("|---|---|---|---|---|---|---|---|")
    for name in FUNCTIONS:
        for dtype in (np.float64, np.longdouble):
            print(row(name, dtype), flush=True)
