"""What the units of a tape are, from the records of their ops; no op is known here by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tinyres.engine.node import FurtherOutput, Node, ParameterLeaf
from tinyres.engine.op import Fans, Op
from tinyres.engine.ways import Ways
from tinyres.trace.facts import Facts


def facts_of(forward: Sequence[Node], owner: Mapping[Node, int], units: Sequence[Node]) -> list[Facts]:
    """Per unit what its ops make it. forward: the nodes of the tape, oldest first. owner: the unit of each."""
    members: list[list[Node]] = [[] for _ in units]
    for node in forward:
        if node.op is not None and type(node) is not FurtherOutput:
            members[owner[node]].append(node)
    ways = Ways(forward, owner)
    return [_facts(unit, own, ways) for unit, own in zip(units, members)]


def fans_of(forward: Sequence[Node]) -> dict[Node, tuple[Fans, float]]:
    """Fans and coverage of every Parameter that an op takes as a weight, reshaped or not, if all that do so agree."""
    found: dict[Node, set[tuple[Fans, float]]] = {}
    for node in forward:
        for i, producer in enumerate(node.inputs):
            fans = _fans(node, i)
            weight = None if fans is None else parameter_of(producer)
            if fans is not None and weight is not None:
                found.setdefault(weight, set()).add((fans, _coverage(node)))
    return {parameter: known for parameter, (known, *others) in found.items() if not others}


def _facts(unit: Node, members: list[Node], ways: Ways) -> Facts:
    ops = [(n, n.op) for n in members if n.op is not None]
    rectifiers = [n for n, op in ops if op.is_rectifier(n.attrs)]
    return Facts(
        adds=bool(ops) and all(op.adds or op.view for _, op in ops) and any(op.adds for _, op in ops),
        multiplies=any(map(ways.multiplied, members)),
        scales=any(map(ways.scaled, members)) and all(_is_straight(n, op) or ways.scaled(n) for n, op in ops),
        rectifies=len(rectifiers),
        rectified=unit in rectifiers,
        leaks=next((float(op.leaks(*n.attrs)) for n, op in ops if op.leaks is not None), 0.0),
        normalises=next((op.normalises for _, op in ops if op.normalises), ""),
        piecewise_linear=bool(ops) and all(_is_piecewise_linear(n, op) for n, op in ops),
        slope=float(unit.op.slope) if unit.op is not None else 0.0,
        drops=float(max([op.drops(*n.attrs) for n, op in ops if op.drops is not None], default=0.0)),
        in_row=_in_row(members, ways),
        distributes=next((n.inputs[0].shape[-1] for n, op in ops if op.distributes and n.inputs[0].shape), 0),
        **_breaks(unit),
    )


def _is_straight(node: Node, op: Op) -> bool:
    """Whether an op makes nothing else of a scaled value: x · sigmoid(w · x) is no scale of x."""
    return op.adds or op.view or bool(op.normalises) or op.fans is not None


def _breaks(unit: Node) -> dict[str, str]:
    breaks = None if unit.op is None else unit.op.breaks
    return {} if breaks is None else {"breaks": breaks[0], "helps": breaks[1]}


def _is_piecewise_linear(node: Node, op: Op) -> bool:
    weighs = any(_fans(node, i) and parameter_of(n) is not None for i, n in enumerate(node.inputs))
    cuts = op.fans is None and (op.is_rectifier(node.attrs) or op.leaks is not None)
    return op.adds or op.view or weighs or cuts


def _in_row(members: list[Node], ways: Ways) -> bool:
    """Whether several ops with weights each work on what the one before made, so that their factors multiply."""
    if sum(n.op is not None and n.op.fans is not None for n in members) < 2:
        return False
    own = set(members)
    takes = [n for node in members for n in node.inputs if n in own]
    return len(set(takes)) == len(takes) and all(sum(map(bool, ways.into(node))) <= 1 for node in members)


def parameter_of(node: Node) -> ParameterLeaf | None:
    """The Parameter that a node is a view of, or is."""
    while node.op is not None and node.op.view:
        node = node.inputs[0]
    return node if isinstance(node, ParameterLeaf) else None


def _coverage(node: Node) -> float:
    if node.op is None or node.op.coverage is None:
        return 1.0
    return node.op.coverage(*node.attrs)


def _fans(node: Node, i: int) -> Fans | None:
    """The fans of an op's input as a weight of it."""
    if node.op is None or node.op.fans is None:
        return None
    return node.op.fans(*[n.shape for n in node.inputs], *node.attrs)[i]
