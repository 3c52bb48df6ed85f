"""What was not checked is said."""

from __future__ import annotations

from typing import Any

import pytest

from reports.scope import not_checked

WHOLE: dict[str, Any] = {
    "architectures": 8,
    "requested": 8,
    "interrupted": False,
    "tensors": 100,
    "inconclusive": 0,
    "refused": {},
    "corpus": [],
    "against": {"autograd": {}, "second order": {}},
    "dtypes": {"float64": {}, "float32": {}, "float16": {}, "complex128": {}},
    "coverage": {"ops": {"Linear": 3}, "pairs_possible": 1, "pairs_covered": 1, "one_sided": []},
}


def test_there_is_nothing_to_say_of_a_run_that_left_nothing_out():
    assert not_checked(WHOLE) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"interrupted": True, "requested": 20}, "12 of 20 architectures: the run was interrupted."),
        ({"unsupported": ["LSTM", "GRU"]}, "LSTM, GRU: the implementation does not support them."),
        ({"refused": {"Fold": "no"}}, "Fold: PyTorch has nothing to compare with (no)."),
        ({"inconclusive": 1}, "1 array is inconclusive (1 %): no digit of it is certain."),
        ({"inconclusive": 2}, "2 arrays are inconclusive (2 %): no digit of them is certain."),
        ({"against": {"autograd": {}}}, "The gradient of the gradient (--second-order)."),
        ({"dtypes": {"float64": {}, "float16": {}}}, "Other dtypes: float32, complex128 (--dtype)."),
    ],
)
def test_what_was_left_out_is_said(changed: dict[str, Any], words: str):
    assert not_checked(WHOLE | changed) == [words]


def test_long_lists_are_counted():
    ops = {f"Op{i}": 0 for i in range(10)} | {"Linear": 1}
    coverage = WHOLE["coverage"] | {"ops": ops, "pairs_possible": 5, "one_sided": ["Linear.bias"]}
    missing, pairs, arguments = not_checked(WHOLE | {"coverage": coverage})
    assert missing.startswith("Op0, Op1, ")
    assert missing.endswith("Op7 and 2 more: in none of the architectures.")
    assert pairs == "4 of 5 pairs of an op that can feed another (more --examples)."
    assert arguments == "Arguments that always had their default, or never: Linear.bias."
