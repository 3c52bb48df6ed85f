"""Losses with a margin, and distances: kinks, ties, broadcasting and refusals, beside torch."""

import re
from math import inf

import numpy as np
import pytest
import torch
from beside_torch import beside_torch

import impl

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 3))
REDUCTIONS = pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
POWERS = pytest.mark.parametrize("p", [0, 0.5, 1, 1.5, 2, 3, inf, -1, -2.5, -inf])
NEAR = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, -1.0]])
FAR = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])


@REDUCTIONS
def test_hinges_of_similar_different_and_other_pairs(reduction):
    x = np.array([1.0, 2.0, 0.5, -1.0, 1.0, 0.5])
    for t in (np.array([-1.0, -1, -1, 1, 0, 0.5]), np.array([-1, 1, -1, 1, -1, 1])):
        beside_torch("HingeEmbeddingLoss", x, t, reduction=reduction)
        beside_torch("HingeEmbeddingLoss", x, t, reduction=reduction, margin=0.5)
    beside_torch("HingeEmbeddingLoss", X[0], np.ones((2, 3)), reduction=reduction)


@pytest.mark.parametrize("kind", [int, float])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_target_of_signs_may_be_integers_and_broadcasts(dtype, kind):
    x, t = X.astype(dtype), np.array([1, -1, 1]).astype(kind)
    tensor = torch.tensor(x, requires_grad=True)
    wanted = torch.nn.SoftMarginLoss()(tensor, torch.tensor(t))
    wanted.backward()
    step = impl.SoftMarginLoss().forward({}, x, t)
    assert step.output.dtype == dtype
    np.testing.assert_allclose(step.output, wanted.detach().numpy(), rtol=1e-6)
    gradient, none = step.backward(np.ones((), dtype)).inputs
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-5)
    assert none is None


def test_a_soft_margin_does_not_overflow():
    """Torch's loss is infinite there, and its gradient NaN (docs/findings.md)."""
    step = impl.SoftMarginLoss("none").forward({}, np.array([-1000.0, 1000.0]), np.ones(2))
    np.testing.assert_array_equal(step.output, [1000, 0])
    np.testing.assert_array_equal(step.backward(np.ones(2)).inputs[0], [-1, 0])


@REDUCTIONS
def test_ranking_on_its_kink_and_with_broadcasting(reduction):
    x1, x2 = np.array([1.0, 2.0, 0.0]), np.array([1.0, 2.0, 1.0])
    for t in (np.array([1.0, -1.0, 1.0]), np.array([1, -1, 1]), np.array([0.5, 0.0, -2.0])):
        for margin in (0.0, 1.0):
            beside_torch("MarginRankingLoss", x1, x2, t, margin=margin, reduction=reduction)
    beside_torch("MarginRankingLoss", X[:1], X[:, :1], X[1:2], margin=0.5, reduction=reduction)


@REDUCTIONS
@pytest.mark.parametrize("margin", [0.0, 0.5, -0.5, 2.0])
def test_cosines_of_pairs_orthogonal_ones_and_zeros_among_them(margin, reduction):
    x1 = np.array([[1.0, 2.0], [0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [3.0, 4.0]])
    x2 = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [-3.0, 4.0]])
    for t in (np.array([1, -1, 1, -1, -1]), np.array([-1.0, 1.0, -1.0, 0.0, 1.0])):
        beside_torch("CosineEmbeddingLoss", x1, x2, t, margin=margin, reduction=reduction)
        beside_torch("CosineEmbeddingLoss", x1[:1], x2, t, margin=margin, reduction=reduction)
    beside_torch("CosineEmbeddingLoss", x1[0], x2[0], np.array(-1), margin=margin, reduction=reduction)
    beside_torch("CosineEmbeddingLoss", x1[:1], x2[:1], np.array([1, -1]), margin=margin, reduction=reduction)


@REDUCTIONS
def test_labels_are_listed_up_to_the_first_that_is_none(reduction):
    x = np.array([[0.125, 0.25, 0.375, 0.75], [0.0, 1.0, 0.0, 1.0]])
    lists = [[3, 0, -1, 1], [3, 3, -1, -1], [-1, 3, 0, 1], [0, 1, 2, 3], [1, -1, -1, -1]]
    for target in lists:
        beside_torch("MultiLabelMarginLoss", x, np.array([target, [1, 3, -1, 2]]), reduction=reduction)
        beside_torch("MultiLabelMarginLoss", x[0], np.array(target), reduction=reduction)


