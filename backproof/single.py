"""One function of arrays with a backward of its own, checked: no architecture, no reference but its own forward."""

from __future__ import annotations

import hashlib
import json
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from backproof.alone import Alone, Given
from backproof.behaviour import misbehaviour
from backproof.case import Case, Malformed, cotangent, dtype_of
from backproof.differencing import Derivative, differentiated, judged_by_differences
from backproof.explaining import explain
from backproof.judging import AT_A_KINK, looked_at, rounding, within
from backproof.listening import tell
from backproof.noise import Noise
from backproof.running import ImplementationFailed, WrongArray
from reference import Tensor
from reference.architecture import SCHEMA
from reference.run import Array, is_numeric, magnitude
from reference.steps import CONFIRMED
from reports import Agreement, TensorAgreement, diagnose
from reports.agreement import Fault
from reports.precision import precision

OURS = tuple(str(Path(file).parent) for file in (__file__, np.__file__, torch.__file__))
"""Where no user's mistake is to be found."""

DIFFERENCES = "differences"
OTHER_DTYPE = "has dtype"
"""A note begins so where a gradient has another dtype than what it is a gradient of."""

WORK = 2.0**23
"""Numbers that go through a forward for its differences, in about a second."""


def checked(case: Case) -> Agreement:
    """Check a case; the global generators of random numbers stay where they are."""
    with case.subject.randomness as held:
        agreement = Check(case).agreement()
        if held.overlooked():
            held.numpy_too = True
            agreement = Check(case).agreement()
    tell(agreement)
    return agreement


