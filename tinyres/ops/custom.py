"""Ops of the user's own: a forward and a VJP, both written in tinyres ops."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable

from tinyres.backends.buffers import Buffer
from tinyres.engine.layout import Shape, contiguous_strides, strided_copy
from tinyres.engine.op import DEFINED_OPS, OPS, Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.state import no_grad
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, DTypeError
from tinyres.launch import DryRecorder, recording


class CustomOp(Op):
    """An Op that belongs to its user: it enters no table but that of files, where it goes by its module and name."""

    __slots__ = ()

    def __post_init__(self) -> None:
        if self.name in OPS:
            raise ArgumentError(f"[custom_vjp] {self.name!r} is an op of tinyres; got it as a name; choose another")
        DEFINED_OPS.add(self.module, self.name, self)


_SHAPES_ONLY = DryRecorder("write the forward of an own op with tinyres ops only, and read no values in it")


def custom_vjp(
    forward: Callable[..., Tensor], vjp: Callable[[Tensor, Context], Gradients], name: str
) -> Callable[..., Tensor]:
    """A differentiable function with a gradient of your own.

    forward(*inputs): computes the output from Tensors; runs unrecorded. It is also run once without values to learn
    the output's shape, so it must not read any.
    vjp(g, ctx): one gradient per input, None where it is zero. g has the output's shape; ctx.inputs, ctx.output and
    ctx.needs (whether an input's gradient is asked for) are what it may use. If it is made of ops, so is its gradient.
    name: what errors and traces call it. The name stands in the module that calls this: other modules may use it too,
    and this one again, as in a cell of a notebook that is run twice. A saved model finds the op by both.
    Raises ArgumentError for a name that is taken or a forward with other than positional arguments.

    >>> import tinyres as tr
    >>> def swish_vjp(g, ctx):
    ...     (x,) = ctx.inputs
    ...     s = tr.sigmoid(x)
    ...     return (g * (s + x * s * (1.0 - s)),)
    >>> swish = tr.custom_vjp(lambda x: x * tr.sigmoid(x), swish_vjp, "swish")
    >>> x = tr.tensor([0.0], requires_grad=True)
    >>> swish(x).sum().backward(); x.grad.item()
    0.5
    """
    parameters = inspect.signature(forward).parameters.values()
    if not parameters or any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
        raise ArgumentError(
            f"[custom_vjp] forward takes Tensors as positional arguments; got {inspect.signature(forward)}; "
            "bind everything else with functools.partial"
        )

    module = sys._getframe(1).f_globals.get("__name__", "__main__")
    op = _own_op(forward, vjp, name, len(parameters), module)

    def function(*inputs: Operand) -> Tensor:
        if len(inputs) != len(parameters):
            raise ArgumentError(f"[{name}] takes {len(parameters)} inputs; got {len(inputs)}")
        return apply(op, as_operands(*inputs))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = forward.__doc__
    return function


def _own_op(
    forward: Callable[..., Tensor], vjp: Callable[[Tensor, Context], Gradients], name: str, count: int, module: str
) -> CustomOp:
    """The record of an op whose forward is a function of `count` Tensors."""

    def run(*inputs: Tensor) -> Tensor:
        with no_grad():
            output = forward(*[t.detach() for t in inputs])
        if not isinstance(output, Tensor):
            raise DTypeError(f"[{name}] forward must return a Tensor; got {type(output).__name__}; use tinyres ops")
        if output.dtype is not inputs[0].dtype:
            raise DTypeError(
                f"[{name}] forward must keep the dtype of its first input, {inputs[0].dtype}; got {output.dtype}; "
                "use .astype()"
            )
        return output

    def shape(*inputs: Tensor) -> Shape:
        with recording(_SHAPES_ONLY):
            return run(*inputs).shape

    def fill(out: Buffer, *inputs: Tensor) -> None:
        output = run(*inputs)
        strides = contiguous_strides(output.shape)
        strided_copy(out, output.buffer, output.shape, strides, strides)

    return CustomOp(
        name,
        shape=shape,
        forward=fill,
        vjp=vjp,
        saves=tuple(range(count)),
        reads_output=True,
        takes="x",
        module=module,
    )


__all__ = ["CustomOp", "custom_vjp"]
