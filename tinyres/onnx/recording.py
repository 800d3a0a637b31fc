"""What a model computes in inference, op by op, as two batches of different size tell it.

A size that is the same in both is one of the model; one that differs is one of the data. So nothing has to be said
about any op's shape, and what an op was told of a batch (the shape of a reshape) is found to be one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinyres.engine.node import FurtherOutput, Node
from tinyres.engine.state import every_op_recorded
from tinyres.engine.tensor import Tensor, node_of, tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.model import Model
from tinyres.nn.symbolic import Symbolic
from tinyres.ops.random import preserving_generator

Shape = tuple[int, ...]

# Two of (batch, any other size that is not known), the first pair that the model takes: a context may be short, and
# pooling may want more than a few pixels or tokens. Half of one batch is not half of the other.
TRIALS = (((2, 4), (5, 8)), ((2, 16), (5, 32)), ((2, 192), (5, 384)))


class Recorded(NamedTuple):
    """A node of the tape of the first batch, and the same of the second."""

    first: Node
    second: Node

    @property
    def key(self) -> int:
        """The same for all nodes of one value: a leaf is known by its memory, since a model makes a leaf of its own."""
        return self.first.index if self.first.op is not None else -id(self.first.buffer)

    @property
    def op(self) -> str:
        """The name of the op; "" of a leaf."""
        return self.first.op.name if self.first.op is not None else ""

    @property
    def shapes(self) -> tuple[Shape, Shape]:
        return self.first.shape, self.second.shape

    @property
    def attrs(self) -> tuple[Any, ...]:
        """The op's attributes. Raises ArgumentError where they depend on the batch."""
        if self.first.attrs != self.second.attrs:
            raise ArgumentError(
                f"[onnx.export] the attributes of an op must be the same for every batch; {self.first.label()} has "
                f"{self.first.attrs} and {self.second.attrs} for two; do this in a layer that knows its sizes"
            )
        return self.first.attrs

    @property
    def inputs(self) -> list[Recorded]:
        return [Recorded(a, b) for a, b in zip(self.first.inputs, self.second.inputs)]

    @property
    def array(self) -> np.ndarray | None:
        """The values of a leaf that is the same for every batch; None of what was computed, or differs."""
        a, b = self
        if a.op is not None or a.shape != b.shape:
            return None
        values = a.buffer.array.reshape(a.shape)
        same = np.array_equal(values, b.buffer.array.reshape(b.shape), equal_nan=values.dtype.kind == "f")
        return values if same else None

    @property
    def fill(self) -> Any:
        """The number that a leaf has everywhere, if its shape alone differs from batch to batch; else None."""
        if self.first.op is not None or self.first.shape == self.second.shape:
            return None
        values = np.concatenate([node.buffer.array.reshape(-1) for node in self])
        return values[0] if values.size and (values == values[0]).all() else None


Run = tuple[list[Node], list[Node]]  # the nodes of the inputs, and of the outputs


class Recording(NamedTuple):
    """What a model computed: its inputs, all ops in an order in which they can run, its outputs."""

    inputs: list[Recorded]
    ops: list[Recorded]
    outputs: list[Recorded]


def record(model: Model, size: int | None = None) -> Recording:
    """Run the model twice and pair what was recorded. Raises ArgumentError for a model that is not built of layers.

    size: of every axis of an Input whose size is not known, None to leave it open.
    """
    if not isinstance(model, Model) or not model.steps:
        raise ArgumentError(
            f"[onnx.export] a model is exported as the graph between its Inputs and outputs; got {model!r}; build it "
            "with tr.Model(inputs, outputs) or a Sequential that begins with an Input"
        )
    return paired(*_runs(model, size))


def paired(first: Run, second: Run) -> Recording:
    """Two runs as one recording. Raises ArgumentError where they are not of the same ops."""
    (inputs, outputs), (inputs_too, outputs_too) = first, second
    ops, ops_too = _in_order(outputs), _in_order(outputs_too)
    if _names(ops) != _names(ops_too):
        raise ArgumentError(
            "[onnx.export] a model must run the same ops for every batch; got others for two sizes; "
            "leave branches on shapes out of its layers"
        )
    pair = [Recorded(*both) for both in zip(ops, ops_too)]
    return Recording(
        [Recorded(*both) for both in zip(inputs, inputs_too)],
        pair,
        [Recorded(*both) for both in zip(outputs, outputs_too)],
    )


def _runs(model: Model, size: int | None) -> list[Run]:
    """The nodes of the inputs and outputs of two runs."""
    known = all(None not in symbolic.shape[1:] for symbolic in model.inputs)
    if known or size is not None:
        return [_run(model, batch, size or 0) for batch, _ in TRIALS[0]]
    for trials in TRIALS[:-1]:
        try:
            return [_run(model, *sizes) for sizes in trials]
        except ShapeError:
            continue
    return [_run(model, *sizes) for sizes in TRIALS[-1]]


def _run(model: Model, batch: int, other: int) -> Run:
    """A run on zeros, with these sizes where they are not known."""
    given = [tensor(np.zeros(_tried(symbolic, batch, other)), dtype=symbolic.dtype) for symbolic in model.inputs]
    return run_recorded(lambda: model(given if len(given) > 1 else given[0]), given)


def run_recorded(function: Callable[[], Any], given: Sequence[Tensor]) -> Run:
    """Call a function of these Tensors while every op is recorded."""
    with preserving_generator(), every_op_recorded():
        found = function()
    outputs: Sequence[Tensor] = found if isinstance(found, (list, tuple)) else [found]
    return [node_of(t) for t in given], [node_of(t) for t in outputs]


def _tried(symbolic: Symbolic, batch: int, other: int) -> Shape:
    return batch, *[other if size is None else size for size in symbolic.shape[1:]]


def _names(ops: Sequence[Node]) -> list[str]:
    return [node.op.name for node in ops if node.op is not None]


def _in_order(outputs: Sequence[Node]) -> list[Node]:
    """Every op that the outputs depend on, inputs before what reads them."""
    found: dict[int, Node] = {}
    waiting = list(outputs)
    while waiting:
        node = waiting.pop()
        if node.index not in found and node.op is not None:
            found[node.index] = node
            waiting += node.inputs
    return [found[index] for index in sorted(found) if not isinstance(found[index], FurtherOutput)]
