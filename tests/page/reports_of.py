"""Reports to look at: of right layers, of wrong ones beside a baseline, of a great many, of hostile names."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from backproof import NumPyImplementation
from backproof.campaign import Campaign
from backproof.catalogue import facts
from reference.ops import STRUCTURAL
from reports import Agreement, Coverage, Summary, compare
from reports.cases import Cases

LAYERS = ("Linear", "ReLU", "Tanh", "LayerNorm")
HOSTILE = """<img src=x onerror="document.title='taken'">'`{{7*7}}</script><script>document.title='taken'</script>"""
ABOUT = {
    "implementation": "numpy",
    "seed": 3,
    "command": "backproof verify --layers Linear,ReLU,Tanh,LayerNorm --examples 24 --seed 3",
    "environment": {"backproof": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6"},
}


class Wrong(NumPyImplementation):
    """NumPy's layers, but for the weight of Linear, one and a half times too large, and one entry of ReLU."""

    name = "wrong"

    def forward(self, node: Any, *given: Any, **options: Any) -> Any:
        done = super().forward(node, *given, **options)

        def backward(g: Any) -> Any:
            (first, *others), own = done.backward(g)
            if node.op == "Linear":
                own = {name: array * 1.5 if name == "weight" else array for name, array in own.items()}
            if node.op == "ReLU" and first is not None:
                first = first.copy()
                first.reshape(-1)[-1:] *= 1.1
            return (first, *others), own

        return done._replace(backward=backward)


@cache
def verified(wrong: bool) -> list[list[Agreement]]:
    campaign = Campaign(Wrong() if wrong else "numpy", 24, 3, layers=LAYERS)
    found = [campaign.example(number) for number in range(campaign.examples)]
    return [[replace(agreement, seconds=0.01) for agreement in agreements] for agreements in found]


def gathered(examples: list[list[Agreement]], **about: Any) -> tuple[dict[str, Any], Cases]:
    summary = Summary(("float64", "float32"), ABOUT | about, Coverage(facts({*LAYERS, *STRUCTURAL})), seconds=1.5)
    cases = Cases()
    for number, agreements in enumerate(examples):
        summary.add(agreements)
        cases.add(number, agreements)
    return summary.document(), cases


def right() -> tuple[dict[str, Any], Cases]:
    return gathered(verified(wrong=False))


def wrong() -> tuple[dict[str, Any], Cases]:
    """With a failure that was shrunk, and a comparison with the right ones."""
    document, cases = gathered(verified(wrong=True), implementation="wrong")
    document["failures"][0] |= {
        "minimal": document["failures"][0]["architecture"],
        "reproduction": "import backproof\n",
    }
    document["comparison"] = compare(right()[0], document).document()
    return document, cases


def many(count: int) -> tuple[dict[str, Any], Cases]:
    """So many architectures, the same few over and over under other digests."""
    document, cases = right()
    lines = cases.lines
    cases.count = count
    cases.lines = [[i, f"{i:012x}", *lines[i % len(lines)][2:]] for i in range(count)]
    return document | {"architectures": count}, cases


def hostile() -> tuple[dict[str, Any], Cases]:
    """Every name that may come from a stranger is an attack."""
    agreements = verified(wrong=True)[0]
    architecture = dict(agreements[0].architecture)
    names = {node["name"]: f"{HOSTILE}{i}" for i, node in enumerate(architecture["nodes"])}
    nodes = [
        node | {"name": names[node["name"]], "op": HOSTILE, "inputs": [names.get(i, i) for i in node["inputs"]]}
        for node in architecture["nodes"]
    ]
    attacked = [
        replace(
            agreement,
            architecture=architecture | {"nodes": nodes},
            implementation=HOSTILE,
            shapes={},
            culprit=HOSTILE,
            op=HOSTILE,
            diagnosis=HOSTILE,
            tensors=tuple(replace(t, node=HOSTILE, op=HOSTILE, name=HOSTILE, note=HOSTILE) for t in agreement.tensors),
        )
        for agreement in agreements
    ]
    return gathered([attacked], implementation=HOSTILE, command=HOSTILE)
