"""Blocks: the regions of a net that a trace prints one row for, found on numbers (nodes in topological order).

A block is an innermost `name_scope`; where there is none, it is the region from a fork with a skip to its join,
named block0, block1, … in graph order. A scope in which several skips join is one block per join, `scope/block0`, ….
A scope that lies inside of a region and has no skip of its own belongs to it, and if it is the only one, names it.
A skip across, as from the encoder of a U to its decoder, is a block of its own, "down1→up1" after its scopes.
Joins in a row whose branches are of different layers are one block of several parts (see parts).
"""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tinyres.structure.across import Across, find_across, region_of
from tinyres.structure.conditions import Conditions
from tinyres.structure.kinds import BRANCH, SKIP, ForkShape
from tinyres.structure.parts import Single, branch_of, names_of, rounds_of
from tinyres.structure.shape import Links, Shape


class BlockShape(NamedTuple):
    """A block by numbers: its members, the node that feeds it, its fork, and the node where the branch ends.

    inside: its members and those of all blocks within it. parts: of a block of several forks one for each, in graph
    order, of which the members and the input are those of the block; its own fork is that of the first. across: whether
    its skip leads across; then only what stands at the join is a member.
    """

    name: str
    members: tuple[int, ...]
    inside: tuple[int, ...]
    input: int
    fork: int | None
    branch_end: int | None
    parts: tuple[BlockShape, ...] = ()
    across: bool = False


class Forks(tuple[ForkShape, ...]):
    """All forks of a net, by node and by join."""

    _by_node: dict[int, list[int]]
    _by_join: dict[int, list[int]]

    def __new__(cls, forks: Iterable[ForkShape]) -> Forks:
        """Number them."""
        self = super().__new__(cls, forks)
        self._by_node, self._by_join = {}, {}
        for i, fork in enumerate(self):
            self._by_node.setdefault(fork.node, []).append(i)
            self._by_join.setdefault(fork.join, []).append(i)
        return self

    def at(self, node: int) -> list[int]:
        """The numbers of a node's forks, the inner ones first."""
        return self._by_node.get(node, [])

    def closed_at(self, join: int) -> list[int]:
        """The numbers of the forks that are closed at a node."""
        return self._by_join.get(join, [])


class _Draft(NamedTuple):
    """A block before it is named, the scope it stands for, and the region of its fork, empty without a skip in it."""

    block: BlockShape
    scope: str
    region: set[int]


def find_blocks(shape: Shape, forks: Forks, links: Links, conditions: Conditions) -> list[BlockShape]:
    """All blocks in graph order."""
    far = find_across(shape, forks, links)
    drafts = [*_scoped(shape, forks, links, conditions, far), *_regions(shape, forks, links, far)]
    drafts = _absorbed([*drafts, *(_across(i, forks, told) for i, told in far.items() if told.members)])
    drafts.sort(key=lambda d: (d.block.members[0], -len(d.block.members)))
    ended = [d._replace(block=d.block._replace(branch_end=_branch_end(d.block.fork, forks, links))) for d in drafts]
    blocks = _in_parts(ended, shape, forks, links)
    taken = {b.name for b in blocks}
    unused = (name for name in (f"block{i}" for i in itertools.count()) if name not in taken)
    return [b if b.name else _named(b, next(unused)) for b in blocks]


def rows_of(blocks: Iterable[BlockShape]) -> list[BlockShape]:
    """The blocks, those of several parts by these."""
    return [part for block in blocks for part in block.parts or (block,)]


def _named(block: BlockShape, name: str) -> BlockShape:
    return block._replace(name=name, parts=tuple([p._replace(name=f"{name}/{p.name}") for p in block.parts]))


def _in_parts(drafts: Sequence[_Draft], shape: Shape, forks: Forks, links: Links) -> list[BlockShape]:
    """The blocks, those that together make one as its parts; a name is left out where there is none yet."""
    singles = [_single(draft, forks, links) for draft in drafts]
    rounds = rounds_of(singles, shape)
    homes = [singles[numbers[0]].home for numbers in rounds]
    made = {}
    for k, numbers in enumerate(rounds):
        home = homes[k]
        name = f"{home}/block{homes[:k].count(home)}" if home and homes.count(home) > 1 else home
        parts = [drafts[i].block for i in numbers]
        if not singles[numbers[0]].own:
            called = names_of([singles[i] for i in numbers], shape)
            parts = [part._replace(name=f"{name}/{own}" if name else own) for part, own in zip(parts, called)]
        made[numbers[0]] = _of_parts(name, parts, [d.block for d in drafts if name and d.block.name == name])
    gone = {i for numbers in rounds for i in numbers}
    gone |= {i for i, draft in enumerate(drafts) if draft.block.name and draft.block.name in homes}
    return [made.get(i, draft.block) for i, draft in enumerate(drafts) if i in made or i not in gone]


