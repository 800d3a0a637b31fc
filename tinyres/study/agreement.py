"""How alike the gradients of single samples are, for each kernel: they pull the same way, or have nothing in common."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyres.engine.backward import grad, propagate, reachable, scalar_root
from tinyres.engine.node import Node
from tinyres.engine.op import apply
from tinyres.engine.state import enable_grad
from tinyres.engine.tensor import Tensor, tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.kernels.record import RELU
from tinyres.model import Model
from tinyres.study.shattering import Rows, calibrated, checked
from tinyres.training.rehearsal import read
from tinyres.view.numbers import number
from tinyres.view.table import Column

MOST_SAMPLES = 4096
_MOST_BYTES = 2 << 30
_DENSE = ("dense", "dense_without_bias")
_CONVOLUTIONS = ("conv2d", "conv2d_without_bias", "conv2d_to_input")


@dataclass(frozen=True)
class LayerAgreement:
    """Of one layer with a kernel, Dense or a convolution: its name, and how alike the gradients of single samples are.

    cosine: mean over all pairs of samples; None where all gradients are exactly 0. coherence: |Σ gᵢ|² / (n Σ |gᵢ|²),
    1 where all samples pull the same way, about 1/n where they have nothing to do with each other.
    """

    name: str
    cosine: float | None
    coherence: float | None


class Agreement(Rows[LayerAgreement]):
    """What `tr.gradient_agreement` measured: a LayerAgreement per kernel, and `.total` over all of them."""

    def __init__(self, records: Sequence[LayerAgreement], total: LayerAgreement, head: str) -> None:
        columns = [
            Column("layer", 40, lambda r: r.name, words=True),
            Column("cosine", 12, lambda r: number(r.cosine)),
            Column("coherence", 12, lambda r: number(r.coherence)),
        ]
        super().__init__([*records, total], head, columns)
        self.total = total


def gradient_agreement(model: Model, x: Any, y: Any, *, loss: Any = None, statistics: str = "batch") -> Agreement:
    """How alike the gradients of single samples are, per Dense layer or convolution and over all of them.

    x, y: as for `evaluate`, (n, ...) with n up to 4096, as one batch. loss: default is that of `compile`. statistics:
    as in `tr.shattering`. One backward gives all: the gradients of samples i and j for a Dense kernel have the inner
    product (xᵢ·xⱼ)(gᵢ·gⱼ), with x the layer's input and g the gradient at its output; those for a convolution are made
    one by one. The model is not touched. Raises ArgumentError for a model without kernels, a loss that is missing, or
    samples whose gradients do not fit; ShapeError for fewer than 2 or more than 4096 samples.

    >>> import tinyres as tr
    >>> model = tr.Sequential([tr.Input(shape=(2,)), tr.layers.Dense(1, use_bias=False)])
    >>> same = tr.gradient_agreement(model, np.ones((3, 2)), np.full((3, 1), 9.0), loss="mse")
    >>> round(same.total.cosine, 4), round(same.total.coherence, 4)
    (1.0, 1.0)
    """
    checked(model, "gradient_agreement", statistics)
    if not 2 <= len(y) <= MOST_SAMPLES:
        raise ShapeError(
            f"[gradient_agreement] it compares 2 to {MOST_SAMPLES} samples; got {len(y)}; give a part of them"
        )
    root = _loss(model, x, y, loss, statistics)
    dense: dict[Node, list[_DenseCall]] = {}
    convolved: dict[Node, np.ndarray] = {}
    names: dict[Node, str] = {}

    def collect(node: Node, total: Tensor) -> None:
        kind = None if node.op is None else node.op.name
        if kind in _DENSE or kind in _CONVOLUTIONS:
            kernel = _parameter(node.inputs[1])
            names[kernel] = node.scope.path if node.scope is not None else node.label()
            if kind in _DENSE:
                dense.setdefault(kernel, []).append(_DenseCall.of(node, total))
            else:
                convolved[kernel] = convolved.get(kernel, 0.0) + _per_sample(node, total, names[kernel])

    propagate(root, reachable(root), on_node=collect)
    if not names:
        raise ArgumentError(
            "[gradient_agreement] the model must have Dense layers or convolutions that learn; got none; unfreeze some"
        )
    records, total = [], np.zeros((len(y), len(y)))
    for kernel, name in reversed(names.items()):  # backward comes to the last layer first
        gram = _gram(dense[kernel]) if kernel in dense else convolved[kernel] @ convolved[kernel].T
        total += gram
        shown = name if list(names.values()).count(name) == 1 else f"{name}/{kernel.name}"
        records.append(LayerAgreement(shown, *_agreement(gram)))
    head = f"Agreement of {len(y)} per-sample gradients; 1: all alike, 0: nothing in common"
    return Agreement(records, LayerAgreement("all", *_agreement(total)), head)


def _loss(model: Model, x: Any, y: Any, loss: Any, statistics: str) -> Node:
    """The recorded loss of the frozen model on this data as one batch."""
    chosen = model.loss if loss is None else loss
    if chosen is None:
        raise ArgumentError(
            '[gradient_agreement] a gradient starts from a loss; got none; compile the model, or give loss="mse"'
        )
    samples = read(model, "gradient_agreement", x, y, chosen)
    inputs, target = samples.whole()
    frozen = calibrated(model, inputs) if statistics == "batch" else copy.deepcopy(model)
    with enable_grad():
        return scalar_root("gradient_agreement", frozen.loss_of(chosen)(frozen, inputs, target, False)[1])


def _per_sample(node: Node, total: Tensor, name: str) -> np.ndarray:
    """(n, weights) of one use of a convolution: each sample's gradient of its kernel and bias."""
    assert node.op is not None
    n, size = node.shape[0], sum(source.buffer.size for source in node.inputs[1:])
    if n * size * 8 > _MOST_BYTES:
        raise ArgumentError(
            f"[gradient_agreement] the samples' gradients of a kernel must fit into {_MOST_BYTES >> 30} GB; got {n} of "
            f"{size} weights at {name}, {n * size * 8 / 2**30:.1f} GB; give fewer samples"
        )
    x, *weights = [source.buffer.array.reshape(source.shape) for source in node.inputs]
    found = np.empty((n, size))
    with enable_grad():
        leaves = [tensor(w, requires_grad=True, dtype=w.dtype) for w in weights]
        for i, g in enumerate(total.numpy()):
            y = apply(node.op, (tensor(x[i : i + 1], dtype=x.dtype), *leaves), *node.attrs)
            parts = grad((y * tensor(g[None], dtype=g.dtype)).sum(), leaves)
            found[i] = np.concatenate([part.numpy().ravel() for part in parts])
    return found


