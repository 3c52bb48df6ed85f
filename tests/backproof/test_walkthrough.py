"""The walkthrough: its factors multiply to PyTorch's gradients, it fits the terminal, it learns XOR."""

import io
from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from backproof.walkthrough import BLOCKS, NETWORK, XOR, curve, explain, read_samples, walkthrough

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


def written(encoding: str = "utf-8", terminal: bool = False, **options) -> tuple[bool, str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    reached = walkthrough(Console(file=file, width=80, force_terminal=terminal), **options)
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
        assert chain.product == prod(chain.factors) == pytest.approx(chain.autograd, rel=1e-12, abs=1e-15)
        assert chain.autograd == pytest.approx(chain.gradient, rel=1e-12, abs=1e-15)
        assert chain.differences == pytest.approx(chain.gradient, rel=1e-7, abs=1e-10)


def test_it_tells_everything_in_80_columns_and_learns_xor():
    reached, text = written()
    assert reached
    assert max(map(len, text.splitlines())) <= 80
    for part in (
        *FACTORS,
        "autograd",
        "differences",
        "w = w - 10 dE/dw",
        "4. Training on all 4 samples",
        "Reached: E",
        "█",
    ):
        assert part in text, part
    assert "dE/dw = dE/dO3 * dO3/dnet3 * dnet3/dw\n" in text
    for k in "12":
        assert f"dE/dw = dE/dO3 * dO3/dnet3 * dnet3/dO{k} * dO{k}/dnet{k} * dnet{k}/dw\n" in text
    assert "below 0.0001\n" in text  # no heading is broken in two


def named(tensors) -> dict[str, float]:
    """The weights by the names of the picture."""
    rows = {"w1": tensors["hidden.weight"][0], "w2": tensors["hidden.weight"][1], "w3": tensors["net3.weight"][0]}
    biases = [*tensors["hidden.bias"], *tensors["net3.bias"]]
    weights = {f"{name}{i}": float(w) for name, row in rows.items() for i, w in enumerate(row, start=1)}
    return weights | {f"b{i}": float(b) for i, b in enumerate(biases, start=1)}


def test_the_printed_products_and_the_update_are_what_pytorch_gives():
    start = NETWORK.initial(np.random.default_rng(1))
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in start.items()}
    x, target = torch.tensor(XOR[-1:, :2]), torch.tensor(XOR[-1:, 2:])
    hidden = torch.sigmoid(torch.nn.functional.linear(x, tensors["hidden.weight"], tensors["hidden.bias"]))
    o3 = torch.sigmoid(torch.nn.functional.linear(hidden, tensors["net3.weight"], tensors["net3.bias"]))
    torch.nn.functional.mse_loss(o3, target).backward()
    gradients = named({name: tensor.grad for name, tensor in tensors.items()})
    torch.optim.SGD(tensors.values(), lr=3.0).step()
    before, after = named(start), named({name: tensor.detach() for name, tensor in tensors.items()})
    rows = [line.split() for line in written(epochs=1, lr=3.0)[1].splitlines() if line and "=" not in line]
    products = {name.removeprefix("dE/d"): rest for name, *rest in rows if name.startswith("dE/d")}
    updates = {name: rest for name, *rest in rows if name in before}
    assert set(products) == set(updates) == set(gradients)
    for name, gradient in gradients.items():
        product, backward, autograd, _, differences, _ = products[name]
        assert [float(z) for z in (product, backward, autograd, differences)] == pytest.approx([gradient] * 4, abs=1e-8)
        assert [float(z) for z in updates[name]] == pytest.approx([before[name], gradient, after[name]], abs=1e-8)


@pytest.mark.parametrize("encoding", ["ascii", "cp437", "latin-1"])
def test_a_terminal_without_unicode_gets_plain_characters(encoding):
    text = written(encoding, terminal=True, epochs=50)[1]
    assert "#" in text
    assert not set(BLOCKS) & set(text)


@pytest.mark.parametrize("sample", ["1e300,-1e300,0", "-999.123456789,998.7654321,1", "123456.789,-1e-7,0.123456789"])
def test_numbers_of_any_size_keep_to_80_columns(tmp_path, sample):
    file = tmp_path / "sizes.csv"
    file.write_text(sample)
    text = written(data=file, epochs=2, lr=1e300)[1]
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert all(line.split("=")[1].strip() for line in text.splitlines() if line.startswith("    dnet"))


