"""Memory that stays with the process from one step to the next."""

from __future__ import annotations

from functools import cache

import numpy as np

LARGEST = (1 << 25) - (1 << 16)
"""Bytes: the largest block that glibc takes as a measure of what a program uses is 32 MiB."""


@cache
def keep_freed_memory() -> None:
    """Let the allocator keep what freed arrays leave, instead of giving it back to the system; once is enough.

    glibc gives back what lies free at its end, if that is twice as large as the largest block it has seen freed. A step
    frees all its arrays, of a few megabytes each, and the next one fetched them back page by page: 2,300 pages, at 3
    microseconds each, were half of the time of a small CNN. A block that nobody writes to costs no memory.
    """
    np.empty(LARGEST, np.uint8)
