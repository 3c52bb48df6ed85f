"""Hypothesis profiles: the default is quick and the same every time; ``--hypothesis-profile=deep`` searches on."""

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, is_hypothesis_test, settings

from backproof.campaign import one_thread
from backproof.listening import heard_by
from tests.page import CHROMIUM, WITHOUT_BROWSER

one_thread()  # pytest-xdist fills the cores already, and the arrays are small

SLOW = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
]

settings.register_profile("quick", max_examples=20, deadline=None, derandomize=True, suppress_health_check=SLOW)
settings.register_profile("deep", max_examples=400, deadline=None, suppress_health_check=SLOW)
# A mutant is killed by the first failure: nobody reads the smallest one.
settings.register_profile(
    "mutants",
    settings.get_profile("quick"),
    max_examples=25,
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
)
settings.load_profile("quick")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run examples before properties: what is wrong fails within a second."""
    items.sort(key=lambda item: isinstance(item, pytest.Function) and is_hypothesis_test(item.obj))


def pytest_report_header() -> str:
    """Say where the report's page is looked at."""
    return f"the report's page is tested in {CHROMIUM}" if CHROMIUM else f"no browser: {WITHOUT_BROWSER}"


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_protocol() -> Generator[None, Any, Any]:
    """Keep what our own tests verify, mistakes on purpose among it, from the plugin's summary of this session."""
    with heard_by(lambda agreement: None):
        return (yield)