def _of_parts(name: str, parts: Sequence[BlockShape], around: Sequence[BlockShape]) -> BlockShape:
    """The block of these parts, and of what stands in its scope around them."""
    members = tuple(sorted({n for block in (*parts, *around) for n in block.members}))
    inside = tuple(sorted({n for block in (*parts, *around) for n in block.inside}))
    return BlockShape(name, members, inside, parts[0].input, parts[0].fork, None, tuple(parts))


def _single(draft: _Draft, forks: Forks, links: Links) -> Single:
    """A draft as its scope and its branch tell it."""
    name, fork = draft.block.name, None if draft.block.fork is None else forks[draft.block.fork]
    own = bool(name) and draft.scope in ("", name)
    split = fork if fork is not None and SKIP in fork.kinds else None
    return Single(
        draft.scope if name and not own else posixpath.dirname(name), own, split,
        () if split is None else branch_of(split, links),
    )  # fmt: skip


def _scoped(
    shape: Shape, forks: Forks, links: Links, conditions: Conditions, far: Mapping[int, Across]
) -> list[_Draft]:
    """The blocks that are scopes."""
    members: dict[str, list[int]] = {}
    for node, producers in enumerate(links.producers):
        scope = shape.scope(node)
        if scope and producers:
            members.setdefault(scope, []).append(node)
    within = _all_within(members)
    joined: dict[str, dict[int, int]] = {}  # scope -> join -> its outermost fork with a skip
    for i, fork in enumerate(forks):
        if SKIP in fork.kinds:
            joined.setdefault(shape.scope(fork.join), {}).setdefault(fork.join, i)
    gone = {n for told in far.values() for n in told.members}
    found = []
    for name, inside in members.items():
        own = [n for n in inside if n not in gone]
        nested = [n for n in within[name] if n not in gone]
        splits = sorted(i for i in joined.get(name, {}).values() if i not in far)
        if not own:
            continue
        if len(splits) > 1:
            found += _one_per_join(name, own, nested, [(i, forks[i]) for i in splits], links)
        else:
            block = _whole_scope(name, own, nested, shape, forks, links, conditions)
            # What came from the side is no fork of the block.
            if splits and block.fork is not None and SKIP not in forks[block.fork].kinds:
                block = block._replace(fork=splits[0], input=forks[splits[0]].node)
            found.append(_Draft(block, name, region_of(forks[splits[0]], links) if splits else set()))
    return found


def _across(number: int, forks: Forks, told: Across) -> _Draft:
    """The block of a skip across."""
    block = BlockShape(told.name, told.members, told.members, forks[number].node, number, None, across=True)
    return _Draft(block, block.name, set())


def _all_within(members: dict[str, list[int]]) -> dict[str, list[int]]:
    """Per scope its members and those of the scopes inside it."""
    within: dict[str, list[int]] = {name: [] for name in members}
    for name, inside in members.items():
        parts = name.split("/")
        for depth in range(1, len(parts) + 1):
            outer = "/".join(parts[:depth])
            if outer in within:
                within[outer] += inside
    return within


def _whole_scope(
    name: str,
    inside: list[int],
    within: list[int],
    shape: Shape,
    forks: Forks,
    links: Links,
    conditions: Conditions,
) -> BlockShape:
    def is_stream(node: int) -> bool:
        return not (shape.is_weight[node] or node in shape.asides or node in conditions)

    first = next(filter(is_stream, inside), inside[0])
    entry = max(links.producers[first], key=lambda p: (is_stream(p), p))  # the newest
    split = _fork_of(entry, inside, forks, links)
    start = entry if split is None else forks[split].node
    return BlockShape(name, tuple(inside), tuple(sorted(within)), start, split, None)


def _fork_of(entry: int, inside: list[int], forks: Forks, links: Links) -> int | None:
    """The fork at the block's input if it splits into this block, else the first inside, else one joined here."""
    members = set(inside)
    joined = sorted(i for n in inside for i in forks.closed_at(n) if len(forks[i].stream) > 1)
    closed = [i for i in joined if forks[i].node == entry or forks[i].node in members]
    if closed and forks[closed[0]].node == entry:
        return max(i for i in closed if forks[i].node == entry)
    for i in forks.at(entry):
        if sum(links.edges[e][1] in members for e in forks[i].stream) > 1:
            return i
    if closed:
        return closed[0]
    return max((i for i in joined if not _injected(forks[i], entry, forks, links)), default=None)


