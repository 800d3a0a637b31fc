"""The layers that nobody writes: what an Input is in a model, and what operators on symbolic tensors record."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyres.engine.op import Op, apply
from tinyres.engine.state import user_source
from tinyres.engine.tensor import FLOATS, Parameter, Tensor, tensor
from tinyres.errors import ArgumentError, DTypeError, ShapeError
from tinyres.nn.layer import Layer
from tinyres.nn.options import refuse_option
from tinyres.nn.symbolic import Call, Symbolic, current_block
from tinyres.ops.composed import COMPOSED


class InputLayer(Layer):
    """Where data enters a model.

    shape: of one sample, None where a size is open. dtype: of what enters. Raises ShapeError without a shape.

    >>> import tinyres as tr
    >>> inputs = tr.layers.InputLayer(shape=(8,))
    >>> inputs.shape
    (8,)
    """

    passes_values = True

    def __init__(
        self,
        shape: Sequence[int | None] | None = None,
        dtype: DTypeLike = "float32",
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
    ) -> None:
        super().__init__(name, dtype=dtype)
        shape = input_shape if shape is None else shape
        if shape is None:
            raise ShapeError("[InputLayer] the shape is that of one sample; got None; write InputLayer(shape=(64,))")
        self.shape = tuple(shape)
        self.built = True

    @property
    def default_name(self) -> str:
        return "input"

    def call(self, x: Tensor) -> Tensor:
        """The data as it is."""
        return x


def Input(
    shape: Sequence[int | None] | None = None,
    name: str | None = None,
    dtype: DTypeLike = "float32",
    batch_size: int | None = None,
    batch_shape: Sequence[int | None] | None = None,
    **further: Any,
) -> Symbolic:
    """A symbolic tensor to build a model on.

    shape: the sizes of one sample, without the batch; None for a size that may be another in each batch, such as the
    length of a text or the height of a picture. dtype: float32, float64 or int64; data is cast to it.
    batch_shape: Keras' shape with the batch. batch_size: taken as Keras takes it; any number of samples fits.
    Raises ShapeError unless shape is a sequence of positive sizes and None.

    >>> import tinyres as tr
    >>> x = tr.Input(shape=(64,))
    >>> tr.layers.Dense(10)(x).shape
    (None, 10)
    >>> tr.layers.Dense(10)(tr.Input(shape=(None, 3))).shape
    (None, None, 10)
    """
    for option, value in further.items():
        if value not in (None, False):
            refuse_option("Input", option, value, ["shape", "name", "dtype", "batch_size", "batch_shape"])
    if batch_shape is not None and shape is None:
        shape = tuple(batch_shape)[1:]
    if not isinstance(shape, Sequence) or isinstance(shape, str) or not all(map(_is_size, shape)):
        hint = f"({shape},)" if isinstance(shape, int) else "(64,)"
        raise ShapeError(f"[Input] the shape is that of one sample, without batch; got {shape!r}; write shape={hint}")
    kind = tensor(0, dtype=dtype).dtype
    layer = InputLayer([None if n is None else int(n) for n in shape], kind, name)
    layer.scope = current_block()
    call = Call(layer, (), {}, layer.scope, user_source())
    call.outputs = Symbolic((None, *layer.shape), kind, call)
    return call.outputs


def _is_size(n: Any) -> bool:
    return n is None or isinstance(n, (int, np.integer)) and int(n) > 0


class OpLayer(Layer):
    """One op with its constants, as a layer: `x * 0.5`, `tr.tanh(x)`, `x - y` on symbolic tensors.

    constants: the Tensors among the op's inputs, by position; Parameters among them are this layer's weights.
    """

    def __init__(self, op: Op, attrs: Sequence[Any], constants: Mapping[int, Tensor], name: str | None = None) -> None:
        super().__init__(name)
        self.op = op
        self.attrs = tuple(attrs)
        self.constants = dict(constants)
        self.built = True

    @property
    def default_name(self) -> str:
        if self.op.name == "mul" and any(t.size == 1 for t in self.constants.values()):
            return "scale"
        return self.op.name

    @property
    def by_token(self) -> bool:
        """Whether the op is elementwise, or along the last axis: then it has no attributes here."""
        return not self.attrs and all(t.size == 1 for t in self.constants.values())

    def call(self, tensors: Sequence[Tensor]) -> Tensor:
        """The op on these tensors, with the constants at their positions."""
        following = iter(tensors)
        count = len(tensors) + len(self.constants)
        operands = [self.constants[i] if i in self.constants else next(following) for i in range(count)]
        return apply(self.op, tuple(operands), *self.attrs)

    def _attributes(self) -> Any:
        for t in self.constants.values():
            if isinstance(t, Parameter):
                yield (t.name or "weight").rpartition("/")[2], t

    def _set_dtype(self, kind: np.dtype) -> None:
        super()._set_dtype(kind)
        self.constants = {
            i: tensor(t, dtype=kind) if t.dtype in FLOATS and not isinstance(t, Parameter) else t
            for i, t in self.constants.items()
        }

    def __deepcopy__(self, memo: dict[int, Any]) -> OpLayer:
        clone = OpLayer(self.op, self.attrs, copy.deepcopy(self.constants, memo), self._name)
        clone._name_chosen = self._name_chosen
        clone._trainable = self._trainable
        clone.scope = self.scope
        memo[id(self)] = clone
        return clone


class FunctionLayer(Layer):
    """A function of several ops as a layer: `tr.std(x, axis=1)`, `tr.stack([x, y])` on symbolic tensors.

    function: its name. Its other arguments stand in the call.
    """

    def __init__(self, function: str, name: str | None = None) -> None:
        super().__init__(name)
        if function not in COMPOSED:
            raise ArgumentError(f"[layer] no function has this name; got {function!r}; one of {', '.join(COMPOSED)}")
        self.function = function
        self.built = True

    @property
    def default_name(self) -> str:
        return self.function

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The function on Tensors."""
        return COMPOSED[self.function](*args, **kwargs)

    def _as_tensors(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return args


def recorded_function(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a function of several ops on symbolic tensors records."""
    for value in (*args, *kwargs.values()):
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(item, Tensor):
                raise DTypeError(
                    f"[{name}] with a symbolic tensor go symbolic ones, numbers and arrays; got a Tensor of shape "
                    f"{item.shape}; compute it in an own layer"
                )
    return FunctionLayer(name)(*args, **kwargs)


# By op: the layer that an operator on two like symbolic tensors records; each enters itself.
MERGES: dict[str, Callable[[], Layer]] = {}


def recorded_operator(op: Op, inputs: Sequence[Any], attrs: tuple[Any, ...]) -> Symbolic:
    """What an op on symbolic tensors records: a layer of its own for two like tensors, else an OpLayer."""
    operands = [t for t in inputs if isinstance(t, Symbolic)]
    if len(operands) == 2 and operands[0].shape == operands[1].shape and op.name in MERGES and not attrs:
        return MERGES[op.name]()(operands)
    constants = {}
    for i, t in enumerate(inputs):
        if isinstance(t, Symbolic):
            continue
        if not isinstance(t, Tensor) or t.node is not None and t.node.op is not None:
            raise DTypeError(
                f"[{op.name}] with a symbolic tensor go symbolic ones, numbers, arrays and Parameters; "
                f"got {'what an op gave' if isinstance(t, Tensor) else type(t).__name__}; compute it in an own layer"
            )
        constants[i] = t
    return OpLayer(op, attrs, constants)(operands)
