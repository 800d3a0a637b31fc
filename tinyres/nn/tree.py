"""LayerTree: what a layer owns: its name, its weights, and the layers inside it.

Sublayers and Parameters are found in the attributes, also in lists, tuples and dicts, and listed in the order in which
the attributes were set; nothing has to be registered. Names are given from the outside in: a model or parent layer
names what stands in it, and the weights follow (`block3/dense/kernel`).
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tinyres.backends.memory import check_fits
from tinyres.engine.node import changes
from tinyres.engine.state import state
from tinyres.engine.tensor import Parameter, tensor
from tinyres.errors import Absent, ArgumentError, FileError, ShapeError
from tinyres.nn import initializers, regularizers
from tinyres.nn.naming import Candidate, checked_name, joined, snake_case, unique_paths
from tinyres.nn.options import refuse_option

if TYPE_CHECKING:
    from tinyres.nn.layer import Layer


class _Allowed(threading.local):
    """How many elements new weights may have in all; None: any number."""

    elements: int | None = None
    op: str = "load"
    remedy: str = ""


_allowed = _Allowed()


@contextlib.contextmanager
def weights_of(elements: int, op: str = "load", remedy: str = "give a file that model.save wrote") -> Iterator[None]:
    """Within, a FileError stops weights of more elements in all: a file asks no memory for what it does not hold."""
    outer = _allowed.elements, _allowed.op, _allowed.remedy
    _allowed.elements, _allowed.op, _allowed.remedy = elements, op, remedy
    try:
        yield
    finally:
        _allowed.elements, _allowed.op, _allowed.remedy = outer


def _take_allowance(owner: str, leaf: str, sizes: tuple[int, ...]) -> None:
    if _allowed.elements is not None:
        _allowed.elements -= math.prod(sizes)
        if _allowed.elements < 0:
            raise FileError(
                f"[{_allowed.op}] a file holds the weights of its layers; {owner} asks for {leaf} {sizes}, more than "
                f"it has; {_allowed.remedy}"
            )


def _set_by_init() -> Any:
    return Absent("[{owner}] __init__ must begin with super().__init__(); it has not set '{name}'")


class LayerTree:
    """The part of a Layer that names, lists, reads and writes weights.

    What is set on it from outside, after it was built, is followed by captured steps; `_passing`: what no call reads.
    """

    _passing: ClassVar[frozenset[str]] = frozenset({"built", "scope"})
    _trained: dict[str, Parameter] = _set_by_init()
    scope: str | None = _set_by_init()

    def __init__(self, name: str | None = None, trainable: bool = True, dtype: DTypeLike = "float32") -> None:
        self._version = 0
        self._name = checked_name(type(self).__name__, name)
        self._name_chosen = name is not None
        self._path: str | None = None
        self._trainable = bool(trainable)
        self._trained = {}
        self._kept: dict[str, Parameter] = {}
        self._penalties: dict[str, Any] = {}
        self.scope = None
        self.dtype = np.dtype(dtype)
        self.built = False

    @property
    def token(self) -> tuple[int, bool]:
        """(how often an attribute was changed since it was built, whether it is trained): captured steps go by it."""
        return self._version, self._trainable

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        self._note_change(name)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        self._note_change(name)

    def _note_change(self, name: str) -> None:
        own = vars(self)
        if own.get("built") and name not in self._passing and (state.scope is None or not state.scope.layer):
            changes.count += 1
            if not name.startswith("_") and name != "trainable":
                own["_version"] += 1
                changes.parts += 1

    def held(self) -> list[Any]:
        """The attributes that code of the user's own goes by, if it is what a call runs."""
        if self.call.__module__.startswith("tinyres."):  # type: ignore[attr-defined]
            return []
        return [value for name, value in vars(self).items() if name not in self._passing]

    def add_weight(
        self,
        name: str | None = None,
        shape: Sequence[int] = (),
        initializer: Any = "glorot_uniform",
        trainable: bool = True,
        regularizer: Any = None,
        dtype: DTypeLike | None = None,
        **further: Any,
    ) -> Parameter:
        """A new Parameter of this layer, known as `<layer>/<name>`.

        shape: sizes; initializer: a name, an Initializer, or a function of the shape. trainable=False: for state that
        no optimizer touches, such as moving statistics. regularizer: what it adds to the loss. dtype: the layer's.
        Raises ArgumentError for a name that is taken, and for Keras' further options that say anything.
        """
        owner = type(self).__name__
        if dtype is not None and np.dtype(dtype) != self.dtype:
            raise ArgumentError(
                f"[{owner}] a layer's weights have its dtype, {self.dtype}; got dtype={dtype!r} for {name}; make the "
                "layer with dtype, or use model.astype"
            )
        for option, value in further.items():
            if value not in (None, "auto", "none", True if option == "autocast" else None):
                refuse_option(f"{owner}.add_weight", option, value, ["name", "shape", "initializer", "trainable"])
        if isinstance(name, (tuple, list)):
            raise ArgumentError(f"[{owner}] a weight has a name first; got {name!r}; write add_weight(shape={name!r})")
        leaf = checked_name(owner, name) or "weight"
        if name is None:
            count = len(self._trained) + len(self._kept)
            leaf = f"weight_{count}" if count else leaf
        if leaf in self._trained or leaf in self._kept:
            raise ArgumentError(f'[{owner}] weight names must be unique; got "{leaf}" twice; rename one of them')
        sizes = _checked_shape(owner, leaf, shape)
        drawing = initializers.get(initializer)
        _take_allowance(owner, leaf, sizes)
        check_fits(owner, 8 * math.prod(sizes), f"what {leaf} {sizes} is drawn from", "use fewer units or filters")
        value = np.asarray(drawing(sizes))
        if value.shape != sizes:
            raise ShapeError(
                f"[{owner}] the initializer of {leaf} must give shape {sizes}; got {value.shape}; correct the function"
            )
        weight = Parameter(value, joined(self.path, leaf), trainable and self._trainable, self.dtype)
        initializers.note_drawn(weight, drawing)
        (self._trained if trainable else self._kept)[leaf] = weight
        if regularizer is not None:
            self._penalties[leaf] = regularizers.get(regularizer)
        return weight

    @property
    def name(self) -> str | None:
        """The last part of the path; None until the user or a model has named the layer."""
        return self._name

    @property
    def default_name(self) -> str:
        """What an unnamed layer is called, before numbers are added."""
        return snake_case(type(self).__name__)

    @property
    def path(self) -> str:
        """The full name: `block3/dense`, with the path of the layer or model around it."""
        return self._path or joined(self.scope or "", self._name or self.default_name)

    @property
    def trainable(self) -> bool:
        """Whether the weights of this layer and its sublayers get gradients; set it to False to freeze them.

        A frozen BatchNormalization normalises with its moving statistics, also in training.
        """
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for parameter in self._own_weights()[0].values():
            parameter.trainable = self._trainable
        for layer in self.layers:
            layer.trainable = value

    @property
    def layers(self) -> list[Layer]:
        """The layers inside this one."""
        return [layer for _, layer in self._children()]

    @property
    def weights(self) -> list[Parameter]:
        """All weights in Keras' order: layers from the deepest on, per layer the trainable ones, then the others."""
        return list(self.named_weights().values())

    def named_weights(self) -> dict[str, Parameter]:
        """All weights by path, moving statistics included; a shared one is listed once."""
        return _unique(self._walk(self._prefix, state_too=True))

    def named_parameters(self) -> dict[str, Parameter]:
        """What is trained, by path ("block3/dense/kernel"), frozen ones included; a shared one is listed once."""
        return _unique(self._walk(self._prefix, state_too=False))

    def parameters(self) -> list[Parameter]:
        """What is trained: for an optimizer, which leaves out frozen ones."""
        return list(self.named_parameters().values())

    @property
    def trainable_weights(self) -> list[Parameter]:
        """The weights that get gradients."""
        return [w for w in self.weights if w.trainable]

    @property
    def non_trainable_weights(self) -> list[Parameter]:
        """Moving statistics and frozen weights."""
        return [w for w in self.weights if not w.trainable]

    def count_params(self) -> int:
        """The number of elements in all weights."""
        return sum(w.size for w in self.weights)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights, in the order of `weights`."""
        return [w.numpy() for w in self.weights]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Overwrite all weights, in the order of `weights`. Changes nothing if one of them does not fit."""
        own = self.named_weights()
        if not isinstance(weights, (list, tuple)) or len(weights) != len(own):
            got = len(weights) if isinstance(weights, (list, tuple)) else type(weights).__name__
            raise ShapeError(
                f"[set_weights] {self!r} has {len(own)} weights; got {got}; give a list in the order of .weights"
            )
        arrays = [tensor(value, dtype=parameter.dtype) for value, parameter in zip(weights, own.values())]
        for (name, parameter), array in zip(own.items(), arrays):
            if array.shape != parameter.shape:
                raise ShapeError(
                    f"[set_weights] {name} has shape {parameter.shape}; got {array.shape}; "
                    "give the weights in the order of .weights"
                )
        for parameter, array in zip(own.values(), arrays):
            parameter.assign(array)

    @property
    def _prefix(self) -> str:
        return self.path + "/"

    def set_path(self, path: str) -> None:
        """Make this the full name of the layer; its sublayers and weights follow."""
        self._path = path
        for group in self._own_weights():
            for leaf, parameter in group.items():
                parameter.rename(joined(path, leaf))
        for leaf, layer in self._children():
            layer.set_path(joined(path, leaf))

    def rename(self, name: str | None) -> None:
        """Give the layer a name of the user's choice, before it stands in a model."""
        self._name = checked_name(type(self).__name__, name)
        self._name_chosen = name is not None

    def take_name(self, name: str) -> None:
        """Keep a name that a model or parent layer has given, unless there is one."""
        if self._name is None:
            self._name = name

    def _set_dtype(self, kind: np.dtype) -> None:
        """Note the dtype that the weights have been given, here and below."""
        self.dtype = kind
        for layer in self.layers:
            layer._set_dtype(kind)

    def _own_weights(self) -> tuple[dict[str, Parameter], dict[str, Parameter]]:
        """(trained, kept), by leaf name: what add_weight made, then other Parameters among the attributes."""
        trained, kept = dict(self._trained), dict(self._kept)
        known = {id(p) for p in (*trained.values(), *kept.values())}
        for name, item in self._attributes():
            if isinstance(item, Parameter) and id(item) not in known:
                known.add(id(item))
                trained[name] = item
        return trained, kept

    def _children(self) -> list[tuple[str, Layer]]:
        """(name within this layer, sublayer), named now if they are not yet."""
        found: dict[int, Layer] = {}
        for _, item in self._attributes():
            if isinstance(item, LayerTree):
                found.setdefault(id(item), cast("Layer", item))
        layers = list(found.values())
        names = unique_paths(type(self).__name__, [candidate(layer, "") for layer in layers])
        for layer, name in zip(layers, names):
            layer.take_name(name)
        return list(zip(names, layers))

    def _attributes(self) -> Iterator[tuple[str, Any]]:
        for name, value in vars(self).items():
            if isinstance(value, _HOLDING) and name not in ("_trained", "_kept", "_penalties"):
                yield from _leaves(name, value)

    def _walk(self, prefix: str, state_too: bool) -> Iterator[tuple[str, Parameter]]:
        trained, kept = self._own_weights()
        for leaf, parameter in trained.items():
            yield prefix + leaf, parameter
        if state_too:
            for leaf, parameter in kept.items():
                yield prefix + leaf, parameter
        for name, layer in self._in_weight_order() if state_too else self._children():
            yield from layer._walk(f"{prefix}{name}/", state_too)

    def owned_weights(self) -> Iterator[tuple[str, Layer, str, Parameter]]:
        """(path of its layer within this one, layer, name, weight) of each, in the order of `weights`; none twice."""
        seen: set[int] = set()
        for path, layer in self._inside(""):
            trained, kept = layer._own_weights()
            for leaf, parameter in {**trained, **kept}.items():
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    yield path, layer, leaf, parameter

    def _inside(self, path: str) -> Iterator[tuple[str, Layer]]:
        yield path, cast("Layer", self)
        for name, layer in self._in_weight_order():
            yield from layer._inside(joined(path, name))

    def _in_weight_order(self) -> list[tuple[str, Layer]]:
        """The children as `weights` lists them."""
        return self._children()


