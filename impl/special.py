"""SciPy's special functions, loaded when the first of them is used: that takes longer than loading all of impl."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    import scipy.special

    return getattr(scipy.special, name)
