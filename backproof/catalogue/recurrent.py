"""Rows of the recurrent layers."""

from __future__ import annotations

from backproof.catalogue.row import Chooser, Draw, Need, Row, Shape


def lstm(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """One and two layers, both directions, projections, dropout of none to all, first states or none, one step."""
    layers = choose.integer(1, 2)
    hidden = choose.integer(1, 3)
    both = choose.boolean()
    batch_first = choose.boolean()
    projected = choose.integer(0, hidden - 1)
    arguments = {
        "input_size": shape[-1],
        "hidden_size": hidden,
        "num_layers": layers,
        "bias": choose.boolean(),
        "batch_first": batch_first,
        "dropout": choose.one_of((0.0, 0.5, 0.3, 1.0)) if layers > 1 else 0.0,
        "bidirectional": both,
        "proj_size": projected,
    }
    batch = () if len(shape) == 2 else (shape[0 if batch_first else 1],)
    count = layers * (2 if both else 1)
    states = (Need((count, *batch, projected or hidden)), Need((count, *batch, hidden)))
    return Draw(arguments, states if choose.boolean() else ())


ROWS = (Row("LSTM", (3, 2), lstm),)
