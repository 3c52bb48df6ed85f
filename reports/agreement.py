"""Agreement between two sets of arrays: measured, in digits and units in the last place, with a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import inf, isfinite, log10
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from reports.precision import in_short, precision, unit_in_the_last_place

Array: TypeAlias = NDArray[Any]
Verdict: TypeAlias = Literal["agree", "disagree", "inconclusive"]
Fault: TypeAlias = Literal["forward", "backward", "both", "function", "dtype", "state", "composition", "reference"]

FAULTS: Mapping[Fault, str] = {
    "forward": "its forward is wrong",
    "backward": "its backward is wrong",
    "both": "its forward is wrong, and its backward is not the derivative of either",
    "function": "it computes another function: forward and backward agree with one another, not with PyTorch",
    "dtype": "it returns another dtype than it is given",
    "state": "it changes or keeps what it must not",
    "composition": "the composition is wrong",
    "reference": "PyTorch is wrong, not the implementation",
}
"""What each kind of fault means, said of the culprit."""


REFUSED = "torch refuses: "
"""A note begins so where PyTorch has nothing to compare with."""

ERRORS = 1024
"""Entries of an array that disagrees whose errors are kept."""

SECOND_ORDER = "second order"
"""The pair of witnesses on the gradient of the gradient; what is compared there are the changes of gradients."""


class DisagreementError(AssertionError):
    """An implementation disagrees with the reference; the text says where, by how much and why."""


@dataclass(frozen=True)
class TensorAgreement:
    """How well one array agrees with its reference.

    Attributes
    ----------
    node, op, kind, name
        Which array: of which node, of which op; ``output``, ``update`` (a buffer's new value), ``adjoint`` (gradient of
        an output), ``parameter`` or ``input`` (gradients of them), ``curvature`` (all their second derivatives, where
        there are none to compare with), ``direction`` (the gradient of the whole network along one direction) or
        ``behaviour`` (what a pass does besides computing); the parameter's name or the number of the output or input.
    against
        The two witnesses: ``autograd`` (of the whole network), ``autograd, node alone``, ``differences`` or ``autograd
        against differences``; for its behaviour, ``itself``; for how its gradients change, ``second order`` or ``second
        order, node alone``.
    verdict
        ``agree``, ``disagree`` or ``inconclusive``.
    digits
        ``-log10(max_absolute / scale)``, 0 to the digits of the dtype; None where nothing is counted (no entries,
        integers, an array that is zero but for rounding).
    max_absolute, max_relative, max_ulp
        The largest error: as it is, relative to the scale of the array, in units in the last place of the working dtype
        at that entry. Infinite where one side is not finite.
    bound
        The largest error that is still called agreement, at the worst entry.
    index, got, want
        The worst entry, relative to its bound, and both values there; empty and None where there are no entries.
    size
        Number of entries.
    note
        What else there is to say.
    limit
        ``-log10(largest bound / scale)``: an error from there on is caught in every entry; to a tenth of a digit.
    shape, errors
        Of one that disagrees: its shape, and ``got - want`` at every entry, the real part of complex ones; None where
        that is not finite. Beyond 1,024 entries, the largest of every stretch of the flattened array.
    """

    node: str
    op: str
    kind: str
    name: str
    against: str
    verdict: Verdict
    digits: float | None = None
    max_absolute: float = 0.0
    max_relative: float = 0.0
    max_ulp: float = 0.0
    bound: float = 0.0
    index: tuple[int, ...] = ()
    got: complex | None = None
    want: complex | None = None
    size: int = 0
    note: str = ""
    limit: float | None = None
    shape: tuple[int, ...] = ()
    errors: tuple[float | None, ...] = ()

    @property
    def label(self) -> str:
        """What to call it: ``linear1: output 0``, ``linear1: gradient of weight``."""
        if self.kind == "direction":
            return "the whole gradient, along one direction"
        if self.kind == "behaviour":
            return f"{self.node}: behaviour"
        if self.against.startswith(SECOND_ORDER):
            what = {"parameter": f" of {self.name}", "input": f" of input {self.name}"}.get(self.kind, "")
            return f"{self.node or 'the whole network'}: second derivative{what}"
        numbered = "gradient of" if self.name == "input" else "gradient of input"
        words = {"parameter": "gradient of", "input": numbered, "update": "new"}
        return f"{self.node}: {words.get(self.kind, self.kind)} {self.name}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON, as :meth:`Agreement.to_dict` does."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> TensorAgreement:
        """Read what :meth:`to_dict` wrote."""

        def read(key: str, value: Any) -> Any:
            if value is None or key not in _NUMBERS:
                return value
            return complex(value) if key in ("got", "want") and "j" in str(value) else float(value)

        values = {key: read(key, value) for key, value in document.items()}
        whole = {key: tuple(document.get(key, ())) for key in ("index", "shape", "errors")}
        return cls(**values | whole)


_NUMBERS = {f.name for f in fields(TensorAgreement) if str(f.type).startswith(("float", "complex"))}


@dataclass(frozen=True)
class Agreement:
    """How well one implementation agrees with the reference on one architecture, in one dtype.

    Attributes
    ----------
    architecture, digest
        The architecture as plain JSON, and its digest.
    implementation, dtype, seconds
        What ran, in which precision, how long.
    tensors
        One :class:`TensorAgreement` for each array and pair of witnesses.
    culprit, op
        Name and op of the node that is wrong even when it runs alone on the reference's numbers; None where there is
        none.
    fault
        In what: one of ``FAULTS``.
    diagnosis
        What the mistake looks like.
    failure
        What the implementation raised, if it did.
    shapes
        Of the nodes' floating outputs, by reference: ``linear1``, ``lstm2.1``.
    reproduction
        A few lines of Python that show the mistake again, if whoever made the agreement wrote some.
    values
        What the numbers are like, by reference: least, greatest and root mean square of what goes forward, then of the
        gradient that comes back, to three digits; None where there are none, or they are not finite.
    """

    architecture: Mapping[str, Any]
    digest: str
    implementation: str
    dtype: str
    seconds: float
    tensors: tuple[TensorAgreement, ...]
    culprit: str | None = None
    op: str | None = None
    fault: Fault | None = None
    diagnosis: str | None = None
    failure: str | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    reproduction: str | None = None
    values: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether it agrees."""
        return self.agrees

    @property
    def disagreements(self) -> tuple[TensorAgreement, ...]:
        """The arrays that disagree."""
        return tuple(t for t in self.tensors if t.verdict == "disagree")

    @property
    def agrees(self) -> bool:
        """Whether nothing disagrees, and nothing was raised."""
        return self.failure is None and not self.disagreements

    @property
    def worst(self) -> TensorAgreement | None:
        """The array with the fewest digits."""
        counted = [t for t in self.tensors if t.digits is not None]
        return min(counted, key=lambda t: t.digits or 0.0, default=None)

    def raise_for_disagreement(self) -> None:
        """Raise :class:`DisagreementError` unless it agrees."""
        if not self.agrees:
            raise DisagreementError(str(self))

    @property
    def _subject(self) -> str:
        """What ran on what: an architecture, or a function on arrays of these shapes."""
        if [node.get("op") for node in self.architecture["nodes"]] == [self.implementation]:
            given = ", ".join(f"{i['name']} {tuple(i['shape'])}" for i in self.architecture["inputs"])
            return f"{self.implementation}({given}) in {self.dtype}"
        return f"{self.implementation} on architecture {self.digest[:12]} in {self.dtype}"

    def __str__(self) -> str:
        """Verdict, culprit, diagnosis, and the arrays that disagree, the worst first."""
        subject = self._subject
        if self.agrees:
            digits = f", at least {self.worst.digits:.1f} digits" if self.worst else ""
            unsure = [t for t in self.tensors if t.verdict == "inconclusive"]
            doubts = "".join(f"\n  {t.label}: inconclusive: {t.note or 'no digit is certain'}" for t in unsure[:8])
            return f"{subject}: {len(self.tensors) - len(unsure)} arrays agree{digits}{doubts}"
        lines = [f"{subject}: {self.failure or f'{len(self.disagreements)} of {len(self.tensors)} arrays disagree'}"]
        if self.culprit:
            name = self.culprit if self.culprit == self.op else f"{self.culprit} ({self.op})"
            lines.append(f"  culprit: {name}{f': {FAULTS[self.fault]}' if self.fault else ''}")
        if self.diagnosis:
            lines.append(f"  diagnosis: {self.diagnosis}")
        shown = sorted(self.disagreements, key=lambda t: t.node != self.culprit)[:8]
        lines += [
            f"  {t.label}: {t.note}"
            if t.got is None
            else f"  {t.label}{list(t.index) if t.index else ''}: got {t.got}, wanted {t.want} (within {t.bound:.2g})"
            f"{'' if t.digits is None else f', {t.digits:.1f} digits'}; "
            f"against {t.against}{f'; {t.note}' if t.note else ''}"
            for t in shown
        ]
        if self.reproduction:
            lines += ["  to see it again:", *(f"    {line}" for line in self.reproduction.splitlines())]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from reports.notebook import of_agreement

        return of_agreement(self)

    def to_frame(self) -> Any:
        """Return a ``pandas.DataFrame``: a row for each array, a column for each field of :class:`TensorAgreement`.

        Raises
        ------
        ImportError
            There is no pandas.
        """
        from reports.table import frame

        return frame(map(asdict, self.tensors), [f.name for f in fields(TensorAgreement)])

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON; NaN, infinities and complex numbers are strings: ``"nan"``, ``"-inf"``, ``"(1+2j)"``."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Agreement:
        """Read what :meth:`to_dict` wrote."""
        tensors = [TensorAgreement.from_dict(entry) for entry in document["tensors"]]
        shapes, values = ({r: tuple(v) for r, v in document.get(n, {}).items()} for n in ("shapes", "values"))
        return cls(**{**document, "tensors": tuple(tensors), "shapes": shapes, "values": values})


