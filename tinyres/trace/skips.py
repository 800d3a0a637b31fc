"""Lint of skips: what changes the signal on its way over one, one that is cut off from its gradient, one left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from tinyres.structure.kinds import GATE
from tinyres.trace.net import Finding, Net, concatenates, finding_at, has_kernel
from tinyres.trace.nodes import Fork, Returned, TraceEdge, TraceNode
from tinyres.trace.streams import SAMPLE_NORMS

_SAME = 1e-5  # |y - x| / |x| of what is the identity up to rounding
_SAME_GRADIENT = 0.01  # |g_out - g| / |g| likewise; what underflows on the way is less
_ONE_WAY = 0.9999  # |cosine| of gradients along one line
_TOLD = 0.01  # |mean| / std from which on the mean tells arrays apart
_SELDOM = 3  # times as many do otherwise

Build = tuple[tuple[object, ...], ...]


def changed_skips(net: Net) -> Iterator[Finding]:
    """What changes the signal on its way over a skip: by what it is, or because it was measured to."""
    told: set[str] = set()
    for fork, skips, _ in net.residual_forks():
        gated = any(e.kind == GATE for e in fork.edges)
        for edge in skips:
            carried = _carried(net, fork, edge)
            projected = has_kernel(carried)
            departed = _departing(fork, carried)
            turned = _turning(fork, carried)
            for node in carried:
                if (gated and node.facts.multiplies and not node.facts.scales) or _weighs_both(net, fork, node):
                    continue  # as in a highway, or in DeepNorm
                what = _changes(node, projected, not departed and _is_known(fork, carried))
                how = "" if what or projected else _departs(departed.get(node.name))
                back = "" if what or how or projected else _turns(turned.get(node.name))
                if (what or how or back) and node.name not in told:
                    told.add(node.name)
                    named = what or _called(node)
                    told_as = back or f"{how}{_passed(net, edge, fork)}"
                    problem = f"{named} lies on the skip from {fork.node} to {fork.join}{told_as}"
                    remedy = "let the skip be the identity and move it into the branch or behind the Add"
                    yield finding_at("skip-path", node, problem, remedy)


def _weighs_both(net: Net, fork: Fork, node: TraceNode) -> bool:
    """Whether a node multiplies the skip by a number above 0, and what reads the sum takes its size out again.

    α · x + F then weighs the two as x + F / α does.
    """
    readers = [net.nodes[e.dst] for e in net.outgoing[fork.join]]
    departs, x = (fork.carried or {}).get(node.name), net.nodes[fork.node].value_norm
    if not node.facts.scales or node.params or not readers or departs is None or x == 0:
        return False
    above_0 = abs(abs(node.value_norm / x - 1) - departs) <= _SAME_GRADIENT * departs
    return above_0 and all(reader.facts.normalises in SAMPLE_NORMS for reader in readers)


def _carried(net: Net, fork: Fork, edge: TraceEdge) -> list[TraceNode]:
    """What all that goes over a skip passes; in files that do not tell, all that lies between."""
    between = net.between([edge.dst], fork.join)
    return between if fork.carried is None else [n for n in between if n.name in fork.carried]


def _is_known(fork: Fork, carried: list[TraceNode]) -> bool:
    """Whether the value of everything on a skip was compared with the fork's."""
    return fork.carried is not None and all(fork.carried.get(n.name) is not None for n in carried)


def _changes(node: TraceNode, projected: bool, unchanged: bool) -> str:
    """What a node does to a skip. unchanged: the value was seen to leave the skip as it came, as after a scale by 1."""
    facts = node.facts
    if facts.rectifies and not node.params:
        return "a ReLU"
    if facts.rectifies:
        return "a layer with ReLU"
    if facts.normalises and not projected:
        return "a BatchNorm" if facts.normalises == "batch" else f"a normalisation ({facts.normalises})"
    if facts.drops:
        return "a Dropout"
    if facts.slope and projected:
        return _called(node)
    return "a scale" if facts.scales and (node.params or not unchanged) else ""


