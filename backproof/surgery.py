"""What other mistakes would give inside a layer: PyTorch's own graph, with one of its derivatives replaced.

Layers that torch composes of smaller operations (recurrent ones, attention, many losses) show them in the graph that
autograd walks back. Where one operation passes nothing back, passes its cotangent on as it is, or with the wrong sign,
a branch was detached, a local derivative forgotten, a sign lost.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor as TorchTensor

from backproof.alternatives import Again, Rerun, Tensors
from reference import Perturbation

Change: TypeAlias = Callable[[Any, TorchTensor, TorchTensor], TorchTensor]
"""``change(operation, grad_input, grad_output)`` gives the new gradient of the input."""

LEAST = 4
"""A graph of fewer operations is one operation and what stands around it."""

SINGLE = 4
"""Of more operations of one kind none is changed alone."""

PERIODS = (2, 3, 4)
"""Every so many operations of one kind may belong together: a recurrent layer has the same gates at every step."""


@dataclass(frozen=True)
class Surgery(Perturbation):
    """Disturbs nothing that goes forward, and changes what flows back through chosen operations.

    Attributes
    ----------
    change
        What becomes of the gradient of input ``slot`` of every operation called ``operation``; None: only look.
    which
        Change those of these numbers alone, as they are reached from the output.
    seen
        Every operation with its number among those of its name.
    """

    size: float = 0.0
    phase: float = 0.0
    change: Change | None = None
    operation: str = ""
    slot: int = 0
    which: frozenset[int] | None = None
    seen: dict[Any, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def __call__(self, x: TorchTensor) -> TorchTensor:
        """Return it as it is, once the operations behind it are prepared."""
        waiting = deque([x.grad_fn] if x.grad_fn is not None else [])
        while waiting:
            operation = waiting.popleft()
            if operation not in self.seen:
                self.seen[operation] = self.counts[operation.name()]
                self.counts[operation.name()] += 1
                if operation.name() == self.operation and (self.which is None or self.seen[operation] in self.which):
                    self._prepare(operation)
                waiting.extend(before for before, _ in operation.next_functions if before is not None)
        return x

    def _prepare(self, operation: Any) -> None:
        change = self.change
        assert change is not None

        def hook(grad_inputs: tuple[Any, ...], grad_outputs: tuple[Any, ...]) -> tuple[Any, ...]:
            changed = list(grad_inputs)
            if changed[self.slot] is not None and grad_outputs[0] is not None:
                changed[self.slot] = change(operation, changed[self.slot], grad_outputs[0])
            return tuple(changed)

        operation.register_hook(hook)


def _nothing(operation: Any, grad_input: TorchTensor, grad_output: TorchTensor) -> TorchTensor:
    return torch.zeros_like(grad_input)


def _negative(operation: Any, grad_input: TorchTensor, grad_output: TorchTensor) -> TorchTensor:
    return -grad_input


def _unchanged(operation: Any, grad_input: TorchTensor, grad_output: TorchTensor) -> TorchTensor:
    if grad_input.shape != grad_output.shape:
        raise ValueError("the cotangent has another shape than the input")
    return grad_output


def _of_result(rule: Callable[[TorchTensor], TorchTensor]) -> Change:
    """Take a function of what the operation returned for its derivative."""

    def change(operation: Any, grad_input: TorchTensor, grad_output: TorchTensor) -> TorchTensor:
        return grad_output * rule(operation._saved_result)

    return change


CHANGES: dict[str, Change] = {
    "nothing flowing back to input {slot} of {name}": _nothing,
    "the derivative of {name} (input {slot}) taken for 1": _unchanged,
    "the wrong sign for input {slot} of {name}": _negative,
}
OF_ITS_OWN: dict[str, dict[str, Change]] = {
    "softmax": {
        "only the diagonal of the Jacobian of {name}": _of_result(lambda y: y * (1 - y)),
        "the sum in the derivative of {name} missing": _of_result(lambda y: y),
    },
    "sigmoid": {
        "the derivative of {name} taken for its value y": _of_result(lambda y: y),
        "the derivative of {name} taken for 1 - y": _of_result(lambda y: 1 - y),
        "the derivative of {name} taken for 1 - y^2": _of_result(lambda y: 1 - y * y),
        "the derivative of {name} taken for {name}(y)": _of_result(torch.sigmoid),
    },
    "tanh": {
        "the derivative of {name} taken for its value y": _of_result(lambda y: y),
        "the derivative of {name} taken for 1 - y": _of_result(lambda y: 1 - y),
        "the derivative of {name} taken for y (1 - y)": _of_result(lambda y: y * (1 - y)),
        "the derivative of {name} taken for {name}(y)": _of_result(torch.tanh),
    },
}


def cuts(again: Again) -> Iterator[Rerun]:
    """Yield what the layer gives when operations in it go back wrongly: all of one kind, some, or one."""
    look = Surgery()
    again(perturb=look)
    slots = {operation.name(): len(operation.next_functions) for operation in look.seen}
    if len(look.seen) < LEAST:
        return  # a single operation: then the layer is it
    for name in look.counts:
        called = name.removesuffix("0").removesuffix("Backward").lower()
        own = OF_ITS_OWN.get(called, {})
        in_order = sorted((o for o in look.seen if o.name() == name), key=lambda o: int(o._sequence_nr()))
        for words, change in (own | CHANGES).items():
            for slot in range(slots[name]):
                told = f"is that with {words.format(name=called, slot=slot)}"
                surgery = partial(_operated, again, change, name, slot)
                yield told, partial(surgery, None)
                for which, numbers in _some(in_order, look.seen, bool(own)).items():
                    yield f"{told}, {which}", partial(surgery, numbers)


def _some(operations: list[Any], numbers: Mapping[Any, int], periodic: bool) -> dict[str, frozenset[int]]:
    """Choose among operations of one kind: every n-th (a gate at every step, say), single ones where they are few."""
    count, some = len(operations), {}
    for n in PERIODS if periodic else ():
        if count % n == 0 and count > n:
            for first in range(n):
                which = f"every {n}th of them from number {first + 1} (a gate, say)"
                some[which] = frozenset(numbers[o] for o in operations[first::n])
    if 1 < count <= SINGLE:
        some |= {f"number {i + 1} of {count} alone": frozenset([numbers[o]]) for i, o in enumerate(operations)}
    return some


def _operated(again: Again, change: Change, operation: str, slot: int, which: frozenset[int] | None) -> Tensors | None:
    return again(perturb=Surgery(change=change, operation=operation, slot=slot, which=which))
