"""What is wrong where every node is right: how they were put together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from backproof.examination import Examination
from backproof.judging import within
from reference import Run, Tensor
from reference.twin import Use

UNEXPLAINED = "every node agrees alone: the composition is wrong"
Uses = Mapping[str, list[Use]]


def explain(examination: Examination) -> str:
    """Say which mistake of composition gives what came: each is made in PyTorch, and the whole run compared.

    A mistake of the forward pass is named by the first node that was given something else. Of the backward pass:
    gradients of branches, or of tied weights, that overwrite one another instead of being added, that count twice,
    that are lost, or a node that went back before all of its gradient had arrived.
    """
    verdicts = examination.whole_verdicts
    for name, verdict in verdicts.items():
        if name.kind in ("output", "update") and verdict.verdict == "disagree":
            return f"{UNEXPLAINED}: {name.node} did not get what it takes, or in another order"
    wrong = [name for name, verdict in verdicts.items() if verdict.verdict == "disagree"]
    for words, counted in _mistakes(examination):
        if not counted:
            continue
        run = examination.witnesses.twin.run(examination.reference.values, counted=counted)
        if _explains(examination, run, wrong):
            early = [name for name in run.tensors if name not in wrong and not _near(examination, run, name)]
            return f"{UNEXPLAINED}: {words}{_order(early)}"
    return UNEXPLAINED


def _order(early: list[Tensor]) -> str:
    """What is right although the mistake would change it was complete in the end, but too late."""
    late = sorted({name.node for name in early if name.kind == "adjoint"})
    return f"; {' and '.join(late)} went back before all of its gradient had arrived: wrong order" if late else ""


def _explains(examination: Examination, run: Run, wrong: list[Tensor]) -> bool:
    """Whether a run has every array that is wrong, and is itself wrong only there or in what was complete too late."""
    kept = [name for name in run.tensors if name.kind in ("parameter", "input") and name not in wrong]
    return all(_near(examination, run, name) for name in (*wrong, *kept))


def _near(examination: Examination, run: Run, name: Tensor) -> bool:
    got = examination.whole.tensors.get(name)
    want = run.tensors[name]
    if got is None:
        return name.kind in ("adjoint", "output") or not want.any()
    return got.shape == want.shape and within(got, want, 2 * examination.bound(examination.reference, name))


def _mistakes(examination: Examination) -> Iterator[tuple[str, Mapping[Use, float]]]:
    """Yield mistakes in words, with how often they count the gradient through each use."""
    branches, weights = _branches(examination), _tied(examination)
    for what, several in (("branches", branches), ("tied weights", weights)):
        for order, stays in (("last", _last), ("first", _first)):
            lost = {use: 0.0 for uses in several.values() for use in uses if use != stays(uses)}
            yield f"gradients of {what} overwrite one another instead of being added: the {order} one stays", lost
        yield f"gradients of {what} count twice", {use: 2.0 for uses in several.values() for use in uses}
    twice = [uses for uses in map(_of_one_node, branches.values()) if uses]
    for which, position in (("first", 0), ("second", 1)):
        once = {use: 0.0 for uses in twice for use in uses if use != uses[position]}
        yield f"where a node takes an array twice, only the gradient of the {which} use arrives", once
        again = {use: 2.0 * (use == uses[position]) for uses in twice for use in uses}
        yield f"where a node takes an array twice, the gradient of the {which} use counts for both: twice", again
    for op in sorted({node.op for node in examination.nodes}):
        alike = {node.name for node in examination.nodes if node.op == op}
        lost = {use: 0.0 for uses in branches.values() for use in uses if use[0] in alike}
        yield f"the gradient of branches through {op} is lost", lost
    for shared, uses in (*branches.items(), *weights.items()):
        for use in uses:
            through = f"{shared} through {use[0] or 'the output'}"
            yield f"the gradient of {through} is lost", {use: 0.0}
            yield f"the gradient of {through} counts twice", {use: 2.0}
        for kept in uses:
            others = {use: 0.0 for use in uses if use != kept}
            yield f"of the gradient of {shared} only what comes through {kept[0] or 'the output'} arrives", others


def _last(uses: list[Use]) -> Use:
    """The use whose gradient comes last: backward, the first node does; its own inputs stand in order."""
    return [use for use in uses if use[0] == uses[0][0]][-1]


def _first(uses: list[Use]) -> Use:
    """The use whose gradient comes first."""
    return next(use for use in uses if use[0] == uses[-1][0])


def _of_one_node(uses: list[Use]) -> list[Use]:
    """The uses of an array by the first node that takes it more than once; none if none does."""
    nodes = [node for node, _ in uses]
    return [use for use in uses if nodes.count(use[0]) > 1 and use[0] == max(nodes, key=nodes.count)]


def _branches(examination: Examination) -> Uses:
    """Every array that is used more than once, with its uses in order; the cotangent of an output is one."""
    architecture = examination.witnesses.architecture
    uses: dict[str, list[Use]] = {}
    taken = [(reference, (node.name, str(i))) for node in architecture.nodes for i, reference in enumerate(node.inputs)]
    for reference, use in (*taken, *((reference, ("", reference)) for reference in architecture.outputs)):
        name, index = architecture.slot(reference)
        uses.setdefault(f"{name}.{index}" if index else name, []).append(use)
    return {name: several for name, several in uses.items() if len(several) > 1}


def _tied(examination: Examination) -> Uses:
    """Every parameter that several nodes use."""
    reference = examination.witnesses.reference
    uses: dict[str, list[Use]] = {}
    for node in examination.nodes:
        for name in reference.values.parameters.get(node.owner, {}):
            uses.setdefault(f"{node.owner}'s {name}", []).append((node.name, name))
    return {name: several for name, several in uses.items() if len(several) > 1}