class Check:
    """A case, run: what it comes to."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.outputs: tuple[Array, ...] = ()
        self.dtype = case.subject.dtype or _coarsest(case, ())
        self.derivatives: dict[Tensor, Derivative] = {}
        self._draws = False

    def agreement(self) -> Agreement:
        """Run everything."""
        started, case = perf_counter(), self.case
        tensors: tuple[TensorAgreement, ...] = ()
        fault: Fault | None = None
        diagnosis = failure = None
        with np.errstate(all="ignore"):
            try:
                tensors = tuple(self._tensors())
                fault, diagnosis = self._blame(tensors)
            except ImplementationFailed as error:
                failure = _raised(error)
            except WrongArray as error:
                fault = "forward" if error.kind == "output" else "backward"
                own = list(case.given.inputs)[int(error.name)] if error.kind == "input" else error.name
                diagnosis = f"{_called(error.kind, own)} {self._misshapen(error)}"
                tensors = (self.case.told(str(error), error.kind, own),)
        wrong = [t for t in tensors if t.verdict == "disagree"]
        document = self._document()
        agreement = Agreement(
            architecture=document,
            digest=self._digest(document),
            implementation=case.subject.name,
            dtype=self.dtype,
            seconds=perf_counter() - started,
            tensors=tensors,
            culprit=case.node.name if wrong or failure else None,
            op=case.node.op if wrong or failure else None,
            fault=fault,
            diagnosis=diagnosis,
            failure=failure,
            shapes={
                case.node.name + (f".{i}" if i else ""): y.shape for i, y in enumerate(self.outputs) if is_numeric(y)
            },
        )
        return agreement if agreement.agrees else replace(agreement, reproduction=self._reproduction(wrong))

    def _tensors(self) -> Iterator[TensorAgreement]:
        case = self.case
        done = case.run(case.given)
        self._draws = case.subject.randomness.drawn()
        self.outputs = tuple(y.copy() for y in done.outputs)
        flowing = case.subject.flowing(self.outputs)
        if not any(flowing):
            found = ", ".join(f"{dtype_of(y)} {y.shape}" for y in self.outputs) or "nothing"
            yield case.told(f"is no floating array that could be differentiated: {found}", "output", "0")
            return
        self.dtype = case.subject.dtype or _coarsest(case, self.outputs)
        drawn = tuple(
            cotangent(y, i, case.given.seed, self.dtype) if flows else None
            for i, (y, flows) in enumerate(zip(self.outputs, flowing))
        )
        self.case = case = replace(case, given=replace(case.given, cotangents=drawn))
        if not any(np.isfinite(y).any() for y, flows in zip(self.outputs, flowing) if flows):
            yield case.told("is not finite at any entry, and has no derivative there", "output", "0", "inconclusive")
            return
        far = _apart(self.outputs, case.run(case.given).outputs)
        allowed = case.nondet_tol
        if allowed is None:
            allowed = max(
                (rounding(magnitude(y), self.dtype, y.size) for y in self.outputs if is_numeric(y)), default=0.0
            )
        if far > allowed:
            yield case.told(f"forward is not deterministic: run again on the same numbers, it differs by {far:.2g}")
            return
        if case.backward:
            got = case.back(done, case.given)
            yield from self._dtypes(got)
            yield from self._gradients(got)
            yield from self._behaviour(got)
        for more in case.more:
            yield from more(case)

    def _dtypes(self, got: Mapping[Tensor, Array]) -> Iterator[TensorAgreement]:
        for name, gradient in got.items():
            x = self.case.array(name)
            if gradient.dtype.kind != x.dtype.kind or (self.case.check_grad_dtypes and gradient.dtype != x.dtype):
                label = self.case.labels(name)
                words = f"{OTHER_DTYPE} {dtype_of(gradient)}, wanted {dtype_of(x)}"
                yield self.case.told(words, label["kind"], label["name"])

    @cached_property
    def wide(self) -> Given:
        """What it is given in a wider dtype, or as it is where the function does not say the same in that."""
        own, widened = self.case.given, self.case.given.changed(_widened, _widened)
        if all(a.dtype == b.dtype for (_, a), (_, b) in zip(own.arrays(), widened.arrays())):
            return own
        try:
            outputs = self.case.run(widened).outputs
        except (ImplementationFailed, WrongArray):
            return own
        loose = precision(self.dtype).eps ** 0.5
        for y, z in zip(self.outputs, outputs):
            if is_numeric(y) and (
                z.dtype != _widened(y).dtype
                or y.shape != z.shape
                or not np.allclose(y, z, rtol=loose, atol=loose * magnitude(z), equal_nan=True)
            ):
                return own
        return widened if len(outputs) == len(self.outputs) else own

    @cached_property
    def finite(self) -> bool:
        """Whether all that comes out is finite."""
        return all(np.isfinite(y).all() for y in self.outputs if is_numeric(y))

    @cached_property
    def note(self) -> str:
        """What is to be said of the precision in which it is differentiated."""
        narrow = self.wide is self.case.given and precision(self.dtype).eps > np.finfo(np.float64).eps
        return f"differentiated in {self.dtype}, for it does not run, or not alike, in float64" if narrow else ""

    @cached_property
    def accumulation(self) -> int:
        """Elements of its largest array: no more are added up for one entry."""
        return max(a.size for a in (*(a for _, a in self.case.given.arrays()), *self.outputs))

    @cached_property
    def noise(self) -> Noise:
        """What rounding does to its gradients."""
        given = self.case.given
        ahead = (*given.parameters.values(), *given.inputs.values(), *self.outputs)
        largest = max((magnitude(a) for a in ahead if is_numeric(a)), default=0.0)
        return Noise(self._again, given, self.wide, self.dtype, max(1.0, largest))

    def _again(self, given: Given) -> Mapping[Tensor, Array]:
        try:
            return self.case.back(self.case.run(given), given)
        except (ImplementationFailed, WrongArray):
            return {}

    def bound(self, name: Tensor, look: int) -> float:
        """How far rounding may move a gradient."""
        if name not in self.case.names.values():
            return inf
        return rounding(self.noise.moves(name, look), self.dtype, self.accumulation)

    def differentiate(self, clean: bool) -> dict[Tensor, Derivative]:
        """Differentiate the forward, in the wider dtype if there is one."""
        forward = Alone(self.case.subject, self.case.node, self.wide)
        enough = max(CONFIRMED, precision(self.dtype).eps / 8)
        return differentiated(forward, self.case.names, clean, expected=self.noise.exact, work=WORK, enough=enough)

    def _gradients(self, got: Mapping[Tensor, Array]) -> Iterator[TensorAgreement]:
        clean = self.case.subject.clean
        verdicts = self._judged(got, clean)
        if clean and any(t.verdict == "disagree" for t in verdicts):  # then it is differences that must convict
            verdicts = self._judged(got, False)
        yield from verdicts

    def _judged(self, got: Mapping[Tensor, Array], clean: bool) -> list[TensorAgreement]:
        self.derivatives = self.differentiate(clean)
        if not self.finite:  # what comes of 0 times infinity on the way back is nobody's mistake
            self.derivatives = {n: _unknown(d, got.get(n)) for n, d in self.derivatives.items()}
        return [
            looked_at(partial(self._verdict, name, got.get(name), derivative))
            for name, derivative in self.derivatives.items()
        ]

    def _verdict(self, name: Tensor, got: Array | None, derivative: Derivative, look: int) -> TensorAgreement:
        # A gradient of a coarser dtype is told of once, as that.
        dtypes = (self.dtype, dtype_of(got)) if got is not None and is_numeric(got) else (self.dtype,)
        dtype = max(dtypes, key=lambda one: precision(one).eps)

        def judge(excuse: str = "") -> TensorAgreement:
            return judged_by_differences(
                got,
                derivative,
                sensitivity=self.noise.moves(name, look),
                accumulation=self.accumulation,
                dtype=dtype,
                labels=self.case.labels(name),
                excuse=excuse,
                tolerance=self.case.tolerance,
            )

        found = judge()
        narrow = self.wide is not self.case.given
        if found.verdict == "disagree" and narrow and self.noise.jumps(name):
            found = judge(AT_A_KINK)  # the wider dtype may be on the other side of it
        return replace(found, note="; ".join(filter(None, (found.note, self.note))))

    def _behaviour(self, got: Mapping[Tensor, Array]) -> Iterator[TensorAgreement]:
        case = self.case
        again = self._again(case.given)
        for name, gradient in got.items():
            far = _apart((gradient,), (again[name],)) if name in again else inf
            allowed = case.nondet_tol if case.nondet_tol is not None else self.bound(name, 1)
            if far > allowed and not within(again.get(name, gradient), gradient, allowed):
                what = f"the gradient of {case.labels(name)['name']}"
                yield case.told(f"backward is not deterministic: run again, {what} differs by {far:.2g}")
                return
        found = misbehaviour(case.subject, case.node, case.given, self.bound, takes_all=False, draws=self._draws)
        yield case.told(found.words if found else "", verdict="disagree" if found else "agree")

    def _blame(self, tensors: tuple[TensorAgreement, ...]) -> tuple[Fault | None, str | None]:
        wrong = [t for t in tensors if t.verdict == "disagree"]
        gradients = [t for t in wrong if t.against == DIFFERENCES and t.kind in ("parameter", "input")]
        behaviour = next((t for t in wrong if t.kind == "behaviour"), None)
        if behaviour and not gradients:
            return None if behaviour.name else "state", behaviour.note
        if gradients:
            return "backward", explain(self, [n for n in self.derivatives if self._among(n, gradients)])
        if not wrong:
            return None, None
        fault: Fault = "forward" if wrong[0].kind == "output" else "backward"
        if wrong[0].note.startswith(OTHER_DTYPE):
            fault = "dtype"
        return fault, f"{_called(wrong[0].kind, wrong[0].name)} {wrong[0].note}"

    def _among(self, name: Tensor, wrong: list[TensorAgreement]) -> bool:
        label = self.case.labels(name)
        return any((t.kind, t.name) == (label["kind"], label["name"]) for t in wrong)

    def _misshapen(self, error: WrongArray) -> str:
        """Say what the shape of a gradient tells."""
        key = error.name if error.kind == "parameter" else int(error.name)
        name = self.case.names.get(key) if error.kind != "output" else None
        if name is None or not isinstance(error.found, np.ndarray) or not is_numeric(error.found):
            return str(error)
        derivative = self.differentiate(False)[name]
        rounded = rounding(float(derivative.coordinates.size.max(initial=0.0)), self.dtype, self.accumulation)
        claim = next(derivative.claims(None, rounded))
        return diagnose(error.found, claim.want, claim.bound) or str(error)

    def _document(self) -> dict[str, Any]:
        given, node = self.case.given, self.case.node
        inputs = [
            {"name": name, "shape": list(x.shape), **({} if is_numeric(x) else {"domain": "index", "below": 1})}
            for name, x in given.inputs.items()
        ]
        return {
            "schema": SCHEMA,
            "seed": given.seed,
            "training": given.training,
            "inputs": inputs,
            "nodes": [{"name": node.name, "op": node.op, "inputs": list(node.inputs)}],
            "outputs": [node.name],
        }

    def _digest(self, document: Mapping[str, Any]) -> str:
        """Name the function, and the numbers it ran on."""
        found = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
        for name, array in self.case.given.arrays():
            found.update(f"{name} {array.dtype} {array.shape}".encode())
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()[:16]

    def _reproduction(self, wrong: list[TensorAgreement]) -> str | None:
        for tensor in wrong:
            for name in self.case.names.values():
                if self._among(name, [tensor]) and len(tensor.index) == self.case.array(name).ndim:
                    return self.case.subject.program(self.case, name, tensor.index)
        return None


def _coarsest(case: Case, outputs: tuple[Array, ...]) -> str:
    """The dtype with the largest unit of rounding among what is checked and what comes out."""
    arrays = [a for _, a in case.given.arrays() if is_numeric(a)] + [y for y in outputs if is_numeric(y)]
    return max(map(dtype_of, arrays), key=lambda dtype: precision(dtype).eps, default="float64")


def _widened(array: Array) -> Array:
    wide = {"f": np.float64, "c": np.complex128}.get(array.dtype.kind)
    return array.astype(wide) if wide and array.dtype.itemsize < np.dtype(wide).itemsize else array


def _apart(these: tuple[Array, ...], those: tuple[Array, ...]) -> float:
    """How far outputs of two runs are apart; infinitely, where shapes or what is not finite differ."""
    if len(these) != len(those):
        return inf
    far = 0.0
    for a, b in zip(these, those):
        if a.shape != b.shape:
            return inf
        if not np.array_equal(a, b, equal_nan=is_numeric(a)):
            gap = np.abs(a.astype(np.complex128) - b.astype(np.complex128))
            far = max(
                far, float(np.max(np.where(np.isfinite(gap), gap, np.where((a == b) | ((a != a) & (b != b)), 0, inf))))
            )
    return far


def _raised(error: ImplementationFailed) -> str:
    """Say what was raised, and in which line."""
    cause = error.__cause__
    if isinstance(cause, Malformed):
        return f"{error.phase} {cause}"
    frames = traceback.extract_tb(cause.__traceback__) if cause else []
    theirs = [f for f in frames if not f.filename.startswith(OURS)]
    last = next(iter(reversed(theirs or list(frames))), None)
    where = f" ({last.filename}, line {last.lineno})" if last else ""
    return f"{error.phase} raises {type(cause).__name__}: {cause}{where}"


def _called(kind: str, name: str) -> str:
    return f"output {name}" if kind == "output" else f"gradient of {name}"


def _unknown(derivative: Derivative, got: Array | None) -> Derivative:
    """Nothing is known where a gradient is not finite."""
    if got is None or got.shape != derivative.shape:
        return derivative
    strange = ~np.isfinite(got.reshape(-1)[derivative.at])
    known = derivative.coordinates
    bound = np.where(strange.reshape(known.bound.shape), inf, known.bound)
    return replace(derivative, coordinates=replace(known, bound=bound))
