"""Trajectories: right optimizers agree, and what people get wrong in them is seen within a few steps."""

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

from backproof import recipes
from backproof.cli import main
from backproof.trajectories import trajectory
from impl import optim

STEPS, SEEDS = 8, 30


@pytest.mark.parametrize("op", recipes.optimizers())
def test_ours_agree_with_torchs(op):
    found = trajectory(op, 2, STEPS)
    assert found.verdict != "disagree"
    assert (len(found.same), len(found.own), len(found.kept)) == (STEPS, STEPS, STEPS)
    assert found.same[0] > 13


def test_averages_that_cancel_are_rounded_each_on_its_own():
    """The variance of a centred RMSprop: gradients that hardly change leave nothing of it but rounding."""
    assert trajectory("RMSprop", 2, 50).verdict == "agree"


class NoBiasCorrection(optim.Adam):
    def update(self, w, g, memory):
        return super().update(w, g, {**memory, "step": 10**6})


class EpsInsideTheRoot(optim.Adam):
    def update(self, w, g, memory):
        _, after = super().update(w, g, memory)
        w, g = self.decayed(w, g)
        t, (beta1, beta2) = after["step"], self.betas
        v = after["max_exp_avg_sq" if self.amsgrad else "exp_avg_sq"]
        root = np.sqrt(v / (1 - beta2**t) + self.eps)
        return w - self.lr / (1 - beta1**t) * after["exp_avg"] / root, after


class ForgetsTheLargest(optim.Adam):
    def update(self, w, g, memory):
        fresh = {"max_exp_avg_sq": np.zeros_like(w)} if self.amsgrad else {}
        return super().update(w, g, {**memory, **fresh})


class CoupledDecay(optim.AdamW):
    def decayed(self, w, g):
        return w, g + self.weight_decay * w


class DecayWithoutTheRate(optim.AdamW):
    def decayed(self, w, g):
        return w * (1 - self.weight_decay), g


class DecoupledDecay(optim.SGD):
    def decayed(self, w, g):
        return w * (1 - self.lr * self.weight_decay), g


class DampensTheFirstStep(optim.SGD):
    def start(self, w):
        return {"momentum_buffer": np.zeros_like(w)} if self.momentum else {}


class ForgetsToMaximize(optim.SGD):
    def step(self, parameters, gradients, state=None):
        return optim.SGD.step(replace(self, maximize=False), parameters, gradients, state)


class LooksAheadTooLate(optim.SGD):
    def update(self, w, g, memory):
        moved, after = super().update(w, g, memory)
        b = memory.get("momentum_buffer")
        if not self.nesterov or b is None:
            return moved, after
        w, g = self.decayed(w, g)
        return w - self.lr * (g + self.momentum * b), after


class AveragesLate(optim.ASGD):
    def update(self, w, g, memory):
        return super().update(
            w, g, {**memory, "eta": self.lr / (1 + self.lambd * self.lr * (memory["step"] + 1)) ** self.alpha}
        )


class MomentumOfSteps(optim.RMSprop):
    def update(self, w, g, memory):
        _, after = super().update(w, g, {**memory, "momentum_buffer": np.zeros_like(w)})
        if self.momentum <= 0:
            return super().update(w, g, memory)
        b = self.momentum * memory["momentum_buffer"] + self.lr * after["momentum_buffer"]
        return self.decayed(w, g)[0] - b, {**after, "momentum_buffer": self.lr * b}


class RootOfTheSum(optim.RMSprop):
    def update(self, w, g, memory):
        return super(RootOfTheSum, replace(self, eps=self.eps**0.5)).update(w, g, memory)


class DecaysFromTheFirst(optim.Adagrad):
    def update(self, w, g, memory):
        moved, after = super().update(w, g, {**memory, "step": memory["step"] + 1})
        return moved, {**after, "step": memory["step"] + 1}


class StepsOfNow(optim.Adadelta):
    def update(self, w, g, memory):
        _, after = super().update(w, g, memory)
        return super().update(w, g, {**memory, "acc_delta": after["acc_delta"]})[0], after


class NormWithoutDecay(optim.Adamax):
    def update(self, w, g, memory):
        return super(NormWithoutDecay, replace(self, betas=(self.betas[0], 0.0))).update(w, g, memory)


class MomentumOfOneStep(optim.NAdam):
    def update(self, w, g, memory):
        return super().update(w, g, {**memory, "mu_product": 1.0})


class NeverRectified(optim.RAdam):
    def update(self, w, g, memory):
        _, after = super().update(w, g, memory)
        w, g = self.decayed(w, g)
        return w - self.lr * after["exp_avg"] / (1 - self.betas[0] ** after["step"]), after


class ForgetsTheTurn(optim.Rprop):
    def update(self, w, g, memory):
        moved, after = super().update(w, g, memory)
        return moved, {**after, "prev": g}


