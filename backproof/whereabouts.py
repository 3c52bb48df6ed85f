"""Where the work is, told to whoever watches it: what ran last is known even if the process dies of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

listener: Callable[[Mapping[str, Any]], None] | None = None
"""Takes what :func:`tell` is given; None: nobody watches, and telling costs next to nothing."""


def tell(**where: Any) -> None:
    """Say which ``architecture`` is at work from here on, in which ``dtype``, which ``node`` of which ``op``, ..."""
    if listener is not None:
        listener(where)
