"""By which ways data comes into the ops of a computation, and whether it multiplies what comes in with one another.

A layer may hold several ops: `x · sigmoid(f)` multiplies its inputs; `x + f · sigmoid(f)` does not, it adds x to what
it made of f.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tinyres.engine.backward import reachable
from tinyres.engine.node import ConstantLeaf, Node, ParameterLeaf
from tinyres.engine.tensor import FLOATS

Way = frozenset[Node]


class Ways:
    """Per op the nodes outside of its part of the graph that each of its inputs was computed from.

    forward: nodes, oldest first; those that are not among them count as numbers, but what is looked up by integers is
    data. part: which part a node belongs to.
    """

    def __init__(self, forward: Sequence[Node], part: Mapping[Node, int]) -> None:
        self._part = part
        self._is_data: dict[Node, bool] = {}  # False for what was computed from Parameters alone
        self._of: dict[Node, Way] = {}
        for node in forward:
            if node.op is None:
                self._is_data[node] = not isinstance(node, (ParameterLeaf, ConstantLeaf))
            else:
                self._is_data[node] = any(self._is_data.get(n, n.dtype not in FLOATS) for n in node.inputs)
                self._of[node] = frozenset().union(*self.into(node))

    def into(self, node: Node) -> list[Way]:
        """Per input of an op; empty for weights and numbers."""
        part = self._part[node]
        return [
            self._of[n] if n in self._of and self._part[n] == part
            else frozenset([n] if self._is_data.get(n, False) else [])
            for n in node.inputs
        ]  # fmt: skip

    def multiplied(self, node: Node) -> bool:
        """Whether an op multiplies two ways with one another that have not met before."""
        if node.op is None or not node.op.multiplies:
            return False
        ways = self.into(node)
        return any(a - b and b - a for i, a in enumerate(ways) for b in ways[:i])

    def scaled(self, node: Node) -> bool:
        """Whether an op multiplies data with a weight or a number, element by element."""
        if node.op is None or not node.op.multiplies or node.op.fans is not None:
            return False
        return sum(map(bool, self.into(node))) == 1


def multiplies_its_inputs(output: Node) -> bool:
    """Whether what leads to `output`, as one computation, multiplies leaves with one another."""
    forward = reachable(output, all_floats=True)[::-1]
    ways = Ways(forward, dict.fromkeys([n for n in forward if n.op is not None], 0))
    return any(map(ways.multiplied, forward))
