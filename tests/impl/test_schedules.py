"""Schedules: the rates and momenta of forty epochs beside torch's, for two groups that start apart."""

import inspect
import warnings
from copy import deepcopy
from math import isclose, sin

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backproof.recipes import torchs_schedule
from impl import optim
from impl.optim import schedules
from impl.optim.schedules import (
    SWALR,
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

EPOCHS = 40
HALVES = [lambda epoch: 0.9**epoch, lambda epoch: 1 / (1 + epoch)]
SIMPLE = [
    LambdaLR(HALVES[0]),
    LambdaLR(HALVES),
    MultiplicativeLR(lambda epoch: 0.9 + 0.01 * (epoch % 3)),
    MultiplicativeLR([lambda epoch: 0.9, lambda epoch: 1.1]),
    StepLR(7),
    StepLR(1, gamma=0.9),
    MultiStepLR([3, 3, 8, 20], 0.5),
    MultiStepLR([0, 2]),
    ConstantLR(),
    ConstantLR(0.25, 9),
    LinearLR(),
    LinearLR(0.1, 0.5, 12),
    LinearLR(1.0, 0.0, 1),
    ExponentialLR(0.9),
    PolynomialLR(),
    PolynomialLR(30, 2.5),
    CosineAnnealingLR(10),
    CosineAnnealingLR(1, 0.01),
    CosineAnnealingLR(17, 0.02),
    CosineAnnealingWarmRestarts(5),
    CosineAnnealingWarmRestarts(3, 2, 0.01),
    CyclicLR(0.01, 0.1, 4),
    CyclicLR([0.01, 0.02], [0.1, 0.3], 3, 5, "triangular2", base_momentum=[0.5, 0.6], max_momentum=0.95),
    CyclicLR(0.01, 0.1, 6, mode="exp_range", gamma=0.9, cycle_momentum=False),
    CyclicLR(0.01, 0.1, 6, scale_fn=lambda x: 0.5 * (1 + sin(x)), scale_mode="iterations"),
    CyclicLR(0.01, 0.1, 6, mode="mine", scale_fn=lambda x: 1 / 5 ** (x * 0.0001), scale_mode="cycle"),
    OneCycleLR(0.3, 60),
    OneCycleLR([0.3, 0.5], epochs=10, steps_per_epoch=6, anneal_strategy="linear", pct_start=0.4),
    OneCycleLR(0.3, 45, three_phase=True, div_factor=10.0, final_div_factor=100.0, max_momentum=[0.9, 0.8]),
    OneCycleLR(0.3, EPOCHS, pct_start=0.0, cycle_momentum=False),
    OneCycleLR(0.3, EPOCHS + 1, pct_start=1.0),
    SWALR(0.05),
    SWALR([0.05, 0.5], 3, "linear"),
    SWALR(0.05, 0),
]
COMPOSED = [
    ChainedScheduler([ConstantLR(0.1, 4), ExponentialLR(0.9)]),
    ChainedScheduler([CosineAnnealingLR(12, 0.001), LinearLR(0.5, 1.0, 6), StepLR(5, 0.5)]),
    ChainedScheduler([MultiplicativeLR(lambda epoch: 0.95), PolynomialLR(50), SWALR(0.05, 20)]),
    ChainedScheduler([SequentialLR([ConstantLR(0.1, 4), StepLR(3)], [6]), ExponentialLR(0.95)]),
    SequentialLR([LinearLR(0.1), CosineAnnealingLR(20)], [8]),
    SequentialLR([ConstantLR(0.1, 2), ExponentialLR(0.9), StepLR(4)], [5, 11]),
    SequentialLR([ExponentialLR(0.9), MultiStepLR([0, 3]), LinearLR(), PolynomialLR(6)], [4, 10, 20]),
    SequentialLR([StepLR(2), CosineAnnealingWarmRestarts(4, 2), LambdaLR(HALVES)], [3, 20]),
    SequentialLR([ExponentialLR(0.9), MultiplicativeLR(lambda epoch: 0.9)], [6]),
    SequentialLR([ExponentialLR(0.9), ConstantLR(0.2, 0), SWALR(0.05, 4)], [6, 9]),
    SequentialLR([ExponentialLR(0.9), StepLR(3)], [0]),
    SequentialLR([ExponentialLR(0.9), CyclicLR(0.01, 0.2, 3)], [7]),
    SequentialLR([OneCycleLR(0.3, 10), ConstantLR()], [7]),
]
OPTIMIZERS = {"SGD": {"momentum": 0.7}, "Adam": {"betas": (0.7, 0.99)}}


def pair(op, rates=(0.1, 0.4)):
    """Two groups that start at other rates, ours and torch's."""
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": rate} for rate in rates]
    theirs = getattr(torch.optim, op)(groups, **OPTIMIZERS[op])
    ours = [(getattr(optim, op)(lr=rate, **OPTIMIZERS[op]), [str(i)]) for i, rate in enumerate(rates)]
    return optim.Groups(ours), theirs


def hyperparameters(ours, theirs):
    names = schedules.contract.MOVED
    return (
        [{name: getattr(one, name) for name in names if hasattr(one, name)} for one, _ in ours.groups],
        [{name: group[name] for name in names if name in group} for group in theirs.param_groups],
    )


def compare(ours, theirs, epoch):
    for mine, group in zip(*hyperparameters(ours, theirs), strict=True):
        assert set(mine) == set(group)
        for name, value in mine.items():
            pairs = zip(value, group[name]) if name == "betas" else [(value, group[name])]
            assert all(isclose(a, b, rel_tol=1e-13, abs_tol=1e-16) for a, b in pairs), (name, epoch, value, group[name])


def beside_torch(schedule, op="SGD", epochs=EPOCHS, metric=None):
    ours, theirs = pair(op)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no optimizer steps in between
        reference = torchs_schedule(schedule, theirs)
        ours, state = schedule.start(ours)
        compare(ours, theirs, 0)
        for epoch in range(1, epochs):
            before = deepcopy(state["memory"])
            news = () if metric is None else (metric(epoch),)
            reference.step(*news)
            ours, later = schedule.step(ours, state, *news)
            assert state["memory"] == before
            state = later
            compare(ours, theirs, epoch)


@pytest.mark.parametrize("schedule", [*SIMPLE, *COMPOSED], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("op", OPTIMIZERS)
def test_rates_are_torchs(schedule, op):
    beside_torch(schedule, op)


@given(
    st.sampled_from(["min", "max"]),
    st.floats(0.1, 0.9),
    st.integers(0, 4),
    st.floats(0, 0.3),
    st.sampled_from(["rel", "abs"]),
    st.integers(0, 3),
    st.just([0.01, 0.2]) | st.floats(0, 0.05),
    st.lists(st.integers(-5, 5), min_size=EPOCHS, max_size=EPOCHS),
)
def test_a_plateau_is_seen_when_torch_sees_it(mode, factor, patience, threshold, kind, cooldown, lowest, metrics):
    schedule = ReduceLROnPlateau(mode, factor, patience, threshold, kind, cooldown, lowest)
    beside_torch(schedule, metric=lambda epoch: metrics[epoch])


@given(st.lists(st.sampled_from(SIMPLE), min_size=1, max_size=3), st.data())
def test_any_schedules_in_a_row_or_chained_give_torchs_rates(parts, data):
    milestones = sorted(data.draw(st.sets(st.integers(1, 30), min_size=len(parts) - 1, max_size=len(parts) - 1)))
    beside_torch(SequentialLR(parts, milestones))
    beside_torch(ChainedScheduler(parts))


def test_one_optimizer_is_scheduled_without_groups_and_keeps_all_else():
    optimizer = optim.NAdam(lr=0.1, betas=(0.8, 0.9), weight_decay=0.3)
    schedule = OneCycleLR(1.0, 10, anneal_strategy="linear")
    now, state = schedule.start(optimizer)
    assert now == optim.NAdam(lr=0.04, betas=(0.95, 0.9), weight_decay=0.3)
    for _ in range(2):
        now, state = schedule.step(now, state)
    assert now.lr == 1.0
    assert optimizer == optim.NAdam(lr=0.1, betas=(0.8, 0.9), weight_decay=0.3)


def test_lbfgs_is_scheduled_too():
    now, _ = ConstantLR(0.5).start(optim.LBFGS())
    assert now == optim.LBFGS(lr=0.5)


def test_names_and_defaults_are_torchs():
    for name in schedules.__all__:
        if name != "Schedule":
            theirs = getattr(torch.optim.lr_scheduler, name, None) or getattr(torch.optim.swa_utils, name)
            wanted = dict(inspect.signature(theirs).parameters)
            left_out = [wanted.pop(argument) for argument in ("optimizer", "last_epoch") if argument in wanted]
            found = inspect.signature(getattr(schedules, name)).parameters
            assert left_out
            assert [(p.name, p.default) for p in found.values()] == [(p.name, p.default) for p in wanted.values()], name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StepLR(0), "StepLR: step_size is 0, wanted at least 1"),
        (lambda: ConstantLR(1.5), "ConstantLR: factor is 1.5, wanted a number from 0 to 1"),
        (lambda: LinearLR(0.0), "LinearLR: start_factor is 0.0, wanted a number above 0"),
        (lambda: LinearLR(end_factor=-1.0), "LinearLR: end_factor is -1.0, wanted a number from 0 to 1"),
        (lambda: LinearLR(total_iters=0), "LinearLR: total_iters is 0, wanted at least 1"),
        (lambda: PolynomialLR(0), "PolynomialLR: total_iters is 0, wanted at least 1"),
        (lambda: CosineAnnealingLR(0), "CosineAnnealingLR: T_max is 0, wanted at least 1"),
        (lambda: CosineAnnealingWarmRestarts(0), "CosineAnnealingWarmRestarts: T_0 is 0, wanted an integer"),
        (lambda: CosineAnnealingWarmRestarts(1, 1.5), "CosineAnnealingWarmRestarts: T_mult is 1.5, wanted an integer"),
        (lambda: CyclicLR(0.1, 1.0, mode="up"), "CyclicLR: mode is 'up', wanted 'triangular'"),
        (lambda: CyclicLR(0.1, 1.0, 0), "CyclicLR: step_size_up is 0, wanted more than 0"),
        (lambda: OneCycleLR(0.1), "OneCycleLR: total_steps is None, wanted a number, or epochs"),
        (lambda: OneCycleLR(0.1, 0), "OneCycleLR: the number of steps is 0, wanted at least 1"),
        (lambda: OneCycleLR(0.1, epochs=3, steps_per_epoch=-1), "OneCycleLR: the number of steps is -3"),
        (lambda: OneCycleLR(0.1, 5, pct_start=1.5), "OneCycleLR: pct_start is 1.5, wanted a number from 0 to 1"),
        (lambda: OneCycleLR(0.1, 5, anneal_strategy="up"), "OneCycleLR: anneal_strategy is 'up', wanted 'cos'"),
        (lambda: SWALR(0.1, -1), "SWALR: anneal_epochs is -1, wanted an integer, 0 or more"),
        (lambda: SWALR(0.1, anneal_strategy="up"), "SWALR: anneal_strategy is 'up', wanted 'cos' or 'linear'"),
        (lambda: ReduceLROnPlateau(factor=1.0), "ReduceLROnPlateau: factor is 1.0, wanted less than 1"),
        (lambda: ReduceLROnPlateau("up"), "ReduceLROnPlateau: mode is 'up', wanted 'min' or 'max'"),
        (lambda: ReduceLROnPlateau(threshold_mode="up"), "ReduceLROnPlateau: threshold_mode is 'up', wanted 'rel'"),
        (lambda: ChainedScheduler([]), r"ChainedScheduler: schedulers is \[\], wanted at least one"),
        (lambda: SequentialLR([StepLR(1)], [2]), "SequentialLR: the number of milestones is 1, wanted 0"),
        (lambda: ChainedScheduler([ReduceLROnPlateau()]), "one of schedulers is 'ReduceLROnPlateau', wanted schedules"),
        (lambda: SequentialLR([ChainedScheduler([StepLR(1)])], []), "one of schedulers is 'ChainedScheduler', wanted"),
    ],
)
def test_a_wrong_argument_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def groups():
    return pair("SGD")[0]


