"""What else PyTorch asks of a backward: undefined gradients, forward mode, and both under vmap."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor as TorchTensor
from torch.autograd import forward_ad

from backproof.case import Case
from backproof.judging import judged, rounding
from backproof.tensors import Tensors, as_array
from reference.differences import derivative_of_each
from reference.run import Array, magnitude
from reports import TensorAgreement

UNDEFINED, VMAP, FORWARD_MODE = "undefined gradients", "vmap", "forward mode"
DIRECTIONS = 4
ROWS = 3
"""So many cotangents, or tangents, are batched."""


class _Undefined(torch.autograd.Function):
    """The same tensor, to which an undefined gradient comes back."""

    @staticmethod
    def forward(ctx: Any, x: TorchTensor) -> TorchTensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return None


def undefined(subject: Tensors, case: Case) -> Iterator[TensorAgreement]:
    """Backward must take an undefined gradient of each output, and of all, for zeros."""
    leaves, outputs = _called(subject, case)
    count = len(outputs)
    for which in ([i] for i in range(count)) if count > 1 else ([0],):
        words = _of_undefined(leaves, outputs, which)
        if words:
            yield case.told(words, name=UNDEFINED)
            return
    if count > 1 and (words := _of_undefined(leaves, outputs, list(range(count)))):
        yield case.told(words, name=UNDEFINED)


def _of_undefined(leaves: list[TorchTensor], outputs: list[TorchTensor], which: list[int]) -> str:
    what = f"an undefined gradient (None) of {'the output' if len(outputs) == 1 else f'output {which[0]}'}"
    if len(which) > 1:
        what = "undefined gradients (None) of all outputs"
    undefined_of: Any = _Undefined.apply
    ends = [undefined_of(y) if i in which else y for i, y in enumerate(outputs)]
    try:
        found = torch.autograd.grad(
            ends, leaves, [torch.zeros_like(y) for y in outputs], retain_graph=True, allow_unused=True
        )
    except Exception as error:
        return f"backward fails on {what}: {type(error).__name__}: {error}"
    if any(g is not None and bool((g != 0).any()) and bool(torch.isfinite(g).all()) for g in found):
        return f"backward does not take {what} for zeros"
    return ""


def batched(subject: Tensors, case: Case) -> Iterator[TensorAgreement]:
    """Gradients for several cotangents at once, by vmap, must be those one by one."""
    leaves, outputs = _called(subject, case)
    rows = [torch.stack([_drawn(y, case.given.seed, row) for row in range(ROWS)]) for y in outputs]
    try:
        together = torch.autograd.grad(
            outputs, leaves, rows, retain_graph=True, allow_unused=True, is_grads_batched=True
        )
    except Exception as error:
        yield case.told(
            f"backward does not run under vmap: {type(error).__name__}: {str(error).splitlines()[0]}", name=VMAP
        )
        return
    for row in range(ROWS):
        single = torch.autograd.grad(outputs, leaves, [r[row] for r in rows], retain_graph=True, allow_unused=True)
        for name, a, b in zip(subject.checked, together, single):
            if not _near(None if a is None else a[row], b, outputs):
                yield case.told(f"under vmap, backward gives another gradient of {name}", name=VMAP)
                return


def forward(subject: Tensors, case: Case) -> Iterator[TensorAgreement]:
    """Forward-mode derivatives against differences, for every entry of the outputs, along random directions."""
    given = case.given
    arrays = {name: array for name, array in {**given.parameters, **given.inputs}.items() if name in subject.checked}
    for number in range(DIRECTIONS):
        along = {name: _direction(array, given.seed, number) for name, array in arrays.items()}
        try:
            found = _pushed(subject, case, along)
        except Exception as error:
            text = str(error).splitlines()[0]
            yield case.told(f"forward mode fails: {type(error).__name__}: {text}", name=FORWARD_MODE)
            return
        yield from _against_differences(subject, case, along, found, number)


def _against_differences(
    subject: Tensors, case: Case, along: Mapping[str, Array], found: list[Array | None], number: int
) -> Iterator[TensorAgreement]:
    rest = {**case.given.parameters, **case.given.inputs}
    for i, tangent in enumerate(found):
        if case.given.cotangents[i] is None:
            continue

        def shifted(t: float, i: int = i) -> Array:
            moved = {name: x + np.asarray(t * along[name], x.dtype) if name in along else x for name, x in rest.items()}
            y = as_array(subject.call(subject.tensors(moved, gradients=False))[i])
            return np.stack([y.real, y.imag], -1) if np.iscomplexobj(y) else y

        flat = np.concatenate([np.ravel(a) for a in along.values()]).real
        values = np.concatenate([np.ravel(rest[name]) for name in along])
        estimate = derivative_of_each(shifted, np.asarray(values.real), np.asarray(flat, values.real.dtype))
        got = tangent
        if got is not None and np.iscomplexobj(got):
            got = np.stack([got.real, got.imag], -1)
        if got is None and not np.nan_to_num(estimate.value).any():
            got = np.zeros(estimate.value.shape)
        known = np.isfinite(estimate.bound)
        came = np.zeros(estimate.value.shape) if got is None or got.shape != known.shape else got
        want = np.where(known, np.clip(came, estimate.lower, estimate.upper), came)
        size = magnitude(estimate.value)
        dtype = subject.dtype or str(values.real.dtype)
        yield judged(
            got,
            want,
            bound=np.where(known, estimate.bound, 0.0) + rounding(size, dtype, values.size),
            terms=size,
            dtype=dtype,
            labels={"node": case.node.name, "op": case.node.op, "kind": "output", "name": str(i)},
            against=f"differences, {FORWARD_MODE}",
        )


def batched_forward(subject: Tensors, case: Case) -> Iterator[TensorAgreement]:
    """Forward-mode derivatives along several directions at once, by vmap, must be those one by one."""
    given = case.given
    every = {**given.parameters, **given.inputs}
    tensors = subject.tensors(every, gradients=False)
    names = subject.checked
    rows = [torch.stack([_as(tensors[n], _direction(every[n], given.seed, row)) for row in range(ROWS)]) for n in names]

    def push(*tangents: TorchTensor) -> Any:
        here = tuple(tensors[n] for n in names)
        return torch.func.jvp(lambda *moved: subject.call({**tensors, **dict(zip(names, moved))}), here, tangents)[1]

    try:
        with _quiet():
            together = torch.func.vmap(push)(*rows)
            single = [push(*(r[row] for r in rows)) for row in range(ROWS)]
    except Exception as error:
        text = str(error).splitlines()[0]
        yield case.told(f"forward mode does not run under vmap: {type(error).__name__}: {text}", name=VMAP)
        return
    for row in range(ROWS):
        for i, (a, b) in enumerate(zip(together, single[row])):
            if not _near(a[row], b, [b]):
                yield case.told(f"under vmap, forward mode gives another derivative of output {i}", name=VMAP)
                return


@contextmanager
def _quiet() -> Iterator[None]:
    """Without PyTorch's warnings of how it decomposes operations itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _pushed(subject: Tensors, case: Case, along: Mapping[str, Array]) -> list[Array | None]:
    tensors = subject.tensors({**case.given.parameters, **case.given.inputs}, gradients=False)
    with _quiet(), forward_ad.dual_level():
        duals = {n: forward_ad.make_dual(x, _as(x, along[n])) if n in along else x for n, x in tensors.items()}
        found = [forward_ad.unpack_dual(y).tangent for y in subject.call(duals)]
        return [None if y is None else as_array(y) for y in found]


