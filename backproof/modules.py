"""A verdict on a torch.nn.Module, an autograd.Function, or any function of tensors with a hand-written backward."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor as TorchTensor

from backproof import autograd_modes
from backproof.alone import Given
from backproof.case import Case, cotangent
from backproof.checking import seed_of
from backproof.randomness import Held
from backproof.single import checked
from backproof.tensors import Tensors, as_array
from reports import Agreement
from reports.agreement import SECOND_ORDER


def check_module(
    module: Any,
    *inputs: Any,
    seed: int = 0,
    second_order: bool = False,
    eps: float | None = None,
    atol: float = 0.0,
    rtol: float = 0.0,
    raise_exception: bool = True,
    nondet_tol: float | None = None,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> Agreement:
    """Check a module's or a function's backward against differences of its own forward, coordinate by coordinate.

    The arguments are those of ``torch.autograd.gradcheck``; docs/checking.md says what becomes of each.

    Parameters
    ----------
    module
        A ``torch.nn.Module`` (its parameters are checked, too), an ``autograd.Function`` class (its ``apply`` is used),
        or a function of tensors. Outputs may be nested in tuples, lists and dicts. What is handed over stays as it is.
    inputs
        What it is called with, tensors among it, also nested; one tuple alone is unpacked, as gradcheck does. Checked
        are those that require a gradient; if none does, all floating and complex ones.
    seed
        Of the random cotangents: output i gets ``numpy.random.default_rng([seed, i]).standard_normal(shape)``.
    second_order
        Check the backward of the backward, too, as ``gradgradcheck`` does.
    eps, fast_mode, masked
        Taken for gradcheck's sake, and without effect: steps are chosen for each coordinate, all coordinates are looked
        at, sparse inputs are refused.
    atol, rtol
        An error that is called agreement all the same; by default what rounding explains, and no more.
    raise_exception
        Whether to raise if it disagrees.
    nondet_tol
        How far two runs may differ; by default within rounding.
    check_undefined_grad
        Whether backward must take undefined gradients for zeros.
    check_grad_dtypes
        Whether gradients must have the dtype of what they are gradients of.
    check_batched_grad, check_batched_forward_grad
        Whether gradients, and forward-mode derivatives, must be the same under ``vmap``.
    check_forward_ad, check_backward_ad
        Whether forward mode, and backward mode, are checked.

    Returns
    -------
    The agreement, true in a condition if it agrees.

    Raises
    ------
    reports.DisagreementError
        Something is wrong with it; an ``AssertionError``.
    ValueError
        There is nothing to check, or it cannot be: no floating tensor, a sparse one.
    """
    del eps, fast_mode, masked
    if not (check_forward_ad or check_backward_ad):
        raise ValueError("check_forward_ad, check_backward_ad: neither is wanted, and nothing is left to check")
    if check_batched_forward_grad and not check_forward_ad:
        raise ValueError("check_batched_forward_grad: goes with check_forward_ad")
    if check_batched_grad and not check_backward_ad:
        raise ValueError("check_batched_grad: goes with check_backward_ad")
    if len(inputs) == 1 and isinstance(inputs[0], tuple):
        inputs = inputs[0]
    subject = Tensors(module, inputs)
    wanted = {
        autograd_modes.undefined: check_undefined_grad and check_backward_ad,
        autograd_modes.batched: check_batched_grad,
        autograd_modes.forward: check_forward_ad,
        autograd_modes.batched_forward: check_batched_forward_grad,
    }
    case = Case(
        subject,
        Given(subject.parameters, subject.inputs, (), seed=seed_of(seed)),
        subject.checked,
        nondet_tol=nondet_tol,
        tolerance=(atol, rtol),
        check_grad_dtypes=check_grad_dtypes,
        backward=check_backward_ad,
        more=tuple(partial(mode, subject) for mode, on in wanted.items() if on),
    )
    with Held():
        agreement = checked(case)
        if second_order and agreement.agrees and check_backward_ad:
            agreement = _with_second_order(agreement, subject, case)
    if raise_exception:
        agreement.raise_for_disagreement()
    return agreement


def _with_second_order(agreement: Agreement, subject: Tensors, case: Case) -> Agreement:
    """Check how the gradients change with what they are made of, the cotangents among it."""
    given = subject.tensors({**case.given.parameters, **case.given.inputs})
    outputs = subject.call(given)
    drawn = {i: cotangent(as_array(y), i, case.given.seed, "float64") for i, y in enumerate(outputs) if y.requires_grad}
    cotangents = [torch.from_numpy(c).to(outputs[i]).requires_grad_() for i, c in drawn.items()]
    names = list(given)

    def gradients(*tensors: TorchTensor) -> tuple[TorchTensor, ...]:
        leaves = dict(zip(names, tensors))
        leaves = {
            n: x if x.requires_grad or n not in subject.checked else x.requires_grad_() for n, x in leaves.items()
        }
        ends = [y for y in subject.call(leaves) if y.requires_grad]
        found = torch.autograd.grad(
            ends,
            [leaves[name] for name in subject.checked],
            tensors[len(names) :],
            create_graph=True,
            allow_unused=True,
        )
        return tuple(g for g in found if g is not None)

    gradients.__name__ = f"gradients of {subject.name}"
    second = Tensors(gradients, [*given.values(), *cotangents])
    names_of = dict(zip(second.inputs, [*names, *(f"cotangent {i}" for i in range(len(cotangents)))]))
    found = checked(
        Case(second, Given({}, second.inputs, (), seed=case.given.seed), second.checked, tolerance=case.tolerance)
    )
    tensors = tuple(
        replace(
            t,
            node=case.node.name,
            op=case.node.op,
            name=names_of.get(t.name, t.name),
            against=SECOND_ORDER if t.kind in ("input", "output") else t.against,
        )
        for t in found.tensors
    )
    wrong = not found.agrees
    diagnosis = re.sub(r"\b(gradient of|input) (\d+)\b", lambda m: f"{m[1]} {names_of[m[2]]}", found.diagnosis or "")
    if found.disagreements and all(t.got is None and t.note.startswith("missing") for t in found.disagreements):
        diagnosis = "nothing comes back through backward: it cannot be differentiated again (once_differentiable?)"
    return replace(
        agreement,
        tensors=(*agreement.tensors, *tensors),
        seconds=agreement.seconds + found.seconds,
        culprit=case.node.name if wrong else None,
        op=case.node.op if wrong else None,
        fault="backward" if wrong else None,
        diagnosis=f"of second order, {diagnosis}" if diagnosis else None,
        failure=f"of second order, {found.failure}" if found.failure else None,
    )
