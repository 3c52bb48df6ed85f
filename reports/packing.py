"""The agreements on one architecture as a few bytes, and back: what is kept of a campaign's every example."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, NoReturn

from reports.agreement import FAULTS, Agreement, TensorAgreement, Verdict

PACKED, UNPACKED = 1 << 22, 1 << 23
"""Bytes beyond which nothing is read: no agreement of ours comes near, and a stranger's is not to fill the memory."""

_LETTERS: Mapping[str, Verdict] = {"a": "agree", "d": "disagree", "i": "inconclusive"}
_FAULTS = {fault: fault for fault in FAULTS}
_WORDS = {"culprit", "op", "diagnosis", "failure"}


def pack(agreements: Sequence[Agreement]) -> bytes:
    """Write the agreements on one architecture, one per dtype, as compressed JSON.

    Of every array its labels, verdict and digits are kept; the numbers (got, wanted, bound ...) only where it does not
    agree, has a note, or has the fewest digits of those that agree with autograd.
    """
    labels: dict[tuple[str, ...], int] = {}
    dtypes = []
    for agreement in agreements:
        worst = _worst(agreement)
        full = [i for i, t in enumerate(agreement.tensors) if t.verdict != "agree" or t.note or t is worst]
        dtypes.append(
            {
                "dtype": agreement.dtype,
                "seconds": round(agreement.seconds, 4),
                "culprit": agreement.culprit,
                "op": agreement.op,
                "fault": agreement.fault,
                "diagnosis": agreement.diagnosis,
                "failure": agreement.failure,
                "labels": [labels.setdefault(_label(t), len(labels)) for t in agreement.tensors],
                "verdicts": "".join(t.verdict[0] for t in agreement.tensors),
                "digits": [t.digits for t in agreement.tensors],
                "limits": [t.limit for t in agreement.tensors],
                "full": {str(i): agreement.tensors[i].to_dict() for i in full},
            }
        )
    first = agreements[0]
    document = {
        "architecture": first.architecture,
        "digest": first.digest,
        "implementation": first.implementation,
        "shapes": first.shapes,
        "values": first.values,
        "labels": list(labels),
        "dtypes": dtypes,
    }
    return zlib.compress(json.dumps(document, separators=(",", ":"), allow_nan=False).encode(), 9)


def unpack(packed: bytes) -> list[Agreement]:
    """Read what :func:`pack` wrote.

    Raises
    ------
    ValueError
        It is nothing that :func:`pack` writes, or too large.
    """
    try:
        return _agreements(json.loads(_inflated(packed), parse_constant=_no_constant))
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, zlib.error) as error:
        raise ValueError(f"not as it was written: {type(error).__name__}: {str(error)[:80]}") from None


def _worst(agreement: Agreement) -> TensorAgreement | None:
    compared = (t for t in agreement.tensors if t.against == "autograd" and t.verdict == "agree")
    return min((t for t in compared if t.digits is not None), key=lambda t: t.digits or 0.0, default=None)


def _label(tensor: TensorAgreement) -> tuple[str, ...]:
    return tensor.node, tensor.op, tensor.kind, tensor.name, tensor.against


def _inflated(packed: bytes) -> bytes:
    if len(packed) > PACKED:
        raise ValueError(f"{len(packed)} bytes, at most {PACKED}")
    inflating = zlib.decompressobj()
    text = inflating.decompress(packed, UNPACKED)
    if not inflating.eof:
        raise ValueError(f"cut off, or beyond {UNPACKED} bytes")
    return text


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _agreements(document: Mapping[str, Any]) -> list[Agreement]:
    labels = [tuple(map(_text, label)) for label in document["labels"]]
    shapes = {_text(reference): tuple(map(_count, shape)) for reference, shape in document["shapes"].items()}
    values = {_text(r): tuple(map(_number, numbers)) for r, numbers in document.get("values", {}).items()}
    found = [
        Agreement(
            architecture=document["architecture"],
            digest=_text(document["digest"]),
            implementation=_text(document["implementation"]),
            dtype=_text(entry["dtype"]),
            seconds=float(entry["seconds"]),
            tensors=tuple(_tensors(entry, labels)),
            fault=None if entry["fault"] is None else _FAULTS[entry["fault"]],
            shapes=shapes,
            values=values,
            **{word: None if entry[word] is None else _text(entry[word]) for word in _WORDS},
        )
        for entry in document["dtypes"]
    ]
    if not found:
        raise ValueError("no dtype")
    return found


def _tensors(entry: Mapping[str, Any], labels: Sequence[tuple[str, ...]]) -> list[TensorAgreement]:
    tensors = []
    limits = entry.get("limits", [None] * len(entry["labels"]))  # stores of an earlier day have none
    for i, letter, digits, limit in zip(entry["labels"], entry["verdicts"], entry["digits"], limits, strict=True):
        node, op, kind, name, against = labels[_count(i)]
        read = TensorAgreement(node, op, kind, name, against, _LETTERS[letter], _digits(digits), limit=_digits(limit))
        tensors.append(read)
    for position, full in entry["full"].items():
        tensor = TensorAgreement.from_dict(full)
        _digits(tensor.digits)
        _digits(tensor.limit)
        for error in tensor.errors:
            _number(error)
        for length in tensor.shape:
            _count(length)
        for value in (*_label(tensor), tensor.note):
            _text(value)
        if tensor.verdict not in _LETTERS.values():
            raise ValueError(f"no verdict {tensor.verdict!r}")
        tensors[int(position)] = tensor
    return tensors


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{value!r} is no count")
    return value


def _number(value: Any) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value)):
        raise TypeError(f"{value!r} is no number")
    return value


def _digits(value: Any) -> float | None:
    if value is not None and (isinstance(value, bool) or not 0 <= value < 100):
        raise TypeError(f"{value!r} are no digits")
    return None if value is None else float(value)
