"""Hypothesis profiles: the default is quick and the same every time; ``--hypothesis-profile=deep`` searches on."""

from hypothesis import HealthCheck, settings

SLOW = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
]

settings.register_profile("quick", max_examples=25, deadline=None, derandomize=True, suppress_health_check=SLOW)
settings.register_profile("deep", max_examples=500, deadline=None, suppress_health_check=SLOW)
settings.load_profile("quick")
