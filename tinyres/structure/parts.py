"""Parts: the blocks of one fork each that together make a block, as attention and feed-forward of a Transformer do.

Of forks in a row, in one scope or in scopes of one scope, those are one block whose branches are of different layers:
a stage of residual blocks holds one kind of branch, a Transformer's block one of each. Where they repeat, as in a whole
encoder in one scope or in none, each round is a block. A part is called after the scope of its branch or, without one,
after the layers that no other part has.
"""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Sequence
from typing import NamedTuple

from tinyres.structure.kinds import SKIP, ForkShape
from tinyres.structure.shape import Links, Shape

_MOST = 6  # parts of one block
_LEAST_LETTERS = 3  # of a name that several layers share
_COUNTERS = "0123456789_-"


class Single(NamedTuple):
    """A block of one fork, before it is named. home: the scope that it stands in; own: whether its name is its own.

    fork: the one with a skip, None without; branch: what only its branch passes.
    """

    home: str
    own: bool
    fork: ForkShape | None
    branch: tuple[int, ...]


def branch_of(fork: ForkShape, links: Links) -> tuple[int, ...]:
    """What lies on the branch of a fork and not on its skip, without the join."""
    starts: dict[bool, list[int]] = {True: [], False: []}
    for edge, kind in zip(fork.edges, fork.kinds):
        if edge in fork.stream:
            starts[kind == SKIP].append(links.edges[edge][1])
    found = links.ways(starts[False], fork.join) - links.ways(starts[True], fork.join)
    return tuple(sorted(found - {fork.join}))


def rounds_of(singles: Sequence[Single], shape: Shape) -> list[list[int]]:
    """The numbers of those that together make a block, for each block that has several parts."""
    found: list[list[int]] = []
    for run in _in_a_row(singles) if shape.labels else ():
        build = [_build(singles[i].branch, shape) for i in run]
        home, own = singles[run[0]].home, singles[run[0]].own
        length = next(n for n in range(1, len(run) + 1) if len(run) % n == 0 and build == build[:n] * (len(run) // n))
        whole = length == len(run)
        if 1 < length <= _MOST and (bool(home) if whole else not own):
            found += [run[i : i + length] for i in range(0, len(run), length)]
    return found


def names_of(parts: Sequence[Single], shape: Shape) -> list[str]:
    """What the parts of a block are called within it, no two the same."""
    kinds = [_build(part.branch, shape) for part in parts]
    names = []
    for i, part in enumerate(parts):
        others = frozenset().union(*kinds[:i], *kinds[i + 1 :])
        working = [n for n in part.branch if _works(n, shape)]
        telling = [n for n in working if shape.labels[n] not in others] or working
        weighted = [n for n in telling if shape.weights[n]] or [n for n in working if shape.weights[n]] or telling
        names.append(_scope(part.home, telling, shape) or _shared([_called(n, shape) for n in weighted]))
    return [name if names.count(name) == 1 else f"{name}_{names[:i].count(name)}" for i, name in enumerate(names)]


def _in_a_row(singles: Sequence[Single]) -> list[list[int]]:
    """Runs of at least two in one scope, each of which begins where the one before it has joined, or later."""
    runs: list[list[int]] = []
    for i, single in enumerate(singles):
        before = singles[i - 1] if i else None
        if single.fork is None or not single.branch:
            continue
        if (
            before is not None and before.fork is not None and runs and runs[-1][-1] == i - 1
            and (before.home, before.own) == (single.home, single.own) and single.fork.node >= before.fork.join
        ):  # fmt: skip
            runs[-1].append(i)
        else:
            runs.append([i])
    return [run for run in runs if len(run) > 1]


def _build(branch: Sequence[int], shape: Shape) -> frozenset[str]:
    """What the layers that work in a branch are."""
    return frozenset(shape.labels[n] for n in branch if _works(n, shape))


def _works(node: int, shape: Shape) -> bool:
    return bool(shape.weights[node]) or shape.multiplicative[node]


def _scope(home: str, nodes: Sequence[int], shape: Shape) -> str:
    """The scope below `home` in which all of these lie, "" if there is none."""
    scopes = {shape.scope(n) for n in nodes}
    if not all(scope.startswith(f"{home}/" if home else "") and scope != home for scope in scopes):
        return ""
    return posixpath.commonpath(scopes).removeprefix(home).lstrip("/").split("/")[0] if home else ""


def _shared(names: Sequence[str]) -> str:
    """What the names begin with, if that is a word; else the first. Numbers at its end only tell calls apart."""
    common = "".join(a[0] for a in itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names)))
    for name in (common, names[0]):
        if len(name.rstrip(_COUNTERS)) >= _LEAST_LETTERS:
            return name.rstrip(_COUNTERS)
    return names[0]


def _called(node: int, shape: Shape) -> str:
    """What a user calls a layer; one that nobody named, as multi_head_attention_3, by its last word."""
    name = shape.names[node].rpartition("/")[2]
    given = name.rstrip(_COUNTERS)
    return given.rpartition("_")[2] if given.replace("_", "") == shape.labels[node].lower() else name
