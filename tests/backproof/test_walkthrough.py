"""The walkthrough: its factors multiply to PyTorch's gradients, it fits the terminal, it learns XOR."""

import io
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from backproof.walkthrough import NETWORK, curve, explain, read_samples, walkthrough

FACTORS = (
    "dE/dO3",
    "dO3/dnet3",
    "dnet3/dO1",
    "dO1/dnet1",
    "dnet3/dO2",
    "dO2/dnet2",
    "dnet3/dw31",
    "dnet1/dw12",
    "dnet2/db2",
)


def written(encoding: str = "utf-8", **options) -> tuple[bool, str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    reached = walkthrough(Console(file=file, width=80), **options)
    file.flush()
    return reached, file.buffer.getvalue().decode(encoding)


@given(st.integers(0, 2**32 - 1), st.tuples(st.floats(-3, 3), st.floats(-3, 3), st.floats(0, 1)))
def test_the_factors_multiply_to_the_gradient_that_all_witnesses_give(seed, sample):
    x, target = np.array([sample[:2]]), np.array([[sample[2]]])
    parameters = NETWORK.initial(np.random.default_rng(seed))
    chains = explain(parameters, x, target, NETWORK.forward(parameters, x, target))
    assert [c.weight for c in chains] == ["w31", "w32", "b3", "w11", "w12", "b1", "w21", "w22", "b2"]
    for chain in chains:
        assert len(chain.names) == len(chain.factors) == (3 if "3" in chain.weight else 5)
        assert prod(chain.factors) == pytest.approx(chain.gradient, rel=1e-12, abs=1e-15)
        assert chain.autograd == pytest.approx(chain.gradient, rel=1e-12, abs=1e-15)
        assert chain.differences == pytest.approx(chain.gradient, rel=1e-7, abs=1e-10)


def test_it_tells_everything_in_80_columns_and_learns_xor():
    reached, text = written()
    assert reached
    assert max(map(len, text.splitlines())) <= 80
    for part in (*FACTORS, "autograd", "differences", "w = w - 10 dE/dw", "4. Again and again", "▄"):
        assert part in text, part
    assert "-0.0000000000" not in text


def test_a_terminal_without_unicode_gets_plain_characters():
    assert "*" in written(encoding="ascii", epochs=50)[1]


def test_it_says_so_if_the_error_stays(tmp_path):
    file = tmp_path / "contradiction.csv"
    file.write_text("x1,x2,target\n1,1,0\n1,1,1\n")
    reached, text = written(data=file, epochs=100)
    assert not reached
    assert "Not reached: E = 0.2" in text


def test_one_sample_is_enough(tmp_path):
    file = tmp_path / "one.csv"
    file.write_text("0.3,-2,0.5\n")
    reached, text = written(data=file)
    assert reached
    assert "on the sample at once" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no samples, wanted lines of x1,x2,target"),
        ("x1,x2,target\n", "no samples"),
        ("1,2\n", "line 1: 2 columns, wanted three"),
        ("x1,x2,target\n1,2,3,4\n", "line 2: 4 columns, wanted three"),
        ("1,2,0\n1,b,0\n", "line 2: 1,b,0 are not three numbers"),
        ("1,nan,0\n", "line 1: 1,nan,0: wanted finite numbers"),
        ("1,1e999,0\n", "line 1: 1,1e999,0: wanted finite numbers"),
        ("1,2,1.5\n", "line 1: the target is 1.5, wanted 0 to 1"),
        ("\x00\x01", "no samples|columns|numbers|NUL"),
    ],
)
def test_a_wrong_file_is_told_where(tmp_path, text, message):
    file = tmp_path / "samples.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_samples(file)


def test_blank_lines_and_a_byte_order_mark_do_not_matter(tmp_path):
    file = tmp_path / "samples.csv"
    file.write_bytes(b"\xef\xbb\xbf0,1,1\r\n\r\n1,0,0\r\n")
    np.testing.assert_array_equal(read_samples(file), [[0, 1, 1], [1, 0, 0]])


@pytest.mark.parametrize(
    "errors", [[0.1], [0.1, 0.1], [1.0, 0.0], [1.0, float("inf")], list(np.geomspace(1, 1e-9, 5000))]
)
def test_the_curve_has_its_height_and_width(errors):
    lines = curve(errors)
    assert len(lines) == 10
    assert max(map(len, lines)) <= 80
