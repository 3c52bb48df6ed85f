"""Rows of the losses of real targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backproof.catalogue.loss import broadcast, reduction
from backproof.catalogue.row import Chooser, Convention, Draw, Need, Row, Shape

ANY = (2, 1, 3, 4)
ALIKE = "input and target of unequal shapes are refused: torch warns"


def plain(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """All reductions; the target may be what another branch computes."""
    return Draw({"reduction": reduction(choose)}, (Need(shape),))


def smooth_l1(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Where it bends: at a distance that ties have, near, or at 0, where it is L1Loss."""
    return Draw({"reduction": reduction(choose), "beta": choose.one_of((1.0, 0.5, 2.5, 0.0))}, (Need(shape),))


def huber(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Where it bends: at a distance that ties have, near, or far."""
    return Draw({"reduction": reduction(choose), "delta": choose.one_of((1.0, 0.5, 2.5))}, (Need(shape),))


def poisson(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Rates and their logarithms; any target, or counts with Stirling's term."""
    log_input, full = choose.boolean(), choose.boolean()
    arguments = {
        "log_input": log_input,
        "full": full,
        "eps": choose.one_of((1e-8, 0.5)),
        "reduction": reduction(choose),
    }
    target = Need(broadcast(choose, shape), "positive" if full else "real")
    return Draw(arguments, (target,), first=None if log_input else Need(shape, "positive"))


def gaussian(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """One variance for all, for each row, along one axis, for each entry; some below a large eps."""
    arguments = {
        "full": choose.boolean(),
        "eps": choose.one_of((1e-6, 0.75)),
        "reduction": reduction(choose),
    }
    axis = choose.integer(0, len(shape) - 1)
    flat = (*shape[:axis], 1, *shape[axis + 1 :])
    spread = choose.one_of((shape, shape[:-1], flat, None))
    if spread is None:
        return Draw(arguments, (Need(broadcast(choose, shape)),), {"var": choose.one_of((1.0, 0.25, 0.0))})
    return Draw(arguments, (Need(broadcast(choose, shape)), Need(spread, "positive")))


def clamped(arguments: Mapping[str, Any]) -> Convention:
    """The variance keeps its gradient below eps."""
    return {2: "a variance below eps keeps the gradient of eps"} if arguments.get("eps", 0) > 0.1 else {}


def kl_div(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Logarithms and probabilities as targets; the fourth reduction."""
    logarithm = choose.boolean()
    arguments = {"reduction": choose.one_of(("batchmean", "mean", "sum", "none")), "log_target": logarithm}
    return Draw(arguments, (Need(broadcast(choose, shape), "log_simplex" if logarithm else "positive"),))


ROWS = (
    Row("GaussianNLLLoss", ANY, gaussian, convention=clamped, loss=True),
    Row("HuberLoss", ANY, huber, loss=True, limits=ALIKE),
    Row("KLDivLoss", ANY, kl_div, loss=True),
    Row("L1Loss", ANY, plain, loss=True, limits=ALIKE),
    Row("MSELoss", ANY, plain, loss=True, limits=ALIKE),
    Row("PoissonNLLLoss", ANY, poisson, loss=True),
    Row("SmoothL1Loss", ANY, smooth_l1, loss=True, limits=ALIKE),
)
