"""The pytest plugin: what is asked in vain, options and markers, and what an implementation supports."""

import pytest
from sessions import TESTS, _loaded_once, project, run, said

__all__ = ["_loaded_once", "project"]


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
        ("layers=['Linear', 'ReLU'], examples=1, seed=2", "NOT VERIFIED: Linear: in none of the 1 architectures"),
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
