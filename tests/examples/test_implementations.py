"""The adapters of other implementations: those whose libraries are here agree, but for what the docs say of them."""

import ast
import re
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from types import ModuleType

import pytest

from backproof import random_architecture, verify
from backproof.campaign import Campaign
from backproof.implementations import Completed, load
from examples.implementations.__main__ import ADAPTERS, report
from reference.ops import STRUCTURAL, is_op

HOME = Path(__file__).parents[2]
FOLDER = HOME / "examples" / "implementations"
OWN = ("torch", "numpy", "micrograd-style")
"""Adapters that need nothing but what backproof needs; the others run where their libraries are: ``nox -s peers``."""

INSTALLED = [name for name in ADAPTERS if name in OWN or find_spec(name)]
LONGEST = 60
MODULES = [module.partition(":")[0] for module in ADAPTERS.values()]


def implementation(name: str):
    return load(f"examples.implementations.{ADAPTERS[name]}")


def documented(name: str) -> set[str]:
    """Ops of which docs/implementations.md says what is wrong in a library."""
    _, _, section = (HOME / "docs" / "implementations.md").read_text().partition(f"### {name}\n")
    return set(re.findall(r"\*\*(\w+)\*\*", section.partition("\n### ")[0]))


@pytest.mark.filterwarnings("ignore:Mean of empty slice")  # MyGrad's word on a loss of no samples, which is NaN
@pytest.mark.parametrize("name", INSTALLED)
def test_an_adapter_agrees_but_for_what_is_documented(name):
    found, wrong = implementation(name), {}
    takes = Completed(found).takes
    ops = [op for op in Campaign(f"examples.implementations.{ADAPTERS[name]}").checked().layers if op not in STRUCTURAL]
    for op, seed in product(ops, range(3)):
        architecture = random_architecture(seed, [op], 4 if name == "numpy" else 1, takes)
        for dtype in ("float64", "float32"):
            agreement = verify(architecture, found, dtype)
            if not agreement.agrees:
                wrong[op] = agreement
    assert wrong.keys() <= documented(name), "\n".join(str(wrong[op]) for op in wrong.keys() - documented(name))


@pytest.mark.parametrize("name", ["torch", "numpy"])
def test_whole_networks_of_its_layers_agree(name):
    found = implementation(name)
    for seed in range(12):
        architecture = random_architecture(
            seed, ["Linear", "SiLU" if name == "torch" else "Sigmoid"], 5, Completed(found).takes
        )
        verify(architecture, found).raise_for_disagreement()


@pytest.mark.parametrize("module", [*MODULES, "table"])
def test_an_adapter_is_short_and_speaks_of_torchs_layers(module):
    source = (FOLDER / f"{module}.py").read_text()
    tree = ast.parse(source)
    assert len(source.splitlines()) <= LONGEST
    assert ast.get_docstring(tree)
    tables = [key for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys]
    keys = [key.value for key in tables if isinstance(key, ast.Constant)]
    named = [key for key in keys if isinstance(key, str) and key[:1].isupper()]
    assert [name for name in named if not is_op(name)] == []
    assert named or module in ("table", "by_hand")


def broken(module: str, right: str, wrong: str):
    """An adapter with one of its lines written otherwise."""
    source = (FOLDER / f"{module}.py").read_text()
    assert right in source
    made = ModuleType(module)
    exec(compile(source.replace(right, wrong), module, "exec"), vars(made))
    return made.Network() if module == "by_hand" else made.TorchFunctions()


@pytest.mark.parametrize(
    ("module", "right", "wrong", "culprit", "words"),
    [
        (
            "by_hand",
            "dy * y * (1 - y)",
            "dy * sigmoid(y) * (1 - sigmoid(y))",
            "Sigmoid",
            "taken at the output (output 0) instead of the input",
        ),
        ("by_hand", "dy.sum(axis=0)", "dy[0]", "Linear", "gradient of bias overwrites instead of adding up"),
        ("by_hand", "dy.sum(axis=0)", "dy.mean(axis=0)", "Linear", "gradient of bias is 1/2 of the reference: a mean"),
        ("by_hand", " / x.size", "", "MSELoss", "gradient of input 0 is 10 times the reference: a mean"),
        ("by_hand", "dy * 2 *", "dy *", "MSELoss", "gradient of input 0 is 1/2 of the reference"),
        ("by_hand", "dW[layer.owner] +=", "dW[layer.owner] =", None, "gradients of tied weights overwrite one another"),
        (
            "by_hand",
            "da[layer.inputs[0]] += dy @",
            "da[layer.inputs[0]] = dy @",
            None,
            "gradients of branches overwrite one another",
        ),
        ("torch_function", "s * (1 + x * (1 - s))", "s * (1 - s)", "SiLU", "gradient of input 0 is wrong"),
        ("torch_function", "columns.sum(0)", "columns[0]", "Linear", "gradient of bias overwrites instead of adding"),
    ],
)
def test_a_usual_mistake_is_caught_and_named(module, right, wrong, culprit, words):
    found = broken(module, right, wrong)
    layers = ["Linear", "SiLU"] if module == "torch_function" else ["Linear", "Sigmoid", "MSELoss"]
    architectures = (random_architecture(seed, layers, 4, Completed(found).takes) for seed in range(20))
    first = next(agreement for agreement in (verify(a, found) for a in architectures) if not agreement.agrees)
    assert first.op == culprit
    assert words in first.diagnosis


def test_a_mistake_in_the_scalar_engine_is_caught(monkeypatch):
    from examples.implementations.scalar_engine import Value

    monkeypatch.setattr(Value, "tanh", lambda x: x.curve(0.5, 0.5))
    found = implementation("micrograd-style")
    agreement = verify(random_architecture(0, ["Tanh"], 1, Completed(found).takes), found)
    assert agreement.op == "Tanh"


def test_the_table_says_what_was_found(capsys):
    report("examples.implementations.torch_function:TorchFunctions", 1, 0)
    shown = capsys.readouterr().out
    assert re.search(r"2 architectures, \d+ arrays: \d+ agree, 0 disagree, 0 inconclusive", shown)
    assert "| SiLU |" in shown