def _called(subject: Tensors, case: Case) -> tuple[list[TorchTensor], list[TorchTensor]]:
    """Its leaves, and the outputs that require a gradient."""
    tensors = subject.tensors({**case.given.parameters, **case.given.inputs})
    outputs = [y for y in subject.call(tensors) if y.requires_grad]
    return [tensors[name] for name in subject.checked], outputs


def _direction(array: Array, seed: int, number: int) -> Array:
    """Short random numbers, so that steps along them are exact."""
    rng = np.random.default_rng([seed, number, array.size])
    drawn = rng.integers(1, 257, array.shape) * rng.choice([-1, 1], array.shape) / 256
    return np.asarray(drawn, array.real.dtype)


def _drawn(y: TorchTensor, seed: int, row: int) -> TorchTensor:
    return torch.from_numpy(np.random.default_rng([seed, row, 1]).standard_normal(tuple(y.shape))).to(y.device, y.dtype)


def _as(x: TorchTensor, array: Array) -> TorchTensor:
    return torch.from_numpy(np.array(array)).to(x.device, x.dtype)


def _near(a: TorchTensor | None, b: TorchTensor | None, outputs: list[TorchTensor]) -> bool:
    if a is None or b is None:
        return all(one is None or not bool(one.any()) for one in (a, b))
    eps = torch.finfo(b.dtype).eps
    count = max(b.numel(), *(y.numel() for y in outputs))
    allowed = (8 + count**0.5) * eps * float(b.abs().max()) if b.numel() else 0.0
    same = (a == b) | (a.isnan() & b.isnan()) | ((a - b).abs() <= allowed)
    return a.shape == b.shape and bool(same.all())
