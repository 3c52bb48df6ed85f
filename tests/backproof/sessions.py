"""Sessions of pytest in a project of somebody else's, for the tests of the plugin and of the suite."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

MINE = """
from backproof import NumPyImplementation
from impl import Gradients, Linear, Step

class Mine(NumPyImplementation):
    name = "mine"

    def __init__(self):
        super().__init__()

    def supports(self, node):
        return node.op in ("Linear", "ReLU")

class Slightly(Linear):
    def forward(self, parameters, x, **options):
        step = super().forward(parameters, x, **options)
        def backward(g):
            right = step.backward(g)
            return Gradients(right.inputs, {**right.parameters, "weight": right.parameters["weight"] * 1.001})
        return Step(step.output, backward)

class Wrong(Mine):
    name = "wrong"

    def __init__(self):
        super().__init__()
        self.layers = {**self.layers, "Linear": Slightly}


class Interrupted(Mine):
    calls = 0

    def forward(self, *given, **options):
        self.calls += 1
        if self.calls > 400:
            raise KeyboardInterrupt
        return super().forward(*given, **options)
"""


TESTS = """
import pytest
from hypothesis import given, settings
import backproof
from mine import Mine, Wrong

@pytest.mark.backproof(layers=["Linear", "ReLU"], examples=2)
@pytest.mark.parametrize("seed", range(3))
def test_right(backproof_verify, seed):
    assert backproof_verify(Mine(), seed=seed).worst_digits()["float64"] > 12

def test_wrong(backproof_verify):
    backproof_verify(Wrong(), layers=["Linear"], examples=3)

@settings(max_examples=3, deadline=None, derandomize=True, database=None)
@given(backproof.architectures(layers=["Linear"], max_nodes=2))
def test_hypothesis(architecture):
    for dtype in ("float64", "float32"):
        backproof.verify(architecture, Mine(), dtype).raise_for_disagreement()
"""


@pytest.fixture(scope="module", autouse=True)
def _loaded_once() -> None:
    """Load what PyTorch loads late: pytester would drop it after a test, and it cannot be loaded twice."""
    import_module("torch._dynamo")


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """Make a project of somebody else's."""
    pytester.makepyfile(mine=MINE)
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run a session in this process."""
    return project.runpytest_inprocess(*arguments, no_reraise_ctrlc=True)


def said(result: pytest.RunResult) -> str:
    """Return the section of the terminal summary."""
    return result.stdout.str().partition("= backproof =")[2]


def document(folder: Path) -> dict[str, Any]:
    """Read what a session wrote of its numbers."""
    read: dict[str, Any] = json.loads((folder / "agreement.json").read_text(encoding="utf-8"))
    return read
