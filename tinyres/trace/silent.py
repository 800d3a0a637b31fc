"""Lint of what receives no gradient: each cause once, at its root.

What is 0 makes more of the net 0: a dead ReLU everything behind it until a bias, a missing gradient everything before
it. So all silent nodes that hang together are one finding, at the first that is 0 though what it reads is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tinyres.trace.net import LISTED, Finding, Net, finding_at, gathered
from tinyres.trace.nodes import TraceNode, TraceParameter
from tinyres.trace.scale import empty_input

_BY_CHANCE = 16  # units: so few, as drawn, may all be 0 at once
_FEW, _MANY = 2, 0.25  # units, and the part of them, that are dead by more than chance
_SEEN = 32  # values of a unit that tell


def silent_parts(net: Net) -> Iterator[Finding]:
    """Dead ReLUs, dead branches and parameters without a gradient; not what one example under BatchNorm silences."""
    header = net.trace.header
    if header.batch == 1 and header.training is not False and any(n.facts.normalises for n in net.trace.nodes):
        return
    empty = empty_input(net.trace)
    if empty is not None:
        yield finding_at(
            "empty-input", empty, "every value is 0, so no kernel that reads it has a gradient",
            "look at how the data is read",
        )  # fmt: skip
        return
    silent = {n.name for n in net.trace.nodes if n.primitive and n.size and (n.grad_norm == 0 or n.value_norm == 0)}
    seen: set[str] = set()
    found: list[Finding] = []
    for node in net.trace.nodes:
        if node.name in silent and node.name not in seen:
            part = _connected(net, node.name, silent)
            seen |= part
            found += _finding(net, [n for n in net.trace.nodes if n.name in part])
    idle = [(n, _idle(n)) for n in net.trace.nodes if n.name not in seen and not _opens_later(net, n)]
    told: set[str] = set()
    for node, names in idle:
        fresh = [k for k in names if node.params[k].name not in told]
        told.update(node.params[k].name for k in fresh)
        if fresh and _is_narrow(net, node) and _elsewhere_alive(net):
            continue
        if fresh and not any(net.nodes[e.src].name in seen for e in net.data_into(node.name)):
            found.append(finding_at("no-gradient", node, f"no gradient reaches {', '.join(fresh)}", _REMEDY))
    yield from gathered(found)


_REMEDY = "look for a zero factor, a dead ReLU or a detach() behind it, or set trainable=False"


def _connected(net: Net, start: str, silent: set[str]) -> set[str]:
    part, stack = {start}, [start]
    while stack:
        name = stack.pop()
        for other in [e.dst for e in net.outgoing[name]] + [e.src for e in net.incoming[name]]:
            if other in silent and other not in part:
                part.add(other)
                stack.append(other)
    return part


def _finding(net: Net, part: list[TraceNode]) -> Iterator[Finding]:
    """What one silent part of a net is about; nothing where it will open, or where nothing in it is to be trained."""
    dead = [n for n in part if _is_dead(net, n)]
    root = next(iter(dead), None)
    idle = [(n, k) for n in part for k in _idle(n)]
    branch = _dead_branch(net, part)
    if root is not None and root.facts.rectified:
        if _by_chance(net, root) and _elsewhere_alive(net):
            return
        yield finding_at(
            "dead-relu", root, "every unit is 0 for the whole batch, so no gradient passes",
            "lower the learning rate, or look at the bias and the initialiser",
        )  # fmt: skip
    elif branch is not None:
        yield branch
    elif idle and not any(_opens_later(net, n) for n, _ in idle):
        where = root or idle[0][0]
        if where is net.trace.nodes[-1] or (root is None and _is_narrow(net, where) and _elsewhere_alive(net)):
            return  # a loss of 0 asks for nothing; few units may be silent by chance
        if where.facts.normalises == "batch" and where.value_norm == 0 < _read(net, where):
            yield finding_at(
                "same-examples", where, "every value is 0, for all examples are alike where it reads them",
                "look whether the data holds different examples, and whether they are told apart on the way",
            )  # fmt: skip
            return
        names = list(dict.fromkeys(n.params[k].name for n, k in idle))
        short = ", ".join(dict.fromkeys(k for _, k in idle))
        listed = short if len(names) <= LISTED else f"{len(names)} parameters, from {names[0]} to {names[-1]}"
        yield finding_at("no-gradient", where, f"no gradient reaches {listed}", _REMEDY)


def _read(net: Net, node: TraceNode) -> float:
    return max((net.nodes[e.src].value_norm for e in net.data_into(node.name)), default=0.0)


def _is_dead(net: Net, node: TraceNode) -> bool:
    """Whether a node is 0 for the whole batch though neither its inputs nor its weights are."""
    fed = net.data_into(node.name)
    weights = [p for p in node.params.values() if len(p.shape) >= 2]
    alive = bool(fed) and all(net.nodes[e.src].value_norm > 0 for e in fed)
    return node.size == node.zeros > 0 and alive and all(p.value_norm > 0 for p in weights)


def dead_units(net: Net) -> Iterator[Finding]:
    """Units and channels that are 0 for the whole batch, where they are many and did not begin so."""
    yield from gathered(list(_with_dead_units(net)))


def _with_dead_units(net: Net) -> Iterator[Finding]:
    for node in net.trace.nodes:
        units = node.channels
        if not node.dead or node.dead < max(_FEW, _MANY * units) or node.zeros == node.size:
            continue
        if node.size // units >= _SEEN and not _as_drawn(net, node):
            what = "channels" if len(node.shape) == 4 else "units"
            yield finding_at(
                "dead-units", node,
                f"{node.dead} of {units} {what} are 0 for the whole batch, so no gradient passes through them",
                "lower the learning rate, or look at the bias and the initialiser",
            )  # fmt: skip


def _by_chance(net: Net, node: TraceNode) -> bool:
    """Whether a few units, as they were drawn, may have fallen on the wrong side together."""
    return _as_drawn(net, node) and _is_narrow(net, node)


def _as_drawn(net: Net, node: TraceNode) -> bool:
    """Whether what makes a node is as it began."""
    makers = [node, *(net.nodes[e.src] for e in net.data_into(node.name))]
    parameters = [p for n in makers for p in n.params.values()]
    return all(p.drawn or p.fans is None for p in parameters) and all(
        p.value_norm == 0 for p in parameters if p.fans is None and len(p.shape) == 1 and p.value_mean <= 0
    )


def _is_narrow(net: Net, node: TraceNode) -> bool:
    """Whether a node has so few units that all may be silent by chance."""
    return (node.size if net.trace.header.batch == 1 else node.channels or 1) < _BY_CHANCE


def _elsewhere_alive(net: Net) -> bool:
    """Whether a gradient reaches the first weights all the same."""
    first = next((n for n in net.trace.nodes if n.params), None)
    return first is not None and any(n.grad_norm > 0 for n in net.trace.nodes[: net.place[first.name] + 1])


def _dead_branch(net: Net, part: list[TraceNode]) -> Finding | None:
    """A branch that outputs 0 or sends no gradient back, and has nothing that could change that."""
    names = {n.name for n in part}
    for fork, _, branches in net.residual_forks():
        region = net.between([e.dst for e in branches], fork.join)
        within = {n.name for n in region}
        if not within & names or net.nodes[fork.join].grad_norm == 0:
            continue
        ends = [net.nodes[e.src] for e in net.incoming[fork.join] if e.src in within]
        quiet = bool(ends) and all(n.value_norm == 0 for n in ends)
        deaf = bool(branches) and all(e.grad_norm == 0 for e in branches)
        if (quiet or deaf) and not any(p.grad_norm > 0 for n in region for p in n.params.values()):
            says = "outputs 0" if quiet else "sends no gradient back"
            return finding_at(
                "dead-branch", net.nodes[branches[0].dst],
                f"the branch from {fork.node} to {fork.join} {says}, and no parameter in it has a gradient",
                "look for a dead ReLU, a zero factor or a detach() in it",
            )  # fmt: skip
    return None


def _idle(node: TraceNode) -> list[str]:
    return [k for k, p in node.params.items() if p.trainable and p.size and p.grad_norm == 0]


def _opens_later(net: Net, node: TraceNode) -> bool:
    """Whether a parameter that is 0 and has a gradient (a ReZero scale, a zero gamma) holds the node shut."""
    seen = {node.name}
    stack = [node.name]
    while stack:
        name = stack.pop()
        ahead = [e.dst for e in net.outgoing[name]]
        behind = [e.src for e in net.incoming[name] if net.nodes[e.src].value_norm == 0]
        for other in ahead + behind:
            if other in seen:
                continue
            seen.add(other)
            if any(p.value_norm == 0 and p.grad_norm > 0 for p in _factors(net.nodes[other])):
                return True
            if net.nodes[other].grad_norm == 0:
                stack.append(other)
    return False


def _factors(node: TraceNode) -> list[TraceParameter]:
    """The parameters that its inputs are multiplied with; not a bias, which opens no way."""
    kernels = [p for p in node.params.values() if p.fans is not None]
    if kernels or any(p.value_norm > 0 for p in node.params.values()):
        return kernels
    return list(node.params.values())


def unread_layers(names: Iterable[str]) -> Iterator[Finding]:
    """Layers whose Parameters take no part in the loss; on no tape, so without a line."""
    by_layer: dict[str, list[str]] = {}
    for name in names:
        layer, _, short = name.rpartition("/")
        by_layer.setdefault(layer or short, []).append(short)
    remedy = "use what the layer computes, or leave the layer out"
    if len(by_layer) > LISTED:
        layers = list(by_layer)
        problem = (
            f"no path leads from the parameters of {len(layers)} layers, {layers[0]} to {layers[-1]}, to the loss, so "
            "nothing trains them"
        )
        yield Finding("no-gradient", layers[-1], None, problem, f"look for a detach() behind {layers[-1]}, or {remedy}")
        return
    for layer, own in by_layer.items():
        problem = f"no path leads from {', '.join(own)} to the loss, so nothing trains it"
        yield Finding("no-gradient", layer, None, problem, remedy)
