"""Single architectures for the page: lines of all, the whole of those worth a look, in bounded memory."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest
from test_agreement import NAMES, agreement

from reports import Agreement, measure
from reports import cases as module
from reports.cases import Cases
from reports.packing import unpack

ARCHITECTURE = {"inputs": [], "nodes": [{"name": "linear1", "op": "Linear", "inputs": ["x"]}]}


def example(number: int, error: float = 1e-9, doubt: float = 0.0, **changes: object) -> list[Agreement]:
    tensor = measure(np.ones(2) + error, np.ones(2), bound=1e-3, scale=1.0, dtype="float64", doubt=doubt, **NAMES)
    made = agreement(architecture=ARCHITECTURE, tensors=(tensor,), culprit=None, op=None, diagnosis=None)
    return [replace(made, digest=f"{number:064x}"[::-1], **changes)]


def digest(number: int) -> str:
    return example(number)[0].digest[:12]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Cases:
    for name, limit in (("WHOLE_CASES", 2), ("WORTH", 1), ("LINES", 6)):
        monkeypatch.setattr(module, name, limit)
    return Cases()


def test_a_line_says_verdict_doubts_time_digits_and_ops():
    cases = Cases()
    cases.add(7, example(7, seconds=0.25))
    assert cases.document()["lines"] == [[7, digest(7), "agree", 0, 0.25, [9.0, None], [0]]]
    assert cases.document()["ops"] == ["Linear"]


def test_what_is_whole_can_be_read_again():
    cases = Cases()
    cases.add(0, example(0))
    (read,) = unpack(base64.b64decode(cases.document()["whole"][digest(0)]))
    assert read.tensors[0].digits == pytest.approx(9.0)


def test_beyond_the_first_only_what_is_worth_a_look_is_whole(few: Cases):
    for number in range(3):
        few.add(number, example(number, 1e-6))
    few.add(3, example(3, 1e-5))  # fewer digits than any before
    few.add(4, example(4, 1e-4))  # and fewer again
    few.add(5, example(5, 1.0))  # disagrees
    few.add(6, example(6, 1.0))  # as another did
    few.add(7, example(7, 0.5, doubt=np.inf))  # inconclusive
    found = few.document()
    assert set(found["whole"]) == {digest(n) for n in (0, 1, 4, 5, 7)}
    assert found["least"] == [["Linear", "float64", digest(4)]]
    assert (found["count"], len(found["lines"])) == (8, 6)
