"""Lint of U-Nets: a level without a skip across, one that is cut off, joined twice, or joined at another level.

A level is a size of images at which the net computes on its way down and again on its way up. Where one has a skip
across, the others hardly mean to have none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from tinyres.structure.kinds import SKIP
from tinyres.trace.blocks import Block
from tinyres.trace.net import Finding, Net, concatenates, finding_at, has_kernel
from tinyres.trace.nodes import TraceNode
from tinyres.trace.skips import detached_skips


class _Joined(NamedTuple):
    """A skip across as it was found: the node where it leaves, and the join."""

    origin: TraceNode
    join: TraceNode


def levels_of_us(net: Net) -> Iterator[Finding]:
    """What is wrong with the skips of each U."""
    far = [b for b in net.trace.parts if b.across and b.fork is not None and b.join is not None]
    yield from _twice(net, far)
    places = {b.name: (net.place[b.fork.node], net.place[b.join.name]) for b in far if b.fork and b.join}
    cut = {f.node for f in detached_skips(net)}
    for block in far:
        start, end = places[block.name]
        if not any(start <= a and b < end for name, (a, b) in places.items() if name != block.name):
            lowest = _lowest(net, block)
            if lowest is not None:
                joined = list(_joined(net, lowest))
                crossed = list(_crossed(net, joined))
                yield from crossed or _left_out(net, lowest, joined, cut)


def _positions(net: Net, node: TraceNode) -> int:
    """Pixels of images, 0 of what are none; channels stand last, in PyTorch first."""
    if len(node.shape) != 4:
        return 0
    return math.prod(node.shape[2:] if net.trace.header.backend.startswith("torch") else node.shape[1:3])


def _twice(net: Net, far: list[Block]) -> Iterator[Finding]:
    for block in far:
        assert block.fork is not None and block.join is not None
        for edge in block.fork.edges:
            if edge.kind == SKIP and edge.dst == block.join.name and edge.count > 1 and concatenates(net, block.join):
                problem = f"{edge.src} is joined {edge.count} times, and so is its gradient over the skip"
                yield finding_at("double-skip", block.join, problem, "concatenate it once")


def _lowest(net: Net, block: Block) -> TraceNode | None:
    """The node with the smallest images: of those that every way below a skip passes, if there are some."""
    assert block.fork is not None and block.join is not None
    start, end = net.place[block.fork.node], net.place[block.join.name]
    below = net.between([e.dst for e in block.fork.edges if e.kind != SKIP], block.join.name)
    inside = {net.place[n.name] for n in below}
    skips = {e.dst for e in block.fork.edges if e.kind == SKIP}
    reach, found = start, []
    for node in below:
        place = net.place[node.name]
        if reach <= place and 0 < _positions(net, node) < _positions(net, net.nodes[block.fork.node]):
            found.append(node)
        ahead = [net.place[e.dst] for e in net.outgoing[node.name]]
        reach = max([reach, *(p for p in ahead if p in inside or (p == end and node.name not in skips))])
    least = min((_positions(net, n) for n in found), default=math.inf)
    whole = net.between([e.dst for e in block.fork.edges], block.join.name)
    # Where skips cross, no way leads over all levels.
    smaller = [n for n in whole if 1 < _positions(net, n) < least and has_kernel([n])]
    return min(smaller or found, key=lambda n: _positions(net, n), default=None)


def _reached(net: Net, node: TraceNode, back: bool) -> set[str]:
    """All that leads to a node, or that it leads to."""
    seen, stack = {node.name}, [node.name]
    while stack:
        edges = net.data_into(stack.pop()) if back else net.outgoing[stack.pop()]
        new = {e.src if back else e.dst for e in edges} - seen
        seen |= new
        stack += new
    return seen


def _joined(net: Net, lowest: TraceNode) -> Iterator[_Joined]:
    """What comes to the way up past the lowest level."""
    before, after = _reached(net, lowest, back=True), _reached(net, lowest, back=False)
    for node in net.trace.nodes:
        if node is lowest or node.name not in after or not _positions(net, node):
            continue
        for edge in net.data_into(node.name):
            at = edge.src
            while at not in before and at not in after and len(net.data_into(at)) == 1:
                at = net.data_into(at)[0].src
            if at in before and at != lowest.name and _positions(net, net.nodes[at]):
                yield _Joined(net.nodes[at], node)


def _crossed(net: Net, joined: list[_Joined]) -> Iterator[Finding]:
    """Skips of which one that left earlier joins earlier: each of two levels gets what belongs to the other."""
    if len({p.origin.name for p in joined}) < len(joined) or len({p.join.name for p in joined}) < len(joined):
        return  # as where every level gets what all others have
    for first, second in zip(joined, joined[1:]):
        if net.place[first.origin.name] < net.place[second.origin.name]:
            yield finding_at(
                "crossed-skip", first.join,
                f"what leaves at {first.origin.name} joins before what leaves later, at {second.origin.name}, so that "
                "each level gets what belongs to another",
                "join them in the order in which the way up meets the sizes: what left last comes first",
            )  # fmt: skip


def _left_out(net: Net, lowest: TraceNode, joined: list[_Joined], cut: set[str]) -> Iterator[Finding]:
    """Levels without a skip across, where at least as many have one."""
    before, after = _reached(net, lowest, back=True), _reached(net, lowest, back=False)
    least = _positions(net, lowest)
    down: dict[int, TraceNode] = {}
    up: dict[int, TraceNode] = {}
    for node in net.trace.nodes:
        size = _positions(net, node)
        if size > least and node.name in before:
            down[size] = node  # the last one
        elif size > least and node.name in after:
            up.setdefault(size, node)
    working = [[n for n in net.trace.nodes if n.name in part and has_kernel([n])] for part in (before, after)]
    levels = {_positions(net, n) for n in working[0]} & {_positions(net, n) for n in working[1]} & set(down) & set(up)
    told = {_positions(net, net.nodes[name]) for name in cut}
    have = {_positions(net, pair.join) for pair in joined}
    without = sorted(levels - have - told, reverse=True)
    count = len(levels | (have & {least}))
    if not 0 < len(without) <= count - len(without):
        return
    across = {b.name for b in net.trace.parts if b.across}
    for size in without:
        block = down[size].block
        within = {_positions(net, n) for n in net.trace.nodes if block and n.block == block} - {0}
        name = block if within == {size} and block not in across else down[size].name
        yield finding_at(
            "missing-skip", up[size],
            f"{count - len(without)} of {count} levels have a skip across, {name} has none",
            f"join what {down[size].name} gives with what comes up from below",
        )  # fmt: skip
