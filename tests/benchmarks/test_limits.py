"""What limits the speed: that it is measured, of what it says."""

import numpy as np
import pytest

from benchmarks import limits
from benchmarks.checks import NETWORKS


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr(limits, "ROUNDS", 3)
    monkeypatch.setattr(limits, "seconds", lambda call, rounds=3: plain_seconds(call, 3))
    monkeypatch.setattr(limits, "set_threads", lambda count: None)


plain_seconds = limits.seconds


def test_the_median_is_that_of_calls_after_the_first_ones():
    called = []
    assert 0 < limits.seconds(lambda: called.append(1)) < 1
    assert len(called) == 8


def test_products_and_copies_have_a_rate():
    for rates in (limits.products(1), limits.copies(1 << 16)):
        assert all(np.isfinite(rate) and rate > 0 for name, rate in rates.items() if "just written" not in name)


def test_a_copy_by_two_copies_both_halves(monkeypatch):
    made, empty = [], np.empty_like
    monkeypatch.setattr(limits.np, "empty_like", lambda like: made.append(empty(like)) or made[-1])
    limits.copies(1 << 12)
    np.testing.assert_array_equal(made[0], np.ones((2, 512), np.float32))


def test_calls_on_dual_numbers_are_counted_with_their_bytes():
    found = limits.dual_calls(next(iter(NETWORKS)))
    coordinates = 7178 + 2128
    assert found["calls"] > 10
    assert found["bytes"] > 8 * coordinates * 8 * 10  # each moves the outputs of a layer, of ten numbers or more


def test_one_architecture_takes_time_and_calls():
    time, calls = limits.verifying(2)
    assert 0 < time < 60
    assert calls > 1000
