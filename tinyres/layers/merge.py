"""Layers that join branches. They never broadcast: a skip and its branch have the same shape or it is an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinyres import ops
from tinyres.engine.tensor import Tensor
from tinyres.errors import ShapeError
from tinyres.nn.layer import Layer
from tinyres.nn.operators import MERGES


class _Merge(Layer):
    """Called on a list of at least two tensors of equal shapes."""

    def build(self, input_shape: Any) -> None:
        """Check the shapes."""
        self._check(input_shape)

    def _check(self, shapes: Any) -> None:
        owner = type(self).__name__
        if not isinstance(shapes, list) or len(shapes) < 2:
            raise ShapeError(f"[{owner}] it joins a list of two tensors or more; got {shapes}; write {owner}()([x, y])")
        if any(shape != shapes[0] for shape in shapes):
            listed = " and ".join(map(str, shapes))
            raise ShapeError(
                f"[{owner}] the inputs must have equal shapes; got {listed}; "
                "bring them to one width first, as by a layers.Dense on the skip"
            )

    def _checked(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        shape = inputs[0].shape
        for t in inputs:
            if t.shape != shape:
                self._check([t.shape for t in inputs])
        return inputs


class Add(_Merge):
    """The sum of a list of tensors of one shape. In backward every one of them receives the same gradient.

    Raises ShapeError for unequal shapes.

    >>> import tinyres as tr
    >>> x = tr.tensor([1.0, 2.0])
    >>> tr.layers.Add()([x, x, x])
    Tensor([3., 6.], shape=(2,), dtype=float32)
    """

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """The sum."""
        first, *others = self._checked(inputs)
        for other in others:
            first = ops.add(first, other)
        return first


class Multiply(_Merge):
    """The product of a list of tensors of one shape: a gate.

    Raises ShapeError for unequal shapes.

    >>> import tinyres as tr
    >>> x = tr.tensor([1.0, 2.0])
    >>> tr.layers.Multiply()([x, x])
    Tensor([1., 4.], shape=(2,), dtype=float32)
    """

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """The product."""
        first, *others = self._checked(inputs)
        for other in others:
            first = ops.mul(first, other)
        return first


MERGES.update(add=Add, mul=Multiply)


class Concatenate(Layer):
    """A list of tensors side by side along `axis` (default: the last). All other sizes must be equal.

    >>> import tinyres as tr
    >>> tr.layers.Concatenate()([tr.tensor([[1.0]]), tr.tensor([[2.0]])])
    Tensor([[1., 2.]], shape=(1, 2), dtype=float32)
    """

    def __init__(self, axis: int = -1, name: str | None = None) -> None:
        super().__init__(name)
        self.axis = axis

    def build(self, input_shape: Any) -> None:
        """Check that there is a list."""
        if not isinstance(input_shape, list):
            raise ShapeError(f"[Concatenate] it joins a list of tensors; got {input_shape}; call it on [x, y]")

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """The tensors side by side."""
        return ops.concatenate(list(inputs), axis=self.axis)
