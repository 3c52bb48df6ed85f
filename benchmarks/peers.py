"""What else checks gradients today, with its default settings, on the same functions: gradcheck and JAX."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from backproof.implementations import Pass
from backproof.running import call, go_back
from benchmarks.injection import Case
from reference.run import Array


class Alone:
    """The node of a case as a function of its floating parameters and inputs, run by the case's implementation.

    Attributes
    ----------
    given
        The arrays at which it is checked, parameters first; buffers, indices, noise and arrays without elements, which
        gradcheck refuses, stay as they are.
    """

    def __init__(self, case: Case) -> None:
        alone = case.verification.alone[case.node.name]
        self._case, self._twin, self._values = case, alone.twin, alone.values
        own = alone.values.parameters[case.node.name]
        buffers = alone.twin.buffers.get(case.node.name, ())
        self._names = [name for name, x in own.items() if name not in buffers and x.size]
        self._floating = [name for name, x in alone.values.inputs.items() if x.dtype.kind == "f" and x.size]
        self.given = [*(own[name] for name in self._names), *(alone.values.inputs[name] for name in self._floating)]
        self._ends = [i for i, y in enumerate(self._run(self.given)[0].outputs) if y.dtype.kind == "f"]

    def _run(self, given: Sequence[Array]) -> tuple[Pass, tuple[Array, ...], dict[str, Array]]:
        node, values = self._case.node, self._values
        parameters = {**values.parameters[node.name], **dict(zip(self._names, given))}
        inputs = tuple({**values.inputs, **dict(zip(self._floating, given[len(self._names) :]))}.values())
        noise = values.noise.get(node.name, ())
        with np.errstate(all="ignore"):
            done = call(self._case.implementation, node, parameters, inputs, self._twin.architecture.training, noise)
        return done, inputs, parameters

    def forward(self, given: Iterable[Any]) -> tuple[Array, ...]:
        """Run forward; only floating outputs count."""
        done = self._run([np.asarray(x) for x in given])[0]
        return tuple(np.array(done.outputs[i]) for i in self._ends)

    def backward(self, given: Iterable[Any], cotangents: Iterable[Any]) -> tuple[Array, ...]:
        """Run forward and backward: one gradient for each array given, zeros where none flows."""
        done, inputs, parameters = self._run([np.asarray(x) for x in given])
        arriving: dict[int, Array] = dict(zip(self._ends, map(np.asarray, cotangents)))
        with np.errstate(all="ignore"):
            grads, own = go_back(
                self._case.node, done, tuple(arriving.get(i) for i in range(len(done.outputs))), inputs, parameters
            )
        incoming = dict(zip(self._values.inputs, grads))
        found = [*(own.get(name) for name in self._names), *(incoming[name] for name in self._floating)]
        return tuple(np.zeros(x.shape) if g is None else np.array(g) for x, g in zip(self.given, found))


Accepts = Callable[[], bool]
"""Asks a checker whether it accepts the gradients of one function, as the function is now."""


def gradcheck(case: Case, fast: bool) -> Accepts:
    """``torch.autograd.gradcheck``, the passes of the implementation in an ``autograd.Function``."""
    alone = Alone(case)

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, *given: Any) -> Any:
            context.save_for_backward(*given)
            return tuple(map(torch.from_numpy, alone.forward(given)))

        @staticmethod
        def backward(context: Any, *cotangents: Any) -> Any:
            return tuple(map(torch.from_numpy, alone.backward(context.saved_tensors, cotangents)))

    def accepts() -> bool:
        leaves = [torch.tensor(x, requires_grad=True) for x in alone.given]
        return torch.autograd.gradcheck(Function.apply, leaves, fast_mode=fast, raise_exception=False)

    return accepts


def has_jax() -> bool:
    """Whether JAX is installed."""
    return find_spec("jax") is not None


def jax_check_grads(case: Case) -> Accepts:
    """``jax.test_util.check_grads`` in reverse mode, the passes of the implementation in a ``custom_vjp``."""
    import jax
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_enable_async_dispatch", False)  # a callback that waits for its arguments may hang
    alone = Alone(case)

    def like(arrays: Iterable[Array]) -> Any:
        return tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays)

    ahead, back = like(alone.forward(alone.given)), like(alone.given)

    def forward(*given: Any) -> Any:
        return jax.pure_callback(alone.forward, ahead, given)

    def remembering(*given: Any) -> Any:
        return forward(*given), given

    def backward(given: Any, cotangents: Any) -> Any:
        return jax.pure_callback(alone.backward, back, given, cotangents)

    function = jax.custom_vjp(forward)
    function.defvjp(remembering, backward)

    def accepts() -> bool:
        try:
            check_grads(function, alone.given, order=1, modes=["rev"])
        except AssertionError:
            return False
        return True

    return accepts
