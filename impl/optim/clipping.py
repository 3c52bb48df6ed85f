"""Clipping: gradients made smaller before a step, where they are too large."""

from __future__ import annotations

import numpy as np

from impl.layer import Array
from impl.optim.contract import Named


def clip_grad_norm(
    gradients: Named, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> tuple[dict[str, Array], float]:
    """Scale all gradients by ``min(1, max_norm / (norm + 1e-6))``: torch's ``clip_grad_norm_``, but pure.

    Parameters
    ----------
    gradients
        By name; the norm is taken of all their numbers as of one vector.
    max_norm
        What the norm comes down to, all but the 1e-6.
    norm_type
        The p of ``(sum |g|^p)^(1/p)``; infinity (or "inf"): the largest magnitude; 0: how many are not zero.
    error_if_nonfinite
        Whether to raise where the norm is no finite number; else all gradients become NaN where it is NaN, and where it
        is infinite, all finite ones 0.

    Returns
    -------
    tuple
        The gradients, and their norm before.

    Raises
    ------
    ValueError
        The norm is not finite, and error_if_nonfinite says so.

    Source: Pascanu, Mikolov and Bengio, ICML (2013), algorithm 1.
    """
    order = float(norm_type)
    # A norm of norms, so that each dtype is summed up in itself.
    norms = [np.linalg.norm(g.ravel(), order) for g in gradients.values()]
    total = np.linalg.norm(np.asarray(norms), order) if norms else np.float64(0)
    if error_if_nonfinite and not np.isfinite(total):
        raise ValueError(f"clip_grad_norm: the norm of order {order:g} is {total}, wanted a finite number")
    with np.errstate(invalid="ignore"):
        factor = np.minimum(1, max_norm / (total + 1e-6))
        return {name: np.asarray(g * factor, g.dtype) for name, g in gradients.items()}, float(total)


def clip_grad_value(gradients: Named, clip_value: float) -> dict[str, Array]:
    """Bring all numbers into ``[-clip_value, clip_value]``: torch's ``clip_grad_value_``, but pure."""
    return {name: np.asarray(np.clip(g, -clip_value, clip_value)) for name, g in gradients.items()}
