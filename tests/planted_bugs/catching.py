"""Hunting for planted bugs: which random architecture shows one first, and what is said of it."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from backproof import random_architecture
from backproof.verification import Verification
from reports import Agreement

from .planting import BUGS

WITHIN = 200
"""Random architectures within which a bug must be caught."""

DTYPES = ("float64", "float32")


class Catch(NamedTuple):
    """The first architecture that shows a bug, by its seed, and the agreement that does not agree."""

    seed: int
    agreement: Agreement


@cache
def catches(name: str) -> dict[str, Catch]:
    """Hunt a bug in both dtypes: a catch for each in which it was caught."""
    bug = BUGS[name]
    implementation = bug.implementation()
    found: dict[str, Catch] = {}
    for seed in range(WITHIN):
        verification = Verification(random_architecture(seed, layers=list(bug.layers)), implementation)
        for dtype in DTYPES:
            if dtype not in found:
                agreement = verification.agreement(dtype)
                if not agreement.agrees:
                    found[dtype] = Catch(seed, agreement)
        if len(found) == len(DTYPES):
            break
    return found


def named(name: str) -> bool:
    """Whether the first diagnosis in float64 names the mistake."""
    catch = catches(name).get("float64")
    return catch is not None and re.search(BUGS[name].words, catch.agreement.diagnosis or "") is not None
