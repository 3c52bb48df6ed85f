"""Dual numbers with many parts: every derivative of a NumPy function from one run of it.

A complex step tells how a function changes along one direction. A :class:`Dual` carries such imaginary parts for many
directions at once, and no step: the function runs once, and each NumPy call in it runs once for all of them.
"""

from reference.duals import functions
from reference.duals.numbers import Dual, Units, dual, parts, plain

__all__ = ["Dual", "Units", "dual", "functions", "parts", "plain"]
