"""What the numbers may depend on."""

from __future__ import annotations

import platform
from importlib.metadata import version

import backproof


def environment() -> dict[str, str]:
    """Return the versions of what computes, and the kind of machine."""
    return {
        "backproof": backproof.__version__,
        **{name: version(name) for name in ("torch", "numpy", "scipy", "hypothesis")},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