def _injected(fork: ForkShape, entry: int, forks: Forks, links: Links) -> bool:
    """Whether it is the net's input, which an earlier block added too: the block begins with what that block gave."""
    return not links.producers[fork.node] and any(forks[i].join <= entry for i in forks.at(fork.node))


def _one_per_join(
    name: str, inside: list[int], within: list[int], splits: list[tuple[int, ForkShape]], links: Links
) -> list[_Draft]:
    """The blocks of a scope in which several skips join; what lies in no region goes with the one before it."""
    regions = [region_of(fork, links) for _, fork in splits]
    own: list[list[int]] = [[n for n in inside if n in region] for region in regions]
    for node in inside:
        if not any(node in region for region in regions):
            before = [k for k, (_, fork) in enumerate(splits) if fork.node < node]
            own[before[-1] if before else 0].append(node)
    drafts = []
    for k, (i, fork) in enumerate(splits):
        nested = tuple(sorted({*own[k], *regions[k].intersection(within)}))
        block = BlockShape(f"{name}/block{k}", tuple(sorted(own[k])), nested, fork.node, i, None)
        drafts.append(_Draft(block, name, regions[k]))
    return drafts


def _regions(shape: Shape, forks: Forks, links: Links, far: Mapping[int, Across]) -> list[_Draft]:
    """The regions of forks with a skip that join outside of any scope; their members stand in none."""
    found = []
    for i, fork in enumerate(forks):
        if SKIP in fork.kinds and not shape.scope(fork.join) and i not in far:
            region = region_of(fork, links)
            nodes = sorted(region)
            own = tuple([n for n in nodes if not shape.scope(n)])
            found.append(_Draft(BlockShape("", own, tuple(nodes), fork.node, i, None), "", region))
    return found


def _absorbed(drafts: list[_Draft]) -> list[_Draft]:
    """The blocks after scopes without a skip of their own have gone into the smallest region that they lie in.

    A region in a scope takes what stands in that scope. One outside of any takes a single scope, and several only
    where it is one region among others: a skip around a whole net leaves the scopes in it as they are.
    """
    hosts = [k for k, draft in enumerate(drafts) if draft.region]
    taken: dict[int, list[int]] = {}
    for i, draft in enumerate(drafts):
        free = not draft.region and not draft.block.across
        around = [k for k in hosts if _may_take(drafts[k], draft)] if free else []
        if around:
            taken.setdefault(min(around, key=lambda k: len(drafts[k].region)), []).append(i)
    names: dict[int, str] = {}
    for k in [k for k in taken if not drafts[k].scope]:
        outermost = {drafts[i].scope.split("/")[0] for i in taken[k]}
        if len(outermost) == 1:
            names[k] = posixpath.commonpath([drafts[i].scope for i in taken[k]])
        elif all(drafts[k].region & drafts[other].region for other in hosts):
            del taken[k]
    gone = {i for scopes in taken.values() for i in scopes}
    kept = []
    for k, draft in enumerate(drafts):
        if k not in gone:
            block = draft.block
            members = {*block.members, *(n for i in taken.get(k, ()) for n in drafts[i].block.members)}
            block = block._replace(name=names.get(k, block.name), members=tuple(sorted(members)))
            kept.append(draft._replace(block=block))
    return kept


def _may_take(host: _Draft, scope: _Draft) -> bool:
    """Whether a scope lies in a region and, if that stands in a scope itself, in that one."""
    in_scope = not host.scope or scope.scope.startswith(f"{host.scope}/")
    return in_scope and host.region.issuperset(scope.block.members)


def _branch_end(number: int | None, forks: Forks, links: Links) -> int | None:
    """The one node that carries the branch F of a fork into the join; None if there are several or no branch."""
    if number is None:
        return None
    fork = forks[number]
    starts: dict[str, list[int]] = {SKIP: [], BRANCH: []}
    for edge, kind in zip(fork.edges, fork.kinds):
        if kind in starts:
            starts[kind].append(links.edges[edge][1])
    reached = links.ways(starts[BRANCH], fork.join) - links.ways(starts[SKIP], fork.join)
    ends = [p for p in links.producers[fork.join] if p in reached]
    return ends[0] if len(ends) == 1 else None


def block_of_nodes(blocks: Iterable[BlockShape]) -> dict[int, str]:
    """The name of the innermost block, or of its part, that each node is a member of."""
    return {n: b.name for b in sorted(rows_of(blocks), key=lambda b: -len(b.members)) for n in b.members}