def candidate(layer: Layer, scope: str) -> Candidate:
    """What naming needs to know of a layer."""
    return Candidate(scope, layer._name, layer._name_chosen, layer.default_name)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Layers and Parameters in an attribute, each with a name."""
    if isinstance(value, (LayerTree, Parameter)):
        yield name, value
    elif isinstance(value, (list, tuple, dict)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(item, _HOLDING):
                yield from _leaves(f"{name}_{key}", item)


_HOLDING = (LayerTree, Parameter, list, tuple, dict)


def _unique(walk: Iterator[tuple[str, Parameter]]) -> dict[str, Parameter]:
    seen: set[int] = set()
    unique = {}
    for name, parameter in walk:
        if id(parameter) not in seen:
            seen.add(id(parameter))
            unique[name] = parameter
    return unique


def _checked_shape(owner: str, leaf: str, shape: Any) -> tuple[int, ...]:
    if isinstance(shape, (int, np.integer)):
        shape = (shape,)
    try:
        sizes = tuple(int(n) for n in shape)
    except TypeError:
        sizes = (-1,)
    if any(n < 0 for n in sizes):
        raise ShapeError(
            f"[{owner}] a weight needs known sizes; got {shape} for {leaf}; leave out the batch axis, or size the Input"
        )
    return sizes