def test_what_does_not_fit_the_optimizer_is_named():
    with pytest.raises(ValueError, match=r"LambdaLR: lr_lambda is .*, wanted one value, or 2, as there are groups"):
        LambdaLR([HALVES[0]]).start(groups())
    with pytest.raises(ValueError, match="CyclicLR: cycle_momentum is True, wanted False for an optimizer without"):
        CyclicLR(0.1, 1.0).start(optim.Adagrad())
    _, state = StepLR(3).start(groups())
    with pytest.raises(ValueError, match="StepLR: the number of groups is 1, wanted 2, as at the start"):
        StepLR(3).step(optim.SGD(), state)
    plateau = ReduceLROnPlateau()
    with pytest.raises(ValueError, match="ReduceLROnPlateau: metric is None, wanted a number"):
        plateau.step(*plateau.start(groups()))


def test_one_cycle_ends():
    schedule = OneCycleLR(0.1, 2, pct_start=0.0)
    now = schedule.start(optim.SGD())
    for _ in range(2):
        now = schedule.step(*now)
    with pytest.raises(ValueError, match="OneCycleLR: the number of steps taken is 3, wanted 2 at most"):
        schedule.step(*now)
    with pytest.raises(ValueError, match=r"OneCycleLR: pct_start is 0\.5, wanted one that leaves each phase a step"):
        OneCycleLR(0.1, 2, pct_start=0.5).start(optim.SGD())
