"""The digits example, in short: the same losses as PyTorch's, and a check that could fail."""

import digits
import numpy as np
import pytest


@pytest.mark.parametrize("model", digits.MODELS)
def test_the_first_steps_agree_with_torch(model):
    one = digits.learn(model, steps=10, epochs=1)
    assert one.digits.shape == (10,)
    assert one.digits.min() >= digits.DIGITS
    assert one.ours[-1] < one.ours[0]
    assert one.accuracy > 0.3


def test_a_gradient_that_is_off_by_a_thousandth_costs_the_digits(monkeypatch):
    right = digits.impl.Linear.forward

    def wrong(self, parameters, x, **options):
        step = right(self, parameters, x, **options)

        def backward(g):
            gradients = step.backward(g)
            weight = gradients.parameters["weight"] * np.linspace(1, 1.001, x.shape[-1])
            return digits.impl.Gradients(gradients.inputs, {**gradients.parameters, "weight": weight})

        return digits.impl.Step(step.output, backward)

    monkeypatch.setattr(digits.impl.Linear, "forward", wrong)
    assert digits.learn("MLP", steps=10, epochs=1).digits.min() < digits.DIGITS


def test_the_picture_is_drawn(tmp_path):
    one = digits.Comparison("MLP", np.array([2.0, 1.0]), np.array([2.0, 1.0]), 0.97)
    digits.draw([one], tmp_path / "digits.png")
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("off", "accuracy", "status", "sentence"),
    [
        (0.0, 0.97, 0, ""),
        (1e-5, 0.97, 1, "MLP: 5.0 digits and 97.0% accuracy, promised are 9 and 96%."),
        (0.0, 0.95, 1, "MLP: 15.7 digits and 95.0% accuracy, promised are 9 and 96%."),
        (np.nan, 0.97, 1, "MLP: nan digits and 97.0% accuracy, promised are 9 and 96%."),
    ],
)
def test_a_broken_promise_is_said_and_fails(off, accuracy, status, sentence, tmp_path, monkeypatch, capsys):
    def learn(model, steps, epochs):
        ours = np.linspace(2, 1, steps)
        return digits.Comparison(model, ours, ours / (1 + (off if model == "MLP" else 0)), accuracy)

    monkeypatch.setattr(digits, "learn", learn)
    monkeypatch.setattr("sys.argv", ["digits.py", "-o", str(tmp_path / "digits.png"), "--steps", "3"])
    assert digits.main() == status
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert bool(printed.err) == bool(status)
    table = printed.out.splitlines()[:-1]
    assert [line.split()[0] for line in table] == ["model", "MLP", "CNN"]
    assert max(map(len, table)) <= 80
