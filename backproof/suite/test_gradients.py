"""Every layer in every dtype, at random, at kinks and where a gradient is a convention; and whole networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

import pytest

from backproof.asserting import Work, verify_each
from backproof.campaign import Campaign
from backproof.catalogue import rows
from backproof.implementations import load
from backproof.pytest_plugin import SESSION
from backproof.suite import networks
from backproof.witnesses import Unsupported
from reference import Reference

EXAMPLES = 20
"""Networks of each test, unless the command line says otherwise; a fifth of them where one place is looked at."""

OPS: Mapping[str, Callable[[], Iterable[str]]] = {
    "test_layer": rows,
    "test_kinks": networks.with_kinks,
    "test_convention": networks.with_conventions,
}
Verify: TypeAlias = Callable[[Callable[[int, int], Iterator[Reference]], int, str, str | None], None]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of every layer and dtype that is asked for."""
    settings = metafunc.config.stash[SESSION].settings
    if "op" in metafunc.fixturenames:
        asked = [op for op in OPS[metafunc.function.__name__]() if settings.layers is None or op in settings.layers]
        metafunc.parametrize(("op", "dtype"), [(op, dtype) for op in asked for dtype in settings.dtypes])
    elif "dtype" in metafunc.fixturenames:
        metafunc.parametrize("dtype", settings.dtypes)


@pytest.fixture
def verify(request: pytest.FixtureRequest) -> Verify:
    """Verify networks that are drawn for a number of examples and a seed; what is not supported is skipped."""
    session = request.config.stash[SESSION]
    settings = session.settings

    def run(draw: Callable[[int, int], Iterator[Reference]], share: int, dtype: str, own: str | None) -> None:
        __tracebackhide__ = True
        examples = -(-(settings.examples or EXAMPLES) // share)
        try:
            references = draw(examples, settings.seed)
            verify_each(Work(load(settings.implementation), (dtype,), references, examples, own), session.include)
        except Unsupported as error:
            pytest.skip(str(error))

    return run


def test_layer(op: str, dtype: str, verify: Verify) -> None:
    """A layer in small networks, with all its arguments."""
    verify(lambda examples, seed: networks.of_layer(op, examples, seed), 1, dtype, op)


def test_kinks(op: str, dtype: str, verify: Verify) -> None:
    """A layer fed with zeros, ties and the ends of intervals: there it must take PyTorch's side."""
    verify(lambda examples, seed: networks.at_kinks(op, examples, seed), 5, dtype, op)


def test_convention(op: str, dtype: str, verify: Verify) -> None:
    """A layer with arguments for which PyTorch changes a gradient on purpose."""
    verify(lambda examples, seed: networks.by_convention(op, examples, seed), 5, dtype, op)


def test_network(dtype: str, verify: Verify, request: pytest.FixtureRequest) -> None:
    """Whole networks of all layers that are supported: skips, branches, tied weights, several outputs and losses."""
    settings = request.config.stash[SESSION].settings

    def draw(examples: int, seed: int) -> Iterator[Reference]:
        found = Campaign(settings.implementation, dtypes=(dtype,), layers=settings.layers).checked()
        return networks.whole(found.layers or (), examples, seed)

    verify(draw, 1, dtype, None)
