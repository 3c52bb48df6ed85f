"""Who is wrong, in which pass, and why: one node is convicted, or the composition, or PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from backproof.composition import UNEXPLAINED, explain
from backproof.differencing import at_every_coordinate
from backproof.evidence import gather
from backproof.examination import PYTORCH, Examination
from backproof.implementations import Completed, TorchImplementation
from backproof.judging import within
from backproof.running import ImplementationFailed, WrongArray, run
from backproof.second_order import Analytic
from reference import Node, Tensor
from reports import Suspect, TensorAgreement, diagnose, most_telling
from reports.agreement import Fault


class Blame(NamedTuple):
    """Which node is wrong (None: none is, alone), in what, and what the mistake looks like: found out when asked."""

    node: Node | None = None
    fault: Fault | None = None
    diagnosis: Callable[[], str | None] = lambda: None


def blame(examination: Examination) -> Blame:
    """Convict the first node that is wrong even alone, on PyTorch's own numbers, so that nobody pays for another.

    Three witnesses speak on each node: its forward and its backward against PyTorch's, and its backward against finite
    differences of its own forward; and it must behave. Where all nodes are right and the network is wrong, the
    composition is; where only PyTorch contradicts its own forward, PyTorch is.
    """
    for node in examination.nodes:
        found = _numbers(examination, node)
        if found is not None:
            return found
    if any(verdict.verdict == "disagree" for verdict in examination.whole_verdicts.values()):
        return _uncleared(examination) or Blame(None, "composition", partial(explain, examination))
    if (found := _second_order(examination)) is not None:
        return found
    wrong = [against for against, verdict in examination.end_to_end.items() if verdict.verdict == "disagree"]
    if wrong == [PYTORCH]:
        return Blame(None, "reference", lambda: "PyTorch's gradient of the whole network contradicts its own forward")
    return Blame(
        diagnosis=lambda: "all arrays are PyTorch's, but the whole gradient is not the derivative of the whole"
    )


def _uncleared(examination: Examination) -> Blame | None:
    """Convict the first node that a kink keeps from being right alone, unless a mistake of composition explains all."""
    for node in examination.nodes:
        verdicts = examination.alone(node).items()
        back = [n for n, v in verdicts if v.verdict == "inconclusive" and n.kind in ("parameter", "input")]
        if back:
            explained = explain(examination) != UNEXPLAINED
            return None if explained else Blame(node, "backward", partial(_why, examination, node, back))
    return None


def _numbers(examination: Examination, node: Node) -> Blame | None:
    wrong = [name for name, verdict in examination.alone(node).items() if verdict.verdict == "disagree"]
    derivative = [name for name, verdict in examination.differences(node).items() if verdict.verdict == "disagree"]
    misbehaviour = examination.misbehaviour(node)
    # A run that spoils its values is right nowhere; where a single run is right, what is kept goes wrong.
    if misbehaviour is not None and (misbehaviour.spoils or not wrong):
        return Blame(node, "state", lambda: misbehaviour.words)
    ahead = [name for name in wrong if name.kind in ("output", "update")]
    back = [name for name in wrong if name not in ahead]
    words = _coarser(examination, node, ahead or back) if wrong else None
    if words:
        return Blame(node, "dtype", lambda: words)
    if ahead:
        fault: Fault = "function" if not derivative else "both" if back else "forward"
        return Blame(node, fault, partial(_why, examination, node, ahead))
    if back and not derivative:
        return _against_both(examination, node, back)
    if back:
        return Blame(node, "backward", partial(_why, examination, node, back))
    if derivative:
        return Blame(node, "forward", lambda: "it agrees with PyTorch, but is not the derivative of its own forward")
    return None


def _coarser(examination: Examination, node: Node, wrong: list[Tensor]) -> str | None:
    """Say so if all that is wrong is right to the digits of the dtype in which it comes, a coarser one than asked."""
    alone, single = examination.witnesses.alone[node.name], examination.single(node)
    eps = np.finfo(examination.dtype).eps
    for name in wrong:
        got, want = single.tensors.get(name), alone.run.tensors[name]
        if got is None or got.shape != want.shape or got.dtype.kind not in "fc" or np.finfo(got.dtype).eps <= eps:
            return None
        if not within(got, want, examination.bound(alone, name) * float(np.finfo(got.dtype).eps / eps)):
            return None
    found = single.tensors[wrong[0]].dtype
    what = called(wrong[0], examination)
    return f"{what} has dtype {found}, wanted {examination.dtype}; it is right to the digits of {found}"


def _second_order(examination: Examination) -> Blame | None:
    """Convict the first node whose gradients are right, but change otherwise than PyTorch's."""
    second = examination.second_order
    for node in examination.nodes if second else ():
        for name, verdict in second.alone(node).verdicts.items() if second else ():
            if verdict.verdict == "disagree":
                return Blame(node, "backward", partial(_not_beside, called(name, examination), verdict))
    return None


