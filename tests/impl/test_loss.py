"""Losses of numbers and of classes: what the catalogue's properties cannot see."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from beside_torch import beside_torch

import impl

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 3))
WEIGHT = np.array([0.5, 2.0, 1.5])
REDUCTIONS = pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
NONE = {"reduction": "none"}


@REDUCTIONS
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("ignore_index", [-100, 1])
def test_a_sample_that_is_ignored_counts_nowhere(ignore_index, weight, label_smoothing, reduction):
    target = np.array([0, ignore_index, 2, 2])
    arguments = {"ignore_index": ignore_index, "weight": weight, "reduction": reduction}
    beside_torch("CrossEntropyLoss", X, target, **arguments, label_smoothing=label_smoothing)
    beside_torch("NLLLoss", X, target, **arguments)


@pytest.mark.parametrize("op", ["CrossEntropyLoss", "NLLLoss"])
def test_where_all_samples_are_ignored_the_mean_is_nan_and_the_gradient_zero(op):
    beside_torch(op, X, np.full(4, -100))


@REDUCTIONS
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_a_target_of_probabilities_is_averaged_over_the_samples(weight, label_smoothing, reduction):
    target = np.random.default_rng(1).dirichlet(np.ones(3), 4)
    beside_torch("CrossEntropyLoss", X, target, weight=weight, label_smoothing=label_smoothing, reduction=reduction)


@pytest.mark.parametrize("op", ["CrossEntropyLoss", "NLLLoss"])
def test_a_class_that_cannot_be_does_not_spoil_one_that_is(op):
    beside_torch(op, np.array([[0.0, -np.inf, 1.0]]), np.array([2]))


def test_a_mean_over_weights_of_zero_spoils_only_what_it_is_a_mean_of():
    beside_torch("NLLLoss", X[:1], np.array([1]), weight=np.array([1.0, 0.0, 2.0]))


def test_images_and_single_samples_of_classes():
    beside_torch("NLLLoss", RNG.standard_normal((2, 3, 2, 2)), RNG.integers(0, 3, (2, 2, 2)), weight=WEIGHT)
    beside_torch("NLLLoss", X[0], np.array(2), weight=WEIGHT)


@REDUCTIONS
@pytest.mark.parametrize("pos_weight", [None, WEIGHT])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_weights_of_elements_and_of_the_positive_class(weight, pos_weight, reduction):
    target = np.random.default_rng(1).random((4, 3))
    beside_torch("BCEWithLogitsLoss", X, target, weight=weight, pos_weight=pos_weight, reduction=reduction)


def test_the_mean_over_nothing_is_nan_and_the_sum_zero():
    elementwise = ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss", "KLDivLoss", "BCELoss", "BCEWithLogitsLoss")
    for op in (*elementwise, "PoissonNLLLoss", "SoftMarginLoss", "HingeEmbeddingLoss"):
        loss = getattr(impl, op)
        assert np.isnan(loss().forward({}, np.zeros(0), np.zeros(0)).output)
        assert loss(reduction="sum").forward({}, np.zeros((0, 3)), np.zeros((0, 3))).output == 0


@REDUCTIONS
def test_the_bends_of_losses_of_a_difference_are_torchs(reduction):
    x = np.array([0.0, 1.0, -1.0, 0.5, -3.0])
    t = np.zeros(5)
    beside_torch("L1Loss", x, t, reduction=reduction)
    for beta in (0.0, 1.0, 2.0):
        beside_torch("SmoothL1Loss", x, t, reduction=reduction, beta=beta)
    beside_torch("HuberLoss", x, t, reduction=reduction, delta=1.0)


@REDUCTIONS
def test_a_variance_is_one_number_or_one_for_each_of_several(reduction):
    t = RNG.standard_normal((4, 3))
    for var in (RNG.random((4, 3)), RNG.random(4), RNG.random((4, 1)), RNG.random((1, 3))):
        beside_torch("GaussianNLLLoss", X, t, var, reduction=reduction)
        beside_torch("GaussianNLLLoss", X, t, var, reduction=reduction, eps=0.5, full=True)
    beside_torch("GaussianNLLLoss", X, t, options={"var": 0.25}, reduction=reduction)
    beside_torch("GaussianNLLLoss", X, t, np.zeros((4, 3)), reduction=reduction)
    beside_torch("GaussianNLLLoss", X[0, :1], t[0, :1], np.array(0.5), reduction=reduction)
    beside_torch("GaussianNLLLoss", X, t[:1], RNG.random((4, 3)), reduction=reduction)


def test_a_variance_given_as_a_number_has_no_gradient():
    gradients = impl.GaussianNLLLoss().forward({}, X, X, 0.5).backward(np.ones(())).inputs
    assert [g is None for g in gradients] == [False, False, True]


@REDUCTIONS
@pytest.mark.parametrize("log_input", [True, False])
@pytest.mark.parametrize("full", [True, False])
def test_counts_of_a_poisson_law(full, log_input, reduction):
    t = np.array([[0.5, 1.0, 1.5], [3.0, 2.0, 7.0]])
    beside_torch("PoissonNLLLoss", np.exp(X[:1]), t, log_input=log_input, full=full, reduction=reduction)


def test_a_count_of_zero_has_a_gradient():
    """Torch's is NaN, for it multiplies a zero with log 0 (docs/findings.md)."""
    step = impl.PoissonNLLLoss(full=True, reduction="sum").forward({}, X[0], np.zeros(3))
    np.testing.assert_array_equal(step.backward(np.ones(())).inputs[1], -X[0])


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
@pytest.mark.parametrize("reduction", ["none", "mean", "sum", "batchmean"])
@pytest.mark.parametrize("log_target", [True, False])
def test_divergence_of_distributions(log_target, reduction):
    t = np.random.default_rng(1).random((4, 3))
    beside_torch("KLDivLoss", X, t, log_target=log_target, reduction=reduction)
    beside_torch("KLDivLoss", X[:1], t, log_target=log_target, reduction=reduction)
    beside_torch("KLDivLoss", X[0, 0].reshape(()), t[0, 0].reshape(()), log_target=log_target, reduction=reduction)


