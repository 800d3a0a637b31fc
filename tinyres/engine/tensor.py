"""Tensor: a buffer with a shape, and where it stands in the recorded graph.

Arithmetic and the NumPy/PyTorch methods are attached by `tinyres.ops`, each from the op that owns it; this file has
what every Tensor is: making one, reading one, and asking it for gradients. Tensors are immutable; only Parameters
change in place, through `assign` and the optimizers.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tinyres.backends.buffers import Buffer, from_array
from tinyres.engine.accepting import FLOATS as FLOATS
from tinyres.engine.accepting import known_dtype, refuse_masked
from tinyres.engine.attached import Attached
from tinyres.engine.lending import lent
from tinyres.engine.node import ConstantLeaf, Node, ParameterLeaf, leaf, set_regime
from tinyres.engine.other_names import OtherNames, refuse_backward
from tinyres.errors import ArgumentError, DTypeError, GradientError, ShapeError
from tinyres.kernels.dtypes import BOOL, FLOAT32, INT64
from tinyres.launch import door, refuse_while_recording


class Tensor(Attached, OtherNames):
    """An n-dimensional array that remembers how it was computed.

    Make one with `tr.tensor`. shape: tuple of ints. dtype: float32, float64, int64 or bool.
    requires_grad: whether backward reaches it. grad: ∂loss/∂self after `loss.backward()` (leaves only), accumulates.

    >>> import tinyres as tr
    >>> x = tr.tensor([3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([6.], shape=(1,), dtype=float32)
    """

    __slots__ = ("buffer", "shape", "dtype", "node", "__weakref__")

    def __init__(
        self,
        buffer: Buffer,
        shape: tuple[int, ...],
        dtype: np.dtype,
        node: Node | None = None,
    ) -> None:
        self.buffer = buffer
        self.shape = shape
        self.dtype = dtype
        self.node = node

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def name(self) -> str | None:
        """The name given at creation, if any."""
        return self.node.name if self.node is not None else None

    @property
    def requires_grad(self) -> bool:
        """Whether backward reaches it; of a leaf it may be set at any time, and captured steps follow."""
        return self.node is not None and self.node.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        wanted = bool(value)
        if door.recorder is not None:
            door.recorder.refuse("requires_grad", "it cannot be changed")
        if not self.is_leaf:
            raise GradientError(
                f"[requires_grad] it is set on leaves; this Tensor of shape {self.shape} was computed; "
                "use t.detach() for its values alone"
            )
        if wanted and self.dtype not in FLOATS:
            raise DTypeError(f"[requires_grad] only float Tensors have gradients; got {self.dtype}; use a float dtype")
        if wanted is not self.requires_grad:
            node = node_of(self)
            node.requires_grad = wanted
            set_regime(self.buffer, node.index, wanted)

    @property
    def is_leaf(self) -> bool:
        """Whether nothing recorded computed this Tensor."""
        return self.node is None or self.node.op is None

    @property
    def grad(self) -> Tensor | None:
        """∂loss/∂self summed over the backward passes since it was last cleared; None until one has run."""
        if self.node is None:
            return None
        if self.node.op is not None:
            raise GradientError(
                f"[grad] only leaves keep .grad, and this Tensor came out of [{self.node.op.name}]; "
                "use tr.grad(loss, [x]) or tr.Graph(loss).trace(arrays=True)"
            )
        return self.node.kept_grad() if door.recorder is None else door.recorder.grad_of(self.node, held=True)

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and not isinstance(value, Tensor):
            raise DTypeError(f"[grad] .grad takes None or a Tensor; got {type(value).__name__}; use tr.tensor(value)")
        if value is not None and (value.shape != self.shape or value.dtype is not self.dtype):
            raise ShapeError(
                f"[grad] a gradient has its Tensor's shape and dtype, {self.shape} {self.dtype}; "
                f"got {value.shape} {value.dtype}; reshape or cast it"
            )
        node = node_of(self)
        if door.recorder is not None:
            door.recorder.set_grad(node, value)
        else:
            node.set_grad(value)

    def numpy(self) -> np.ndarray:
        """A copy of the values as a NumPy array."""
        return self._view("numpy").copy()

    def item(self) -> float | int | bool:
        """The value of a Tensor with one element."""
        if self.size != 1:
            raise ShapeError(f"[item] needs one element; got shape {self.shape}; use .numpy() or reduce it first")
        return self._view("item").item()

    def tolist(self) -> Any:
        """The values as nested Python lists."""
        return self._view("tolist").tolist()

    def detach(self) -> Tensor:
        """The same values, cut off from the graph; of a Parameter the same memory, as in PyTorch: it follows `assign`
        and optimizer steps. `t.copy()` does not."""
        return Tensor(self.buffer, self.shape, self.dtype)

    def backward(self, gradient: Tensor | ArrayLike | None = None, retain_graph: bool = False, **others: Any) -> None:
        """Add ∂self/∂leaf to `.grad` of every leaf that requires it; self must have one element.

        gradient: of the shape of self, which then may be any: ∂L/∂self of what follows, as in PyTorch.
        Frees the graph unless retain_graph. Raises GradientError if there is nothing to differentiate, if the
        graph was freed before, or if a saved value was changed in place since.
        """
        from tinyres.engine.backward import backward

        refuse_backward(gradient, others)
        backward(self, retain_graph, gradient=gradient)

    def _view(self, reader: str) -> np.ndarray:
        if door.recorder is not None:
            refuse_while_recording(reader)
        return self.buffer.array.reshape(self.shape)

    @property
    def _mask(self) -> NoReturn:
        """What numpy.ma asks of the other operand: it would compute on the values alone, past the graph."""
        raise DTypeError(
            f"[tensor] a Tensor has no mask; got numpy.ma with a Tensor of shape {self.shape}; fill the masked array "
            "(a.filled(0)), or give its values and tr.where with the mask"
        )

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        """The values as an array of NumPy's: asked for by np.asarray, and outside of the graph, as `numpy()` is."""
        if copy is False:
            raise ArgumentError("[numpy] a Tensor's memory is not shared with NumPy; got copy=False; ask for a copy")
        array = self.numpy()
        return array if dtype is None else array.astype(dtype, copy=False)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype is not INT64:
            raise DTypeError(f"[index] an index is an integer; got a {self.dtype} Tensor; use int(t)")
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __len__(self) -> int:
        if not self.shape:
            raise DTypeError("[len] a Tensor of shape () has no length; use .size")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        for i in range(len(self)):
            yield self[i]

    def __contains__(self, item: Any) -> bool:
        """Whether any element equals the item, which broadcasts as in NumPy."""
        return bool(np.any(self._view("in") == (item.numpy() if isinstance(item, Tensor) else item)))

    def __dlpack__(self, **options: Any) -> Any:
        """The values for `np.from_dlpack`, `torch.from_dlpack` and others: the same memory, read-only, or a copy.

        Shared where the asker knows of DLPack 1.0, which tells that it is not to be written to (PyTorch hears it, and
        lets you). A Parameter's follows `assign` and optimizer steps. Gradients do not follow.
        """
        return lent(self._view("dlpack"), self.buffer, options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._view("dlpack").__dlpack_device__()

    def __setitem__(self, index: object, value: object) -> None:
        raise DTypeError(
            "[setitem] a Tensor cannot be changed in place, its graph would no longer be true; got t[...] = value; "
            "use t = tr.where(mask, value, t)"
        )

    def __repr__(self) -> str:
        tail = f"shape={self.shape}, dtype={self.dtype}" + (", requires_grad=True" if self.requires_grad else "")
        if self.name:
            tail += f", name={self.name!r}"
        if door.recorder is not None:
            return f"Tensor(<being recorded>, {tail})"
        values = np.array2string(self.buffer.array.reshape(self.shape), separator=", ", prefix="Tensor(", precision=4)
        return f"Tensor({values}, {tail})"

    def _repr_html_(self) -> str:
        import html

        return f'<pre style="font-family: monospace; white-space: pre">{html.escape(repr(self))}</pre>'

    def __copy__(self) -> Tensor:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        if not self.is_leaf:
            raise GradientError(
                "[pickle] only leaves can be pickled; this Tensor has a graph; pickle t.detach() or t.numpy()"
            )
        return tensor, (self._view("pickle").copy(), self.requires_grad, self.dtype.name, self.name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise GradientError("[deepcopy] only leaves can be copied; this Tensor has a graph; copy t.detach()")
        copy = tensor(self.numpy(), requires_grad=self.requires_grad, dtype=self.dtype, name=self.name)
        memo[id(self)] = copy
        return copy


class Parameter(Tensor):
    """A named leaf that training changes in place.

    value: array-like of any shape, cast to dtype. trainable=False keeps gradients and optimizers away from it.
    Raises DTypeError for what is no array.

    >>> import tinyres as tr
    >>> p = tr.Parameter([1.0, 2.0], "scale")
    >>> p.assign([3.0, 4.0]); p
    Tensor([3., 4.], shape=(2,), dtype=float32, requires_grad=True, name='scale')
    """

    __slots__ = ()

    def __init__(self, value: ArrayLike, name: str, trainable: bool = True, dtype: DTypeLike = FLOAT32) -> None:
        if door.recorder is not None:
            door.recorder.refuse("parameter", "a parameter cannot be created")
        kind = known_dtype("parameter", dtype)
        array = _readable_array("parameter", value)
        buffer = from_array(array, kind)
        node = leaf(buffer, array.shape, kind, trainable, name, ParameterLeaf)
        super().__init__(buffer, array.shape, kind, node)

    @property
    def trainable(self) -> bool:
        """Whether backward computes its gradient and optimizers update it."""
        return self.requires_grad

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.requires_grad = value

    def rename(self, name: str) -> None:
        """Change the name by which errors, traces and files know it."""
        node_of(self).name = name

    def assign(self, value: ArrayLike | Tensor) -> None:
        """Overwrite the values in place. Raises ShapeError unless the shape is the same."""
        if door.recorder is not None:
            door.recorder.refuse("assign", f"{self.name} cannot be assigned")
        array = _readable_array("assign", value)
        if array.shape != self.shape:
            raise ShapeError(f"[assign] {self.name} has shape {self.shape}; got {array.shape}; give the same shape")
        self.buffer.array.reshape(self.shape)[...] = array
        self.buffer.version += 1

    def __copy__(self) -> Parameter:
        return self.__deepcopy__({})

    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self), (self._view("pickle").copy(), self.name or "", self.trainable, self.dtype.name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        copy = Parameter(self.numpy(), self.name or "", self.trainable, self.dtype)
        memo[id(self)] = copy
        return copy


def tensor(
    array: ArrayLike | Tensor, requires_grad: bool = False, dtype: DTypeLike | None = None, name: str | None = None
) -> Tensor:
    """A new leaf Tensor with a copy of the values.

    array: what np.asarray takes. dtype: float32 unless told otherwise; also float64, int64, bool.
    Raises DTypeError for values that are not numbers, and for an integer Tensor with requires_grad.

    >>> import tinyres as tr
    >>> tr.tensor([[1, 2], [3, 4]])
    Tensor([[1., 2.],
            [3., 4.]], shape=(2, 2), dtype=float32)
    """
    kind = FLOAT32 if dtype is None else known_dtype("tensor", dtype)
    if requires_grad and kind not in FLOATS:
        raise DTypeError(
            f"[tensor] only float Tensors have gradients; got {kind} with requires_grad=True; use a float dtype"
        )
    values = _readable_array("tensor", array)
    buffer = from_array(values, kind)
    if door.recorder is not None and isinstance(array, np.ndarray):
        door.recorder.reads(values, buffer)
    node = leaf(buffer, values.shape, kind, requires_grad, name) if requires_grad or name else None
    return Tensor(buffer, values.shape, kind, node)


def node_of(t: Tensor) -> Node:
    """The Tensor's node; a Tensor that stood outside the graph becomes a leaf of it."""
    if t.node is None:
        t.node = leaf(t.buffer, t.shape, t.dtype, False, None)
    return t.node


def coerce(value: Any, like: Tensor) -> Any:
    """An operand for an op with `like`: numbers and 0-d arrays take its dtype, arrays are cast to it.

    Beside an integer or bool Tensor they stay what they are: bool, int64 or float32.

    Tensors, and things that record ops in their own way (`__tinyres_apply__`), come back as they are.
    """
    if isinstance(value, Tensor) or hasattr(value, "__tinyres_apply__"):
        return value
    if like.dtype not in FLOATS:
        array = _readable_array("operand", value)
        return tensor(array, dtype=FLOAT32 if array.dtype.kind == "f" else BOOL if array.dtype.kind == "b" else INT64)
    if isinstance(value, (bool, int, float, np.generic)) or (isinstance(value, np.ndarray) and value.ndim == 0):
        number = value if type(value) is float else float(_readable_array("operand", value))
        return _constant(number or repr(number), like.dtype)
    return tensor(value, dtype=like.dtype)


@functools.lru_cache(maxsize=1024)
def _constant(number: float | str, dtype: np.dtype) -> Tensor:
    """One immutable 0-d Tensor per number: `x * 0.5` in a loop allocates nothing.

    A zero comes as text, for 0.0 and -0.0 are equal and would share a place in the cache.
    """
    return constant(float(number), dtype)


def constant(value: Any, dtype: np.dtype) -> Tensor:
    """A Tensor that the program wrote, no data: it may be kept for good, and a trace leaves it out."""
    made = tensor(value, dtype=dtype)
    made.node = leaf(made.buffer, made.shape, dtype, False, None, ConstantLeaf)
    return made


def _readable_array(op: str, value: Any) -> np.ndarray:
    if isinstance(value, Tensor):
        return value.numpy()
    refuse_masked(op, value)
    try:
        array = np.asarray(value)
    except ValueError:
        raise ShapeError(
            f"[{op}] nested lists must have equal lengths; got a ragged {type(value).__name__}; pad them"
        ) from None
    if array.dtype.kind in "fiub":
        return array
    if array.dtype.kind in "US":
        raise DTypeError(
            f"[{op}] values must be numbers; got strings; for labels use classes, y = np.unique(y, return_inverse=True)"
        )
    raise DTypeError(
        f"[{op}] values must be real numbers; got {array.dtype} of shape {array.shape}; convert them first"
    )
