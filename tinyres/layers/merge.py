"""Layers that join branches. They never broadcast: a skip and its branch have the same shape or it is an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinyres import ops
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.nn.layer import Layer
from tinyres.nn.operators import MERGES


class _Merge(Layer):
    """Called on a list of at least two tensors of equal shapes."""

    by_token = True

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


class Average(_Merge):
    """The mean of a list of tensors of one shape. Raises ShapeError for unequal shapes.

    >>> import tinyres as tr
    >>> tr.layers.Average()([tr.tensor([1.0]), tr.tensor([4.0])])
    Tensor([2.5], shape=(1,), dtype=float32)
    """

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """The mean."""
        first, *others = self._checked(inputs)
        for other in others:
            first = ops.add(first, other)
        return first / float(len(inputs))


class Maximum(_Merge):
    """The largest of a list of tensors of one shape, elementwise. Raises ShapeError for unequal shapes.

    >>> import tinyres as tr
    >>> tr.layers.Maximum()([tr.tensor([1.0, 4.0]), tr.tensor([2.0, 3.0])])
    Tensor([2., 4.], shape=(2,), dtype=float32)
    """

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """The largest."""
        first, *others = self._checked(inputs)
        for other in others:
            first = ops.maximum(first, other)
        return first


class Minimum(_Merge):
    """The smallest of a list of tensors of one shape, elementwise. Raises ShapeError for unequal shapes.

    >>> import tinyres as tr
    >>> tr.layers.Minimum()([tr.tensor([1.0, 4.0]), tr.tensor([2.0, 3.0])])
    Tensor([1., 3.], shape=(2,), dtype=float32)
    """

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """The smallest."""
        first, *others = self._checked(inputs)
        for other in others:
            first = ops.minimum(first, other)
        return first


class Subtract(_Merge):
    """The first of two tensors of one shape less the second. Raises ShapeError for unequal shapes or more than two.

    >>> import tinyres as tr
    >>> tr.layers.Subtract()([tr.tensor([1.0]), tr.tensor([4.0])])
    Tensor([-3.], shape=(1,), dtype=float32)
    """

    def _check(self, shapes: Any) -> None:
        super()._check(shapes)
        if len(shapes) != 2:
            raise ShapeError(f"[Subtract] it takes two tensors; got {len(shapes)}; subtract one after the other")

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """The difference."""
        if len(inputs) != 2:
            self._check([t.shape for t in inputs])
        first, second = self._checked(inputs)
        return ops.sub(first, second)


class Dot(Layer):
    """The dot product of two tensors per sample, over one axis of each: (n, k) and (n, k) give (n, 1).

    axes: the axis, or one for each; the batch is axis 0. normalize: of vectors of length 1, the cosine.
    Raises ArgumentError for axes that are not there, ShapeError where the sizes differ.

    >>> import tinyres as tr
    >>> x = tr.tensor([[3.0, 4.0]])
    >>> tr.layers.Dot(axes=1)([x, x])
    Tensor([[25.]], shape=(1, 1), dtype=float32)
    """

    def __init__(self, axes: int | Sequence[int], normalize: bool = False, name: str | None = None) -> None:
        super().__init__(name)
        self.axes = axes if isinstance(axes, int) else tuple(int(axis) for axis in axes)
        self.normalize = bool(normalize)

    def build(self, input_shape: Any) -> None:
        """Check that there are two inputs, and that the axes fit."""
        if not isinstance(input_shape, list) or len(input_shape) != 2:
            raise ShapeError(f"[Dot] it takes a list of two tensors; got {input_shape}; call it on [x, y]")
        self._places([len(shape) for shape in input_shape])

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """The dot products."""
        x, y = inputs
        i, j = self._places([x.ndim, y.ndim])
        if x.shape[i] != y.shape[j] or x.shape[0] != y.shape[0]:
            raise ShapeError(
                f"[Dot] both must have the same batch, and one size along the axes {(i, j)}; got {x.shape} and "
                f"{y.shape}; choose other axes"
            )
        if self.normalize:
            x, y = _of_length_1(x, i), _of_length_1(y, j)
        letters = "bcdefghijklmnopqrstuvwxyz"
        left = list(letters[: x.ndim])
        right = ["b", *letters[x.ndim : x.ndim + y.ndim - 1]]
        left[i] = right[j] = "a"
        kept = "b" + "".join(c for c in (*left, *right) if c not in "ab")
        z = ops.einsum(f"{''.join(left)},{''.join(right)}->{kept}", x, y)
        return ops.reshape(z, (x.shape[0], 1)) if z.ndim == 1 else z

    def _places(self, dims: Sequence[int]) -> tuple[int, int]:
        axes = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        found = [axis + n if axis < 0 else axis for axis, n in zip(axes, dims)]
        if len(axes) != 2 or any(not 0 < axis < n for axis, n in zip(found, dims)):
            raise ArgumentError(
                f"[Dot] axes is an axis of both tensors after the batch, or one for each; got {self.axes!r} for "
                f"{dims[0]} and {dims[1]} axes; choose others"
            )
        return found[0], found[1]


def _of_length_1(x: Tensor, axis: int) -> Tensor:
    return x / ops.sqrt(ops.maximum(ops.sum(ops.square(x), axis=axis, keepdims=True), 1e-12))


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

    @property
    def by_token(self) -> bool:
        """Whether it joins along the last axis."""
        return self.axis == -1

    def build(self, input_shape: Any) -> None:
        """Check that there is a list."""
        if not isinstance(input_shape, list):
            raise ShapeError(f"[Concatenate] it joins a list of tensors; got {input_shape}; call it on [x, y]")

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """The tensors side by side."""
        return ops.concatenate(list(inputs), axis=self.axis)


class ConcatenateZeros(Concatenate):
    """Concatenate with zeros in place of some inputs: what `model.without_skips()` leaves of one whose skip it takes.

    zeros: per place how many zeros stand there along `axis`, 0 for an input. Raises ArgumentError unless they are
    counts, ShapeError unless there is an input for each place without zeros.

    >>> import tinyres as tr
    >>> tr.layers.ConcatenateZeros([0, 2])([tr.tensor([[1.0]])])
    Tensor([[1., 0., 0.]], shape=(1, 3), dtype=float32)
    """

    def __init__(self, zeros: Sequence[int], axis: int = -1, name: str | None = None) -> None:
        super().__init__(axis, name)
        self.zeros = tuple(zeros)
        if 0 not in self.zeros or not all(type(n) is int and n >= 0 for n in self.zeros):
            raise ArgumentError(
                f"[ConcatenateZeros] zeros are counts, 0 where an input stands; got {zeros!r}; give [0, 32] for an "
                "input and 32 zeros behind it"
            )

    def build(self, input_shape: Any) -> None:
        """Check that there is an input for each place."""
        super().build(input_shape)
        self._check(len(input_shape))

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """The tensors and the zeros side by side."""
        self._check(len(inputs))
        places = [i for i, count in enumerate(self.zeros) if not count]
        parts, start = [], 0
        for place, x in zip(places, inputs):
            end = len(self.zeros) if place == places[-1] else place
            parts.append(self._between(x, sum(self.zeros[start:place]), sum(self.zeros[place:end])))
            start = place
        return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=self.axis)

    def _between(self, x: Tensor, before: int, after: int) -> Tensor:
        """An input with the zeros beside it."""
        axis = self.axis % max(x.ndim, 1)
        return ops.pad(x, [(before, after) if i == axis else (0, 0) for i in range(x.ndim)])

    def _check(self, count: int) -> None:
        places = self.zeros.count(0)
        if count != places:
            raise ShapeError(
                f"[ConcatenateZeros] {self.path} has {places} places for inputs beside its zeros; got {count}; "
                f"call it on a list of {places}"
            )


def add(inputs: Sequence[Any], **options: Any) -> Any:
    """`Add(**options)(inputs)`, as are the other functions of this kind.

    >>> import tinyres as tr
    >>> tr.layers.add([tr.tensor([[1.0, 2.0]]), tr.tensor([[3.0, 4.0]])])
    Tensor([[4., 6.]], shape=(1, 2), dtype=float32)
    """
    return Add(**options)(inputs)


def average(inputs: Sequence[Any], **options: Any) -> Any:
    """`Average(**options)(inputs)`.

    >>> import tinyres as tr
    >>> tr.layers.average([tr.tensor([[1.0, 2.0]]), tr.tensor([[3.0, 4.0]])])
    Tensor([[2., 3.]], shape=(1, 2), dtype=float32)
    """
    return Average(**options)(inputs)


def concatenate(inputs: Sequence[Any], axis: int = -1, **options: Any) -> Any:
    """`Concatenate(axis, **options)(inputs)`.

    >>> import tinyres as tr
    >>> tr.layers.concatenate([tr.tensor([[1.0, 2.0]]), tr.tensor([[3.0, 4.0]])])
    Tensor([[1., 2., 3., 4.]], shape=(1, 4), dtype=float32)
    """
    return Concatenate(axis, **options)(inputs)


def dot(inputs: Sequence[Any], axes: int | Sequence[int] = -1, **options: Any) -> Any:
    """`Dot(axes, **options)(inputs)`.

    >>> import tinyres as tr
    >>> tr.layers.dot([tr.tensor([[1.0, 2.0]]), tr.tensor([[3.0, 4.0]])])
    Tensor([[11.]], shape=(1, 1), dtype=float32)
    """
    return Dot(axes, **options)(inputs)


def maximum(inputs: Sequence[Any], **options: Any) -> Any:
    """`Maximum(**options)(inputs)`.

    >>> import tinyres as tr
    >>> tr.layers.maximum([tr.tensor([[1.0, 2.0]]), tr.tensor([[3.0, 4.0]])])
    Tensor([[3., 4.]], shape=(1, 2), dtype=float32)
    """
    return Maximum(**options)(inputs)


def minimum(inputs: Sequence[Any], **options: Any) -> Any:
    """`Minimum(**options)(inputs)`.

    >>> import tinyres as tr
    >>> tr.layers.minimum([tr.tensor([[1.0, 2.0]]), tr.tensor([[3.0, 4.0]])])
    Tensor([[1., 2.]], shape=(1, 2), dtype=float32)
    """
    return Minimum(**options)(inputs)


def multiply(inputs: Sequence[Any], **options: Any) -> Any:
    """`Multiply(**options)(inputs)`.

    >>> import tinyres as tr
    >>> tr.layers.multiply([tr.tensor([[1.0, 2.0]]), tr.tensor([[3.0, 4.0]])])
    Tensor([[3., 8.]], shape=(1, 2), dtype=float32)
    """
    return Multiply(**options)(inputs)


def subtract(inputs: Sequence[Any], **options: Any) -> Any:
    """`Subtract(**options)(inputs)`.

    >>> import tinyres as tr
    >>> tr.layers.subtract([tr.tensor([[1.0, 2.0]]), tr.tensor([[3.0, 4.0]])])
    Tensor([[-2., -2.]], shape=(1, 2), dtype=float32)
    """
    return Subtract(**options)(inputs)