def test_a_probability_of_zero_costs_nothing_and_its_slope_is_infinite():
    """Torch's slope is NaN, for it divides 0 by 0 (docs/findings.md)."""
    step = impl.KLDivLoss(reduction="sum").forward({}, X[0], np.array([0.0, 0.25, 0.75]))
    own = torch.nn.KLDivLoss(reduction="sum")(torch.tensor(X[0]), torch.tensor([0.0, 0.25, 0.75], dtype=torch.float64))
    np.testing.assert_allclose(step.output, own.item(), rtol=1e-14)
    assert step.backward(np.ones(())).inputs[1][0] == -np.inf
    assert np.isfinite(step.backward(np.ones(())).inputs[1][1:]).all()


def of_inputs(op, x, t, **arguments):
    """The gradient of the first input, ours and torch's, for a sum."""
    tensor = torch.tensor(x, requires_grad=True)
    getattr(torch.nn, op)(reduction="sum", **arguments)(tensor, torch.tensor(t)).backward()
    step = getattr(impl, op)(reduction="sum", **arguments).forward({}, x, t)
    return step.backward(np.ones(())).inputs[0], tensor.grad.numpy()


def test_probabilities_of_0_and_1_have_a_loss_and_torchs_slope():
    x, t = np.array([0.0, 1.0, 0.0, 1.0, 1e-50, 0.5]), np.array([0.0, 1.0, 1.0, 0.0, 1.0, 0.25])
    np.testing.assert_allclose(*of_inputs("BCELoss", x, t), rtol=1e-14)
    step = impl.BCELoss(reduction="none").forward({}, x, t)
    np.testing.assert_array_equal(step.output[:5], [0, 0, 100, 100, 100])
    # Torch's gradient of the target is infinite there, as if the logarithm had no bound (docs/findings.md).
    np.testing.assert_array_equal(step.backward(np.ones(6)).inputs[1][:5], [100, -100, 100, -100, 100])


@REDUCTIONS
def test_weights_of_binary_cross_entropy_broadcast(reduction):
    x, t = np.random.default_rng(1).random((2, 4, 3))
    for weight in (None, WEIGHT, np.ones((4, 1)), np.array([2.0])):
        beside_torch("BCELoss", x, t, weight=weight, reduction=reduction)


@REDUCTIONS
def test_many_labels_broadcast_weights_and_targets(reduction):
    t = np.random.default_rng(1).random((4, 3))
    for weight in (None, WEIGHT, np.ones((4, 1))):
        beside_torch("MultiLabelSoftMarginLoss", X, t, weight=weight, reduction=reduction)
        beside_torch("MultiLabelSoftMarginLoss", X[:1], t, weight=weight, reduction=reduction)
    beside_torch("MultiLabelSoftMarginLoss", X[0], t, reduction=reduction)


