"""The memory of a training step, in a process of its own: ``python -m benchmarks.memory WORKLOAD DTYPE WHO THREADS``.

Prints by how many bytes the resident memory rises at most above what it was before the first step, when both libraries
were imported and the data and parameters made.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
STEPS = 3
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(name: str) -> int:
    """Return an entry of the process's status, in bytes: VmRSS is now, VmHWM the most so far."""
    line = next(line for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def peak(workload: str, dtype: str, who: str, threads: int) -> int | None:
    """Measure in a fresh process; None where the system does not tell."""
    if not RESET.exists():
        return None
    command = [sys.executable, "-m", __name__, workload, dtype, who, str(threads)]
    return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def main(workload: str, dtype: str, who: str, threads: str) -> None:
    """Measure in this process."""
    from benchmarks import libraries
    from benchmarks.clock import set_threads
    from benchmarks.workloads import WORKLOADS

    set_threads(int(threads))
    architecture = WORKLOADS[workload]
    build = libraries.ours if who == libraries.OURS else libraries.pytorch
    run = build(architecture, libraries.data(architecture, dtype)).run
    before = resident("VmRSS")
    RESET.write_text("5", encoding="ascii")  # the most so far is what is there now
    for _ in range(STEPS):
        run()
    print(resident("VmHWM") - before)


if __name__ == "__main__":
    main(*sys.argv[1:])
