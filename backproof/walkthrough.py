"""Backpropagation by hand, step by step, on the classic little network; every number comes out of impl."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite, log10, prod
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import impl
from impl.layer import Array
from impl.network import NetworkStep
from impl.optim import SGD
from impl.training import Training, train

GOAL = 1e-4
BLOCKS = "▁▂▃▄▅▆▇█"
XOR = np.array([[0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
NODES: tuple[tuple[str, str, dict[str, int], tuple[str, ...]], ...] = (
    ("hidden", "Linear", {"in_features": 2, "out_features": 2}, ("x",)),
    ("O12", "Sigmoid", {}, ("hidden",)),
    ("net3", "Linear", {"in_features": 2, "out_features": 1}, ("O12",)),
    ("O3", "Sigmoid", {}, ("net3",)),
    ("E", "MSELoss", {}, ("O3", "target")),
)
NETWORK = impl.Network(
    ("x", "target"),
    [impl.Node(name, getattr(impl, op)(**arguments), inputs) for name, op, arguments, inputs in NODES],
    ("E",),
)
PICTURE = r"""
   x1 ---w11---> O1 ---w31--.
      \ /                    \
       X  w21, w12            >--> O3 ---> E = (O3 - target)^2
      / \                    /
   x2 ---w22---> O2 ---w32--'           O = sigmoid(net)
