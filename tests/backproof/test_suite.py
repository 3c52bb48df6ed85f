"""The suite that is pointed at any implementation; and impl, at its kinks and conventions, by that very suite."""

import pytest
from sessions import _loaded_once, project, run, said

from backproof.suite import networks
from backproof.suite.test_gradients import pytest_generate_tests, test_convention, test_kinks, verify

__all__ = ["_loaded_once", "project", "pytest_generate_tests", "test_convention", "test_kinks", "verify"]

SUITE = ("--pyargs", "backproof.suite", "--backproof-examples", "2")


@pytest.fixture
def theirs(project: pytest.Pytester) -> pytest.Pytester:
    """Make an implementation that raises, one that is wrong in one layer only, and one of whole networks."""
    project.makepyfile(
        theirs="""
        from mine import Mine, Wrong

        class Raising(Mine):
            name = "raising"

            def forward(self, node, *given, **options):
                if node.op == "ReLU":
                    raise ZeroDivisionError("by hand")
                return super().forward(node, *given, **options)

        class Upside(Mine):
            name = "upside"

            def forward(self, node, parameters, inputs, **options):
                done = super().forward(node, parameters, inputs, **options)
                if node.op != "ReLU":
                    return done
                on = inputs[0] >= 0  # PyTorch gives no gradient at 0
                return done._replace(backward=lambda g: ([on * g[0]], {}))
        """
    )
    return project


def outcomes(result: pytest.RunResult) -> dict[str, str]:
    """Return how each test ended, by its name."""
    lines = (line.split("::")[1].split() for line in result.outlines if "test_gradients.py::" in line[:80])
    return {name: ended for name, ended, *_ in lines if ended.isupper()}


def test_each_layer_is_a_test_and_what_is_not_supported_is_said(theirs: pytest.Pytester) -> None:
    result = run(theirs, *SUITE, "--backproof-implementation", "theirs:Raising", "-v", "-rs", "-k", "LU or Add")
    ended = outcomes(result)
    assert ended["test_layer[ReLU-float64]"] == ended["test_layer[ReLU-float32]"] == "FAILED"
    assert ended["test_layer[GELU-float32]"] == ended["test_kinks[ELU-float64]"] == "SKIPPED"
    assert ended["test_layer[Add-float64]"] == "SKIPPED"  # it would be impl's that is verified
    text = result.stdout.str()
    assert "node relu1 (ReLU), forward: ZeroDivisionError: by hand" in text
    assert "raising does not support GELU" in text
    assert "raising does not support Add" in text
    assert "not supported" in said(result)


def test_what_is_right_passes_and_whole_networks_are_run(theirs: pytest.Pytester) -> None:
    layers = ("--backproof-layers", "Linear,ReLU", "--backproof-dtypes", "float32")
    result = run(theirs, *SUITE, *layers, "--backproof-implementation", "mine:Mine", "-v")
    assert set(outcomes(result).items()) >= {
        ("test_layer[Linear-float32]", "PASSED"),
        ("test_layer[ReLU-float32]", "PASSED"),
        ("test_kinks[Linear-float32]", "PASSED"),
        ("test_kinks[ReLU-float32]", "PASSED"),
        ("test_network[float32]", "PASSED"),
    }
    assert "FAILED" not in result.stdout.str()
    assert "mine agrees with PyTorch autograd and with finite differences on 8 random architectures" in said(result)


def test_another_side_of_a_kink_is_found(theirs: pytest.Pytester) -> None:
    options = ("--backproof-implementation", "theirs:Upside", "--backproof-layers", "ReLU")
    result = run(theirs, *SUITE, *options, "-v", "-k", "test_kinks")
    assert set(outcomes(result).values()) == {"FAILED"}
    assert "upside disagrees with PyTorch on" in said(result)


def test_an_implementation_that_cannot_be_loaded_is_one_line_and_status_4(pytester: pytest.Pytester) -> None:
    result = run(pytester, *SUITE, "--backproof-implementation", "nowhere:to_be_found")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = filter(None, result.errlines)
    assert line == "ERROR: nowhere:to_be_found: cannot be loaded: ModuleNotFoundError: No module named 'nowhere'"


def test_every_layer_with_a_kink_or_a_convention_draws_one() -> None:
    for draw, ops in (
        (networks.at_kinks, networks.with_kinks()),
        (networks.by_convention, networks.with_conventions()),
    ):
        assert [op for op in ops if next(draw(op, 4, 0), None) is None] == []
