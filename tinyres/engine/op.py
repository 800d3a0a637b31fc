"""Op: the one record that makes an operation differentiable; `apply`: how every op runs.

    def square_vjp(g, ctx):
        (x,) = ctx.inputs
        return (g * 2.0 * x,)

    SQUARE = Op("square", shape=same_shape, forward=unary(kernels.square), vjp=square_vjp, saves=(0,))

    def square(x):
        return apply(SQUARE, (x,))

The op checks and the engine does the rest: it allocates the output, records a Node if any input requires a gradient,
and in backward un-broadcasts, checks and accumulates what the VJP returns. A VJP is written with ops, so gradients
can be differentiated again, and computes only what `ctx.needs` asks for.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyres.backends.buffers import Buffer
from tinyres.engine.node import FirstOutput, FurtherOutput, Node, Outputs
from tinyres.engine.state import state
from tinyres.engine.tensor import FLOATS, Tensor, node_of
from tinyres.errors import ArgumentError, DTypeError, GradientError
from tinyres.kernels.dtypes import BOOL, FLOAT32, INT64
from tinyres.store.definitions import Definitions, path_of

if TYPE_CHECKING:
    from tinyres.engine.layout import Part

Gradients = Sequence["Tensor | None"]  # one per input; None where it is zero or not needed
PartGradients = Sequence["Part | None"]
Shape = tuple[int, ...]
Fans = tuple[int, int]  # of a weight: how many inputs an output sums over, and how many outputs an input goes into

_TAKE_FLOATS = ("f", "x")

# By op: what it is for integers, masks and mixed dtypes, of its inputs and attrs; None: the op itself takes them.
MIXED: dict[Op, Callable[[tuple[Tensor, ...], tuple[Any, ...]], Tensor | None]] = {}

OPS: dict[str, Op] = {}
DEFINED_OPS: Definitions[Op] = Definitions("the op")  # as files find them, own ones of users too


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """One differentiable operation.

    name: as users know it. shape(*inputs, *attrs): checks the inputs and returns the output's shape.
    forward(out, *inputs, *attrs): launches kernels that fill the buffer `out`; may return buffers to keep for the VJP.
    vjp(g, ctx): one gradient per input, None where the gradient is zero or not needed; made of ops.
    saves: the positions of inputs whose values the VJP reads. reads_output: whether it reads the output's values.
    dtype: of the output; None: that of the first input; or a rule, dtype(*inputs, *attrs).
    view: the output shares the first input's buffer.
    takes: a letter per input, the last one for all further ones: f float, l int64, b bool, x any. Inputs of letters
    f and x must have one dtype.
    outputs: names, if there are several. Then shape and a dtype rule return a tuple, forward gets a tuple of buffers
    and the VJP one of cotangents, None for an output that got none; the first output is a float if there is a VJP.
    fast_vjp(g, ctx): the same gradients by kernels; taken where nobody asks for a gradient of the gradient.
    parts(g, ctx): the same as Parts, which backward adds where they belong; taken like fast_vjp.

    What it *is*, from which a trace has its kinds, theory and lint. adds: the output is the sum of the inputs.
    multiplies: its inputs with one another. rectifies: it cuts off one half of the values and keeps the other as it is;
    a bool, or a function of the attrs. leaks(*attrs): the part that it keeps of that half instead. normalises: over
    what ("batch", "layer"), "" if it does not.
    fans(*shapes, *attrs): per input the (fan_in, fan_out) that it has as a weight, None where it can be none.
    coverage(*attrs): the part of that fan_in which an output is made of, on the average; left out: all.
    slope: the largest derivative of an op that squashes its input, else 0. drops(*attrs): the share that it sets to 0
    at random. distributes: it shares out 1 over the last axis of its first input. attends(batch, first, end, *inputs,
    *attrs): of an op whose output is (batch, tokens, heads, dim), for one sequence how much the queries first..end of
    each head take of each key, (heads, queries, keys), and which keys they see. breaks: why its value may not be
    finite, and what helps.

    module: where it was defined; left out, that is where this is called.

    The record enters the table of ops by its name. A name is taken once: run again, the same module may define its op
    anew, another one gets an ArgumentError.

    >>> OPS["tanh"].reads_output, OPS["matmul"].saves
    (True, (0, 1))
    """

    name: str
    shape: Callable[..., Any]
    forward: Callable[..., tuple[Buffer, ...] | None]
    vjp: Callable[[Any, Context], Gradients] | None = None
    saves: tuple[int, ...] = ()
    reads_output: bool = False
    dtype: np.dtype | Callable[..., Any] | None = None
    view: bool = False
    takes: str = "f"
    outputs: tuple[str, ...] = ()
    fast_vjp: Callable[[Any, Context], Gradients] | None = None
    parts: Callable[[Any, Context], PartGradients] | None = None
    adds: bool = False
    multiplies: bool = False
    rectifies: bool | Callable[..., bool] = False
    leaks: Callable[..., float] | None = None
    normalises: str = ""
    fans: Callable[..., tuple[Fans | None, ...]] | None = None
    coverage: Callable[..., float] | None = None
    slope: float = 0.0
    drops: Callable[..., float] | None = None
    distributes: bool = False
    attends: Callable[..., tuple[Any, Any]] | None = None
    breaks: tuple[str, str] | None = None
    module: str = ""

    def __post_init__(self) -> None:
        if not self.module:
            object.__setattr__(self, "module", sys._getframe(2).f_globals.get("__name__", "__main__"))
        known = OPS.get(self.name)
        if known is not None and known.module != self.module:
            raise ArgumentError(
                f"[Op] a name stands for one op; {self.name!r} is taken by {known.module}; choose another name"
            )
        OPS[self.name] = self
        DEFINED_OPS.add(self.module, self.name, self)

    def __reduce__(self) -> tuple[Any, ...]:
        return _defined, (self.path,)

    @property
    def path(self) -> str:
        """What files call it."""
        return path_of(self.module, self.name)

    def is_rectifier(self, attrs: tuple[Any, ...]) -> bool:
        """Whether it rectifies when it runs with these attrs."""
        return self.rectifies(*attrs) if callable(self.rectifies) else self.rectifies


def _defined(path: str) -> Op:
    """The op that this process has under the path: what a pickled one is."""
    return DEFINED_OPS.find(path)


class OutputOf(Op):
    """What stands in the Node of a further output: a name, "batchnorm.mean", and nothing that could be run."""

    __slots__ = ()

    def __post_init__(self) -> None:
        """It stays out of the table of ops."""


@functools.lru_cache(maxsize=256)
def _output_of(op: Op, position: int) -> OutputOf:
    return OutputOf(f"{op.name}.{op.outputs[position]}", op.shape, op.forward)


class Context:
    """What a VJP sees of its forward.

    inputs: Tensors of the saved inputs, None where not saved. output: the op's output; outputs: all of them.
    attrs: the op's constants. saved: the buffers that forward returned. needs: per input, whether its gradient is asked
    for. shapes: the inputs' shapes. dtype: the (first) output's.
    """

    __slots__ = ("_node", "_connected", "needs")

    def __init__(self, node: Node, needs: tuple[bool, ...], connected: bool) -> None:
        self._node = node
        self._connected = connected
        self.needs = needs

    @property
    def inputs(self) -> list[Any]:
        node = self._node
        saves = node.op.saves  # type: ignore[union-attr]
        if self._connected:
            return [self._tensor(n) if i in saves else None for i, n in enumerate(node.inputs)]
        return [Tensor(n.buffer, n.shape, n.dtype) if i in saves else None for i, n in enumerate(node.inputs)]

    @property
    def output(self) -> Tensor:
        if not self._node.op.reads_output:  # type: ignore[union-attr]
            raise GradientError(f"[{self._node.op.name}] its VJP reads the output; declare reads_output=True")  # type: ignore[union-attr]
        return self._tensor(self._node)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        node, first = self._node, self.output
        if type(node) is not FirstOutput:
            return (first,)
        if self._connected:
            return first, *[_further_output(node, k) for k in range(1, len(node.outputs[0]))]
        return tuple(map(Tensor, *node.outputs))

    @property
    def output_buffers(self) -> tuple[Buffer, ...]:
        """The values of all outputs, for a fast VJP."""
        assert type(self._node) is FirstOutput
        return self._node.outputs[0]

    @property
    def attrs(self) -> tuple[Any, ...]:
        return self._node.attrs

    @property
    def saved(self) -> tuple[Buffer, ...]:
        return self._node.saved

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [n.shape for n in self._node.inputs]

    @property
    def dtype(self) -> np.dtype:
        return self._node.dtype

    def _tensor(self, node: Node) -> Tensor:
        if self._connected:
            return Tensor(node.buffer, node.shape, node.dtype, node)
        return Tensor(node.buffer, node.shape, node.dtype)


def apply(op: Op, inputs: tuple[Tensor, ...], *attrs: Any) -> Tensor:
    """Run an op on Tensors and record it if a gradient may be asked for.

    The output, or a tuple of Tensors from an op with several.
    """
    recording = state.record_all
    plain = True
    for t in inputs:
        node = t.node
        if node is not None and node.requires_grad:
            recording = True
        if t.dtype is not FLOAT32:
            plain = False
    if recording:
        for t in inputs:
            if not isinstance(t, Tensor):
                return t.__tinyres_apply__(op, inputs, attrs)
    if not plain:
        if op in MIXED:
            result = MIXED[op](inputs, attrs)
            if result is not None:
                return result
        check_dtypes(op, inputs)
    elif op.takes not in _TAKE_FLOATS:
        check_dtypes(op, inputs)
    shape = op.shape(*inputs, *attrs)
    if op.outputs:
        return _apply_to_several(op, inputs, attrs, shape, recording)  # type: ignore[return-value]
    dtype = inputs[0].dtype if op.dtype is None else output_dtypes(op, inputs, attrs)[0]
    buffer = inputs[0].buffer if op.view else Buffer(math.prod(shape), dtype)
    saved = op.forward(buffer, *inputs, *attrs)
    if recording and state.grad_enabled and (op.vjp is not None or state.every_op):
        return record(op, attrs, inputs, buffer, shape, dtype, saved or ())
    return Tensor(buffer, shape, dtype)


def apply_first(op: Op, inputs: tuple[Tensor, ...], *attrs: Any) -> tuple[Tensor, tuple[Buffer, ...]]:
    """As `apply` of an op with several outputs, but only the first takes part in the graph: it, and the values of all.

    The others cost no Node and no Tensor where nobody asks for a gradient through them. Only for Tensors.
    """
    recording = state.record_all
    plain = op.takes in _TAKE_FLOATS
    for t in inputs:
        node = t.node
        if node is not None and node.requires_grad:
            recording = True
        if t.dtype is not FLOAT32:
            plain = False
    if not plain:
        check_dtypes(op, inputs)
    first, outputs = _first_of_several(op, inputs, attrs, op.shape(*inputs, *attrs), recording)
    return first, outputs[0]


def _apply_to_several(
    op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...], shapes: tuple[Shape, ...], recording: bool
) -> tuple[Tensor, ...]:
    first, outputs = _first_of_several(op, inputs, attrs, shapes, recording)
    if type(first.node) is not FirstOutput:
        return tuple(map(Tensor, *outputs))
    return first, *[_further_output(first.node, k) for k in range(1, len(shapes))]


def _first_of_several(
    op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...], shapes: tuple[Shape, ...], recording: bool
) -> tuple[Tensor, Outputs]:
    dtypes = (inputs[0].dtype,) * len(op.outputs) if op.dtype is None else output_dtypes(op, inputs, attrs)
    if not len(shapes) == len(dtypes) == len(op.outputs):
        raise GradientError(
            f"[{op.name}] its shape and dtype rules must give one for each of its outputs {op.outputs}; "
            f"got {len(shapes)} shapes and {len(dtypes)} dtypes; correct them"
        )
    buffers = tuple([Buffer(math.prod(shape), dtype) for shape, dtype in zip(shapes, dtypes)])
    saved = op.forward(buffers, *inputs, *attrs) or ()
    outputs = buffers, shapes, dtypes
    if not (recording and state.grad_enabled and op.vjp is not None):
        return Tensor(buffers[0], shapes[0], dtypes[0]), outputs
    if dtypes[0] not in FLOATS:
        raise DTypeError(
            f"[{op.name}] the first output of an op with a gradient must be a float; got {dtypes[0]}; "
            "give the outputs in another order"
        )
    first = record(op, attrs, inputs, buffers[0], shapes[0], dtypes[0], saved, FirstOutput)
    assert type(first.node) is FirstOutput
    first.node.outputs = outputs
    return first, outputs


def _further_output(first: FirstOutput, position: int) -> Tensor:
    """The output at `position` as a Tensor with a Node of its own; integers and bools have none."""
    buffers, shapes, dtypes = first.outputs
    buffer, shape, dtype = buffers[position], shapes[position], dtypes[position]
    if dtype not in FLOATS:
        return Tensor(buffer, shape, dtype)
    assert first.op is not None
    op = _output_of(first.op, position)
    node = FurtherOutput(op, (), (first,), buffer, shape, dtype, (), first.requires_grad)
    node.position = position
    return Tensor(buffer, shape, dtype, node)


def outputs_of(result: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What `apply` gave, as a tuple for every op."""
    return result if isinstance(result, tuple) else (result,)