@REDUCTIONS
@pytest.mark.parametrize("out_features", [(), (2,), (2, 1)])
def test_cross_entropy_behind_a_linear_map(out_features, reduction):
    arguments = {"in_features": 3, "num_classes": 4, "out_features": out_features, "reduction": reduction}
    target = RNG.integers(0, 4, (4, *out_features))
    beside_torch("LinearCrossEntropyLoss", X, target, **arguments, bias=True, weight=np.array([1.0, 0.0, 2.0, 0.5]))
    beside_torch("LinearCrossEntropyLoss", X, target, **arguments, ignore_index=1, label_smoothing=0.25)
    beside_torch("LinearCrossEntropyLoss", X, RNG.random((4, 4, *out_features)), **arguments)


def test_one_sample_behind_a_linear_map():
    beside_torch("LinearCrossEntropyLoss", X[0], np.array(1), in_features=3, num_classes=2)


@pytest.mark.parametrize("target", [[0, 1, 4, 5, 3, 2], [0, 1, 0, 1, 0, 1], [5] * 6])
@pytest.mark.parametrize("head_bias", [True, False])
@pytest.mark.parametrize("div_value", [1.0, 2.0])
def test_adaptive_softmax_of_all_clusters_of_some_and_of_one(div_value, head_bias, target):
    arguments = {"in_features": 4, "n_classes": 6, "cutoffs": [2, 4], "div_value": div_value, "head_bias": head_bias}
    x = RNG.standard_normal((6, 4))
    beside_torch("AdaptiveLogSoftmaxWithLoss", x, np.array(target), **arguments)
    beside_torch("AdaptiveLogSoftmaxWithLoss", x[0], np.array(target[2]), **arguments)
    beside_torch("AdaptiveLogSoftmaxWithLoss", x[:0], np.array(target)[:0], **arguments)


def test_adaptive_softmax_with_one_of_two_gradients():
    layer = impl.AdaptiveLogSoftmaxWithLoss(2, 3, [1])
    parameters = layer.initial(np.random.default_rng(0))
    step = layer.forward(parameters, X[:, :2], np.array([0, 1, 2, 0]))
    each, mean = step.backward((np.full(4, -0.25), None)), step.backward((None, np.ones(())))
    np.testing.assert_allclose(each.inputs[0], mean.inputs[0], rtol=1e-14)
    for name in parameters:
        np.testing.assert_allclose(each.parameters[name], mean.parameters[name], rtol=1e-14)


def losses_of_zeros(op: str, *shapes: tuple[int, ...], **arguments: object) -> Callable[[], object]:
    return lambda: getattr(impl, op)(**arguments).forward({}, *(np.zeros(shape) for shape in shapes))


