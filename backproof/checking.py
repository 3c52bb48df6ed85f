"""A verdict on one hand-written op: its forward and backward as plain functions of arrays, no architecture."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from backproof.alone import Given
from backproof.case import Case, Malformed, Subject
from backproof.implementations import Pass
from backproof.single import checked
from reference import Node, Tensor
from reference.run import Array, is_numeric
from reports import Agreement
from reports.agreement import shown


def check_gradients(
    forward: Callable[..., Any],
    inputs: Array | Sequence[Array] | Mapping[str, Array],
    *,
    seed: int = 0,
    complex_clean: bool = False,
    atol: float = 0.0,
    rtol: float = 0.0,
    nondet_tol: float | None = None,
    check_grad_dtypes: bool = True,
    raise_exception: bool = True,
) -> Agreement:
    """Check one hand-written op against differences of its own forward, in every coordinate of every input.

    Parameters
    ----------
    forward
        ``forward(*inputs) -> (output, backward)``. The output is an array or a tuple of arrays. What
        ``backward(grad_output)`` (a tuple for several outputs, None where no gradient flows) returns are the gradients
        of the inputs: an array, a tuple with one for each input (None: no gradient), or a dict by name.
    inputs
        An array, several, or arrays by name, which are handed over as keywords. Floating or complex arrays of any shape
        are differentiated; integers and booleans are handed through.
    seed
        Of the random cotangents: output i gets ``default_rng([seed, i]).standard_normal(shape)``.
    complex_clean
        Say that forward is piecewise analytic, decides every branch on the real part, and takes complex arrays: then
        complex steps, which are exact, take the place of differences, unless a difference contradicts them.
    atol, rtol
        An error that is called agreement all the same; by default what rounding explains, and no more.
    nondet_tol
        How far two runs may differ; by default within rounding.
    check_grad_dtypes
        Whether a gradient must have the dtype of its input.
    raise_exception
        Whether to raise if it disagrees.

    Returns
    -------
    The agreement, true in a condition if it agrees.

    Raises
    ------
    reports.DisagreementError
        A gradient is wrong, or forward or backward does not do what it should; an ``AssertionError``.
    ValueError
        There is nothing to check: no array, or no floating one.
    """
    named = _named(forward, inputs)
    floating = tuple(name for name, x in named.items() if is_numeric(x))
    if not floating:
        found = ", ".join(f"{name} {x.dtype}" for name, x in named.items()) or "none"
        raise ValueError(f"inputs: no floating or complex array that could be differentiated (there is {found})")
    subject = Function(forward, tuple(named), isinstance(inputs, Mapping), complex_clean)
    case = Case(
        subject,
        Given({}, named, (), seed=seed_of(seed)),
        floating,
        nondet_tol=nondet_tol,
        tolerance=(atol, rtol),
        check_grad_dtypes=check_grad_dtypes,
    )
    agreement = checked(case)
    if raise_exception:
        agreement.raise_for_disagreement()
    return agreement


class Function(Subject):
    """Plain functions on arrays."""

    def __init__(self, own: Callable[..., Any], names: tuple[str, ...], by_name: bool, clean: bool) -> None:
        super().__init__(called(own), clean)
        self.own, self.names, self.by_name = own, names, by_name

    def forward(
        self, node: Node, parameters: Mapping[str, Array], inputs: tuple[Array, ...], *, training: bool, noise: Any
    ) -> Pass:
        """Run forward."""
        self.randomness.start()
        found = self.own(**dict(zip(self.names, inputs))) if self.by_name else self.own(*inputs)
        if not (isinstance(found, tuple) and len(found) == 2 and callable(found[1])):
            raise Malformed(f"returns {shown(found)}, wanted (output, backward)")
        output, back = found
        if isinstance(output, float):  # a number of Python takes the dtype of what it meets
            output = np.asarray(output, np.result_type(output, *filter(is_numeric, inputs)))
        several = isinstance(output, tuple | list)

        def backward(grad_outputs: tuple[Array | None, ...]) -> tuple[Sequence[Array | None], Mapping[str, Array]]:
            return self._gradients(back(grad_outputs if several else grad_outputs[0])), {}

        return Pass(tuple(output) if several else (output,), backward)

    def _gradients(self, found: Any) -> tuple[Any, ...]:
        if isinstance(found, Mapping):
            for name in found:
                if name not in self.names:
                    raise Malformed(f"returns a gradient of {name!r}, but the inputs are {', '.join(self.names)}")
            return tuple(found.get(name) for name in self.names)
        gradients = tuple(found) if isinstance(found, tuple | list) else (found,)
        if len(gradients) != len(self.names):
            count = f"{len(gradients)} gradient{'s' * (len(gradients) != 1)}"
            raise Malformed(f"returns {count} for {len(self.names)} inputs ({', '.join(self.names)})")
        return gradients

    def program(self, case: Case, name: Tensor, index: tuple[int, ...]) -> str:
        """Write a few lines that show one entry of a gradient, and its difference quotient."""
        own, word = name.node, getattr(self.own, "__name__", "")
        word = word if word.isidentifier() else "forward"
        at, names = list(index), list(self.names)
        place = f"[{', '.join(map(str, at))}]" if at else "[()]"
        given = ", ".join(f"{n}={n}" if self.by_name else _word(n) for n in names)
        moved = [f"{_word(n)} {{}} step" if n == own else _word(n) for n in names]
        beside = ", ".join(f"{n}={m}" if self.by_name else m for n, m in zip(names, moved))
        several = len(case.given.cotangents) > 1
        drawn = f"np.random.default_rng([{case.given.seed}, {{}}]).standard_normal({{}}.shape)"
        lines = [f"# inputs: {case.named(dict(zip(map(_word, names), case.given.inputs.values())))}"]
        lines += [f"output, backward = {word}({given})"]
        if several:
            ends = [
                f"{drawn.format(i, f'output[{i}]')}" if c is not None else "None"
                for i, c in enumerate(case.given.cotangents)
            ]
            lines += [f"g = ({', '.join(ends)})"]
        else:
            lines += [f"g = {drawn.format(0, 'output')}"]
        key = repr(own) if self.by_name else str(names.index(own))
        lines += [f"got = backward(g){f'[{key}]' if len(names) > 1 or self.by_name else ''}{place}"]
        lines += [f"step = np.zeros_like({_word(own)}); step{place} = h = 1e-6 * max(1, abs({_word(own)}{place}))"]
        sums = "sum((a * c).sum() for a, c in zip({}[0], g) if c is not None)" if several else "({}[0] * g).sum()"
        ahead, behind = (sums.format(f"{word}({beside.format(by)})") for by in ("+", "-"))
        lines += [f"wanted = ({ahead} - {behind}) / (2 * h)"]
        return "\n".join(lines)


def called(own: Any) -> str:
    """What to call a function."""
    name = getattr(own, "__name__", None) or type(own).__name__
    return name if name != "<lambda>" else "lambda"


def _word(name: str) -> str:
    return name if name.isidentifier() else f"input{name}"


def seed_of(seed: Any) -> int:
    """Return a seed that is one.

    Raises
    ------
    ValueError
        It is none.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed: is {seed!r}, wanted an integer from 0")
    return seed