def _called(node: TraceNode) -> str:
    return node.primitive if node.op == node.primitive else f"{node.op} ({node.primitive})"


def _departing(fork: Fork, carried: list[TraceNode]) -> dict[str, float]:
    """By how much nodes on a skip turn what it carries into something else; empty where it ends as it began."""
    known = fork.carried or {}
    found: dict[str, float] = {}
    before = last = 0.0
    for node in carried:
        departs = known.get(node.name)
        if departs is not None:
            if departs > _SAME and abs(departs - before) > _SAME * departs:
                found[node.name] = departs
            before = last = departs
    return found if last > _SAME else {}


def _turning(fork: Fork, carried: list[TraceNode]) -> dict[str, Returned]:
    """What nodes on a skip make of its gradient, from its end on; empty where it leaves the skip as it came."""
    known = fork.returned or {}
    found: dict[str, Returned] = {}
    before = last = 0.0
    for node in reversed(carried):
        returned = known.get(node.name)
        if returned is not None:
            departs = math.hypot(returned.ratio - returned.cosine, math.sqrt(max(0.0, 1 - returned.cosine**2)))
            if departs > _SAME_GRADIENT and abs(departs - before) > _SAME_GRADIENT * departs:
                found[node.name] = returned
            before = last = departs
    return found if last > _SAME_GRADIENT else {}


def _departs(departs: float | None) -> str:
    """How a node on a skip was seen to be something else than the identity, "" if it was not."""
    return "" if departs is None else f" and is not the identity: what it passes on is off by {departs:.2g} of its size"


def _turns(returned: Returned | None) -> str:
    """How the gradient leaves a node on a skip whose value is the identity, "" if it is that of one."""
    if returned is None:
        return ""
    scaled = abs(returned.ratio - 1) > _SAME_GRADIENT
    by = f" and scales it by {returned.ratio:.2g}" if scaled else ""
    if returned.ratio == 0:
        return " and sends no gradient back"
    if returned.cosine < -_ONE_WAY:
        return f" and reverses the gradient{by}"
    if returned.cosine > _ONE_WAY:
        return f" and scales the gradient by {returned.ratio:.2f}"
    return f" and turns the gradient (cosine {returned.cosine:.2f}){by}"


def _passed(net: Net, edge: TraceEdge, fork: Fork) -> str:
    """How much of the join's gradient came over the skip, as measured."""
    whole = net.nodes[fork.join].grad_norm
    if whole == 0:
        return ""
    passed = edge.grad_norm / whole
    return f", which lets {f'{passed:.0%} of' if passed <= 1.005 else f'{passed:.2f} times'} |g| through"


def detached_skips(net: Net) -> Iterator[Finding]:
    """Joins that read a constant with the values, but for a factor, of what their other input was computed from."""
    by_shape: dict[tuple[int, ...], list[TraceNode]] = {}
    for node in net.trace.nodes:
        by_shape.setdefault(node.shape, []).append(node)
    told: set[str] = set()
    for leaf in net.trace.nodes:
        if leaf.primitive or not leaf.value_std > 0:
            continue
        factors = {n.name: _factor(leaf, n) for n in by_shape[leaf.shape] if n is not leaf}
        twins = [net.nodes[name] for name, factor in factors.items() if factor]
        twins.sort(key=lambda n: abs(factors[n.name] - 1) > _SAME)
        if not twins:
            continue
        for join in _joins_of(net, leaf):
            origins = [t for t in twins if t is not join and _leads_to(net, t.name, join.name)]
            origin = next((t for t in origins if not _leads_to(net, leaf.name, t.name)), None)
            if origin is not None and join.name not in told:
                told.add(join.name)
                verb = "adds" if join.facts.adds else "joins"
                yield finding_at(
                    "detached-skip", join,
                    f"{verb} the values of {origin.name}{_times(factors[origin.name])} cut off from it, so no gradient "
                    "flows over this skip",
                    "look for a detach(), a no_grad() or a way through NumPy on the skip",
                )  # fmt: skip


