"""Reading what a run wrote, for a comparison: a JSON document or a store, from anybody, so nothing in it is trusted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from reports.cases import Cases
from reports.samples import BLOCKS, MOST_DIGITS, PER_DIGIT, THOUSANDTHS, WHOLE
from reports.summary import SCHEMA
from reports.validation import show, violation

T = TypeVar("T")
LIMITS = {"bytes": 32 * 1024 * 1024, "count": 10**9, "entries": 100_000, "versions": 100}
STORE = b"SQLite format 3\0"
"""So begins every file of SQLite (https://sqlite.org/fileformat.html)."""


class DocumentError(ValueError):
    """A file that is no document of a run: the message names the file and the field."""


def read(path: Path) -> dict[str, Any]:
    """Read a document that ``backproof verify --json`` wrote, or the document of a store, whatever the file's name.

    A document of schema 1 lacks what digits are judged by: it is read as one without samples.

    Raises
    ------
    DocumentError
        It is neither, or its schema is another, or a number in it is impossible.
    OSError
        It cannot be read.
    """
    with path.open("rb") as opened:
        text = opened.read(len(STORE))
        if text == STORE:
            stored: dict[str, Any] = import_module("reports.store").document(path)
            return checked(stored, str(path))
        text += opened.read(LIMITS["bytes"] + 1)
    if not text.strip():
        raise DocumentError(f"{path}: is empty, wanted what `backproof verify --json` writes")
    if len(text) > LIMITS["bytes"]:
        raise DocumentError(f"{path}: has more than {LIMITS['bytes']:,} bytes, too many for a document")
    try:
        parsed = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise DocumentError(f"{path}: the JSON is nested too deeply") from None
    except ValueError as error:
        raise DocumentError(f"{path}: not JSON, nor a store: {error}") from None
    return checked(parsed, str(path))


def read_whole(path: Path, check: Callable[[Any], object] = dict, cases: Cases | None = None) -> dict[str, Any]:
    """Read what a report can be made of: a store, or a document that keeps to the whole schema.

    A comparison asks for less (:func:`read`), so that the baselines of older versions still serve.

    Parameters
    ----------
    path
        Of the file, whatever its name.
    check
        Raises a ValueError if an architecture of a store, as plain JSON, is none.
    cases
        Gathers the single architectures of a store.

    Raises
    ------
    DocumentError
        It is neither, or of schema 1, or breaks the schema.
    OSError
        It cannot be read.
    """
    with path.open("rb") as opened:
        if opened.read(len(STORE)) == STORE:
            stored: dict[str, Any] = import_module("reports.store").document(path, check, cases)
            return stored
    whole = read(path)
    if whole["schema"] != SCHEMA:
        raise DocumentError(f"{path}: schema: is {whole['schema']}, wanted {SCHEMA}; older ones can only be compared")
    if wrong := violation(whole):
        raise DocumentError(f"{path}: {wrong}")
    for i, row in enumerate(whole["layers"]):
        for field in ("worst_digits", "histogram", "failed", "crashed"):
            for dtype in whole["dtypes"]:
                if dtype not in row[field]:
                    raise DocumentError(f"{path}: layers[{i}]: {field}: {show(dtype)}: is missing")
    return whole


def checked(document: Any, name: str) -> dict[str, Any]:
    """Return a document in the newest schema, with all that a comparison asks of it there and possible.

    Raises
    ------
    DocumentError
        It is not; the message begins with the name.
    """
    whole = _of(document, dict, name)
    schema = whole.get("schema")
    if "nodes" in whole:
        raise DocumentError(f"{name}: is an architecture, which `backproof replay` takes, not the document of a run")
    if type(schema) is not int or not 1 <= schema <= SCHEMA:
        raise DocumentError(f"{name}: schema: is {show(schema)}, wanted 1 to {SCHEMA}: what `verify --json` writes")
    for field, kind in (("implementation", str), ("environment", dict), ("dtypes", dict), ("layers", list)):
        _of(whole.get(field), kind, f"{name}: {field}")
    for versions in (whole["environment"], whole["dtypes"]):
        if len(versions) > LIMITS["versions"]:
            raise DocumentError(f"{name}: has {len(versions):,} versions or dtypes, at most {LIMITS['versions']}")
    for part, version in whole["environment"].items():
        _of(version, str, f"{name}: environment: {show(part)}")
    _count(whole.get("architectures"), f"{name}: architectures")
    _of(_of(whole.get("coverage"), dict, f"{name}: coverage").get("ops"), dict, f"{name}: coverage: ops")
    for i, row in enumerate(whole["layers"]):
        _of(_of(row, dict, f"{name}: layers[{i}]").get("op"), str, f"{name}: layers[{i}]: op")
        _count(row.get("cases"), f"{name}: layers[{i}]: cases")
    if whole.get("seed") is not None:
        _count(whole["seed"], f"{name}: seed", 1 << 32)
    for i, op in enumerate(_of(whole.get("chosen") or [], list, f"{name}: chosen")):
        _of(op, str, f"{name}: chosen[{i}]")
    whole.setdefault("pictured", {"limits": [], "three_way": {}})
    if schema == 1:
        whole = _from_first(whole, name)
    _of(whole.get("drawn"), str, f"{name}: drawn")
    for i, row in enumerate(whole["layers"]):
        failed, crashed = (_of(row.get(f), dict, f"{name}: layers[{i}]: {f}") for f in ("failed", "crashed"))
        for dtype in whole["dtypes"]:
            where = f"{name}: layers[{i}]: {show(dtype)}"
            most = _count(failed.get(dtype), f"{where}: failed", whole["architectures"])
            _count(crashed.get(dtype), f"{where}: crashed", most)
    for i, sample in enumerate(_of(whole.get("samples"), list, f"{name}: samples")):
        _check_sample(_of(sample, dict, f"{name}: samples[{i}]"), f"{name}: samples[{i}]")
    for i, result in enumerate(_of(whole.get("corpus", []), list, f"{name}: corpus")):
        where = f"{name}: corpus[{i}]"
        for field in ("file", "digest", "dtype", "verdict"):
            _of(_of(result, dict, where).get(field), str, f"{where}: {field}")
    return whole


def _from_first(whole: dict[str, Any], name: str) -> dict[str, Any]:
    blamed: Counter[tuple[str, str]] = Counter()
    crashed: Counter[tuple[str, str]] = Counter()
    for i, failure in enumerate(_of(whole.get("failures"), list, f"{name}: failures")):
        where = f"{name}: failures[{i}]"
        op = _of(_of(failure, dict, where).get("op") or WHOLE, str, f"{where}: op")
        key = (op, _of(failure.get("dtype"), str, f"{where}: dtype"))
        blamed[key] += 1
        crashed[key] += failure.get("failure") is not None
    rows = [
        row
        | {
            "failed": {dtype: blamed[row["op"], dtype] for dtype in whole["dtypes"]},
            "crashed": {dtype: crashed[row["op"], dtype] for dtype in whole["dtypes"]},
        }
        for row in whole["layers"]
    ]
    return whole | {"drawn": "", "samples": [], "layers": rows}


def _check_sample(sample: Mapping[str, Any], where: str) -> None:
    for field in ("op", "kind", "dtype"):
        _of(sample.get(field), str, f"{where}: {field}")
    cases = _count(sample.get("cases"), f"{where}: cases")
    _count(sample.get("unsure"), f"{where}: unsure", cases)
    counted = 0
    for bin, count in _of(sample.get("histogram"), dict, f"{where}: histogram").items():
        _place(bin, MOST_DIGITS * PER_DIGIT, f"{where}: histogram")
        counted += _count(count, f"{where}: histogram: {bin}", cases)
    for block, pair in _of(sample.get("blocks"), dict, f"{where}: blocks").items():
        _place(block, BLOCKS, f"{where}: blocks")
        if len(_of(pair, list, f"{where}: blocks: {block}")) != 2:
            raise DocumentError(f"{where}: blocks: {block}: {show(pair)} is no pair of a count and a sum")
        count = _count(pair[0], f"{where}: blocks: {block}", counted)
        _count(pair[1], f"{where}: blocks: {block}", count * MOST_DIGITS * THOUSANDTHS)
        if not count:
            raise DocumentError(f"{where}: blocks: {block}: is of no architectures")
        counted -= count
    if counted:
        raise DocumentError(f"{where}: histogram and blocks do not add up to the same")


def _of(value: Any, kind: type[T], where: str) -> T:
    if not isinstance(value, kind):
        names = {"dict": "an object", "list": "an array", "str": "text"}
        raise DocumentError(f"{where}: is {show(value)}, wanted {names[kind.__name__]}")
    if isinstance(value, dict | list) and len(value) > LIMITS["entries"]:
        raise DocumentError(f"{where}: has {len(value):,} entries, at most {LIMITS['entries']:,}")
    return value


def _count(value: Any, where: str, most: int = LIMITS["count"]) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise DocumentError(f"{where}: is {show(value)}, wanted a number from 0 to {most:,}")
    return value


def _place(name: str, count: int, where: str) -> None:
    if name not in _places(count):
        raise DocumentError(f"{where}: {show(name)} is no number below {count}")


@cache
def _places(count: int) -> frozenset[str]:
    return frozenset(map(str, range(count)))


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
