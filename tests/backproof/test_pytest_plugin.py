"""The pytest plugin, in sessions of its own: what a test's failure says, what the report holds, what costs nothing."""

import json
import random
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given

import backproof
from backproof import Architecture, listening, verify
from backproof.reproduction import found_as
from reports import Agreement

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
    read: dict[str, Any] = json.loads((folder / "agreement.json").read_text(encoding="utf-8"))
    return read


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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--backproof-implementation", "nobody"), "no implementation 'nobody': known are numpy, torch"),
        (("--backproof-implementation", "mine:nothing"), "mine:nothing: cannot be loaded: AttributeError"),
        (("--backproof-examples", "0"), "--backproof-examples: 0 is not in the range 1<=x<=10000000."),
        (("--backproof-examples", "many"), "--backproof-examples: 'many' is not a valid integer range."),
        (("--backproof-seed", "-1"), "--backproof-seed: -1 is not in the range"),
        (("--backproof-dtypes", "float8"), "no dtype 'float8': known are float64, float32, float16"),
        (("--backproof-dtypes", "float64,"), "--backproof-dtypes: 'float64,' has an empty or a repeated name"),
        (("--backproof-layers", "Liner"), "no layer 'Liner' in the catalogue: did you mean Linear?"),
        (("--backproof-layers", "GELU", "--backproof-implementation", "mine:Mine"), "mine does not support GELU"),
        (("--backproof-report", "mine.py/report"), "mine.py is no folder that can be written"),
        (("--backproof-baseline", "missing.json"), "No such file"),
        (("--backproof-baseline", "mine.py"), "--backproof-baseline: "),
        (("-o", "backproof_examples=0"), "--backproof-examples: 0 is not in the range"),
    ],
)
def test_a_wrong_option_gets_one_line_and_status_4(
    options: tuple[str, ...], words: str, project: pytest.Pytester
) -> None:
    result = run(project, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = filter(None, result.errlines)
    assert line.startswith("ERROR: ")
    assert words in line
    assert result.outlines == [] or not any("collected" in line for line in result.outlines)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("layers=['Liner']", "no layer 'Liner' in the catalogue: did you mean Linear?"),
        ("layers='Linear'", "layers: is 'Linear', wanted a list of names"),
        ("layers=['GELU']", "mine does not support GELU"),
        ("examples=0", "examples: is 0, wanted an integer from 1 to 10000000"),
        ("seed=2**32", "seed: is 4294967296, wanted an integer from 0 to 4294967295"),
        ("dtypes=['int8']", "no dtype 'int8': known are float64"),
        ("seed=1, architecture=backproof.random_architecture(1)", "none of them goes with architecture"),
        ("architecture=backproof.random_architecture(1, ['GELU'], 1)", "mine does not support GELU"),
    ],
)
def test_what_is_asked_in_vain_gets_one_line(call: str, words: str, project: pytest.Pytester) -> None:
    project.makepyfile(f"import backproof, mine\ndef test_it(backproof_verify): backproof_verify(mine.Mine(), {call})")
    result = run(project, "-q")
    result.assert_outcomes(failed=1)
    failure = result.stdout.str().partition("test_it")[2].splitlines()
    assert failure[1].startswith("backproof_verify: ")
    assert words in failure[1]
    assert failure[2].startswith("====")


def test_a_marker_says_what_a_test_does_not_and_the_nearest_holds(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from mine import Mine
        pytestmark = pytest.mark.backproof(layers=["Linear"], examples=3)

        @pytest.mark.backproof(dtypes=["float32"])
        class TestIt:
            def test_class_and_module(self, backproof_verify):
                found = backproof_verify(Mine()).document()
                assert (found["architectures"], list(found["dtypes"])) == (3, ["float32"])
                assert "ReLU" not in {row["op"] for row in found["layers"]}

            @pytest.mark.backproof(examples=1, dtypes=("float64", "float16"))
            def test_nearest(self, backproof_verify):
                found = backproof_verify(Mine()).document()
                assert (found["architectures"], list(found["dtypes"])) == (1, ["float64", "float16"])
                assert backproof_verify(Mine(), examples=2).architectures == 2

        def test_options(backproof_verify):
            found = backproof_verify().document()
            assert (found["implementation"], list(found["dtypes"])) == ("mine", ["float16"])
        """
    )
    project.makeini("[pytest]\nbackproof_dtypes = float16\nbackproof_implementation = mine:Mine\n")
    run(project, "--strict-markers").assert_outcomes(passed=3)


def test_an_unknown_argument_of_the_marker_is_an_error_in_one_line(project: pytest.Pytester) -> None:
    project.makepyfile("import pytest\n@pytest.mark.backproof(layer=['Linear'])\ndef test_it(): pass")
    result = run(project)
    result.assert_outcomes(errors=1)
    line = "@pytest.mark.backproof: layer is unknown, it takes layers, examples, dtypes by name"
    assert line in result.outlines
    assert "Traceback" not in result.stdout.str()


def test_one_architecture_can_be_verified_alone(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import backproof
        from backproof import Architecture, Input, Node
        from mine import Wrong
        def test_it(backproof_verify):
            relu = Architecture((Input("x", (2,)),), (Node("r", "ReLU", {}, ("x",)),), ("r",))
            backproof_verify(Wrong(), architecture=relu)
        """
    )
    result = run(project)
    result.assert_outcomes(passed=1)
    assert "wrong agrees with PyTorch autograd and with finite differences on 1 random architecture;" in said(result)


def test_what_is_supported_in_part_is_drawn_in_that_part(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        from mine import Mine
        class Part(Mine):
            def supports(self, node):
                return super().supports(node) and node.arguments.get("bias", True)
        def test_it(backproof_verify):
            networks = backproof_verify(Part(), layers=["Linear"], examples=8)
            assert networks.architectures == 8
            assert networks.coverage.cases["Linear"] >= 8
        """
    )
    result = run(project)
    result.assert_outcomes(passed=1)


def test_a_report_that_cannot_be_written_fails_the_session_in_one_line(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "report/index.html")

    monkeypatch.setattr("reports.write_report", full)
    project.makepyfile(test_mine=TESTS)
    result = run(project, "--backproof-report", "report", "-k", "right and 0")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "Error: report/index.html: No space left on device" in said(result).splitlines()


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