class StepsBackAtATurn(optim.Rprop):
    def update(self, w, g, memory):
        moved, after = super().update(w, g, memory)
        return np.where(g * memory["prev"] < 0, w - np.sign(g) * after["step_size"], moved), after


class AbsoluteSteps(optim.Adafactor):
    def update(self, w, g, memory):
        unit = w / np.sqrt(np.mean(w * w)) if w.any() else w
        moved, after = super().update(unit, g, memory)
        return w + moved - unit, after


class NeverClipped(optim.Adafactor):
    def update(self, w, g, memory):
        return super(NeverClipped, replace(self, d=1e9)).update(w, g, memory)


class NeverDecays(optim.Muon):
    def update(self, w, g, memory):
        return super(NeverDecays, replace(self, weight_decay=0.0)).update(w, g, memory)


class AnyShapeAlike(optim.Muon):
    def update(self, w, g, memory):
        moved, after = super().update(w.T, g.T, {"momentum_buffer": memory["momentum_buffer"].T})
        return moved.T, {"momentum_buffer": after["momentum_buffer"].T}


class OldestFirst(optim.LBFGS):
    def _towards(self, g, memory):
        turned = {name: memory[name][::-1] for name in ("old_dirs", "old_stps", "ro") if name in memory}
        return super()._towards(g, {**memory, **turned})


class NotScaled(optim.LBFGS):
    def _towards(self, g, memory):
        found = super()._towards(g, memory)
        return found if memory["n_iter"] == 1 else {**found, "d": found["d"] / found["H_diag"]}


class ForgetsRows(optim.SparseAdam):
    def update_rows(self, w, gradient, memory):
        moved, after = super().update_rows(w, gradient, memory)
        return moved, {**after, "exp_avg": self.betas[0] * after["exp_avg"]}


class CorrectsTheRootOnly(optim.SparseAdam):
    def update(self, w, g, memory):
        moved, after = super().update(w, g, memory)
        return w + (moved - w) * (1 - self.betas[0] ** after["step"]), after


MISTAKES = [
    NoBiasCorrection,
    EpsInsideTheRoot,
    ForgetsTheLargest,
    CoupledDecay,
    DecayWithoutTheRate,
    DecoupledDecay,
    DampensTheFirstStep,
    ForgetsToMaximize,
    LooksAheadTooLate,
    AveragesLate,
    MomentumOfSteps,
    RootOfTheSum,
    DecaysFromTheFirst,
    StepsOfNow,
    NormWithoutDecay,
    MomentumOfOneStep,
    NeverRectified,
    ForgetsTheTurn,
    StepsBackAtATurn,
    AbsoluteSteps,
    NeverClipped,
    NeverDecays,
    AnyShapeAlike,
    OldestFirst,
    NotScaled,
    ForgetsRows,
    CorrectsTheRootOnly,
]


@pytest.mark.parametrize("wrong", MISTAKES, ids=lambda wrong: wrong.__name__)
def test_a_wrong_optimizer_is_seen(wrong):
    op = wrong.__mro__[1].__name__
    assert any(trajectory(op, seed, STEPS, wrong).verdict == "disagree" for seed in range(SEEDS))


def run(*arguments):
    return CliRunner().invoke(main, ["optimizers", *arguments])


def test_the_command_shows_a_line_for_each_optimizer_in_80_columns():
    done = run("--optimizers", "SGD,SparseAdam", "--examples", "1", "--steps", "12")
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines if line.startswith("S")] == ["SGD", "SparseAdam"]
    assert "0 of 2 trainings disagree with torch.optim" in done.output


def test_the_command_names_what_disagrees(monkeypatch):
    monkeypatch.setattr(optim, "AdamW", CoupledDecay)
    done = run("--optimizers", "AdamW", "--examples", "4", "--steps", "3")
    assert done.exit_code == 1
    assert "AdamW disagrees in training" in done.output
    assert "weight_decay=" in done.output


def test_the_digits_over_the_steps_are_drawn(tmp_path):
    figure = tmp_path / "training.svg"
    assert run("--optimizers", "SGD,Adam", "--examples", "2", "--steps", "3", "--figure", str(figure)).exit_code == 0
    svg = ElementTree.parse(figure).getroot()
    words = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {"SGD", "Adam", "same gradients", "own gradients"} <= {*words}
    curves = [path for path in svg.iter("{http://www.w3.org/2000/svg}path") if "curve" in path.get("class")]
    assert len(curves) == 2 * 2 * 2
    assert all(path.get("d").count("L") == 2 for path in curves)


def test_a_figure_that_cannot_be_written_is_one_line(tmp_path):
    done = run("--optimizers", "SGD", "--examples", "1", "--steps", "2", "--figure", str(tmp_path / "no" / "a.svg"))
    assert done.exit_code == 2
    assert "No such file or directory" in done.output


def test_an_unknown_optimizer_is_named():
    done = run("--optimizers", "SGD,Adan")
    assert done.exit_code == 2
    assert "no optimizer 'Adan' in torch.optim: known are Adadelta, " in done.output