"""
LEGEND = (
    "Each factor is one node's own backward, fed with 1. Beside their product stand",
    "the backward of the whole network, PyTorch's autograd and finite differences;",
    "digits: how far these two agree with that backward.",
)


@dataclass(frozen=True)
class Chain:
    """The gradient of one weight: the factors of the chain rule, their product, and what three witnesses say.

    ``gradient`` is what the backward of impl's whole network returned; ``autograd`` and ``differences`` are PyTorch's
    and the finite difference's; ``scale`` is the largest gradient in the array of this weight.
    """

    weight: str
    names: tuple[str, ...]
    factors: tuple[float, ...]
    gradient: float
    autograd: float
    differences: float
    scale: float

    @property
    def product(self) -> float:
        """What the chain rule says: the factors, multiplied."""
        return prod(self.factors)


@np.errstate(over="ignore", invalid="ignore")  # beyond float64 stand inf and nan: shown, not warned about
def walkthrough(
    console: Console, *, data: Path | None = None, seed: int = 1, lr: float = 10.0, epochs: int = 20_000
) -> bool:
    """Explain one step of backpropagation with all its numbers, then train until the error is below 1e-4.

    Parameters
    ----------
    console
        Where to print; 80 columns are enough.
    data
        A CSV file of ``x1,x2,target``; None: the four samples of XOR.
    seed, lr, epochs
        Of the initial weights; the learning rate; how long to train at most.

    Returns
    -------
    Whether the error came below 1e-4.

    Raises
    ------
    ValueError
        A line of the file is wrong (the message says which, and what would be right), or ``lr`` or ``epochs`` is.
    OSError
        The file cannot be read.
    """
    if epochs < 1:
        raise ValueError(f"epochs is {epochs}, wanted at least 1")
    optimizer = SGD(lr=lr)
    samples = XOR if data is None else read_samples(data)
    rng = np.random.default_rng(seed)
    parameters = NETWORK.initial(rng)
    x, target = samples[-1:, :2], samples[-1:, 2:]
    step = NETWORK.forward(parameters, x, target)
    chains = explain(parameters, x, target, step)
    console.print("Backpropagation by hand", style="bold")
    console.print(PICTURE, highlight=False, markup=False)
    _show_forward(console, parameters, x, target, step)
    _show_backward(console, chains)
    _show_update(console, parameters, step, optimizer)
    data_arrays = samples[:, :2], samples[:, 2:]
    with console.status("training", spinner="line") as status:  # a spinner that every encoding can write

        def news(epoch: int, error: float, _: object) -> None:
            if epoch % 1000 == 0:
                status.update(f"epoch {epoch:,}: E = {error:.3g}")

        done = train(NETWORK, parameters, data_arrays, optimizer, epochs=epochs, rng=rng, goal=GOAL, callback=news)
    _show_training(console, done, samples)
    return done.reached


def read_samples(path: Path) -> Array:
    """Read ``x1,x2,target`` lines, with or without a header, as an array ``(N, 3)``."""
    rows: list[list[float]] = []
    # Bytes that are not UTF-8 matter only where numbers should be, and there they are told like other letters.
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        lines = csv.reader(file)
        filled = (cells for cells in lines if any(cell.strip() for cell in cells))
        try:
            for count, cells in enumerate(filled):
                where = f"{path}, line {lines.line_num}: {','.join(cells)[:40]!a}"
                if len(cells) != 3:
                    raise ValueError(f"{where}: columns: {len(cells)}, wanted 3: x1,x2,target")
                numbers = [number for number in map(_parsed, cells) if number is not None]
                if count == 0 and not numbers:
                    continue  # a header
                if len(numbers) < 3:
                    raise ValueError(f"{where}: not three numbers, wanted x1,x2,target, like 0.5,-1,1")
                if not all(map(isfinite, numbers)):
                    raise ValueError(f"{where}: wanted finite numbers")
                if not 0 <= numbers[2] <= 1:
                    raise ValueError(f"{where}: target {numbers[2]:g}, wanted 0 to 1: a sigmoid reaches no other")
                rows.append(numbers)
        except csv.Error as error:
            raise ValueError(f"{path}, line {lines.line_num}: {error}, wanted x1,x2,target") from None
    if not rows:
        raise ValueError(f"{path}: no samples, wanted lines of x1,x2,target")
    return np.array(rows)


def _parsed(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def explain(parameters: Mapping[str, Array], x: Array, target: Array, step: NetworkStep) -> list[Chain]:
    """Take the chain rule apart for one sample: each factor is a node's own backward, fed with 1.

    Returns
    -------
    One chain per weight, from the last layer to the first.
    """
    one = np.ones(())
    gradients = step.backward(one).parameters
    autograd, differences = _autograd(parameters, x, target), _differences(parameters, x, target)

    def local(node: str, unit: int = 0) -> impl.Gradients:
        """How the output of one unit of a node depends on the node's inputs and weights."""
        output = np.asarray(step.steps[node].output)
        return step.steps[node].backward(np.eye(output.shape[-1])[None, unit] if output.ndim else one)

    def slope(node: str, unit: int = 0, of: int = 0) -> float:
        return float(np.asarray(local(node, unit).inputs[0]).flat[of])

    def chain(
        node: str, unit: int, of: int | None, number: int, names: tuple[str, ...], factors: tuple[float, ...]
    ) -> Chain:
        name, place = (f"{node}.bias", unit) if of is None else (f"{node}.weight", unit * 2 + of)
        weight = f"b{number}" if of is None else f"w{number}{of + 1}"
        last = float(local(node, unit).parameters[name.partition(".")[2]].flat[place])
        return Chain(
            weight,
            (*names, f"dnet{number}/d{weight}"),
            (*factors, last),
            float(gradients[name].flat[place]),
            float(autograd[name].flat[place]),
            float(differences[name].flat[place]),
            float(np.abs(gradients[name]).max()),
        )

    ahead = ("dE/dO3", "dO3/dnet3"), (slope("E"), slope("O3"))
    chains = [chain("net3", 0, of, 3, *ahead) for of in (0, 1, None)]
    for unit in (0, 1):
        names = (*ahead[0], f"dnet3/dO{unit + 1}", f"dO{unit + 1}/dnet{unit + 1}")
        factors = (*ahead[1], slope("net3", of=unit), slope("O12", unit, of=unit))
        chains += [chain("hidden", unit, of, unit + 1, names, factors) for of in (0, 1, None)]
    return chains


def _autograd(parameters: Mapping[str, Array], x: Array, target: Array) -> dict[str, Array]:
    """Ask PyTorch, about the same network on the same numbers."""
    from reference import Architecture, Input, Node, Twin, Values

    inputs = (Input("x", x.shape), Input("target", target.shape))
    architecture = Architecture(inputs, tuple(Node(*node) for node in NODES), ("E",))
    owners: dict[str, dict[str, Array]] = {}
    for name, array in parameters.items():
        owner, _, own = name.partition(".")
        owners.setdefault(owner, {})[own] = array
    run = Twin(architecture).run(Values(owners, {"x": x, "target": target}, {"E": np.ones(())}, {}))
    return {f"{t.node}.{t.name}": array for t, array in run.tensors.items() if t.kind == "parameter"}


