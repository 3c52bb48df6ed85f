"""Rows of the paddings."""

from __future__ import annotations

from functools import partial

from backproof.catalogue.row import Chooser, Draw, Row, Shape


def sides(mode: str, most: int, choose: Chooser, size: int) -> tuple[int, int]:
    """How much to add before and after an axis: as much as it lasts for, up to ``most``; negative takes away."""
    most = min(most, {"Reflection": size - 1, "Circular": size}.get(mode, most))
    before = choose.integer(-min(size - 1, 2), most)
    left = size + min(before, 0)
    if mode == "Circular":  # it runs over what is left of the axis
        return before, choose.integer(max(max(before, 1) - left, -2), min(most, left))
    return before, choose.integer(max(-left, 1 - size - before, -2), most)


def padding(mode: str, rank: int, choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Each side its own, or one number for all; reflection and circle up to the whole axis."""
    spatial, most = shape[-rank:], 4 - rank
    shortest = min(spatial)
    largest = min(most, {"Reflection": shortest - 1, "Circular": shortest}.get(mode, most))
    chosen: int | list[int] = choose.integer(-min((shortest - 1) // 2, 2), largest)
    if largest == 0 or choose.boolean():
        chosen = [n for size in reversed(spatial) for n in sides(mode, most, choose, size)]
    value = {"value": choose.one_of((0.5, 0.0, -2.0))} if mode == "Constant" else {}
    return Draw({"padding": chosen, **value})


def pads(mode: str, rank: int) -> Row:
    """Make the row of one class; torch pads the last axes of anything with a constant, but copies only images."""
    own = (rank + 2, rank + 1)
    others = (rank, *range(rank + 3, 6)) if mode in ("Constant", "Zero") else ()
    return Row(f"{mode}Pad{rank}d", own + others, partial(padding, mode, rank))


ROWS = tuple(
    pads(mode, rank) for mode in ("Constant", "Zero", "Reflection", "Replication", "Circular") for rank in (1, 2, 3)
)
