"""A gradient that is not finite though the loss is: checked where an op can make one, before anything is updated.

Of finite values most ops send finite gradients. Those that do not say so in their record (`breaks`): √x at 0 is the
usual one. So only what they send is checked, by kernels at the head of the update; steps without them pay nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from tinyres import kernels
from tinyres.engine.node import Node
from tinyres.engine.op import Op
from tinyres.engine.tensor import Tensor
from tinyres.errors import NonFiniteError
from tinyres.launch import launch
from tinyres.store.definitions import PACKAGE


class FiniteGradients:
    """An observer of backward that launches the checks. then: the next observer. last: the node it has come to."""

    def __init__(self, then: Callable[[Node, Tensor], None] | None) -> None:
        self._then = then
        self._suspects: dict[Node, Node] = {}
        self.last: Node | None = None

    def __call__(self, node: Node, total: Tensor) -> None:
        if node in self._suspects:
            self.last = self._suspects[node]
            try:
                launch(kernels.check_finite, (), (total.buffer,), (total.size,))
            except NonFiniteError as error:
                raise self._explained(error) from None
        self.last = node
        if node.op is not None and _may_break(node.op):
            self._suspects.update(dict.fromkeys(node.inputs, node))
        if self._then is not None:
            self._then(node, total)

    def _explained(self, error: NonFiniteError) -> NonFiniteError:
        """The error of the call that made the first such value, in terms of the op that it belongs to."""
        node = self.last
        where = f" in {node.scope.path}" if node is not None and node.scope is not None else ""
        name = "a loss" if node is None or node.op is None else node.op.name
        return NonFiniteError(
            f"[check_finite] the gradient must be finite, as the loss is; that of {name}{where} is the first with "
            f"{error.found}; all state is as before this step; keep what it is computed on away from where it has no "
            "derivative, as by adding 1e-12"
        )


def _may_break(op: Op) -> bool:
    """Whether the gradient of finite values may be none: the op says so, or it is a user's, of which nobody knows."""
    return op.breaks is not None or op.module.partition(".")[0] != PACKAGE