def _named(forward: Callable[..., Any], inputs: Any) -> dict[str, Array]:
    """Inputs by name: those that were given, the names of forward's arguments, or numbers."""
    if not callable(forward):
        raise ValueError(f"forward: is {shown(forward)}, wanted a function")
    if isinstance(inputs, Mapping):
        named = dict(inputs)
        if not all(isinstance(name, str) for name in named):
            raise ValueError("inputs: a dict has the names of forward's arguments as its keys")
    else:
        given = list(inputs) if isinstance(inputs, tuple | list) else [inputs]
        named = dict(zip(arguments_of(forward, len(given)), given))
    for name, x in named.items():
        if not isinstance(x, np.ndarray | np.generic) or x.dtype.kind not in "fciub":
            what = f"an array of {x.dtype}" if isinstance(x, np.ndarray) else shown(x)
            raise ValueError(f"input {name}: is {what}, wanted a NumPy array of numbers")
    return {name: np.array(x) for name, x in named.items()}


def arguments_of(forward: Callable[..., Any], count: int) -> list[str]:
    """Name so many positional arguments of a function; by numbers where it does not."""
    try:
        parameters = inspect.signature(forward).parameters.values()
    except (TypeError, ValueError):  # what is compiled may have none
        return [str(i) for i in range(count)]
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return names[:count] if len(names) >= count else [str(i) for i in range(count)]