def _not_beside(what: str, verdict: TensorAgreement) -> str:
    changes = f"it changes by {verdict.got:.7g} where PyTorch's changes by {verdict.want:.7g}, at {list(verdict.index)}"
    return f"{what} is right at this point, but not beside it: along one direction {changes}"


def _against_both(examination: Examination, node: Node, wrong: list[Tensor]) -> Blame:
    """The forward is PyTorch's and the backward its derivative, yet autograd differs: at a kink, or wrongly."""
    alone = examination.witnesses.alone[node.name]
    derivatives = at_every_coordinate(Completed(TorchImplementation()), node, alone)
    for name in wrong:
        if (
            name in derivatives
            and name in examination.differences(node)
            and not derivatives[name].coordinates.kinks.any()
        ):
            claims = derivatives[name].claims(alone.run.tensors[name], examination.bound(alone, name))
            if not all(claim.holds for claim in claims):
                return Blame(node, "reference", partial(_pytorch, examination, name))
    return Blame(node, "backward", partial(_why, examination, node, wrong))


def _pytorch(examination: Examination, name: Tensor) -> str:
    return f"PyTorch's {called(name, examination)} contradicts its own forward"


def _why(examination: Examination, node: Node, wrong: list[Tensor]) -> str | None:
    """Diagnose wrong arrays of a node by the one that tells most."""
    alone, single = examination.witnesses.alone[node.name], examination.single(node)
    if examination.witnesses.imaginary:
        return _unconjugated(examination, node, wrong)
    return most_telling(
        Suspect(
            called(name, examination),
            single.tensors.get(name),
            alone.run.tensors[name],
            examination.bound(alone, name),
            gather(node, alone, name),
        )
        # A gate or a head has its own rows in a parameter.
        for name in sorted(wrong, key=lambda name: name.kind != "parameter")
    )


def _unconjugated(examination: Examination, node: Node, wrong: list[Tensor]) -> str | None:
    """Say so if the gradients are right but for a conjugate: the one mistake that only complex numbers show."""
    alone = examination.witnesses.alone[node.name]
    conjugated = Analytic(examination.implementation, frozenset({node.name}))
    again = run(conjugated, alone.twin, alone.values, examination.dtype).run.tensors
    for name in wrong:
        got, want = again.get(name), alone.run.tensors[name]
        if got is not None and got.shape == want.shape and within(got, want, examination.bound(alone, name)):
            return f"{called(name, examination)} takes the derivative where PyTorch takes its conjugate"
    return None


def malformed(examination: Examination, error: WrongArray) -> Blame:
    """Blame a node for an array that cannot be compared."""
    fault: Fault = "forward" if error.kind == "output" else "backward"
    return Blame(error.node, fault, partial(_misshapen, examination, error))


def _misshapen(examination: Examination, error: WrongArray) -> str:
    """Say what the shape of an array tells, by the array that comes on the numbers that PyTorch knows."""
    node = error.node
    own = Tensor("input", f"{node.name}_input{error.name}", "0")
    name = own if error.kind == "input" else Tensor(error.kind, node.name, error.name)
    alone = examination.witnesses.alone[node.name]
    told: str | None = str(error)
    try:
        examination.single(node)
    except WrongArray as again:
        if (again.kind, again.name) == (error.kind, error.name) and isinstance(again.found, np.ndarray):
            bound, evidence = examination.bound(alone, name), gather(node, alone, name)
            told = diagnose(again.found, alone.run.tensors[name], bound, evidence)
    except ImplementationFailed:
        pass  # it does not even fail twice in the same way
    return f"{called(name, examination)} {told}"


def called(name: Tensor, examination: Examination) -> str:
    """What to call an array of one node."""
    words = {"output": "output", "update": "new", "parameter": "gradient of"}
    return f"{words.get(name.kind, 'gradient of input')} {examination.labels(name)['name']}"
