"""The table of readers, and Reading: a node with its inputs, as a reader sees it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinyres.engine.state import name_scope
from tinyres.engine.tensor import Parameter, Tensor, tensor
from tinyres.errors import FileError, need_extra
from tinyres.kernels.dtypes import BOOL, FLOAT32, INT64
from tinyres.nn.layer import Layer
from tinyres.onnx.checking import array_of
from tinyres.onnx.names import Place, plain_name
from tinyres.onnx.values import Held, Known, Value

with need_extra("onnx", "models are written and read by the onnx package", "onnx"):
    from onnx import AttributeProto, helper

Read = Callable[["Reading"], "Value | list[Value]"]

READERS: dict[str, Read] = {}
FOLDERS: dict[str, Callable[..., Any]] = {}  # of nodes whose inputs are all known
OPEN = "load it with size=, which settles the sizes that the file leaves open"
MOST_ELEMENTS = 1 << 24  # of an array that follows from shapes


def reads(*kinds: str) -> Callable[[Read], Read]:
    """Let this function read the nodes of these kinds."""

    def enter(read: Read) -> Read:
        READERS.update(dict.fromkeys(kinds, read))
        return read

    return enter


class Reading:
    """A node, its inputs, and where its layers stand. batch: the size of the first axis that the file is made for."""

    def __init__(self, node: Any, inputs: list[Value | None], place: Place, opset: int, batch: int | None) -> None:
        self.node = node
        self.inputs = inputs
        self.place = place
        self.opset = opset
        self.batch = batch
        self.bias: Known | None = None  # of a product, what the Add behind it adds
        self._attributes = {each.name: each for each in node.attribute}

    @property
    def kind(self) -> str:
        return self.node.op_type

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """What is made inside stands under the scope of this node."""
        with name_scope(self.place.scope) if self.place.scope else contextlib.nullcontext():
            yield

    def refuse(self, rule: str, got: Any, remedy: str = "leave it out of the exported net") -> FileError:
        """The error for a node that is not read."""
        return FileError(f"[onnx.load] {rule}; {self.kind} {self.node.name!r} has {got}; {remedy}")

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute, a text as str, an array as NumPy's."""
        found = self._attributes.get(name)
        if found is None:
            return default
        if found.type == AttributeProto.TENSOR:
            return array_of(found.t)
        value = helper.get_attribute_value(found)
        if isinstance(value, bytes):
            return value.decode()
        return list(value) if isinstance(value, (list, tuple)) or hasattr(value, "__iter__") else value

    def given(self, i: int) -> bool:
        """Whether there is an input at this place."""
        return i < len(self.inputs) and self.inputs[i] is not None

    def value(self, i: int = 0) -> Value:
        """The input at this place."""
        if not self.given(i):
            raise self.refuse(f"it has an input {i}", "none")
        found = self.inputs[i]
        assert found is not None
        return found

    def held(self, i: int = 0) -> Held:
        """An input that data decides. A constant in its place is refused."""
        found = self.value(i)
        if isinstance(found, Known):
            raise self.refuse(f"its input {i} must come from the data", "a constant there")
        return found

    def plain(self, i: int = 0) -> Any:
        return self.held(i).plain

    def known(self, i: int, what: str) -> np.ndarray:
        """An input that the file holds."""
        found = self.value(i)
        if not isinstance(found, Known):
            raise self.refuse(f"{what} must stand in the file", "one that is computed from the data", OPEN)
        return found.array

    def ints(self, i: int, name: str, default: Any = None) -> list[int] | None:
        """Integers that are an input of newer opsets and an attribute of older ones; all of them known."""
        if self.given(i):
            found = self.value(i)
            if not isinstance(found, Known) or found.open.any():
                raise self.refuse(f"{name} must stand in the file", "one that is computed from the data", OPEN)
            return [int(n) for n in found.array.reshape(-1)]
        value = self.attr(name, default)
        return value if value is None else [int(n) for n in value] if isinstance(value, list) else [int(value)]

    def number(self, i: int, name: str, default: Any = None) -> Any:
        """The same of one number."""
        if self.given(i):
            return self.known(i, name).reshape(-1)[0].item()
        return self.attr(name, default)

    def axis(self, axis: int, ndim: int) -> int:
        """An axis of so many, from the front."""
        if not -ndim <= axis < ndim:
            raise self.refuse(f"an axis is one of {ndim}", f"axis {axis}", "export it again")
        return axis % ndim

    def named(self, layer: Layer) -> Layer:
        """The layer under this node's name."""
        layer.rename(self.place.name or None)
        return layer

    def called(self, found: Any) -> Any:
        """What an op gave, its layer under this node's name."""
        if isinstance(found, Tensor):
            raise self.refuse("one of its inputs must come from the data", "constants")
        found.producer.layer.rename(self.place.name or None)
        return found

    def operand(self, i: int, last: bool = False) -> Any:
        """An operand that broadcasts; last: with channels last."""
        found = self.value(i)
        if isinstance(found, Held):
            return found.last if last else found.plain
        array = found.array
        if last and array.ndim:
            image = array.reshape((1,) * (4 - array.ndim) + array.shape).transpose(0, 2, 3, 1)
            array = image[0] if image.shape[0] == 1 else image
            array = array.reshape(-1) if array.shape[:-1] == (1, 1) else array
        return constant_of(found, array)


def constant_of(known: Known, array: np.ndarray | None = None) -> Tensor:
    """An array of the file as a Parameter if training may change it, else a Tensor."""
    values = known.array if array is None else array
    if known.weight and values.ndim and values.dtype.kind == "f":
        return Parameter(values, plain_name(known.name.replace("/", ".")) or "weight")
    kind = FLOAT32 if values.dtype.kind == "f" else BOOL if values.dtype.kind == "b" else INT64
    return tensor(values, dtype=kind)
