"""Writer: the ONNX graph while it is written, and where each value of the tape stands in it.

Images are (n, height, width, channels) here and (n, channels, height, width) in ONNX. A value may stand in the graph in
one order, the other, or both: an op says in which it wants its input, and a Transpose is written only where the two
differ. So a net of convolutions has one Transpose at its beginning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinyres.engine.node import Node
from tinyres.errors import ArgumentError, need_extra
from tinyres.onnx.recording import Recorded, Shape

with need_extra("onnx", "models are written and read by the onnx package", "onnx"):
    from onnx import TensorProto, helper, numpy_helper

TO_FIRST, TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
TYPES = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}
Pair = tuple[int, int]  # a size in the first batch and in the second


class Writer:
    """Nodes, initializers and names of one graph.

    parameters: the name of each weight by its buffer. nodes, initializers: what was written.
    """

    def __init__(self, parameters: Mapping[int, str]) -> None:
        self.nodes: list[Any] = []
        self.initializers: dict[str, np.ndarray] = {}
        self._parameters = parameters
        self._plain: dict[int, str] = {}  # by key of the node: its name as it is
        self._first: dict[int, str] = {}  # and with channels first
        self._inputs: list[Recorded] = []
        self._outputs: list[str] = []
        self._names: set[str] = set()
        self._base = ""

    def begin(self, node: Recorded) -> None:
        """All that is written from here on belongs to this op."""
        scope = node.first.scope
        self._base = scope.path if scope is not None else ""

    def input(self, node: Recorded, name: str) -> None:
        """Let the graph have this input."""
        self._plain[node.key] = self.name(name)
        self._inputs.append(node)

    def emit(self, kind: str, *inputs: str, **attrs: Any) -> str:
        """Write a node of this kind; the name of its output, which is the node's too."""
        name = self.name(f"{self._base}/{kind}" if self._base else kind)
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attrs))
        return name

    def emit_second(self, kind: str, *inputs: str, **attrs: Any) -> str:
        """Write a node with two outputs, of which the second is wanted."""
        name = self.emit(kind, *inputs, **attrs)
        self.nodes[-1].output[:] = [self.name(f"{name}/unused"), name]
        return name

    def output(self, node: Recorded, wanted: str) -> str:
        """Let the graph have this output, under this name if nothing else has it."""
        self._base = ""
        name = self.name(wanted)
        self.nodes.append(helper.make_node("Identity", [self.plain(node)], [name], name=name))
        self._outputs.append(name)
        return name

    def used(self) -> list[Any]:
        """The nodes that the outputs depend on."""
        wanted, kept = set(self._outputs), []
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                kept.append(node)
                wanted.update(node.input)
        return kept[::-1]

    def used_initializers(self) -> dict[str, np.ndarray]:
        """The initializers that these nodes read."""
        read = {name for node in self.used() for name in node.input}
        return {name: array for name, array in self.initializers.items() if name in read}

    def name(self, wanted: str) -> str:
        """A name that nothing has yet."""
        name, count = wanted, 1
        while name in self._names:
            name, count = f"{wanted}_{count}", count + 1
        self._names.add(name)
        return name

    def constant(self, value: Any, dtype: Any = None, name: str = "") -> str:
        """An initializer of these values; the same for the same values of the same op."""
        array = np.asarray(value, dtype, order="C")
        wanted = name or (f"{self._base}/constant" if self._base else "constant")
        at = wanted
        for count in range(1, len(self.initializers) + 2):
            known = self.initializers.get(at)
            if known is not None:
                alike = known.dtype == array.dtype and known.shape == array.shape
                if alike and known.tobytes() == array.tobytes():
                    return at
            elif at not in self._names:
                self._names.add(at)
                self.initializers[at] = array
                return at
            at = f"{wanted}_{count}"
        raise AssertionError("one of these names is free")

    def weight(self, node: Recorded, arranged: np.ndarray | None = None) -> str:
        """A leaf as an initializer under its parameter's name. arranged: its values in another order."""
        values = node.array
        if values is None:
            raise ArgumentError(
                f"[onnx.export] what a model computes with must be the same for every batch; {node.first.label()} of "
                f"shape {node.first.shape} is not; export with size=, or compute it by ops on the inputs"
            )
        name = self._parameters.get(id(node.first.buffer), "")
        return self.constant(values if arranged is None else arranged, name=name)

    def plain(self, node: Recorded) -> str:
        """The name of a value, axes in the order that they have here."""
        key = node.key
        if key not in self._plain:
            if key in self._first:
                self._plain[key] = self.emit("Transpose", self._first[key], perm=TO_LAST)
            elif node.fill is not None:
                shape = self.shape(node, node.shapes)
                self._plain[key] = self.emit("Expand", self.constant(node.fill, node.first.dtype), shape)
            else:
                self._plain[key] = self.weight(node)
        return self._plain[key]

    def first(self, node: Recorded) -> str:
        """The name of an image, channels first."""
        key = node.key
        if key not in self._first:
            values = node.array
            if values is not None:
                self._first[key] = self.weight(node, values.transpose(TO_FIRST))
            else:
                self._first[key] = self.emit("Transpose", self.plain(node), perm=TO_FIRST)
        return self._first[key]

    def is_first(self, node: Recorded) -> bool:
        """Whether a value stands in the graph with channels first only."""
        return node.key in self._first and node.key not in self._plain

    def put(self, node: Recorded, name: str) -> None:
        """Let the value of a node be this."""
        self._plain[node.key] = name

    def put_first(self, node: Recorded, name: str) -> None:
        """Let the value of a node be this, an image with channels first."""
        self._first[node.key] = name

    def like(self, node: Recorded, value: float) -> str:
        """A number of the dtype of a node."""
        return self.constant(value, node.first.dtype)

    def ints(self, values: Sequence[int]) -> str:
        """A list of integers as an operand."""
        return self.constant(list(values), np.int64)

    def shape(self, node: Recorded, shapes: tuple[Shape, Shape], sources: Sequence[Recorded] = ()) -> str:
        """A shape as an operand; sizes of the data are taken from what has them: the sources, or the model's inputs."""
        pairs = list(zip(*shapes))
        if all(a == b for a, b in pairs):
            return self.ints([a for a, _ in pairs])
        known = [*sources, *self._inputs]
        parts = [self.ints([a]) if a == b else self._size(node, (a, b), known) for a, b in pairs]
        return self.emit("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]

    def target(self, node: Recorded, source: Recorded) -> str:
        """The shape of a node that holds the elements of `source`; one size of the data need not be told."""
        pairs = list(zip(*node.shapes))
        unknown = [i for i, (a, b) in enumerate(pairs) if a != b]
        if len(unknown) != 1:
            return self.shape(node, node.shapes, [source])
        return self.ints([-1 if i in unknown else a for i, (a, _) in enumerate(pairs)])

    def _size(self, node: Recorded, wanted: Pair, known: Sequence[Recorded]) -> str:
        """A size of the data, (1,): that of an axis, or of axes multiplied, times or over a number."""
        axes = [(pair, n, i) for n in known for i, pair in enumerate(zip(*n.shapes)) if pair[0] != pair[1]]
        for pair, source, axis in axes:
            if pair == wanted:
                return self._axis(source, axis)
        for pair, source, axis in axes:
            if wanted[0] * pair[1] == wanted[1] * pair[0]:
                times, over = wanted[0], pair[0]
                scaled = self.emit("Mul", self._axis(source, axis), self.ints([times]))
                return self.emit("Div", scaled, self.ints([over]))
        for pair, source, axis in axes:
            for other, source_too, axis_too in axes:
                if (pair[0] * other[0], pair[1] * other[1]) == wanted:
                    return self.emit("Mul", self._axis(source, axis), self._axis(source_too, axis_too))
        raise ArgumentError(
            f"[onnx.export] a size must be one of the inputs', or a multiple of one; {node.first.label()} has "
            f"{wanted[0]} and {wanted[1]} in two batches; export with size=, or give its Input known sizes"
        )

    def _axis(self, source: Recorded, axis: int) -> str:
        return self.emit("Shape", self.plain(source), start=axis, end=axis + 1)


def tensors_of(initializers: Mapping[str, np.ndarray]) -> list[Any]:
    """Arrays by name as ONNX holds them."""
    return [numpy_helper.from_array(array, name) for name, array in initializers.items()]


def value_info(name: str, dtype: np.dtype, sizes: Sequence[Any]) -> Any:
    """A described input or output; sizes: numbers, or names of those that differ from batch to batch."""
    return helper.make_tensor_value_info(name, TYPES[dtype.name], list(sizes))


def is_image(node: Node) -> bool:
    """Whether a value may stand with channels first."""
    return len(node.shape) == 4