def _factor(leaf: TraceNode, node: TraceNode) -> float:
    """What a leaf's values are a multiple of a node's by, as far as their statistics tell; 0 if they are none."""
    if leaf.zeros != node.zeros or not 0 < node.value_std < math.inf:
        return 0.0
    numbers = [(n.value_norm, n.value_mean, n.value_std) for n in (leaf, node)]
    if numbers[0] == numbers[1]:
        return 1.0
    tilts = [mean / std for _, mean, std in numbers]
    if min(map(abs, tilts)) < _TOLD or not math.isclose(abs(tilts[0]), abs(tilts[1]), rel_tol=_SAME):
        return 0.0
    return math.copysign(leaf.value_norm / node.value_norm, tilts[0] * tilts[1])


def _times(factor: float) -> str:
    return "" if factor == 1 else f" times {factor:.3g}"


def _joins_of(net: Net, leaf: TraceNode) -> Iterator[TraceNode]:
    """The first join that a leaf goes into on each of its ways without weights."""
    stack, seen = [leaf.name], {leaf.name}
    while stack:
        for edge in net.outgoing[stack.pop()]:
            node = net.nodes[edge.dst]
            if node.facts.adds or concatenates(net, node):
                yield node
            elif node.name not in seen and not node.params and node.shape == leaf.shape:
                seen.add(node.name)
                stack.append(node.name)


def _leads_to(net: Net, start: str, end: str) -> bool:
    if net.place[start] > net.place[end]:
        return False
    ways = net.links.ways([net.place[start]], net.place[end])
    return net.place[start] in ways


def missing_skips(net: Net) -> Iterator[Finding]:
    """Layers of the build of residual blocks' branches that stand without a skip where most have one.

    First those of the same sizes, then, where a skip would fit and few have none, those of any: of the two blocks in
    each stage of a ResNet-18 none has three others of its size.
    """
    told: set[str] = set()
    for build_of, sized in ((_build, True), (_kinds, False)):
        for run, forks, count in _without_skip(net, build_of, sized):
            if not told.intersection(n.name for n in run):
                told.update(n.name for n in run)
                yield from _missing(net, run, forks, count)


def _without_skip(
    net: Net, build_of: Callable[[list[TraceNode]], Build], sized: bool
) -> Iterator[tuple[list[TraceNode], int, int]]:
    """The layers of each such place, how many blocks of their build have a skip, and how many have none."""
    builds: dict[Build, list[Fork]] = {}
    within: set[str] = set()
    for fork, _, branches in net.residual_forks():
        branch = net.between([e.dst for e in branches], fork.join)
        whole = net.between([e.dst for e in fork.edges], fork.join)
        if net.nodes[fork.join].facts.adds and _is_chain(net, branch) and any(n.params for n in branch):
            builds.setdefault(build_of(branch), []).append(fork)
        if len(whole) < len(net.trace.nodes) // 2:
            within.update(n.name for n in whole)
    stems = {stem(b.name) for b in net.trace.blocks if b.skip is not None}
    for build, forks in builds.items():
        runs = list(_runs(net, build, build_of, within))
        runs = [r for r in runs if _among(net, r, forks) or (r[-1].block and stem(r[-1].block) in stems)]
        if not sized:
            runs = [r for r in runs if all(net.nodes[e.src].shape == r[-1].shape for e in net.data_into(r[0].name))]
        if 0 < len(runs) < len(forks) and (sized or _SELDOM * len(runs) <= len(forks)):
            yield from ((run, len(forks), len(runs)) for run in runs)


def _missing(net: Net, run: list[TraceNode], forks: int, count: int) -> Iterator[Finding]:
    """What is to be said of layers without a skip: that a constant takes its place, or that it is missing."""
    join = _adds_a_constant(net, run[-1])
    if join is None:
        name = run[-1].block or (run[0].name if len(run) == 1 else f"{run[0].name} to {run[-1].name}")
        yield finding_at(
            "missing-skip", run[-1], f"{forks} of {forks + count} blocks of this build have a skip, {name} has none",
            "add the input of the block to the output of its branch",
        )  # fmt: skip
    elif join.name not in {f.node for f in detached_skips(net)}:
        yield finding_at(
            "detached-skip", join,
            f"adds a constant to the branch, where {forks} of {forks + count} blocks of this build have a skip: no "
            "gradient flows over it",
            "look for a detach(), a no_grad() or a way through NumPy on the skip",
        )  # fmt: skip