@REDUCTIONS
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("weight", [None, np.array([1.0, 0.0, 3.0])])
def test_one_class_ahead_of_the_others(weight, p, reduction):
    x = np.array([[0.0, 1.0, 0.5], [0.25, 0.25, 1.25], [3.0, 0.0, 0.0]])
    arguments = {"p": p, "weight": weight, "reduction": reduction}
    for margin in (1.0, -0.5):
        beside_torch("MultiMarginLoss", x, np.array([1, 2, 0]), margin=margin, **arguments)
    beside_torch("MultiMarginLoss", x[0], np.array(1), **arguments)
    beside_torch("MultiMarginLoss", x[0], np.array([2]), **arguments)


@pytest.mark.parametrize("op", ["MultiMarginLoss", "MultiLabelMarginLoss"])
def test_the_mean_over_no_sample_is_nan_and_the_sum_zero(op):
    """Torch returns memory that nobody wrote (docs/findings.md)."""
    target = np.zeros((0, 3) if op == "MultiLabelMarginLoss" else 0, int)
    for reduction, wanted in (("mean", np.nan), ("sum", 0.0)):
        step = getattr(impl, op)(reduction=reduction).forward({}, np.zeros((0, 3)), target)
        np.testing.assert_array_equal(step.output, wanted)
        assert step.backward(np.ones(())).inputs[0].shape == (0, 3)


@REDUCTIONS
@POWERS
@pytest.mark.parametrize("swap", [True, False])
def test_triplets_by_every_norm(swap, p, reduction):
    negative = RNG.standard_normal((4, 3))
    for positive in (X[::-1].copy(), X[:1]):
        beside_torch("TripletMarginLoss", X, positive, negative, p=p, swap=swap, reduction=reduction)
    beside_torch("TripletMarginLoss", X[0], X[1], X[2], p=p, swap=swap, reduction=reduction)


def test_triplets_at_the_margin_and_with_two_equal_negatives():
    one, two = np.array([1.0]), np.array([2.0])
    beside_torch("TripletMarginLoss", np.zeros(1), one, two, eps=0.0)
    beside_torch("TripletMarginLoss", one, two, np.array([1.5]), eps=0.0, swap=True)
    beside_torch("TripletMarginLoss", two, one, np.zeros(1), eps=0.0, swap=True)


@pytest.mark.parametrize("swap", [True, False])
def test_triplets_by_a_distance_of_ones_own(swap):
    tensors = [torch.tensor(x, requires_grad=True) for x in (X, X[::-1].copy(), RNG.standard_normal((4, 3)))]
    theirs = torch.nn.TripletMarginWithDistanceLoss(distance_function=torch.nn.CosineSimilarity(dim=0), swap=swap)
    theirs(*tensors).backward()
    ours = impl.TripletMarginWithDistanceLoss(distance_function=impl.CosineSimilarity(dim=0), swap=swap)
    gradients = ours.forward({}, *(x.detach().numpy() for x in tensors)).backward(np.ones(())).inputs
    for got, x in zip(gradients, tensors, strict=True):
        np.testing.assert_allclose(got, x.grad.numpy(), rtol=1e-12, atol=1e-16)


@POWERS
@pytest.mark.parametrize("eps", [0.0, 1e-6])
@pytest.mark.parametrize("keepdim", [True, False])
def test_every_norm_of_zeros_of_equal_entries_and_of_others(keepdim, eps, p):
    beside_torch("PairwiseDistance", NEAR, FAR, p=p, eps=eps, keepdim=keepdim)
    beside_torch("PairwiseDistance", X, X[0], p=p, eps=eps, keepdim=keepdim)
    beside_torch("PairwiseDistance", X[0], X[1], p=p, eps=eps, keepdim=keepdim)
    beside_torch("PairwiseDistance", X[:, :1], X, p=p, eps=eps, keepdim=keepdim)
    beside_torch("PairwiseDistance", X[:0], X[:0], p=p, eps=eps, keepdim=keepdim)


def test_distances_of_numbers_and_of_nothing():
    beside_torch("PairwiseDistance", np.array(1.0), np.array(2.0))
    beside_torch("PairwiseDistance", X[:, :0], X[:, :0])


