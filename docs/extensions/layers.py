"""A page for each layer, for each family, and for what layers share: MyST Markdown, by its path under docs/."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from backproof.catalogue import rows
from docs.extensions import code
from docs.extensions.measured import Arrays, conditions, measured
from impl.layers import LAYERS
from reference.ops import STRUCTURAL

DOCS = Path(__file__).parents[1]
TORCH = "https://docs.pytorch.org/docs/stable/generated/"
FUNCTIONS = {"Add": "torch.add", "Mul": "torch.mul"}
"""What torch calls a structural op, where it is not the op in lower case."""


def pages() -> dict[str, str]:
    """All pages of layers, by path without suffix."""
    found = {"layers/index": index()}
    found |= {f"layers/families/{family}": family_page(family) for family in families()}
    found |= {f"layers/{op}": layer_page(op) for op in LAYERS}
    found["layers/shared/index"] = shared_index()
    found |= {f"layers/shared/{m}": shared_page(m, pieces) for m, pieces in code.shared_modules().items()}
    return found


@cache
def families() -> dict[str, list[str]]:
    """Layers by the file that they stand in, both in alphabetical order."""
    found: dict[str, list[str]] = {}
    for op in sorted(LAYERS, key=lambda op: (_last(LAYERS[op].__module__), op)):
        found.setdefault(_last(LAYERS[op].__module__), []).append(op)
    return found


def index() -> str:
    """List the families, and under each its layers."""
    listed = [
        f"- [{_title(family)}](families/{family}.md): {', '.join(f'[{op}]({op}.md)' for op in ops)}"
        for family, ops in families().items()
    ]
    return "\n".join(
        [
            "# Layers",
            "",
            f"All {len(LAYERS) - len(STRUCTURAL)} layers of `torch.nn`, and {len(STRUCTURAL)} ops that join them, with",
            "formula, derivation, code and measured digits. The contract that all of them keep is",
            "{py:class}`impl.Layer`; the pages are made from the files of `impl/layers/` and from one measured run:",
            "",
            *_conditions(),
            "",
            "Each line is one file, a family:",
            "",
            *listed,
            "",
            "What they call, file by file: [what layers share](shared/index.md).",
            "",
            *_toctree([*(f"families/{family}" for family in families()), "shared/index"]),
        ]
    )


def family_page(family: str) -> str:
    """What a file says of itself, and the first sentence of each of its layers."""
    ops = families()[family]
    listed = [f"| [{op}](../{op}.md) | {_cell(_first_paragraph(inspect.getdoc(LAYERS[op]) or ''))} |" for op in ops]
    return "\n".join(
        [
            f"# {_title(family)}",
            "",
            *_said(LAYERS[ops[0]].__module__),
            "",
            f"`impl/layers/{family}.py`",
            "",
            "| layer | |",
            "|---|---|",
            *listed,
            "",
            *_toctree([f"../{op}" for op in ops]),
        ]
    )


def layer_page(op: str) -> str:
    """Everything about one layer."""
    family = _last(LAYERS[op].__module__)
    there = _in_torch(op)
    return "\n".join(
        [
            f"# {op}",
            "",
            f"[{_title(family)}](families/{family}.md); in PyTorch [{there}]({TORCH}{there}.html).",
            "",
            *_restructured(_described(op)),
            "",
            "## Arguments",
            "",
            *_arguments(op),
            "",
            "## Code",
            "",
            *_code(op),
            "",
            "## Measured",
            "",
            *_digits(op),
            "",
            "## Known about it",
            "",
            *_known(op),
            "",
        ]
    )


def shared_index() -> str:
    """List the modules with what layers call."""
    modules = code.shared_modules()
    listed = [
        f"- [{module}]({module}.md): {', '.join(f'`{p.name}`' for p in pieces if not p.name.startswith('_'))}"
        for module, pieces in modules.items()
    ]
    return "\n".join(["# What layers share", "", *listed, "", *_toctree(modules)])


def shared_page(module: str, pieces: Sequence[code.Piece]) -> str:
    """Functions and classes of one module that layers call."""
    lines = [f"# {module}", ""]
    lines += [*_said(module), "", f"`{pieces[0].file}`, but for the layers themselves.", ""]
    for piece in pieces:
        lines += [f"({_anchor(piece.thing)})=", "", f"## {piece.name}", "", *_fenced(piece.text), ""]
        if called := _links(code.calls([piece]), piece.module, here=True):
            lines += [f"Calls {called}.", ""]
    return "\n".join(lines)


def derivation(op: str) -> str:
    """The docstring of a layer and, where that says nothing of backward, of the class that it has its code from."""
    own, *bases = [inspect.cleandoc(c.__doc__ or "") for c in code.classes(op) if _written(c)]
    found = [] if "ackward" in own else [doc for word in ("ackward", "Source:") for doc in bases if word in doc]
    return "\n\n".join([own, *found[:1]])


def _written(cls: type) -> bool:
    """Whether somebody wrote its docstring: a dataclass without one makes its own."""
    return cls.__doc__ is not None and not cls.__doc__.startswith(f"{cls.__name__}(")


def _described(op: str) -> list[str]:
    """The layer as an object of Python's domain, so that others can link to it."""
    cls = LAYERS[op]
    signature = inspect.signature(cls).replace(return_annotation=inspect.Signature.empty)
    shown = signature.replace(
        parameters=[p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    )
    lines = [
        ".. py:currentmodule:: impl",
        "",
        f".. py:class:: {op}{shown}",
        f"   :canonical: {cls.__module__}.{op}",
        "",
    ]
    return lines + [f"   {line}".rstrip() for line in derivation(op).splitlines()]


def _arguments(op: str) -> list[str]:
    found = measured(op)
    drawn = found.arguments if found else {}
    given = inspect.signature(LAYERS[op]).parameters.values()
    own = [p for p in given if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    names = {p.name for p in own}
    lines = [f"{_row_says(op)}", ""] if _row_says(op) else []
    body = [
        f"| `{p.name}` | {_default(p.default)} | {_type(p.annotation)} | {_classes(drawn.get(p.name, {}))} |"
        for p in own
    ]
    body += [f"| `{name}` | | of forward | {_classes(counts)} |" for name, counts in drawn.items() if name not in names]
    if not body:
        return [*lines, "None."]
    return [*lines, "| argument | default | type | drawn |", "|---|---|---|---|", *body]


def _row_says(op: str) -> str:
    """How the catalogue draws a layer, in the words of the function that does."""
    draw = rows()[op].draw
    said = inspect.getdoc(getattr(draw, "func", draw))
    return f"Drawn at random: {_sentence(_markdown(said))}" if said and "Draw" not in said[:5] else ""


def _code(op: str) -> list[str]:
    pieces = code.layer_code(op)
    lines: list[str] = []
    for file, here in _by_file(pieces).items():
        lines += [
            f"`{file}`, without the docstrings of classes:",
            "",
            *_fenced("\n\n\n".join(p.text.rstrip() for p in here)),
            "",
        ]
    if called := _links(code.calls(pieces), ""):
        lines += [f"It calls {called}.", ""]
    return lines


def _by_file(pieces: Iterable[code.Piece]) -> dict[str, list[code.Piece]]:
    found: dict[str, list[code.Piece]] = {}
    for piece in pieces:
        found.setdefault(piece.file, []).append(piece)
    return found


def _links(things: Sequence[Any], module: str, *, here: bool = False) -> str:
    """Links to helpers and layers; from a page of shared ones not to its own."""
    others = [thing for thing in things if not here or thing.__module__ != module]
    up = "../" if here else ""
    return ", ".join(
        f"[`{t.__name__}`]({up}{t.__name__}.md)" if t in LAYERS.values() else f"[`{t.__name__}`](#{_anchor(t)})"
        for t in others
        if t in LAYERS.values() or t in _linkable()
    )


@cache
def _linkable() -> set[Any]:
    return {piece.thing for pieces in code.shared_modules().values() for piece in pieces}


def _digits(op: str) -> list[str]:
    """The fewest digits of each kind of array between each two witnesses."""
    found = measured(op)
    if found is None:
        return ["Not measured yet."]
    dtypes = conditions()["dtypes"]
    table: dict[tuple[str, str], dict[str, Arrays]] = {}
    for arrays in sorted(found.arrays, key=lambda a: (list(KINDS).index(a.kind), WITNESSES.index(a.against))):
        table.setdefault((arrays.kind, arrays.against), {})[arrays.dtype] = arrays
    drawn = conditions()["architectures"]
    lines = [f"Fewest digits among the arrays of {found.cases:,} uses in {drawn:,} random architectures:", ""]
    lines += [f"| array | against | {' | '.join(dtypes)} | arrays |", "|---|---|" + "---:|" * (len(dtypes) + 1)]
    for (kind, against), by_dtype in table.items():
        shown = " | ".join(_fewest(by_dtype.get(dtype)) for dtype in dtypes)
        lines.append(f"| {KINDS[kind]} | {against} | {shown} | {sum(a.count for a in by_dtype.values()):,} |")
    wrong, doubtful = (sum(getattr(a, verdict) for a in found.arrays) for verdict in ("disagree", "inconclusive"))
    said = f"{wrong:,} arrays disagree, {doubtful:,} are inconclusive" if wrong or doubtful else "All arrays agree"
    return [*lines, "", f"{said}: see [how a verdict is reached](../verdicts.md), [how this was measured](index.md)."]


KINDS = {
    "output": "output",
    "update": "new buffer",
    "input": "gradient of an input",
    "parameter": "gradient of a parameter",
    "adjoint": "gradient of the output",
    "behaviour": "behaviour",
}
"""Of arrays, in the order of the table."""

WITNESSES = ("autograd, node alone", "differences", "autograd", "itself")
"""The node alone, then in its network, whose other nodes lose digits as well."""


def _fewest(arrays: Arrays | None) -> str:
    return "" if arrays is None or arrays.digits is None else f"{arrays.digits:.1f}"


def _known(op: str) -> list[str]:
    """Refusals, conventions, complex numbers, what was found in PyTorch, planted bugs."""
    found = measured(op)
    lines = [f"- {_sentence(_markdown(rows()[op].limits))}"] if rows()[op].limits else []
    if found is not None:
        lines += [f"- By convention no derivative: {_sentence(why)}" for why in found.conventions]
        lines.append(f"- Complex numbers: {_sentence(found.complex or 'verified, too')}")
    lines += [f"- Found in PyTorch: [{title}](../findings.md#{anchor})." for title, anchor in _findings(op)]
    planted = re.findall(rf"(?m)^\| {op}: ", (DOCS / "planted-bugs.md").read_text(encoding="utf-8"))
    if planted:
        count = f"{len(planted)} wrong backward passes were" if len(planted) > 1 else "A wrong backward pass was"
        lines.append(f"- {count} planted in it, and caught ([list](../planted-bugs.md)).")
    return lines or ["Nothing special."]


def _findings(op: str) -> list[tuple[str, str]]:
    """Sections of docs/findings.md that name a layer: title without PyTorch's version, anchor."""
    sections = re.split(r"(?m)^## ", (DOCS / "findings.md").read_text(encoding="utf-8"))[1:]
    named = [s.split("\n", 1)[0] for s in sections if f"`{op}`" in s]
    return [(title.partition(": ")[2], slug(title)) for title in named]


def slug(title: str) -> str:
    """The anchor that GitHub, and MyST, give to a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _conditions() -> list[str]:
    """The command that measured, and with what."""
    known = conditions()
    command = f"backproof verify --examples {known['architectures']} --seed {known['seed']} --json - \\\n"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(known["environment"].items()))
    return [
        "```console",
        f"{command}  | python -m docs.extensions.measured > docs/measured.json",
        "```",
        "",
        f"({versions})",
    ]


def _in_torch(op: str) -> str:
    return FUNCTIONS.get(op, f"torch.{op.lower()}") if op in STRUCTURAL else f"torch.nn.{op}"


def _anchor(thing: Any) -> str:
    return f"code-{thing.__module__}.{thing.__name__}"


def _last(module: str) -> str:
    return module.rpartition(".")[2]


def _title(family: str) -> str:
    return {"ctc": "CTC"}.get(family, family.replace("_", " ").capitalize())


def _said(module: str) -> list[str]:
    """The docstring of a module, in which references become plain code: what they name stands on no page."""
    said = inspect.getdoc(sys.modules[module]) or ""
    return _restructured(re.sub(r":\w+:`~?([^`]*)`", r"``\1``", said).splitlines())


def _restructured(lines: Iterable[str]) -> list[str]:
    return ["```{eval-rst}", *lines, "```"]


def _fenced(text: str) -> list[str]:
    return ["```python", text.strip("\n"), "```"]


def _toctree(documents: Iterable[str]) -> list[str]:
    return ["```{toctree}", ":hidden:", "", *documents, "```", ""]


def _markdown(text: str) -> str:
    """Docstrings mark code with two ticks and roles; Markdown with one."""
    return re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text).replace("``", "`")


def _first_paragraph(text: str) -> str:
    return _markdown(" ".join(text.split("\n\n")[0].split())).removesuffix("::")


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith(".") else f"{text}."


def _cell(text: str) -> str:
    """Text in a table of Markdown, where a bar would end the cell."""
    return text.replace("|", "\\|")


def _default(value: Any) -> str:
    return "" if value is inspect.Parameter.empty else f"`{_cell(repr(value))}`"


def _type(annotation: Any) -> str:
    return "" if annotation is inspect.Parameter.empty else f"`{_cell(str(annotation))}`"


def _classes(counts: Mapping[str, int]) -> str:
    return (
        ", ".join(f"{_cell(name)} ({count:,})" for name, count in sorted(counts.items(), key=lambda i: -i[1]))
        or "never"
    )
