"""Row of CTCLoss."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from backproof.catalogue.loss import reduction
from backproof.catalogue.row import Chooser, Convention, Draw, Need, Row, Shape

MOST = 6
"""Steps: a longer input has no more cases, and takes long."""


def ctc(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Targets padded and one after another, empty, with repeated labels, some that do not fit into the input."""
    steps, classes = min(shape[0], MOST), max(shape[-1], 2)
    samples = prod(shape[1:-1])
    blank = choose.one_of((0, classes - 1))
    labels = [label for label in range(classes) if label != blank]
    longest = choose.integer(1, 3)
    lengths = [choose.integer(0, longest) for _ in range(samples)]
    padded = [[choose.one_of(labels) for _ in range(longest)] for _ in lengths]
    ends = [choose.integer(min(steps, 2 * length + 1), steps) for length in lengths]
    if choose.integer(0, 3) == 3:
        ends[0] = choose.integer(0, steps)
    together = sum(lengths) > 0 and choose.boolean()
    flat = [label for row, length in zip(padded, lengths) for label in row[:length]]
    options = {"targets": flat if together else padded, "input_lengths": ends, "target_lengths": lengths}
    arguments = {"blank": blank, "reduction": reduction(choose), "zero_infinity": choose.boolean()}
    return Draw(arguments, options=options, first=Need((steps, *shape[1:-1], classes), "log_simplex"))


def convention(arguments: Mapping[str, Any]) -> Convention:
    """What is passed on is the gradient of the scores before a log_softmax."""
    return {0: "the gradient is that of the scores of which the input is the log_softmax"}


ROWS = (Row("CTCLoss", (3, 2), ctc, convention=convention, loss=True),)
