"""Rows of the recurrent layers and their cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backproof.catalogue.row import Chooser, Draw, Need, Row, Shape

LIMITS = "packed sequences are refused: they are no arrays"


def layers(choose: Chooser, shape: Shape, states: int, hidden: int, **own: Any) -> Draw:
    """One and two layers, both directions, dropout of none to all, first states or none, one step."""
    count = choose.integer(1, 2)
    both = choose.boolean()
    batch_first = choose.boolean()
    arguments = {
        "input_size": shape[-1],
        "hidden_size": hidden,
        "num_layers": count,
        "bias": choose.boolean(),
        "batch_first": batch_first,
        "dropout": choose.one_of((0.0, 0.5, 0.3, 1.0)) if count > 1 else 0.0,
        "bidirectional": both,
    }
    batch = () if len(shape) == 2 else (shape[0 if batch_first else 1],)
    sizes = (own.get("proj_size") or hidden, hidden)[:states]
    needs = tuple(Need((count * (2 if both else 1), *batch, size)) for size in sizes)
    return Draw(arguments | own, needs if choose.boolean() else ())


def rnn(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Both curves: the kink of relu is hit where inputs and weights are ties."""
    return layers(choose, shape, 1, choose.integer(1, 3), nonlinearity=choose.one_of(("tanh", "relu")))


def lstm(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """With projections and without."""
    hidden = choose.integer(1, 3)
    return layers(choose, shape, 2, hidden, proj_size=choose.integer(0, hidden - 1))


def gru(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """What all of them have."""
    return layers(choose, shape, 1, choose.integer(1, 3))


def cell(states: int, curves: tuple[str, ...] = ()) -> Callable[[Chooser, Shape, bool], Draw]:
    """One step, with states or without, of a batch or without one."""

    def draw(choose: Chooser, shape: Shape, training: bool) -> Draw:
        hidden = choose.integer(1, 4)
        arguments = {"input_size": shape[-1], "hidden_size": hidden, "bias": choose.boolean()}
        own = {"nonlinearity": choose.one_of(curves)} if curves else {}
        needs = tuple(Need((*shape[:-1], hidden)) for _ in range(states))
        return Draw(arguments | own, needs if choose.boolean() else ())

    return draw


ROWS = (
    Row("RNN", (3, 2), rnn, limits=LIMITS),
    Row("LSTM", (3, 2), lstm, limits=LIMITS),
    Row("GRU", (3, 2), gru, limits=LIMITS),
    Row("RNNCell", (2, 1), cell(1, ("tanh", "relu"))),
    Row("LSTMCell", (2, 1), cell(2)),
    Row("GRUCell", (2, 1), cell(1)),
)