def _adds_a_constant(net: Net, end: TraceNode) -> TraceNode | None:
    """The sum behind a branch if it reads, at full size, what nothing in the trace leads to."""
    (edge,) = net.outgoing[end.name][:1] or (None,)
    join = None if edge is None else net.nodes[edge.dst]
    if join is None or not join.facts.adds:
        return None
    read = [net.nodes[e.src] for e in net.data_into(join.name)]
    return join if any(n.shape == join.shape and _is_constant(net, n) for n in read) else None


def _is_constant(net: Net, node: TraceNode) -> bool:
    """Whether a node is computed from constants of the program alone."""
    stack, seen = [node], {node.name}
    while stack:
        reached = stack.pop()
        if reached.params or (not reached.primitive and reached.op != "constant"):
            return False
        before = [net.nodes[e.src] for e in net.incoming[reached.name] if e.src not in seen]
        stack += before
        seen.update(n.name for n in before)
    return True


def missing_norms(net: Net) -> Iterator[Finding]:
    """Branches with weights that normalise nothing, where nearly all others of the net do."""
    normalised = 0
    bare: list[tuple[Fork, TraceNode]] = []
    for fork, _, branches in net.residual_forks():
        branch = net.between([e.dst for e in branches], fork.join)
        if any(n.facts.normalises for n in branch):
            normalised += 1
        elif net.nodes[fork.join].facts.adds and has_kernel(branch):
            bare.append((fork, branch[-1]))
    if not 0 < _SELDOM * len(bare) <= normalised:
        return
    for fork, end in bare:
        yield finding_at(
            "missing-norm", end,
            f"{normalised} of {normalised + len(bare)} residual branches normalise, that from {fork.node} to "
            f"{fork.join} does not",
            "normalise in this branch too, or in none and scale them",
        )  # fmt: skip


def stem(name: str) -> str:
    """A name without its number: "block3" and "block12" are of one kind."""
    return name.rstrip("0123456789")


def _build(nodes: list[TraceNode]) -> Build:
    return tuple((n.op, n.primitive, n.shape, *sorted(p.shape for p in n.params.values())) for n in nodes)


def _kinds(nodes: list[TraceNode]) -> Build:
    """A build whatever its sizes are."""
    return tuple((n.op, n.primitive, len(n.shape), *sorted(len(p.shape) for p in n.params.values())) for n in nodes)


def _is_chain(net: Net, nodes: list[TraceNode]) -> bool:
    """Whether each node feeds the next and nothing else."""
    return all(
        [e.dst for e in net.outgoing[a.name]] == [b.name] and [e.src for e in net.data_into(b.name)] == [a.name]
        for a, b in zip(nodes, nodes[1:])
    )


def _runs(
    net: Net, build: Build, build_of: Callable[[list[TraceNode]], Build], within: set[str]
) -> Iterator[list[TraceNode]]:
    """The chains of this build outside of all residual blocks, none twice."""
    taken: set[str] = set()
    for node in net.trace.nodes:
        run = [node]
        while len(run) < len(build) and len(net.outgoing[run[-1].name]) == 1:
            run.append(net.nodes[net.outgoing[run[-1].name][0].dst])
        names = {n.name for n in run}
        if build_of(run) == build and _is_chain(net, run) and not names & (within | taken):
            taken |= names
            yield run


def _among(net: Net, run: list[TraceNode], forks: list[Fork]) -> bool:
    """Whether a run stands behind one of these blocks and in front of another."""
    first, last = net.place[run[0].name], net.place[run[-1].name]
    return any(net.place[f.join] < first for f in forks) and any(net.place[f.node] >= last for f in forks)