def _parameter(kernel: Node) -> Node:
    """What a kernel is a view of, or is."""
    while kernel.op is not None:
        kernel = kernel.inputs[0]
    return kernel


@dataclass(frozen=True)
class _DenseCall:
    """One use of a Dense layer: its input x and the gradient g at its output, each (n, positions, units)."""

    x: np.ndarray
    g: np.ndarray
    bias: bool

    @classmethod
    def of(cls, node: Node, total: Tensor) -> _DenseCall:
        source = node.inputs[0]
        g = total.numpy().astype(np.float64)
        if node.attrs[0] & RELU:
            g *= node.buffer.array.reshape(node.shape) > 0
        n = node.shape[0]
        x = source.buffer.array.astype(np.float64).reshape(n, -1, source.shape[-1])
        return cls(x, g.reshape(n, -1, node.shape[-1]), len(node.inputs) == 3)


def _gram(uses: Sequence[_DenseCall]) -> np.ndarray:
    """(n, n) inner products of the samples' gradients of one kernel and its bias, over all uses of the layer."""
    x = np.concatenate([use.x for use in uses], axis=1)
    g = np.concatenate([use.g for use in uses], axis=1)
    n, positions, _ = x.shape
    x, g = x.reshape(n * positions, -1), g.reshape(n * positions, -1)
    products = (x @ x.T + float(uses[0].bias)) * (g @ g.T)
    return products.reshape(n, positions, n, positions).sum(axis=(1, 3))


def _agreement(gram: np.ndarray) -> tuple[float | None, float | None]:
    squares = np.diag(gram)
    if not squares.sum() > 0:
        return None, None
    coherence = float(gram.sum() / (len(gram) * squares.sum()))
    norms = np.sqrt(squares)
    there = norms > 0
    if there.sum() < 2:
        return None, coherence
    cosines = gram[np.ix_(there, there)] / np.outer(norms[there], norms[there])
    pairs = there.sum() * (there.sum() - 1)
    return float((cosines.sum() - np.trace(cosines)) / pairs), coherence
