"""Symbolic: a tensor of which only shape and dtype are known; what `tr.Input` gives and layers pass on.

Calling a layer on Symbolics records a Call. Its output shape is found by running the layer on placeholders while the
door records and runs nothing, so a mistake in a shape is an error where the net is built, in the words of the op that
found it. No shape rule of an op is written twice. What is not known before there is data, the batch and any axis of an
Input that is None, has one size in a first trial and another in a second: the sizes of an output that differ are not
known.
"""

from __future__ import annotations

import functools
import itertools
import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from tinyres.backends.buffers import Buffer
from tinyres.engine.node import leaf
from tinyres.engine.op import Op
from tinyres.engine.state import enable_grad, no_grad, preserving, state, user_source
from tinyres.engine.tensor import Tensor
from tinyres.engine.ways import multiplies_its_inputs
from tinyres.errors import ArgumentError, DTypeError, ShapeError
from tinyres.launch import DryRecorder, recording
from tinyres.ops.methods import OPERATORS

if TYPE_CHECKING:
    from tinyres.nn.layer import Layer

# Per trial, the batch and every other size that is not known; many layers divide by powers of 2, or by 3.
TRIALS = ((2, 192), (3, 384))

SymbolicShape = tuple["int | None", ...]

_creation = itertools.count()


class _Awaited:
    """Stands where a Tensor has its Node: what a symbolic tensor will be may need a gradient."""

    requires_grad = True