INDEX = np.zeros(2, int)
LINEAR = {"linear.weight": np.zeros((8, 3))}
MESSAGES = [
    (lambda: impl.KLDivLoss("all"), "KLDivLoss: reduction is 'all', wanted 'none', 'mean', 'sum' or 'batchmean'"),
    (lambda: impl.L1Loss("all"), "L1Loss: reduction is 'all', wanted 'none', 'mean' or 'sum'"),
    (lambda: impl.SmoothL1Loss(beta=-1.0), "SmoothL1Loss: beta is -1.0, wanted a number from 0"),
    (lambda: impl.HuberLoss(delta=0.0), "HuberLoss: delta is 0.0, wanted a number above 0"),
    (losses_of_zeros("HuberLoss", (2, 3), (3,)), "HuberLoss: its target has shape (3,), wanted (2, 3)"),
    (
        losses_of_zeros("KLDivLoss", (2, 3), (2,)),
        "KLDivLoss: the shapes of its inputs is ((2, 3), (2,)), wanted shapes that broadcast",
    ),
    (
        losses_of_zeros("GaussianNLLLoss", (2, 3), (2, 3), (3,)),
        "GaussianNLLLoss: the shape of var is (3,), wanted (2, 3), with one axis of size 1, or without its last",
    ),
    (
        losses_of_zeros("GaussianNLLLoss", (2, 3), (2, 3), (1, 1)),
        "GaussianNLLLoss: the shape of var is (1, 1), wanted (2, 3), with one axis of size 1, or without its last",
    ),
    (
        lambda: impl.GaussianNLLLoss().forward({}, X, X, -0.5),
        "GaussianNLLLoss: the least entry of var is -0.5, wanted a number from 0",
    ),
    (
        lambda: impl.BCELoss().forward({}, np.array([0.5, 1.5]), np.zeros(2)),
        "BCELoss: an entry of its input is 1.5, wanted a number from 0 to 1",
    ),
    (
        lambda: impl.BCELoss().forward({}, np.zeros(1), np.array([np.nan])),
        "BCELoss: an entry of its target is nan, wanted a number from 0 to 1",
    ),
    (
        losses_of_zeros("BCELoss", (3,), (3,), weight=np.ones((2, 3))),
        "BCELoss: the shape of weight is (2, 3), wanted one that broadcasts to (3,)",
    ),
    (
        losses_of_zeros("MultiLabelSoftMarginLoss", (), ()),
        "MultiLabelSoftMarginLoss: the shape of its input is (), wanted (C,) or (*, C)",
    ),
    (
        lambda: impl.NLLLoss().forward({}, X, np.array([0, 1, 3, 0])),
        "NLLLoss: a class in its target is 3, wanted 0 to 2",
    ),
    (
        losses_of_zeros("NLLLoss", (), ()),
        "NLLLoss: the shape of its input is (), wanted (C,), (N, C) or (N, C, d1, ...)",
    ),
    (
        lambda: impl.LinearCrossEntropyLoss(3, 4, options=object),
        "LinearCrossEntropyLoss: options is <class 'object'>, wanted None: they save memory, and change no number",
    ),
    (
        lambda: impl.LinearCrossEntropyLoss(3, 4, label_smoothing=1.5),
        "LinearCrossEntropyLoss: label_smoothing is 1.5, wanted a number from 0 to 1",
    ),
    (
        lambda: impl.LinearCrossEntropyLoss(3, 4, weight=np.ones(3)),
        "LinearCrossEntropyLoss: weight has shape (3,), wanted (4)",
    ),
    (
        lambda: impl.LinearCrossEntropyLoss(3, 4, out_features=(2,)).forward(LINEAR, np.zeros(3), INDEX),
        "LinearCrossEntropyLoss: the shape of its input is (3,), wanted (N, 3), with out_features",
    ),
    (
        lambda: impl.LinearCrossEntropyLoss(3, 8).forward(LINEAR, np.zeros((2, 4)), INDEX),
        "LinearCrossEntropyLoss: its input has shape (2, 4), wanted (*, 3)",
    ),
    (
        lambda: impl.LinearCrossEntropyLoss(3, 8, ignore_index=0).forward(LINEAR, np.zeros(3), np.zeros(8)),
        "LinearCrossEntropyLoss: ignore_index is 0, wanted None for a target of probabilities",
    ),
    (
        lambda: impl.AdaptiveLogSoftmaxWithLoss(3, 4, [2, 2]),
        "AdaptiveLogSoftmaxWithLoss: cutoffs is [2, 2], wanted increasing integers from 1 to 3",
    ),
    (
        lambda: impl.AdaptiveLogSoftmaxWithLoss(3, 4, []),
        "AdaptiveLogSoftmaxWithLoss: cutoffs is [], wanted increasing integers from 1 to 3",
    ),
    (
        lambda: impl.AdaptiveLogSoftmaxWithLoss(3, 4, [1.5]),
        "AdaptiveLogSoftmaxWithLoss: cutoffs is [1.5], wanted increasing integers from 1 to 3",
    ),
    (
        lambda: impl.AdaptiveLogSoftmaxWithLoss(3, 4, [2]).forward({}, np.zeros((2, 3)), np.array([0, 4])),
        "AdaptiveLogSoftmaxWithLoss: a class in its target is 4, wanted 0 to 3",
    ),
    (
        lambda: impl.AdaptiveLogSoftmaxWithLoss(3, 4, [2]).forward({}, np.zeros((3, 3)), INDEX),
        "AdaptiveLogSoftmaxWithLoss: its input has shape (3, 3), wanted (2, 3)",
    ),
    (
        lambda: impl.AdaptiveLogSoftmaxWithLoss(3, 4, [2]).forward({}, np.zeros((1, 2, 3)), INDEX[None]),
        "AdaptiveLogSoftmaxWithLoss: the shape of its target is (1, 2), wanted () or (N,)",
    ),
]


@pytest.mark.parametrize(("made", "message"), MESSAGES, ids=[message[:60] for _, message in MESSAGES])
def test_errors_name_layer_argument_got_and_wanted(made, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        made()
