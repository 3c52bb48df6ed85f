"""Memory: whether a training step finds again what the one before has freed."""

import platform
import subprocess
import sys

STEPS = """
import resource
import numpy as np
import impl
from impl import buffers

if not {kept}:
    buffers.keep_freed_memory = lambda: None
network = impl.Sequential(impl.Conv2d(3, 16, 3), impl.ReLU(), impl.Conv2d(16, 32, 3), impl.ReLU())
rng = np.random.default_rng(0)
parameters, x = network.initial(rng, np.float32), rng.standard_normal((32, 3, 32, 32)).astype(np.float32)
for _ in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step = network.forward(parameters, x)
    step.parameters_only(step.output)
    del step
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(kept):
    """Return how many pages the last of several steps fetches from the system, in a process of its own."""
    command = [sys.executable, "-c", STEPS.format(kept=kept)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_a_step_finds_the_memory_of_the_one_before():
    kept, given_back = faults(kept=True), faults(kept=False)
    if platform.libc_ver()[0] == "glibc":
        assert kept < given_back / 10
    else:  # another allocator may keep it anyway
        assert kept <= given_back + 100