def _differences(parameters: Mapping[str, Array], x: Array, target: Array) -> dict[str, Array]:
    """Move each weight a little both ways and see what the error does, through impl's forward."""
    from reference.differences import finite_difference

    def error(name: str, moved: Array) -> Array:
        return np.asarray(NETWORK.forward({**parameters, name: moved}, x, target).output).reshape(1)

    return {name: finite_difference(partial(error, name), array).value for name, array in parameters.items()}


def _digits(chain: Chain, witness: float) -> str:
    """Count the decimal digits, relative to the array's scale, in which a witness agrees with the gradient."""
    error = abs(chain.gradient - witness)
    if error == 0:
        return "all"
    return f"{max(0.0, -log10(error / chain.scale)):.1f}" if 0 < error < chain.scale else "0.0"


def _heading(console: Console, text: str) -> None:
    console.print(f"\n{text}", style="bold", highlight=False)


def _number(value: float) -> str:
    return f"{value + 0.0:.6g}"  # no minus before a zero


def _column(value: float) -> str:
    """Write a number in at most 13 characters: tables keep to 80 columns whatever comes."""
    return f"{value + 0.0:.8f}" if value == 0 or 1e-4 <= abs(value) < 1e3 else f"{value:.5e}"


def _show_forward(
    console: Console, parameters: Mapping[str, Array], x: Array, target: Array, step: NetworkStep
) -> None:
    out = {name: np.asarray(one.output).ravel() for name, one in step.steps.items()}
    w, b = parameters["hidden.weight"], parameters["hidden.bias"]
    v, c = parameters["net3.weight"], parameters["net3.bias"]
    x1, x2 = map(_number, x[0])
    _heading(console, f"1. Forward: x1 = {x1}, x2 = {x2}, target = {_number(target[0, 0])}")
    for k in (0, 1):
        terms = f"{_number(w[k, 0])} * {x1} + {_number(w[k, 1])} * {x2} + {_number(b[k])}"
        console.print(f"  net{k + 1} = w{k + 1}1 x1 + w{k + 1}2 x2 + b{k + 1}", highlight=False)
        console.print(f"       = {terms} = {_number(out['hidden'][k])}", highlight=False)
        console.print(f"  O{k + 1}   = sigmoid(net{k + 1}) = {_number(out['O12'][k])}", highlight=False)
    o1, o2 = map(_number, out["O12"])
    terms = f"{_number(v[0, 0])} * {o1} + {_number(v[0, 1])} * {o2} + {_number(c[0])}"
    console.print("  net3 = w31 O1 + w32 O2 + b3", highlight=False)
    console.print(f"       = {terms} = {_number(out['net3'][0])}", highlight=False)
    console.print(f"  O3   = sigmoid(net3) = {_number(out['O3'][0])}", highlight=False)
    console.print(f"  E    = (O3 - target)^2 = {_number(out['E'][0])}", highlight=False)


def _show_backward(console: Console, chains: Sequence[Chain]) -> None:
    _heading(console, "2. Backward, last layer first: what did each weight contribute to E?")
    for line in LEGEND:
        console.print(f"  {line}", style="dim", highlight=False)
    titles = {3: "Into O3: E -> O3 -> w", 1: "Into O1: E -> O3 -> O1 -> w", 2: "Into O2: E -> O3 -> O2 -> w"}
    for start, number in zip(range(0, len(chains), 3), titles):
        group = chains[start : start + 3]
        console.print(f"\n  {titles[number]}", style="bold", highlight=False)
        shared = list(zip(group[0].names, group[0].factors))[:-1]
        for name, factor in (*shared, *((chain.names[-1], chain.factors[-1]) for chain in group)):
            console.print(f"    {name:11} = {_column(factor):>13}", highlight=False)
        rule = " * ".join((*group[0].names[:-1], f"dnet{number}/dw"))
        console.print(f"    dE/dw = {rule}", style="cyan", highlight=False)
        for chain in group:
            product = " * ".join(map(_number, chain.factors))
            console.print(f"    dE/d{chain.weight:3} = {product} = {_number(chain.product)}", highlight=False)
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
        table.add_column("", no_wrap=True)
        for heading in ("product", "backward", "autograd", "digits", "differences", "digits"):
            table.add_column(heading, justify="right", no_wrap=True)
        for chain in group:
            table.add_row(
                f"  dE/d{chain.weight}",
                _column(chain.product),
                _column(chain.gradient),
                _column(chain.autograd),
                _digits(chain, chain.autograd),
                _column(chain.differences),
                _digits(chain, chain.differences),
            )
        console.print(table)


