"""The pytest plugin, in sessions of its own: what a test's failure says, what the report holds, what costs nothing."""

import json
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from sessions import TESTS, _loaded_once, document, project, run, said

import backproof
from backproof import Architecture, listening, verify
from backproof.reproduction import found_as
from reports import Agreement

__all__ = ["_loaded_once", "project"]


def test_a_wrong_layer_fails_with_culprit_diagnosis_smallest_architecture_and_program(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(test_mine=TESTS)
    result = run(project, "--backproof-report", "report", "-k", "wrong")
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    lines = [line.removeprefix("E").removeprefix("       ").rstrip() for line in text.splitlines() if line[:1] == "E"]
    assert lines[0].endswith("DisagreementError: wrong disagrees with PyTorch on 3 of 3 random architectures: Linear.")
    assert "(Linear) in float64: its backward is wrong" in lines[1]
    assert lines[2] == "  gradient of weight is 1.001 times the reference"
    assert "  smallest: x (1,) -> Linear(in_features=1, out_features=1)" in lines
    program = lines[lines.index("from backproof import Architecture, Input, Node, verify") :]
    program = program[: next(i for i, line in enumerate(program) if line.startswith("print(")) + 1]
    assert len(program) <= 10
    again = subprocess.run([sys.executable, "-c", "\n".join(program)], capture_output=True, text=True, check=True)
    assert "culprit: linear (Linear): its backward is wrong" in again.stdout
    assert "asserting.py" not in text  # only the test's own lines are shown
    assert said(result).splitlines()[1:3] == [
        "wrong disagrees with PyTorch on 3 of 3 random architectures: Linear.",
        "fewest digits: 3.0 in float64, 3.0 in float32",
    ]
    found = document(project.path / "report")
    assert found["failures"][0]["reproduction"].splitlines() == program
    assert (found["failed"], found["disagree"] > 0, found["implementations"]) == (6, True, ["wrong"])
    assert f"report: {project.path / 'report' / 'index.html'}" in said(result)


def test_a_session_says_what_it_verified_in_digits_and_reports_it(project: pytest.Pytester) -> None:
    project.makepyfile(test_mine=TESTS)
    result = run(project, "--backproof-report", "report", "-k", "not wrong", "-p", "no:terminal")
    assert result.ret == 0
    assert result.stdout.str() == ""
    found = document(project.path / "report")
    assert (found["implementation"], found["failed"], found["seed"]) == ("mine", 0, 0)
    assert found["architectures"] == found["requested"] >= 3 * 2 + 1  # Hypothesis may find fewer than three
    assert found["command"].startswith("pytest --backproof-report report -k")
    assert "mine agrees with PyTorch" in (project.path / "report" / "index.html").read_text(encoding="utf-8")
    again = run(project, "-q", "-k", "right")
    assert "mine agrees with PyTorch autograd and with finite differences on 6 random architectures" in said(again)
    assert f"{found['worst_digits']['float64']:.1f} in float64" in said(again)
    assert "report:" not in said(again)


def test_several_processes_report_what_one_does_but_for_the_order(project: pytest.Pytester) -> None:
    project.makepyfile(test_mine=TESTS)
    project.makeconftest("def pytest_collection_modifyitems(items): items.reverse()")
    run(project, "--backproof-report", "one", "-p", "no:cacheprovider").assert_outcomes(passed=4, failed=1)
    many = project.runpytest_subprocess("--backproof-report", "many", "-p", "no:cacheprovider", "-n", "2")
    many.assert_outcomes(passed=4, failed=1)
    assert "wrong disagrees with PyTorch on 3 of" in said(many)
    one, other = (document(project.path / name) for name in ("one", "many"))
    for found in (one, other):
        for key in ("command", "seconds"):
            del found[key]
        found["failures"].sort(key=json.dumps)
        found["worst"] = {dtype: tensor["digits"] for dtype, tensor in found["worst"].items()}
    assert one == other


def test_the_report_of_an_interrupted_session_has_what_was_verified(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        from mine import Interrupted, Mine
        def test_right(backproof_verify): backproof_verify(Mine(), layers=["Linear"], examples=2)
        def test_interrupted(backproof_verify): backproof_verify(Interrupted(), layers=["Linear"], examples=50)
        def test_never_run(backproof_verify): backproof_verify(Mine(), layers=["Linear"], examples=2)
        """
    )
    result = run(project, "--backproof-report", "report")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    found = document(project.path / "report")
    assert (found["interrupted"], found["requested"]) == (True, 52)
    assert 2 < found["architectures"] < 52
    assert f"on {found['architectures']} random architectures" in said(result)


CHECKS = """
import numpy as np
import torch
import backproof

def square(x, factor=2.0):
    return x * x, lambda g: factor * x * g

def wrong_square(x):
    return square(x, 2.001)

class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        return 2 * ctx.saved_tensors[0] * g

def test_right(backproof_check):
    assert backproof_check(square, np.array([1.0, -2.0])).agrees
    assert backproof_check(Square, torch.tensor([1.0, 3.0], dtype=torch.float64)).agrees
    assert backproof.check_gradients(square, np.array([1.0, -2.0])).agrees

def test_wrong(backproof_check):
    backproof_check(wrong_square, [np.array([1.0, -2.0])])
"""


def test_checks_of_one_function_are_recorded_as_well(project: pytest.Pytester) -> None:
    project.makepyfile(test_mine=CHECKS)
    right = run(project, "-k", "right")
    right.assert_outcomes(passed=1)
    assert "square agree with finite differences of its own forward on 3 checks" in said(right)
    wrong = run(project, "-k", "wrong", "--backproof-report", "report")
    wrong.assert_outcomes(failed=1)
    assert "single.py" not in wrong.stdout.str()
    assert "wrong_square disagrees with finite differences of its own forward on 1 of 1 check" in said(wrong)
    assert document(project.path / "report")["failures"][0]["implementation"] == "wrong_square"


def test_a_baseline_is_compared_with_and_what_got_worse_fails_the_session(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        from mine import Mine, Wrong
        def test_it(backproof_verify):
            backproof_verify(Mine(), layers=["Linear"], examples=2)
        def test_wrong_but_expected(backproof_verify):
            try: backproof_verify(Wrong(), layers=["Linear"], examples=2)
            except AssertionError: pass
        """
    )
    assert run(project, "--backproof-report", "before", "-k", "test_it").ret == 0
    baseline = ("--backproof-baseline", "before/agreement.json")
    same = run(project, *baseline, "-k", "test_it")
    assert same.ret == 0
    assert "No regression: 0 better, 0 new, 0 gone." in said(same).splitlines()
    worse = run(project, *baseline, "--backproof-report", "after")
    assert worse.ret == pytest.ExitCode.TESTS_FAILED
    assert any(line.startswith("Regression: ") and "Linear" in line for line in said(worse).splitlines())
    assert document(project.path / "after")["comparison"]["regression"] is True


def test_what_is_not_used_costs_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing(): pass")
    code = (
        "import pytest, sys\npytest.main(['-p', 'no:hypothesispytest', '-W', 'error', *sys.argv[1:]])\n"
        "print('loaded', *{name.partition('.')[0] for name in sys.modules}, 'backproof.pytest_plugin' in sys.modules)"
    )
    lines = {}
    for off in ((), ("-p", "no:backproof")):
        done = subprocess.run([sys.executable, "-c", code, *off], capture_output=True, text=True, check=True)
        *shown, loaded = done.stdout.splitlines()
        lines[off] = [line for line in shown if not line.startswith(("plugins:", "===="))], set(loaded.split())
    heavy = {"torch", "hypothesis", "matplotlib", "numpy", "rich", "click", "impl", "reference", "reports"}
    shown, loaded_with = lines[()]
    assert {"backproof", "True"} <= loaded_with
    assert loaded_with & heavy == set()
    assert "False" in lines["-p", "no:backproof"][1]
    assert shown == lines["-p", "no:backproof"][0]


def test_what_was_imported_before_pytest_started_gets_no_warning(pytester: pytest.Pytester) -> None:
    """Pytest warns of modules of a plugin's distribution that it cannot rewrite, unless they decline."""
    for package in ("backproof", "impl", "reference", "reports"):
        assert "PYTEST_DONT_REWRITE" in str(sys.modules[package].__doc__)


def test_verifying_leaves_random_numbers_and_threads_as_they_were(backproof_verify: Any) -> None:
    def state() -> tuple[Any, ...]:
        numbers = vars(np.random)["get_state"]()  # the state that everybody shares, whom ruff would rather not see used
        return random.getstate(), str(numbers), torch.get_rng_state().tolist(), torch.get_num_threads()

    torch.set_num_threads(3)
    try:
        before = state()
        backproof_verify("numpy", layers=["Linear", "Dropout"], examples=2)
        assert state() == before
    finally:
        torch.set_num_threads(1)


def test_the_innermost_listener_hears_and_by_default_nobody() -> None:
    architecture = backproof.random_architecture(1, ["Linear"], 1)
    outer: list[Agreement] = []
    inner: list[Agreement] = []
    verify(architecture)
    with listening.heard_by(outer.append):
        verify(architecture)
        with listening.heard_by(inner.append):
            verify(architecture, dtype="float32")
        verify(architecture, dtype="float16")
    assert ([a.dtype for a in outer], [a.dtype for a in inner]) == (["float64", "float16"], ["float32"])


@given(backproof.architectures())
def test_the_repr_of_an_architecture_can_be_pasted(architecture: Architecture) -> None:
    names: dict[str, Any] = {}
    exec("from backproof import *", names)
    assert eval(repr(architecture), names) == architecture


def test_what_hypothesis_prints_is_small_and_can_be_pasted(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import backproof
        from hypothesis import given, settings
        from mine import Wrong

        @settings(max_examples=20, deadline=None, database=None)
        @given(backproof.architectures(layers=["Linear", "ReLU"], max_nodes=3))
        def test_it(architecture):
            backproof.verify(architecture, Wrong()).raise_for_disagreement()
        """
    )
    result = run(project)
    result.assert_outcomes(failed=1)
    lines = [line[1:].strip() for line in result.outlines if line[:1] == "E"]
    start = next(i for i, line in enumerate(lines) if line.startswith("architecture=Architecture("))
    names: dict[str, Any] = {}
    exec("from backproof import *", names)
    printed = " ".join(lines[start : lines.index(")", start)])
    architecture = eval(printed.removeprefix("architecture=").removesuffix(","), names)
    assert [node.op for node in architecture.nodes] == ["Linear"]
    assert max(*architecture.inputs[0].shape, *architecture.nodes[0].arguments.values()) <= 2
    assert "wrong disagrees with PyTorch on" in said(result)


class Plain(backproof.NumPyImplementation):
    """One whose constructor takes nothing."""

    def __init__(self) -> None:
        super().__init__()


GLOBAL = Plain()


def test_an_object_is_found_again_by_a_name_that_cannot_mean_another() -> None:
    assert found_as(GLOBAL) == f"{__name__}:GLOBAL"
    assert found_as(Plain()) == f"{__name__}:Plain"
    assert found_as(backproof.NumPyImplementation({})) is None  # it may have been given anything
    local = type("Local", (Plain,), {})
    assert found_as(local()) is None
