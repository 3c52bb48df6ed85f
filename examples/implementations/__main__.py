"""Verify every adapter whose library is installed, and write what was found as Markdown: ``docs/implementations.md``.

``python -m examples.implementations [--examples 10] [--seed 0] [name ...]`` in a clone; absent libraries are named.
Nodes run alone, so many for every op; the network by hand, which composes networks itself, runs whole ones.
"""

import argparse
import re
from collections import Counter, defaultdict
from importlib.metadata import PackageNotFoundError, version
from itertools import product

from backproof.campaign import Campaign, agreements
from backproof.generator import random_architecture
from backproof.implementations import Completed, load
from backproof.shrinking import shrink_failure
from reference import Architecture, Node
from reference.ops import STRUCTURAL
from reports import Summary
from reports.summary import in_words

ADAPTERS = {
    "mygrad": "mygrad:implementation",
    "autograd": "autograd:implementation",
    "jax": "jax:implementation",
    "tinygrad": "tinygrad:implementation",
    "torch": "torch_function:TorchFunctions",
    "numpy": "by_hand:Network",
    "micrograd-style": "scalars:implementation",
}
"""By the library that computes; the last one is its own library."""

OURS = "micrograd-style"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *ADAPTERS], metavar="name", help=", ".join(ADAPTERS))
    parser.add_argument("--examples", type=int, default=10, help="architectures for each op (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="draws them (default: 0)")
    given = parser.parse_args()
    for name in given.names or ADAPTERS:
        try:
            released = "" if name == OURS else f" {version(name)}"
        except PackageNotFoundError:
            print(f"## {name}\n\nNot installed: `pip install {name}`\n", flush=True)
            continue
        print(f"## {name}{released}\n", flush=True)
        report(f"examples.implementations.{ADAPTERS[name]}", given.examples, given.seed)


def report(implementation, examples, seed):
    """Print a row for each op, then the first architecture of every kind of failure, shrunk."""
    campaign, completed = Campaign(implementation).checked(), Completed(load(implementation))
    summary, kinds = Summary(campaign.dtypes), {}
    varied, raised = defaultdict(lambda: defaultdict(set)), Counter()
    own = [op for op in campaign.layers if op not in STRUCTURAL or completed.own.supports(Node("any", op, {}, ("x",)))]
    for op, number in product(own, range(examples)):
        drawn = random_architecture(
            (seed << 32) + number, [op], 8 if completed.runs_whole_networks else 1, completed.takes
        )
        found = agreements(drawn, completed.verified, campaign.dtypes)
        summary.add(found)
        for node in found[0].architecture["nodes"]:
            for name, value in node.get("arguments", {}).items():
                varied[node["op"]][name].add(str(value))
        for agreement in found:
            raised[agreement.op] += agreement.failure is not None
            if not agreement.agrees:
                told = agreement.failure or agreement.diagnosis or agreement.fault or ""
                kind = agreement.op, re.sub(r"node \w+|[\d.e+-]+", "", told)[:60]
                kinds.setdefault(kind, [agreement, 0])[1] += 1
    document = summary.document()
    counts = ", ".join(f"{document[verdict]:,} {verdict}" for verdict in ("agree", "disagree", "inconclusive"))
    print(f"{document['architectures']:,} architectures, {document['tensors']:,} arrays: {counts}.\n")
    print("| op | arguments drawn | cases | arrays | disagree | runs raised | digits in float64 | in float32 |")
    print("|---|---|---|---|---|---|---|---|")
    for row in document["layers"]:
        digits = (row["worst_digits"][dtype] for dtype in campaign.dtypes)
        shown = " | ".join("-" if least is None else f"{least:.1f}" for least in digits)
        names = ", ".join(f"`{name}`" for name, values in varied[row["op"]].items() if len(values) > 1)
        arrays = row["agree"] + row["disagree"] + row["inconclusive"]
        print(
            f"| {row['op']} | {names} | {row['cases']} | {arrays} | {row['disagree']} | {raised[row['op']]} | {shown} |"
        )
    print()
    for (op, _), (agreement, count) in kinds.items():
        first = Architecture.from_dict(agreement.architecture)
        found = shrink_failure(first, completed.verified, agreement.dtype).architecture
        told = " ".join((agreement.failure or agreement.diagnosis or str(agreement.fault)).split())
        print(
            f"- **{op}** ({count} runs, first in {agreement.dtype}): {told}\n  `{in_words(found.to_dict())}`",
            flush=True,
        )
    if kinds:
        print()


if __name__ == "__main__":
    main()
