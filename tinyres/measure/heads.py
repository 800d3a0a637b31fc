"""What the heads of attentions do: how far each shares itself out over the keys, and whether it takes part at all.

The kernels of attention store no scores, so the record of the op tells how to make them anew, a block of queries at a
time; an attention that is written in ops has them as the output of its softmax. Of long sequences some blocks are
looked at, drawn by a fixed seed: what that costs does not grow with the square of the tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from tinyres.engine.node import Node
from tinyres.engine.state import no_grad
from tinyres.engine.tensor import Tensor
from tinyres.measure.facts import parameter_of
from tinyres.trace.nodes import Head

_QUERIES = 64  # in a block
_SCORES = 1 << 20  # of one op are looked at, about
_SEED = 0  # of which blocks these are

Item = TypeVar("Item")
Weights = tuple[np.ndarray, np.ndarray]  # (heads, queries, keys): how much of each key, and which keys are seen


class Heads:
    """Hears the gradients of a pass, for what it cannot see in the values. order: all nodes of the tape, newest first.

    A head is dead if no gradient comes to what it gives, and none to the rows of the weight that reads this: a weight
    that is still 0 gets one, and opens it.
    """

    def __init__(self, order: Sequence[Node]) -> None:
        self._readers: dict[Node, list[Node]] = {}
        for node in reversed(order):
            for producer in node.inputs:
                self._readers.setdefault(producer, []).append(node)
        found = [n for n in reversed(order) if n.op is not None and n.buffer.size]
        self._attentions = {n: self._weight(n) for n in found if n.op is not None and n.op.attends is not None}
        self._shares = [n for n in found if self._shares_values(n)]
        self._wanted = {*self._attentions, *self._attentions.values()}
        self._silent: dict[Node, dict[int, np.ndarray]] = {}

    def hear(self, node: Node, total: Tensor) -> None:
        """Note which heads' part of a gradient is 0."""
        if node not in self._wanted:
            return
        flat = total.buffer.array[: total.size]
        own = [a for a, weight in self._attentions.items() if node is a or node is weight]
        for heads, dim in {a.shape[2:] for a in own}:
            parts = flat.reshape((-1, heads, dim) if node in self._attentions else (heads, -1))
            axes = (0, 2) if node in self._attentions else (1,)
            self._silent.setdefault(node, {})[heads] = np.logical_not(parts.any(axis=axes))

    def read(self, owner: Mapping[Node, int]) -> dict[int, tuple[Head, ...]]:
        """By unit that attends the heads of all its attentions."""
        found: dict[int, tuple[Head, ...]] = {}
        with no_grad(), np.errstate(all="ignore"):
            for node, weight in self._attentions.items():
                shares = _shares(_recomputed(node), node.shape[2])
                own = tuple(Head(share, bool(d)) for share, d in zip(shares, self._dead(node, weight)))
                found[owner[node]] = found.get(owner[node], ()) + own
            for node in self._shares:
                own = tuple(Head(share, False) for share in _shares(_stored(node), node.shape[1]))
                found[owner[node]] = found.get(owner[node], ()) + own
        return found

    def _dead(self, node: Node, weight: Node | None) -> np.ndarray:
        heads = node.shape[2]
        unheard = np.ones(heads, dtype=bool)
        deaf = self._silent.get(node, {}).get(heads, unheard)
        if not deaf.any():
            return deaf
        if weight is not None:
            return deaf & self._silent.get(weight, {}).get(heads, unheard)
        return deaf & ~node.buffer.array[: node.buffer.size].reshape(-1, heads, node.shape[3]).any(axis=(0, 2))

    def _weight(self, node: Node) -> Node | None:
        """The Parameter that alone reads what the heads give, with rows for each of them."""
        rows = node.shape[2] * node.shape[3]
        product, way = self._product_of(node)
        if product is None or way.shape[-1] != rows:
            return None
        weights = [w for n in product.inputs if n is not way and (w := parameter_of(n)) is not None]
        whole = [w for w in weights if len(w.shape) > 1 and w.buffer.size % rows == 0]
        return whole[0] if len(whole) == 1 else None

    def _shares_values(self, node: Node) -> bool:
        """Whether these are (batch, heads, tokens, keys) by which values are summed, not probabilities of classes."""
        if node.op is None or not node.op.distributes or node.shape != node.inputs[0].shape or len(node.shape) != 4:
            return False
        product, way = self._product_of(node)
        others = [] if product is None else [n for n in product.inputs if n is not way]
        if product is None or len(others) != 1 or parameter_of(others[0]) is not None:
            return False
        return product.buffer.size * node.shape[3] == others[0].buffer.size * node.shape[2]

    def _product_of(self, node: Node) -> tuple[Node | None, Node]:
        """The product that alone reads a node and sums, and as what, behind ops that leave its elements as many."""
        readers = self._readers.get(node, [])
        while len(readers) == 1 and readers[0].op is not None:
            if readers[0].op.multiplies and not _is_elementwise(readers[0]):
                return readers[0], node
            if readers[0].buffer.size != node.buffer.size:
                break
            node = readers[0]
            readers = self._readers.get(node, [])
        return None, node


def _is_elementwise(node: Node) -> bool:
    if node.op is None or node.op.fans is not None:
        return False
    try:
        return node.shape == np.broadcast_shapes(*[n.shape for n in node.inputs])
    except ValueError:
        return False


def _recomputed(node: Node) -> Iterator[Weights]:
    assert node.op is not None and node.op.attends is not None
    batch, tokens, heads, _ = node.shape
    keys = node.inputs[1].shape[1]
    inputs = [Tensor(n.buffer, n.shape, n.dtype) for n in node.inputs]
    starts = [(sample, first) for sample in range(batch) for first in range(0, tokens, _QUERIES)]
    for sample, first in _spread(starts, heads * min(tokens, _QUERIES) * keys):
        end = min(first + _QUERIES, tokens)
        weights, seen = node.op.attends(sample, first, end, *inputs, *node.attrs)
        yield weights.numpy(), seen.numpy()


def _stored(node: Node) -> Iterator[Weights]:
    """What nobody takes of a key may be what nobody sees of it."""
    samples = node.buffer.array[: node.buffer.size].reshape(node.shape)
    for sample in _spread(range(node.shape[0]), node.buffer.size // node.shape[0]):
        weights = samples[sample]
        yield weights, np.broadcast_to((weights > 0).any(axis=0), weights.shape)


def _spread(blocks: Iterable[Item], scores: int) -> list[Item]:
    """So many of the blocks, of so many scores each, as may be looked at."""
    listed = list(blocks)
    count = max(1, min(len(listed), _SCORES // max(scores, 1)))
    order = np.random.default_rng(_SEED).permutation(len(listed))
    return [listed[i] for i in sorted(order[:count])]


def _shares(blocks: Iterable[Weights], heads: int) -> list[float | None]:
    """Per head the mean of -Σ p log p beside the largest there is, over the queries that see several keys."""
    sums, counts = np.zeros(heads), np.zeros(heads)
    for weights, seen in blocks:
        p = weights.astype(np.float64)
        entropy = -np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=-1)
        keys = seen.sum(axis=-1)
        several = keys > 1
        sums += np.sum(entropy / np.log(np.maximum(keys, 2)) * several, axis=-1)
        counts += several.sum(axis=-1)
    return [float(s / n) if n else None for s, n in zip(sums, counts)]
