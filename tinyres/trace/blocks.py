"""Block: one region of a net with what was measured at its fork, its join and its ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tinyres.structure.kinds import BRANCH, GATE, SKIP
from tinyres.trace.nodes import Fork, TraceNode


@dataclass(frozen=True, slots=True)
class Block:
    """One residual (or plain) block with what its fork measured.

    input: the node x that feeds it, where it has a fork the forking node; x_norm and grad_norm are that node's: |x| and
    |∂loss/∂x|. output: its last node. nodes: its members in graph order. fork: where x feeds both skip and branch, None
    in a plain block. join: where they meet. branch_end: the node that carries F into the join. parts: of a block of
    several forks, as a Transformer's, one Block for each; its own fork is that of the first part, its join that of the
    last, and it has no branch_end. across: whether its skip leads over other blocks, as from the encoder of a U-Net to
    its decoder; then its branch is all that lies below, and its nodes are those that join the two.
    """

    name: str
    input: TraceNode
    output: TraceNode
    nodes: tuple[TraceNode, ...]
    fork: Fork | None
    join: TraceNode | None
    branch_end: TraceNode | None
    parts: tuple[Block, ...] = ()
    across: bool = False

    @property
    def x_norm(self) -> float:
        """L2 norm of the block's input."""
        return self.input.value_norm

    @property
    def grad_norm(self) -> float:
        """L2 norm of the gradient at the block's input."""
        return self.input.grad_norm

    @property
    def grad_by_position(self) -> np.ndarray:
        """|g| at the block's input, (batch, tokens, features), token by token; see `TraceNode.grad_by_position`."""
        return self.input.grad_by_position

    @property
    def skip(self) -> float | None:
        """The signed share of the input's gradient that came over the skip."""
        return self.fork.share(SKIP) if self.fork is not None else None

    @property
    def branch(self) -> float | None:
        """The signed share of the input's gradient that came through the branch, and through what gates it."""
        if self.fork is None or self.skip is None:
            return None if self.fork is None else self.fork.share(BRANCH)
        shares = [s for s in (self.fork.share(BRANCH), self.fork.share(GATE)) if s is not None]
        return sum(shares) if shares else None

    @property
    def on_skip(self) -> str:
        """What its skip carries x through: "Conv2D 1x1, stride 2, 16 to 32", "" where x goes over as it is."""
        carried = (self.fork.carried if self.fork is not None else None) or {}
        steps, before = [], self.input
        for node in self.nodes:
            if node.name in carried:
                steps.append(_step(node, before))
                before = node
        return " + ".join(steps)

    @property
    def strength(self) -> float | None:
        """Branch strength |F| / |x|; None without a branch, or where x is exactly 0."""
        if self.branch_end is None or self.x_norm == 0:
            return None
        return self.branch_end.value_norm / self.x_norm

    @property
    def passed(self) -> float | None:
        """|g| at the join over |g| at the block's output: what a ReLU after the Add lets through, 1 without one."""
        if self.join is None or self.output.grad_norm == 0:
            return None
        return self.join.grad_norm / self.output.grad_norm


def rows_of(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """What a table has a row for: the blocks, those of several parts by these."""
    return tuple([part for block in blocks for part in block.parts or (block,)])


def _step(node: TraceNode, before: TraceNode) -> str:
    """One node on a skip: its window, by how much it shrinks the image, and channels or units where they change."""
    kernels = [p.shape for p in node.params.values() if p.fans is not None]
    called = "a scale" if node.facts.scales and not node.params else node.op
    taps = [k[2:] if node.channels_first else k[:-2] for k in kernels]
    words = [f"{called} {'x'.join(map(str, taps[0]))}".rstrip() if taps else node.op]
    if len(before.shape) == len(node.shape) > 2 and before.pixels != node.pixels:
        strides = [str(-(-a // b)) if b else "0" for a, b in zip(before.pixels, node.pixels)]
        words.append(f"stride {strides[0] if len(set(strides)) == 1 else ' x '.join(strides)}")
    if before.shape and node.shape and before.channels != node.channels:
        words.append(f"{before.channels} to {node.channels}")
    return ", ".join(words)
