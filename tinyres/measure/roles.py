"""What the leaves of a tape are: inputs, targets, weights of samples, or constants of the program.

A model says which of them it was given. Of a loss alone it is read off the tape: a target is a leaf that meets the
output of the net only behind all that learns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tinyres.engine.node import ConstantLeaf, Node, ParameterLeaf
from tinyres.engine.tensor import FLOATS

LEAF, TARGET, SAMPLE_WEIGHT, CONSTANT = "leaf", "target", "sample_weight", "constant"
_FAR = 64  # nodes: integers that were computed from so many are taken for data


def roles_of(
    units: Sequence[Node],
    edges: Iterable[tuple[int, int]],
    reads_parameters: set[int],
    given: Mapping[Node, str] | None,
    looking_up: set[int],
) -> list[str]:
    """Per unit what it is as a leaf, "" if it was computed. given: what is known of data, None if nothing is.

    looking_up: the units that read data as integers.
    """
    pairs = list(edges)
    guessed = _met_behind_the_net(units, pairs, reads_parameters) if given is None else set()
    if given is not None and not looking_up and not any(given.get(node) == LEAF for node in units):
        given = None  # what the net was given does not come to the loss: what was cut off from it takes its place
    roles = []
    for i, node in enumerate(units):
        if node.op is not None:
            roles.append("")
        elif given is None or node.requires_grad or node.name:
            roles.append(TARGET if i in guessed else LEAF)
        else:
            roles.append(given.get(node, CONSTANT))
    return roles


def _met_behind_the_net(units: Sequence[Node], pairs: list[tuple[int, int]], reads_parameters: set[int]) -> set[int]:
    """The leaves without a gradient from which no way to the loss passes a weight, where ways from others do."""
    learns = [node.op is None and node.requires_grad for node in units]
    parametric = set(reads_parameters) | {dst for src, dst in pairs if learns[src]}
    passes = [False] * len(units)
    for src, dst in sorted(pairs, reverse=True):
        passes[src] = passes[src] or passes[dst] or dst in parametric
    leaves = [i for i, node in enumerate(units) if node.op is None]
    if not any(passes[i] and not learns[i] for i in leaves):
        return set()
    return {i for i in leaves if not passes[i] and not learns[i]}


def looks_up(node: Node, given: Mapping[Node, str] | None) -> bool:
    """Whether an op reads integers or masks that are data: no tape follows these, yet what it computes is data too."""
    return any(n.dtype not in FLOATS and _from_data(n, given) for n in node.inputs)


def _from_data(node: Node, given: Mapping[Node, str] | None) -> bool:
    stack, seen = [node], {node}
    while stack and len(seen) <= _FAR:
        reached = stack.pop()
        is_leaf = reached.op is None and not isinstance(reached, (ConstantLeaf, ParameterLeaf))
        if is_leaf and (given is None or given.get(reached) == LEAF):
            return True
        stack += [n for n in reached.inputs if n not in seen]
        seen.update(reached.inputs)
    return bool(stack)
