"""What other mistakes would give inside a layer: PyTorch's own graph, with one of its derivatives replaced.

Layers that torch composes of smaller operations (recurrent ones, attention, many losses) show them in the graph that
autograd walks back. Where one operation passes nothing back, passes its cotangent on as it is, or with the wrong sign,
a branch was detached, a local derivative forgotten, a sign lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor as TorchTensor

from backproof.alternatives import Again
from reference.twin import Perturbation
from reports.evidence import Alternative

Change: TypeAlias = Callable[[Any, TorchTensor, TorchTensor], TorchTensor]
"""``change(operation, grad_input, grad_output)`` gives the new gradient of the input."""

SINGLE = 40
"""Operations beyond so many are changed kind by kind only, not one by one."""


@dataclass(frozen=True)
class Surgery(Perturbation):
    """Disturbs nothing that goes forward, and changes what flows back through chosen operations.

    Attributes
    ----------
    change
        What becomes of the gradient of input ``slot`` of every operation called ``operation``; None: only look.
    which
        Change the one of that number alone, counted from the output.
    seen
        Every operation, in the order in which it was reached from the output.
    """

    size: float = 0.0
    phase: float = 0.0
    change: Change | None = None
    operation: str = ""
    slot: int = 0
    which: int | None = None
    seen: list[Any] = field(default_factory=list)

    def __call__(self, x: TorchTensor) -> TorchTensor:
        """Return it as it is, once the operations behind it are prepared."""
        waiting = [x.grad_fn] if x.grad_fn is not None else []
        while waiting:
            operation = waiting.pop(0)
            if operation in self.seen:
                continue
            self.seen.append(operation)
            self._prepare(operation)
            waiting += [before for before, _ in operation.next_functions if before is not None]
        return x

    def _prepare(self, operation: Any) -> None:
        number = sum(other.name() == self.operation for other in self.seen) - 1
        if self.change is None or operation.name() != self.operation or self.which not in (None, number):
            return
        change = self.change

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


def _diagonal(operation: Any, grad_input: TorchTensor, grad_output: TorchTensor) -> TorchTensor:
    y: TorchTensor = operation._saved_result
    return grad_output * y * (1 - y)


def _without_sum(operation: Any, grad_input: TorchTensor, grad_output: TorchTensor) -> TorchTensor:
    y: TorchTensor = operation._saved_result
    return grad_output * y


CHANGES: dict[str, Change] = {
    "nothing flowing back to input {slot} of {name}": _nothing,
    "the derivative of {name} (input {slot}) taken for 1": _unchanged,
    "the wrong sign for input {slot} of {name}": _negative,
}
OF_SOFTMAX: dict[str, Change] = {
    "only the diagonal of the Jacobian of {name}": _diagonal,
    "the sum in the derivative of {name} missing": _without_sum,
}


def cuts(again: Again) -> Iterator[Alternative]:
    """Yield what the layer gives when one kind of operation in it, or one alone, goes back wrongly."""
    look = Surgery()
    again(perturb=look)
    counts = Counter(operation.name() for operation in look.seen)
    slots = {operation.name(): len(operation.next_functions) for operation in look.seen}
    if len(look.seen) < 4:
        return  # a single operation: then the layer is it
    for name, count in counts.items():
        called = name.removesuffix("0").removesuffix("Backward").lower()
        changes = {**(OF_SOFTMAX if called == "softmax" else {}), **CHANGES}
        for words, change in changes.items():
            for slot in range(slots[name]):
                told = f"is that with {words.format(name=called, slot=slot)}"
                surgery = partial(Surgery, change=change, operation=name, slot=slot)
                yield told, partial(_operated, again, surgery)
                for which in range(count) if count > 1 and len(look.seen) <= SINGLE else ():
                    alone = f"{told}, the one of {count} that is number {which + 1} from the output"
                    yield alone, partial(_operated, again, partial(surgery, which=which))


def _operated(again: Again, surgery: Callable[[], Surgery]) -> Any:
    return again(perturb=surgery())