class Symbolic:
    """A tensor that will be there when the model runs: a shape, None where sizes are not known, and what computes it.

    trials: its shape in each trial.

    Python's operators and all tr functions of ops take it and record a layer; `+` of two equal shapes is an Add.
    """

    __slots__ = ("shape", "dtype", "producer", "trials", "__weakref__")

    requires_grad = True
    node = _Awaited
    __array_ufunc__ = None  # np_array + symbolic: NumPy leaves the operation to us

    def __init__(
        self, shape: SymbolicShape, dtype: np.dtype, producer: Call, trials: Sequence[tuple[int, ...]] | None = None
    ) -> None:
        self.shape = shape
        self.trials = trials or [_tried(shape, *sizes) for sizes in TRIALS]
        self.dtype = dtype
        self.producer = producer

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise ArgumentError(
            f"[pickle] a symbolic tensor belongs to its model; got one of shape {self.shape}; make a tr.Model of it, "
            "then save it with model.save"
        )

    @property
    def ndim(self) -> int:
        """The number of axes, the batch axis included."""
        return len(self.shape)

    @property
    def size(self) -> NoReturn:
        """Not known, since the batch is not."""
        raise ShapeError(
            f"[Input] the size of a symbolic tensor is not known before the model runs; got shape {self.shape}; "
            "use layers.Reshape or layers.Flatten, or do it in an own layer"
        )

    def __tinyres_apply__(self, op: Op, inputs: Sequence[Any], attrs: tuple[Any, ...]) -> Symbolic:
        from tinyres.nn.operators import recorded_operator

        return recorded_operator(op, inputs, attrs)

    def __tinyres_compose__(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        from tinyres.nn.operators import recorded_function

        return recorded_function(name, args, kwargs)

    @property
    def T(self) -> NoReturn:
        """Not possible: the batch stays the first axis."""
        raise ShapeError(
            f"[Input] a symbolic tensor keeps its batch as the first axis; got .T of shape {self.shape}; "
            "use x.transpose(0, 2, 1) with axis 0 first, or do it in an own layer"
        )

    def __getattr__(self, name: str) -> Callable[..., Symbolic]:
        """The methods that Tensors have (`x.sum(axis=1)`), recorded."""
        if name in METHODS:
            return functools.partial(METHODS[name], self)
        method = None if name.startswith("_") else getattr(Tensor, name, None)
        if not callable(method) or name in _NEEDS_VALUES:
            raise AttributeError(
                f"[Input] a symbolic tensor has no values before the model runs; got .{name} for shape {self.shape}"
            )
        return lambda *args, **kwargs: method(self, *args, **kwargs)

    def __bool__(self) -> NoReturn:
        self._no_value("its truth")

    def __float__(self) -> NoReturn:
        self._no_value("a number")

    def __len__(self) -> NoReturn:
        self._no_value("its length")

    def __iter__(self) -> NoReturn:
        self._no_value("its rows")

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._no_value("an array")

    def _no_value(self, what: str) -> NoReturn:
        raise DTypeError(
            f"[Input] a symbolic tensor has no values before the model runs; got shape {self.shape}, asked for {what}; "
            "build tr.Model(inputs, outputs) and call it on data"
        )

    def __repr__(self) -> str:
        return f"Symbolic(shape={self.shape}, dtype={self.dtype}, from={self.producer.layer!r})"


for _name, _operator in OPERATORS.items():
    setattr(Symbolic, _name, _operator)  # the hash stays that of identity, as with Tensors

# Methods that a layer records; each enters itself.
METHODS: dict[str, Callable[..., Symbolic]] = {}

_NEEDS_VALUES = frozenset(("backward", "item", "numpy", "tolist", "assign"))


class Call:
    """One recorded call of a layer: what it was called on, where, and what came out.

    scope: the path of the name_scope around it. source: (file, line) of the user's code. index: grows with creation,
    so that ascending order is a valid order to run. multiplies: whether it multiplies its inputs with one another.
    """

    __slots__ = ("layer", "args", "kwargs", "outputs", "scope", "source", "index", "multiplies", "__weakref__")

    def __init__(
        self,
        layer: Layer,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        scope: str,
        source: tuple[str, int] | None,
        multiplies: bool = False,
    ) -> None:
        self.layer = layer
        self.args = args
        self.kwargs = kwargs
        self.outputs: Any = None
        self.scope = scope
        self.source = source
        self.index = next(_creation)
        self.multiplies = multiplies
        _calls[layer] = [*_calls.get(layer, ()), weakref.ref(self)]

    def inputs(self) -> list[Symbolic]:
        """The Symbolics among the arguments, in order."""
        return list(symbolics((self.args, self.kwargs)))


_calls: weakref.WeakKeyDictionary[Layer, list[weakref.ref[Call]]] = weakref.WeakKeyDictionary()


def calls_of(layer: Layer) -> list[Call]:
    """The calls of this layer that somebody still holds, oldest first."""
    return [call for held in _calls.get(layer, ()) if (call := held()) is not None]


def forget_calls(layer: Layer) -> None:
    """The layer is about to be called anew in place of what it was called on before."""
    _calls.pop(layer, None)


def input_of(layer: Any) -> Any:
    """What a layer was called on, or the Inputs of a model."""
    if "inputs" in vars(layer):
        return layer.inputs[0] if len(layer.inputs) == 1 else layer.inputs
    call = _only_call(layer, "input")
    return call.args[0] if call.args else next(iter(call.kwargs.values()))


def output_of(layer: Any) -> Any:
    """What the call of a layer gave, or the outputs of a model."""
    if "outputs" in vars(layer):
        return layer.outputs[0] if len(layer.outputs) == 1 else layer.outputs
    return _only_call(layer, "output").outputs


def _only_call(layer: Layer, what: str) -> Any:
    calls = calls_of(layer)
    if len(calls) != 1:
        raise ArgumentError(
            f"[{type(layer).__name__}] a layer has one {what} if it was called once on an Input; {layer.path} was "
            f"called {len(calls)} times; " + ("keep what each call gives" if calls else "build the model with tr.Input")
        )
    return calls[0]


def shape_of(nest: Any) -> Any:
    """The shape, or those in a list."""
    return [shape_of(each) for each in nest] if isinstance(nest, (list, tuple)) else nest.shape


_DRY = DryRecorder("write the layer's call in ops on Tensors, so that it runs before there is data")


def record(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call `layer` on arguments that hold Symbolics: its outputs as Symbolics, in the structure that `call` gave."""
    call = Call(layer, args, kwargs, current_block(), user_source())
    layer.build_for(args)
    joins = len(call.inputs()) > 1
    found = []
    for trial in range(len(TRIALS)):
        held = [substituted(part, functools.partial(placeholder, trial=trial)) for part in (args, kwargs)]
        with recording(_DRY), preserving(), enable_grad() if joins else no_grad():
            found.append(layer(*held[0], **held[1]))
    outputs = found[0]
    call.outputs = _as_symbolic(found, call)
    if joins and isinstance(outputs, Tensor) and outputs.node is not None:
        call.multiplies = multiplies_its_inputs(outputs.node)
    return call.outputs


def current_block() -> str:
    """The path of the innermost name_scope."""
    return state.scope.block if state.scope is not None else ""


def agrees(known: SymbolicShape, shape: Sequence[int | None]) -> bool:
    """Whether data of this shape is what is known of it: as many axes, and each size that is known.

    >>> agrees((None, None, 3), (32, 100, 3)), agrees((None, None, 3), (32, 100, 4))
    (True, False)
    """
    return len(known) == len(shape) and all(size is None or size == n for size, n in zip(known, shape))


def _tried(shape: SymbolicShape, batch: int, other: int) -> tuple[int, ...]:
    return tuple([n if n is not None else other if axis else batch for axis, n in enumerate(shape)])


def placeholder(symbolic: Symbolic, trial: int = 0) -> Tensor:
    """A Tensor without values of the shape that it has in a trial, for a dry run."""
    shape = symbolic.trials[trial]
    buffer = Buffer(math.prod(shape), symbolic.dtype)
    return Tensor(buffer, shape, symbolic.dtype, leaf(buffer, shape, symbolic.dtype, False, None))


def symbolics(structure: Any) -> Iterator[Symbolic]:
    """Every Symbolic in nested tuples, lists and dicts, in order."""
    if isinstance(structure, Symbolic):
        yield structure
    elif isinstance(structure, (list, tuple)):
        for item in structure:
            yield from symbolics(item)
    elif isinstance(structure, dict):
        yield from symbolics(list(structure.values()))


def substituted(structure: Any, replace: Callable[[Symbolic], Any]) -> Any:
    """The structure with each Symbolic replaced."""
    if isinstance(structure, Symbolic):
        return replace(structure)
    if isinstance(structure, (list, tuple)):
        return type(structure)([substituted(item, replace) for item in structure])
    if isinstance(structure, dict):
        return {key: substituted(item, replace) for key, item in structure.items()}
    return structure


def _as_symbolic(found: Sequence[Any], call: Call) -> Any:
    """The output of a call, from what it was in each trial."""
    output = found[0]
    if isinstance(output, Tensor):
        trials = [each.shape for each in found]
        if len({len(shape) for shape in trials}) > 1:
            _refuse_dependence(call, " and ".join(map(str, trials)))
        shape = tuple([sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*trials)])
        return Symbolic(shape, output.dtype, call, trials)
    if isinstance(output, (list, tuple)):
        if len({len(each) for each in found}) > 1:
            _refuse_dependence(call, " and ".join(f"{len(each)} outputs" for each in found))
        return type(output)([_as_symbolic(items, call) for items in zip(*found)])
    raise ArgumentError(
        f"[{type(call.layer).__name__}] a layer's call must return a Tensor, or a list or tuple of them; "
        f"got {type(output).__name__}; return what the ops gave"
    )


def _refuse_dependence(call: Call, found: str) -> NoReturn:
    raise ShapeError(
        f"[{type(call.layer).__name__}] axes and number of outputs must not depend on sizes that are not known; got "
        f"{found} for two batches; give tr.Input known sizes, or make the layer independent of them"
    )