def shown(value: Any) -> str:
    """Say what something is that is no array."""
    if value is None or isinstance(value, bool | int | float | complex | str):
        text = repr(value)
        return f"{type(value).__name__} {text}" if value is not None and len(text) < 40 else type(value).__name__
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, complex) or (isinstance(value, float) and not isfinite(value)) else value


def measure(
    got: Any,
    want: Array,
    *,
    bound: float | Array,
    scale: float,
    dtype: str,
    node: str,
    op: str,
    kind: str,
    name: str,
    against: str,
    note: str = "",
    doubt: float = 0.0,
) -> TensorAgreement:
    """Compare an array with its reference.

    Every entry must lie within its bound; NaN and infinities agree only with the same one at the same place, but for
    an infinity where the reference is beyond the largest number of the working dtype. Integers must be equal.

    Parameters
    ----------
    got
        What the implementation returned; anything but an array of the right shape disagrees.
    want
        The reference, in float64 (or integers), of any shape.
    bound
        The largest absolute error that is agreement: one number, or one for each entry.
    scale
        The size of the numbers, to which digits refer; of complex ones it is the modulus, as of errors.
    dtype
        The dtype in which ``got`` was computed.
    node, op, kind, name, against, note
        What it is called, see :class:`TensorAgreement`.
    doubt
        The array is so ill-conditioned that nothing within its bound says anything, nor anything within so many times
        the bound: ``inconclusive``.
    """

    def result(verdict: Verdict, note: str = note, **measured: Any) -> TensorAgreement:
        return TensorAgreement(node, op, kind, name, against, verdict, note=note, size=want.size, **measured)

    if not isinstance(got, np.ndarray):
        missing = "missing" if got is None else f"{type(got).__name__} instead of an array"
        return result("disagree", note or f"{missing}, wanted one of shape {want.shape}")
    if got.shape != want.shape:
        return result("disagree", note or f"has shape {got.shape}, wanted {want.shape}")
    if want.size == 0:
        return result("agree")
    floating = want.dtype.kind in "fc"
    limits = precision(dtype)
    with np.errstate(all="ignore"):
        complete = np.complex128 if np.iscomplexobj(got) or np.iscomplexobj(want) else np.float64
        got, want = got.astype(complete), want.astype(complete)
        error = np.abs(got - want)
        strange = not np.isfinite(error).all()
        if strange:
            beyond = np.isinf(got) & (np.sign(got) == np.sign(want)) & (np.abs(want) + bound > limits.largest)
            same = (got == want) | (np.isnan(got) & np.isnan(want)) | (beyond & floating)
            error = np.where(same, 0.0, np.where(np.isfinite(error), error, inf))
            strange = bool(np.isinf(error).any())
        allowed = np.broadcast_to(np.asarray(bound if floating else 0.0), want.shape)
        wrong = ~(error <= allowed)
        # The worst entry is the largest error beyond its bound, else the one that comes nearest to its bound.
        score = np.where(wrong, error, -1.0) if wrong.any() else np.where(error > 0, error / allowed, 0.0)
        at = np.unravel_index(int(np.argmax(score)), want.shape)
        largest = float(error.max())
        max_ulp = float(np.max(error / unit_in_the_last_place(want, dtype)))
        kept: dict[str, Any] = {"shape": want.shape, "errors": _largest(got - want)} if wrong.any() else {}
    verdict: Verdict = "disagree" if wrong.any() else "agree"
    if doubt and not strange and (doubt == inf or (error <= doubt * allowed).all()):
        verdict = "inconclusive"
    wide = float(allowed.max())
    return result(
        verdict,
        digits=_digits(largest, scale, -log10(limits.eps)) if floating else None,
        limit=round(_digits(wide, scale, -log10(limits.eps)), 1) if floating else None,
        **kept,
        max_absolute=largest,
        max_relative=largest / scale if scale else 0.0 if largest == 0 else inf,
        max_ulp=max_ulp,
        bound=float(allowed[at]),
        index=tuple(int(i) for i in at),
        got=got[at].item(),
        want=want[at].item(),
    )


def _digits(error: float, scale: float, most: float) -> float:
    if error == 0:
        return most
    if scale == 0 or not isfinite(error):
        return 0.0
    share = error / scale
    return min(max(0.0, -log10(share)), most) if share else most


def _largest(errors: Array) -> tuple[float | None, ...]:
    """Return the errors to three digits; of a large array, the largest of every stretch."""
    flat = np.nan_to_num(errors.real.reshape(-1), nan=inf)
    if flat.size > ERRORS:
        stretches = np.array_split(flat, ERRORS)
        flat = np.array([stretch[np.argmax(np.abs(stretch))] for stretch in stretches])
    return tuple(map(in_short, flat.tolist()))