@pytest.mark.parametrize("eps", [1e-8, 2.0])
def test_cosines_along_every_axis_of_zeros_and_of_vectors_shorter_than_eps(eps):
    for dim in (0, 1, -1):
        beside_torch("CosineSimilarity", NEAR, FAR, dim=dim, eps=eps)
        beside_torch("CosineSimilarity", X, X[0], dim=dim, eps=eps)
        beside_torch("CosineSimilarity", X, X[:, :1], dim=dim, eps=eps)
    beside_torch("CosineSimilarity", X[0], X[1], dim=0, eps=eps)
    beside_torch("CosineSimilarity", np.array(1.0), np.array(2.0), dim=0, eps=eps)
    beside_torch("CosineSimilarity", X[:, :0], X[:, :0], dim=1, eps=eps)


def of_zeros(op, *shapes, **arguments):
    return lambda: getattr(impl, op)(**arguments).forward({}, *(np.zeros(shape) for shape in shapes))


MESSAGES = [
    (
        of_zeros("HingeEmbeddingLoss", (2, 3), (2,)),
        "HingeEmbeddingLoss: the shapes of its inputs is ((2, 3), (2,)), wanted shapes that broadcast",
    ),
    (
        of_zeros("SoftMarginLoss", (3,), (2, 3)),
        "SoftMarginLoss: the shape of its target is (2, 3), wanted one that broadcasts to (3,)",
    ),
    (
        of_zeros("MarginRankingLoss", (3,), (3,), (1, 3)),
        "MarginRankingLoss: the shapes of its inputs is ((3,), (3,), (1, 3)), wanted equally many axes",
    ),
    (
        of_zeros("CosineEmbeddingLoss", (2, 3), (2, 3), ()),
        "CosineEmbeddingLoss: the shapes of its inputs is ((2, 3), (2, 3), ()), "
        "wanted (D,), (D,) and (), or (N, D), (N, D) and (N,)",
    ),
    (
        of_zeros("CosineEmbeddingLoss", (2, 3), (2, 3), (3,)),
        "CosineEmbeddingLoss: the shapes of its inputs is ((2,), (3,)), wanted shapes that broadcast",
    ),
    (
        of_zeros("MultiLabelMarginLoss", (2, 0), (2, 0)),
        "MultiLabelMarginLoss: the shape of its input is (2, 0), wanted (C,) or (N, C), C at least 1",
    ),
    (
        lambda: impl.MultiLabelMarginLoss().forward({}, np.zeros(3), np.array([0, 3, -1])),
        "MultiLabelMarginLoss: a class in its target is 3, wanted -1 to 2",
    ),
    (
        lambda: impl.MultiLabelMarginLoss().forward({}, np.zeros(3), np.array([0, -2, -1])),
        "MultiLabelMarginLoss: a class in its target is -2, wanted -1 to 2",
    ),
    (
        of_zeros("MultiMarginLoss", (1, 2, 3), (1,)),
        "MultiMarginLoss: the shape of its input is (1, 2, 3), wanted (C,) or (N, C), C at least 1",
    ),
    (
        of_zeros("MultiMarginLoss", (2, 3), (3,)),
        "MultiMarginLoss: the shape of its target is (3,), wanted (2,), or () for one sample",
    ),
    (
        lambda: impl.MultiMarginLoss().forward({}, np.zeros(3), np.array(3)),
        "MultiMarginLoss: a class in its target is 3, wanted 0 to 2",
    ),
    (lambda: impl.MultiMarginLoss(p=3), "MultiMarginLoss: p is 3, wanted 1 or 2"),
    (lambda: impl.TripletMarginLoss(margin=0.0), "TripletMarginLoss: margin is 0.0, wanted a number above 0"),
    (
        of_zeros("TripletMarginLoss", (2, 3), (3,), (2, 3)),
        "TripletMarginLoss: the shapes of its inputs is ((2, 3), (3,), (2, 3)), wanted equally many axes",
    ),
    (
        of_zeros("PairwiseDistance", (2, 0), (2, 0), p=inf),
        "PairwiseDistance: the shape of its inputs is (2, 0), wanted at least one entry to take the norm inf of",
    ),
    (
        of_zeros("CosineSimilarity", (3,), (3,)),
        "CosineSimilarity: dim is 1, wanted an axis of its inputs (3,)",
    ),
    (lambda: impl.CosineSimilarity(eps=-1.0), "CosineSimilarity: eps is -1.0, wanted a number from 0"),
]


@pytest.mark.parametrize(("made", "message"), MESSAGES, ids=[message[:60] for _, message in MESSAGES])
def test_errors_name_layer_argument_got_and_wanted(made, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        made()