def test_a_learning_rate_that_leaves_float64_is_told_not_warned_about():
    reached, text = written(lr=float("inf"), epochs=5)
    assert not reached
    assert "Not reached: E = nan after 2 epochs." in text


@pytest.mark.parametrize("options", [{"epochs": 0}, {"lr": float("nan")}, {"lr": -1.0}])
def test_wrong_settings_are_refused_before_anything_is_printed(options):
    console = Console(file=io.StringIO(), width=80)
    with pytest.raises(ValueError, match="wanted"):
        walkthrough(console, **options)
    assert console.file.getvalue() == ""


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
        (b"", "no samples, wanted lines of x1,x2,target"),
        (b"x1,x2,target\n", "no samples"),
        (b"1,2\n", "line 1: '1,2': columns: 2, wanted 3"),
        (b"x1;x2;target\n", "line 1: 'x1;x2;target': columns: 1, wanted 3"),
        (b"x1,x2,target\n1,2,3,4\n", "line 2: '1,2,3,4': columns: 4, wanted 3"),
        (b"1,2,0\n1,b,0\n", "line 2: '1,b,0': not three numbers"),
        (b"0,O,0\n0,1,1\n", "line 1: '0,O,0': not three numbers"),
        (b"a,b,c\nx1,x2,target\n1,2,0\n", "line 2: 'x1,x2,target': not three numbers"),
        (b"1,nan,0\n", "line 1: '1,nan,0': wanted finite numbers"),
        (b"1,1e999,0\n", "line 1: '1,1e999,0': wanted finite numbers"),
        (b"1,2,1.5\n", "line 1: '1,2,1.5': target 1.5, wanted 0 to 1"),
        (b"1,2,-0.1\n", "line 1: '1,2,-0.1': target -0.1, wanted 0 to 1"),
        (b"1,1,0\n\xe9,1,0\n", r"line 2: '\\ufffd,1,0': not three numbers"),
        (b"1,1,0\n\x1b[31m,1,0\n", r"line 2: '\\x1b\[31m,1,0': not three numbers"),
        (b'1,"2\n3",0\n', "not three numbers"),
        (b"1,1,0\n1,1," + b"1" * 200_000, "line 2: field larger than"),
    ],
)
def test_a_wrong_file_is_told_where(tmp_path, text, message):
    file = tmp_path / "samples.csv"
    file.write_bytes(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_samples(file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "missing.csv"])
def test_a_folder_or_a_missing_file_is_an_operating_system_error(tmp_path, name):
    with pytest.raises(OSError, match="directory"):
        read_samples(tmp_path / name)


def test_blank_lines_and_a_byte_order_mark_do_not_matter(tmp_path):
    file = tmp_path / "samples.csv"
    file.write_bytes(b"\xef\xbb\xbf\r\nx1,x2,target\r\n0,1,1\r\n\r\n1,0,0\r\n")
    np.testing.assert_array_equal(read_samples(file), [[0, 1, 1], [1, 0, 0]])


@pytest.mark.parametrize(
    "errors", [[0.1], [0.1, 0.1], [1.0, 0.0], [1.0, float("inf")], [float("nan")], list(np.geomspace(1, 1e-9, 5000))]
)
def test_the_curve_has_its_height_and_width(errors):
    lines = curve(errors)
    assert len(lines) == 10
    assert max(map(len, lines)) <= 80
    assert len(lines[-1]) == len(lines[-2])
    assert lines[-1].endswith(f"epoch {len(errors):,}")


def test_the_curve_falls_as_the_error_does_and_leaves_a_gap_for_nan():
    errors = [*np.geomspace(1, 1e-9, 59), float("nan")]
    heights = np.array([[c != " " for c in line.partition("| ")[2].ljust(60)] for line in curve(errors)[:8]]).sum(0)
    assert heights[0] == 8
    assert heights[58] == 1
    assert heights[59] == 0
    assert (np.diff(heights) <= 0).all()