def _show_update(console: Console, parameters: Mapping[str, Array], step: NetworkStep, optimizer: SGD) -> None:
    gradients = step.backward(np.ones(())).parameters
    updated, _ = optimizer.step(parameters, gradients)
    _heading(console, f"3. Gradient descent: w = w - {optimizer.lr:g} dE/dw")
    names = ["w11", "w12", "w21", "w22", "b1", "b2", "w31", "w32", "b3"]
    old, slope, new = (
        [float(z) for name in parameters for z in arrays[name].flat] for arrays in (parameters, gradients, updated)
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="dim")
    for heading in ("  weight", "before", "dE/dw", "after"):
        table.add_column(heading, justify="left" if heading == "  weight" else "right")
    for name, *numbers in zip(names, old, slope, new):
        table.add_row(f"  {name}", *map(_column, numbers))
    console.print(table)


def _show_training(console: Console, done: Training, samples: Array) -> None:
    count = f"all {len(samples)} samples" if len(samples) > 1 else "the sample"
    _heading(console, f"4. Training on {count} at once, until the mean of E is below {GOAL:g}")
    for line in curve(done.errors, unicode=_writes(console, BLOCKS)):
        console.print(line, highlight=False, markup=False)
    told = f"E = {done.errors[-1]:.5g} after {len(done.errors):,} epochs."
    if done.reached:
        console.print(f"  Reached: {told}", style="green", highlight=False)
    else:
        console.print(f"  Not reached: {told}", style="yellow", highlight=False)
        console.print("  Try another --seed, another --lr or more --epochs.", style="yellow", highlight=False)
    answers = NETWORK.forward(done.parameters, samples[:, :2], samples[:, 2:], training=False).steps["O3"].output
    for (x1, x2, target), answer in list(zip(samples, np.asarray(answers)[:, 0]))[:8]:
        console.print(f"  x1 = {x1:<8g} x2 = {x2:<8g} target = {target:<8g} O3 = {answer:.4f}", highlight=False)


def _writes(console: Console, text: str) -> bool:
    try:
        text.encode(console.encoding)
    except UnicodeEncodeError:
        return False
    return True


def curve(errors: Sequence[float], width: int = 60, height: int = 8, unicode: bool = True) -> list[str]:
    """Draw errors over epochs, the error on a logarithmic scale; what is not finite leaves a gap."""
    columns = [errors[round(i * (len(errors) - 1) / (width - 1))] for i in range(width)]
    levels = [log10(max(error, 1e-17)) if isfinite(error) else None for error in columns]
    known = [level for level in levels if level is not None] or [0.0]
    high = max(known)
    low = min(*known, high - 1)  # at least a decade, so that an error that stays is seen to stay at the top
    marks = BLOCKS if unicode else "." * 4 + "#" * 4
    # In eighths of a line, at least one: the lowest error is seen, too.
    eighths = [0 if v is None else max(1, round((v - low) / (high - low) * height * 8)) for v in levels]
    lines = []
    for row in reversed(range(height)):
        bar = "".join(" " if e <= row * 8 else marks[min(e - row * 8, 8) - 1] for e in eighths)
        lines.append(f"  {10 ** (low + (high - low) * (row + 1) / height):8.1e} | {bar}".rstrip())
    lines.append(f"  {10**low:8.1e} +-{'-' * width}")
    lines.append(f"             epoch 1{f'epoch {len(errors):,}':>{width - 7}}")
    return lines
