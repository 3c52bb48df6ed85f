"""CTCLoss: lengths, layouts and alignments that do not fit, beside torch and beside a sum over all alignments."""

import re
from itertools import groupby, product

import numpy as np
import pytest
from beside_torch import beside_torch

import impl
from impl.layers.ctc import log_sum_exp

RNG = np.random.default_rng(0)
SCORES = RNG.standard_normal((4, 2, 3))
X = SCORES - np.log(np.exp(SCORES).sum(-1, keepdims=True))
REDUCTIONS = pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
ZEROED = pytest.mark.parametrize("zero_infinity", [True, False])


def lengths(targets, inputs, labels):
    return {"targets": targets, "input_lengths": inputs, "target_lengths": labels}


@REDUCTIONS
@ZEROED
@pytest.mark.parametrize(
    "given",
    [
        lengths([[1, 2], [1, 1]], [4, 3], [2, 2]),
        lengths([1, 2, 1], [4, 3], [2, 1]),
        lengths([[1, 2], [1, 7]], [4, 3], [2, 1]),
        lengths([[1, 2], [1, 1]], [4, 2], [2, 2]),
        lengths([[1, 2], [1, 1]], [4, 3], [0, 1]),
        lengths([[1, 2], [1, 1]], [0, 3], [0, 1]),
        lengths([[1, 2], [1, 1]], [0, 3], [1, 1]),
        lengths([[0, 2], [1, 1]], [4, 3], [2, 2]),
    ],
    ids=["padded", "together", "beyond", "too short", "no label", "no step", "no step but a label", "a blank label"],
)
def test_lengths_and_layouts(given, zero_infinity, reduction):
    beside_torch("CTCLoss", X, options=given, zero_infinity=zero_infinity, reduction=reduction)


@REDUCTIONS
def test_one_sequence_another_blank_and_logarithms_of_no_distribution(reduction):
    given = lengths([1, 0], [4], [2])
    beside_torch("CTCLoss", X[:, 0], options=given, blank=2, reduction=reduction)
    beside_torch("CTCLoss", SCORES[:, :1], options=given | {"targets": [[1, 0]]}, blank=2, reduction=reduction)


@pytest.mark.parametrize("target", [[], [1], [1, 2], [1, 1], [2, 1, 2]])
def test_the_loss_is_the_sum_over_all_alignments(target):
    x = X[:, 0]
    total = sum(
        np.exp(sum(x[t, label] for t, label in enumerate(path)))
        for path in product(range(3), repeat=4)
        if [label for label, _ in groupby(path) if label] == target
    )
    step = impl.CTCLoss(reduction="sum").forward({}, x, np.array(target, int), 4, len(target))
    np.testing.assert_allclose(step.output, -np.log(total), rtol=1e-13)


def test_the_gradient_is_that_of_the_scores():
    given = (np.array([[1, 2], [1, 1]]), np.array([4, 3]), np.array([2, 2]))

    def loss(scores):
        x = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
        return impl.CTCLoss(reduction="sum").forward({}, x, *given)

    gradient, *others = loss(SCORES).backward(np.ones(())).inputs
    assert others == [None, None, None]
    for at in np.ndindex(*SCORES.shape):
        step = np.zeros(SCORES.shape)
        step[at] = 1e-6
        slope = (loss(SCORES + step).output - loss(SCORES - step).output) / 2e-6
        np.testing.assert_allclose(gradient[at], slope, atol=1e-8)


def test_a_label_that_cannot_be_has_a_gradient():
    """Torch's is NaN, for it takes minus infinity from itself (docs/findings.md)."""
    x = X[:, 0].copy()
    x[1, 1] = -np.inf
    step = impl.CTCLoss(reduction="sum").forward({}, x, np.array([1, 2]), 4, 2)
    gradient = step.backward(np.ones(())).inputs[0]
    assert np.isfinite(step.output)
    assert np.isfinite(gradient).all()
    assert gradient[1, 1] == 0


def test_a_sum_of_logarithms_far_below_the_others_is_not_lost():
    x = np.array([[0.0, -2000.0], [0.0, -2000.0]])
    np.testing.assert_allclose(log_sum_exp(x), [np.log(2), np.log(2) - 2000], rtol=1e-15)


def refused(x, targets, inputs, labels, blank=0):
    return lambda: impl.CTCLoss(blank).forward({}, x, np.array(targets), inputs, labels)


PAIR = [[1, 2], [1, 1]]
MESSAGES = [
    (
        refused(X[:0], PAIR, [0, 0], [0, 0]),
        "the shape of its input is (0, 2, 3), wanted (T, N, C) or (T, C), nothing of it 0",
    ),
    (refused(X[0, 0], [1], [1], [1]), "the shape of its input is (3,), wanted (T, N, C) or (T, C), nothing of it 0"),
    (refused(X, PAIR, [4, 3], [2, 2], 3), "blank is 3, wanted a class, 0 to 2"),
    (refused(X, PAIR, [4, 3], [2, 2], -1), "blank is -1, wanted a class, 0 to 2"),
    (refused(X, PAIR, [5, 3], [2, 2]), "input_lengths is [5, 3], wanted numbers from 0 to 4"),
    (refused(X, PAIR, [4, -1], [2, 2]), "input_lengths is [4, -1], wanted numbers from 0 to 4"),
    (refused(X, PAIR, [4, 3], [3, 2]), "target_lengths is [3, 2], wanted numbers from 0 to 2"),
    (refused(X, PAIR, [4, 3, 2], [2, 2]), "input_lengths has shape (3,), wanted (2)"),
    (refused(X, PAIR, [4, 3], [2]), "target_lengths has shape (1,), wanted (2)"),
    (refused(X, PAIR[:1], [4, 3], [2, 2]), "targets has shape (1, 2), wanted (2, *)"),
    (refused(X, [1, 2, 1], [4, 3], [2, 2]), "targets has shape (3,), wanted (4)"),
    (refused(X, [[1, 5], [1, 1]], [4, 3], [2, 2]), "a label in targets is 5, wanted 0 to 2"),
    (refused(X, [[1, 2], [-1, 1]], [4, 3], [2, 2]), "a label in targets is -1, wanted 0 to 2"),
]


@pytest.mark.parametrize(("made", "message"), MESSAGES, ids=[message for _, message in MESSAGES])
def test_errors_name_argument_got_and_wanted(made, message):
    with pytest.raises(ValueError, match=re.escape(f"CTCLoss: {message}")):
        made()
