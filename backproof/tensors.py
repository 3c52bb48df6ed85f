"""What runs on tensors, run on arrays: a module, an autograd.Function, any function of tensors."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor as TorchTensor
from torch.func import functional_call
from torch.nn.parameter import is_lazy
from torch.utils import _pytree as pytree

from backproof.case import Case, Malformed, Subject
from backproof.checking import arguments_of, called
from backproof.implementations import Pass
from reference import Node, Tensor
from reference.gradients import dense
from reference.run import Array
from reports.agreement import shown

NAMES = {torch.bfloat16: "bfloat16"}
"""Floating dtypes that NumPy has not; their numbers come in float32."""


class Tensors(Subject):
    """A function of tensors with what it is called with.

    Parameters
    ----------
    module
        A module, an ``autograd.Function`` class, or a function.
    given
        What it is called with; tensors may be nested in tuples, lists and dicts.

    Raises
    ------
    ValueError
        There is no tensor that could be differentiated, or one that cannot be.
    """

    def __init__(self, module: Any, given: Sequence[Any]) -> None:
        function = isinstance(module, type) and issubclass(module, torch.autograd.Function)
        if not (function or callable(module)):
            raise ValueError(f"module: is {shown(module)}, wanted a module, an autograd.Function or a function")
        super().__init__(called(module))
        self._own: Any = module.apply if function else module
        self._module = module if isinstance(module, torch.nn.Module) else None
        self._copies: dict[tuple[torch.dtype | None, bool], torch.nn.Module] = {}
        owned = dict(self._module.named_parameters()) if self._module is not None else {}
        self._tree, self._tensors = _flat(module, given, owned)
        for name, p in owned.items():
            if is_lazy(p):
                raise ValueError(f"parameter {name}: is not initialized yet; run the module once before")
        trained = {name: p for name, p in owned.items() if p.requires_grad and _real(p)}
        tensors = {name: x for name, x in self._tensors.items() if isinstance(x, TorchTensor)}
        for name, x in tensors.items():
            if x.layout != torch.strided:
                raise ValueError(f"input {name}: is sparse ({x.layout}); make it a function of its values")
        asked = any(x.requires_grad for x in tensors.values())
        differentiated = tuple(n for n, x in tensors.items() if _real(x) and (x.requires_grad or not asked))
        self.checked = (*trained, *differentiated)
        if not self.checked:
            found = ", ".join(f"{name} {x.dtype}" for name, x in tensors.items()) or "none"
            raise ValueError(f"no floating or complex tensor that could be differentiated (inputs: {found})")
        self.kinds = {name: x.dtype for name, x in (*trained.items(), *tensors.items())}
        self.devices = {name: x.device for name, x in (*trained.items(), *tensors.items())}
        self.parameters = {name: as_array(p) for name, p in trained.items()}
        self.inputs = {name: as_array(x) for name, x in tensors.items()}
        self._carries: tuple[bool, ...] = ()
        self._batches = True
        self.dtype = next((NAMES[kind] for kind in self.kinds.values() if kind in NAMES), None)

    def flowing(self, outputs: tuple[Array, ...]) -> tuple[bool, ...]:
        """Those that require a gradient; if none does, all that could."""
        able = super().flowing(outputs)
        carries = tuple(a and c for a, c in zip(able, self._carries))
        return carries if any(carries) else able

    def call(self, tensors: Mapping[str, TorchTensor], apart: bool = False) -> tuple[TorchTensor, ...]:
        """Call it, or a copy that is kept apart, with other tensors, by name; return what tensors it yields."""
        self.randomness.start()
        wider = next((x.dtype for n, x in tensors.items() if n in self.checked and x.dtype != self.kinds[n]), None)
        flat = [tensors.get(name, self._constant(x, wider)) for name, x in self._tensors.items()]
        arguments = pytree.tree_unflatten(flat, self._tree)
        if self._module is None:
            found = self._own(*arguments)
        else:
            module = self._copy(wider, apart)
            buffers = {name: b.clone() for name, b in module.named_buffers()}
            held = {name: tensors[name] for name in self.parameters}
            found = functional_call(module, {**buffers, **held}, tuple(arguments))
        leaves = pytree.tree_leaves(found)
        outputs = tuple(y for y in leaves if isinstance(y, TorchTensor))
        if not outputs:
            raise Malformed(f"returns {shown(found)}, wanted a tensor, or several")
        return outputs

    def _constant(self, x: Any, wider: torch.dtype | None) -> Any:
        if not isinstance(x, TorchTensor):
            return x
        return _converted(x.detach().clone(), wider)

    def many(
        self, parameters: Mapping[str, Array], inputs: tuple[Array, ...], key: str | int, stack: Array
    ) -> tuple[Array, ...] | None:
        """Run a copy of the module under ``vmap``, on many values of one array; None if vmap refuses.

        Not of a function: what it keeps for itself would be spoiled for those who run it afterwards.
        """
        name = key if isinstance(key, str) else list(self.inputs)[key]
        if self._module is None or not self._batches:
            return None
        try:
            given = self.tensors({**parameters, **dict(zip(self.inputs, inputs)), name: stack})
            many = given.pop(name)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outputs = torch.vmap(lambda z: self.call({**given, name: z}, apart=True))(many)
            return tuple(map(as_array, outputs))
        except Exception:  # it decides by its numbers, draws, writes in place, or leaves the tensors: one by one, then
            self._batches = False
            return None

    def _copy(self, dtype: torch.dtype | None, apart: bool) -> torch.nn.Module:
        """The module, in another dtype: a copy, so that what it keeps for itself is not seen by anyone."""
        assert self._module is not None
        if (dtype, apart) not in self._copies:
            try:
                twin = copy.deepcopy(self._module)
            except (
                Exception
            ):  # what holds a lock or a handle cannot be copied; its parameters and buffers are not touched
                if dtype is not None or apart:
                    raise
                twin = self._module
            if dtype is not None:
                for p in twin.parameters():
                    p.data = _converted(p.data, dtype)
                for part in twin.modules():
                    for name, b in part.named_buffers(recurse=False):
                        setattr(part, name, _converted(b, dtype))
            self._copies[dtype, apart] = twin
        return self._copies[dtype, apart]

    def tensors(self, arrays: Mapping[str, Array], gradients: bool = True) -> dict[str, TorchTensor]:
        """Make tensors of arrays, in their own dtypes, or in those of the arrays where these are others."""
        made = {}
        for name, array in arrays.items():
            x = torch.from_numpy(array if array.flags.writeable else array.copy(order="K")).to(self.devices[name])
            kind = self.kinds[name]
            if x.dtype == (torch.float32 if kind in NAMES else kind):
                x = x.to(kind)
            made[name] = x.requires_grad_(gradients and name in self.checked)
        return made

    def forward(
        self, node: Node, parameters: Mapping[str, Array], inputs: tuple[Array, ...], *, training: bool, noise: Any
    ) -> Pass:
        """Run it."""
        tensors = self.tensors({**parameters, **dict(zip(self.inputs, inputs))})
        outputs = self.call(tensors)
        self._carries = tuple(y.requires_grad for y in outputs)
        if all(x.dtype == self.kinds[name] for name, x in tensors.items()):
            coarse = [NAMES[x.dtype] for x in (*tensors.values(), *outputs) if x.dtype in NAMES]
            self.dtype = coarse[0] if coarse else None
        names = [name for name in tensors if name in self.checked]

        def backward(grad_outputs: tuple[Array | None, ...]) -> tuple[Sequence[Array | None], Mapping[str, Array]]:
            pairs = [(y, c) for y, c in zip(outputs, grad_outputs) if c is not None and y.requires_grad]
            found: dict[str, Array] = {}
            if pairs:
                ends = [y for y, _ in pairs]
                cotangents = [torch.from_numpy(np.array(c)).to(y.device, y.dtype) for y, c in pairs]
                grads = torch.autograd.grad(
                    ends, [tensors[name] for name in names], cotangents, retain_graph=True, allow_unused=True
                )
                found = {name: as_array(dense(g)) for name, g in zip(names, grads) if g is not None}
            own = {name: found[name] for name in parameters if name in found}
            return [found.get(name) for name in self.inputs], own

        return Pass(tuple(map(as_array, outputs)), backward)

    def program(self, case: Case, name: Tensor, index: tuple[int, ...]) -> str:
        """Write a few lines that show one entry of a gradient, and its difference quotient."""
        place = f"[{', '.join(map(str, index))}]" if index else "[()]"
        flowing = [i for i, c in enumerate(case.given.cotangents) if c is not None]
        several = len(case.given.cotangents) > 1
        word = self.name if self.name.isidentifier() else "function"
        own = f"module.{name.name}" if name.kind == "parameter" else _word(name.node)
        lines = [f"# inputs: {case.named({_word(n): x for n, x in case.given.inputs.items()})}"]
        function = "module" if self._module is not None else word
        if self._module is not None:
            lines[0] += f"; module: the {word} that was checked"
        given = ", ".join(map(_word, case.given.inputs))
        drawn = f"torch.from_numpy(np.random.default_rng([{case.given.seed}, {{}}]).standard_normal({{}}.shape))"
        lines += ["def loss():"]
        ends = [f"y[{i}]" if several else "y" for i in flowing]
        terms = " + ".join(f"(({end}) * {drawn.format(i, end)}).sum()" for i, end in zip(flowing, ends))
        lines += [f"    y = {function}({given})", f"    return {terms}"]
        lines += [f"got = torch.autograd.grad(loss(), {own})[0]{place}", "with torch.no_grad():"]
        lines += [f"    h = 1e-6 * max(1, abs({own}{place}))"]
        lines += [f"    {own}{place} += h; ahead = loss(); {own}{place} -= 2 * h; behind = loss(); {own}{place} += h"]
        lines += ["wanted = (ahead - behind) / (2 * h)"]
        return "\n".join(lines)


def _flat(module: Any, given: Sequence[Any], taken: Container[str]) -> tuple[Any, dict[str, Any]]:
    """What is given, flat, by names: those of the arguments and the way into them; and how it is nested."""
    leaves, tree = pytree.tree_flatten_with_path(tuple(given))
    function = getattr(module, "forward", module)
    context = isinstance(module, type) and vars(torch.autograd.Function).get("setup_context") in (
        None,
        getattr(module, "setup_context", None),
    )
    names = arguments_of(function, len(given) + context)[context:]
    if not names or not all(name.isidentifier() for name in names):
        names = [str(i) for i in range(len(given))]
    flat = {}
    for path, leaf in leaves:
        at: Any = path[0]
        name = f"{names[at.idx]}{pytree.keystr(path[1:])}"
        flat[name if name not in taken else f"input {name}"] = leaf
    return tree, flat


def _real(x: TorchTensor) -> bool:
    return x.is_floating_point() or x.is_complex()


def _converted(x: TorchTensor, dtype: torch.dtype | None) -> TorchTensor:
    """Bring real numbers to a real dtype, and complex ones to its complex one; integers stay."""
    if dtype is None or not _real(x):
        return x
    real = dtype.to_real() if dtype.is_complex else dtype
    return x.to(real.to_complex() if x.is_complex() else real)


def _word(name: str) -> str:
    return name if name[:1].isalpha() else f"input{name}"


def as_array(x: TorchTensor) -> Array:
    """The numbers of a tensor, in float32 where NumPy has not its dtype."""
    x = dense(x.detach()).resolve_conj().resolve_neg().cpu()
    return np.array((x.float() if x.dtype in NAMES else x).numpy())