def output_dtypes(op: Op, inputs: Sequence[Tensor], attrs: tuple[Any, ...]) -> tuple[np.dtype, ...]:
    """The dtype of each output of an op for these inputs."""
    rule = op.dtype
    dtypes = inputs[0].dtype if rule is None else rule(*inputs, *attrs) if callable(rule) else rule
    return dtypes if isinstance(dtypes, tuple) else (dtypes,) * (len(op.outputs) or 1)


def check_dtypes(op: Op, inputs: tuple[Tensor, ...]) -> None:
    """Raise DTypeError unless each input has a dtype that the op takes, and all its floats the same."""
    if op.takes in _TAKE_FLOATS and [t.dtype for t in inputs].count(FLOAT32) == len(inputs):
        return
    like = None
    for i, t in enumerate(inputs):
        letter = op.takes[min(i, len(op.takes) - 1)]
        if letter in "fx":
            like = like or t.dtype
        if letter == "f" and t.dtype not in FLOATS:
            raise DTypeError(
                f'[{op.name}] takes float Tensors; got {t.dtype} of shape {t.shape}; use .astype("float32")'
            )
        if letter == "l" and t.dtype is not INT64:
            raise DTypeError(f'[{op.name}] takes integers here; got {t.dtype} of shape {t.shape}; use .astype("int64")')
        if letter == "b" and t.dtype is not BOOL:
            raise DTypeError(
                f"[{op.name}] takes a bool Tensor here; got {t.dtype} of shape {t.shape}; compare it, as in x != 0"
            )
        if letter in "fx" and t.dtype is not like:
            raise DTypeError(
                f"[{op.name}] the dtypes must be the same; got {like} and {t.dtype}; use .astype() on one of them"
            )


def record(
    op: Op,
    attrs: tuple[Any, ...],
    inputs: tuple[Tensor, ...],
    buffer: Buffer,
    shape: tuple[int, ...],
    dtype: np.dtype,
    saved: tuple[Buffer, ...],
    kind: type[Node] = Node,
) -> Tensor:
    """The output Tensor of an op that has run, with its Node on the tape."""
    requires_grad = False
    nodes = []
    for t in inputs:
        producer = t.node or node_of(t)
        nodes.append(producer)
        if producer.requires_grad:
            requires_grad = True
    node = kind(op, attrs, tuple(nodes), buffer, shape, dtype, saved, requires_grad)
    return Tensor(buffer, shape, dtype, node)
