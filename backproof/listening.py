"""Who hears of every agreement that is asked for: a test session, say, that reports them all. By default nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reports import Agreement

_listeners: list[Callable[[Agreement], None]] = []


@contextmanager
def heard_by(listener: Callable[[Agreement], None]) -> Iterator[None]:
    """Let a listener hear of every agreement meanwhile, and no other: a session within a session is its own."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.pop()


def tell(agreement: Agreement) -> None:
    """Pass on an agreement that somebody asked for."""
    if _listeners:
        _listeners[-1](agreement)
