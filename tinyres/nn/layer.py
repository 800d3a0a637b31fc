"""Layer: parameters, sublayers and a `call`, run on Tensors at once or recorded on symbolic ones.

    class Scale(layers.Layer):
        def build(self, input_shape):
            self.factor = self.add_weight(name="factor", shape=(input_shape[-1],), initializer="ones")

        def call(self, x):
            return x * self.factor

Sublayers and Parameters are found in the attributes (also in lists, tuples and dicts), named after Keras, and listed
in the order in which the attributes were set. A `call` that takes `training` is told; one that does not passes it on
to its sublayers all the same.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tinyres.engine.state import Scope, entered, state, user_source
from tinyres.engine.tensor import Parameter, Tensor, tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.launch import recording
from tinyres.nn import initializers
from tinyres.nn.naming import Candidate, checked_name, joined, snake_case, unique_paths
from tinyres.nn.symbolic import Symbolic, current_block, record, symbolics

LAYERS: dict[str, type[Layer]] = {}


class _Context(threading.local):
    """training: what the layer call around this one was told; None outside of any."""

    training: bool | None = None


context = _Context()


class Layer:
    """Base of all layers: subclass it with `build`, `call` or both.

    name: the last part of its path, without "/"; unnamed layers get one from the model they stand in.
    trainable: whether its weights get gradients. dtype: of its weights, and of arrays it is called on.

    >>> import tinyres as tr
    >>> class Double(tr.layers.Layer):
    ...     def call(self, x):
    ...         return x * 2.0
    >>> Double()(tr.tensor([1.0, 2.0]))
    Tensor([2., 4.], shape=(2,), dtype=float32)
    """

    _takes_training = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._takes_training = "training" in inspect.signature(cls.call).parameters
        LAYERS[cls.__name__] = cls

    def __init__(self, name: str | None = None, trainable: bool = True, dtype: DTypeLike = "float32") -> None:
        self._name = checked_name(type(self).__name__, name)
        self._name_chosen = name is not None
        self._path: str | None = None
        self._trainable = bool(trainable)
        self._trained: dict[str, Parameter] = {}
        self._kept: dict[str, Parameter] = {}
        self.scope: str | None = None
        self.dtype = np.dtype(dtype)
        self.built = False

    def build(self, input_shape: Any) -> None:
        """Make the weights; called once, before the first call, with the shape of the first argument.

        input_shape: a tuple, or a list of tuples for a layer that is called on a list; the batch axis may be None.
        """

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output from Tensors, with ops and other layers."""
        raise ArgumentError(f"[{type(self).__name__}] a layer must define call(self, x); it does not; write one")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run `call` on Tensors or arrays, or record it if an argument is symbolic. Builds the layer the first time."""
        if self.scope is None:
            self.scope = current_block()
        for _ in symbolics((args, kwargs)):
            return record(self, args, kwargs)
        args = self._as_tensors(args)
        outer, outer_training = state.scope, context.training
        state.scope = self._scope(outer)
        try:
            if not self.built:
                self.build_for(args)
            return self.run(args, kwargs, outer_training or False)
        finally:
            state.scope = outer

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any], training: bool) -> Any:
        """`call` in the scope that is entered already; `training` holds unless kwargs say otherwise."""
        outer_training = context.training
        told = kwargs.get("training")
        context.training = training if told is None else bool(told)
        try:
            if self._takes_training:
                return self.call(*args, **{**kwargs, "training": context.training})
            if told is not None:
                kwargs = {key: value for key, value in kwargs.items() if key != "training"}
            return self.call(*args, **kwargs)
        finally:
            context.training = outer_training

    def build_for(self, args: Sequence[Any]) -> None:
        """Build for these arguments, once; a build that fails leaves no weights behind."""
        if self.built:
            return
        before = dict(vars(self))
        try:
            with recording(None), entered(None):
                self.build(_shapes(args[0]) if args else None)
        except Exception:
            self.__dict__ = {**before, "_trained": {}, "_kept": {}}
            raise
        self.built = True
        self.set_path(self.path)

    def add_weight(
        self,
        name: str | None = None,
        shape: Sequence[int] = (),
        initializer: Any = "glorot_uniform",
        trainable: bool = True,
    ) -> Parameter:
        """A new Parameter of this layer, known as `<layer>/<name>`.

        shape: sizes; initializer: a name, an Initializer, or a function of the shape. trainable=False: for state that
        no optimizer touches, such as moving statistics. Raises ArgumentError for a name that is taken.
        """
        owner = type(self).__name__
        leaf = checked_name(owner, name) or "weight"
        if name is None:
            count = len(self._trained) + len(self._kept)
            leaf = f"weight_{count}" if count else leaf
        if leaf in self._trained or leaf in self._kept:
            raise ArgumentError(f'[{owner}] weight names must be unique; got "{leaf}" twice; rename one of them')
        sizes = _checked_shape(owner, leaf, shape)
        value = np.asarray(initializers.get(initializer)(sizes))
        if value.shape != sizes:
            raise ShapeError(
                f"[{owner}] the initializer of {leaf} must give shape {sizes}; got {value.shape}; correct the function"
            )
        weight = Parameter(value, joined(self.path, leaf), trainable and self._trainable, self.dtype)
        (self._trained if trainable else self._kept)[leaf] = weight
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
    def final_activation(self) -> str | None:
        """ "softmax" or "sigmoid" if the output is one and `logits` gives what it is made of, else None."""
        return None

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
        """All weights in Keras' order: per layer the trainable ones, then the others."""
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
        if len(weights) != len(own):
            raise ShapeError(
                f"[set_weights] {self!r} has {len(own)} weights; got {len(weights)}; give them in the order of .weights"
            )
        arrays = [np.asarray(value) for value in weights]
        for (name, parameter), array in zip(own.items(), arrays):
            if array.shape != parameter.shape:
                raise ShapeError(
                    f"[set_weights] {name} has shape {parameter.shape}; got {array.shape}; "
                    "give the weights in the order of .weights"
                )
        for parameter, array in zip(own.values(), arrays):
            parameter.assign(array)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, read from the attributes of the same names; override it where they differ."""
        config = {}
        for argument in inspect.signature(type(self).__init__).parameters.values():
            if argument.name == "self" or argument.kind in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL):
                continue
            if not hasattr(self, argument.name):
                raise ArgumentError(
                    f"[{type(self).__name__}] a saved layer keeps its constructor's arguments as attributes; "
                    f"{argument.name!r} is not there; set self.{argument.name} or override config()"
                )
            config[argument.name] = getattr(self, argument.name)
        config["name"] = self._name
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """A new, unbuilt layer from what `config` gave."""
        return cls(**config)

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

    def take_name(self, name: str) -> None:
        """Keep a name that a model or parent layer has given, unless there is one."""
        if self._name is None:
            self._name = name

    def _set_dtype(self, kind: np.dtype) -> None:
        """Note the dtype that the weights have been given, here and below."""
        self.dtype = kind
        for layer in self.layers:
            layer._set_dtype(kind)

    def __deepcopy__(self, memo: dict[int, Any]) -> Layer:
        """A layer of its own with copied weights; dtypes are compared by identity and stay the same objects."""
        clone = type(self).__new__(type(self))
        memo[id(self)] = clone
        memo[id(self.dtype)] = self.dtype
        clone.__dict__.update({name: copy.deepcopy(value, memo) for name, value in vars(self).items()})
        return clone

    def _scope(self, outer: Scope | None) -> Scope | None:
        """What nodes made by this call stand under."""
        name = self._name or self.default_name
        if outer is None:
            return Scope(name, "", type(self).__name__, None, user_source())
        return Scope(joined(outer.path, name), outer.block, type(self).__name__, outer, user_source())

    def _as_tensors(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        for value in args:
            if not isinstance(value, Tensor):
                return tuple([self._as_tensor(value) for value in args])
        return args

    def _as_tensor(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            if any(isinstance(item, (Tensor, np.ndarray)) for item in value):
                return [self._as_tensor(item) for item in value]
            return tensor(value, dtype=self.dtype)
        if isinstance(value, Tensor) or not hasattr(value, "__array__"):
            return value
        return tensor(value, dtype=self.dtype)

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
            if isinstance(item, Layer):
                found.setdefault(id(item), item)
        layers = list(found.values())
        names = unique_paths(type(self).__name__, [candidate(layer, "") for layer in layers])
        for layer, name in zip(layers, names):
            layer.take_name(name)
        return list(zip(names, layers))

    def _attributes(self) -> Iterator[tuple[str, Any]]:
        for name, value in vars(self).items():
            if name not in ("_trained", "_kept"):
                yield from _leaves(name, value)

    def _walk(self, prefix: str, state_too: bool) -> Iterator[tuple[str, Parameter]]:
        trained, kept = self._own_weights()
        for leaf, parameter in trained.items():
            yield prefix + leaf, parameter
        if state_too:
            for leaf, parameter in kept.items():
                yield prefix + leaf, parameter
        for name, layer in self._children():
            yield from layer._walk(f"{prefix}{name}/", state_too)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}{'' if self.built else ', not built'}>"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            owner = type(self).__name__
            if "built" not in self.__dict__:
                raise AttributeError(f"[{owner}] __init__ must begin with super().__init__(); it has not set {name!r}")
            hint = "" if self.built else "; it is not built yet: call it on data or on an Input first"
            raise AttributeError(f"[{owner}] {self.path} has no attribute {name!r}{hint}")


class SingleInput(Layer):
    """A layer that is called on one tensor, never on a list."""

    def _as_tensors(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        args = super()._as_tensors(args)
        if len(args) != 1 or not isinstance(args[0], Tensor):
            got = f"{len(args)} arguments" if len(args) != 1 else f"a {type(args[0]).__name__}"
            raise ArgumentError(f"[{type(self).__name__}] it is called on one tensor; got {got}; join them first")
        return args


def candidate(layer: Layer, scope: str) -> Candidate:
    """What naming needs to know of a layer."""
    return Candidate(scope, layer._name, layer._name_chosen, layer.default_name)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Layers and Parameters in an attribute, each with a name."""
    if isinstance(value, (Layer, Parameter)):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _leaves(f"{name}_{i}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(f"{name}_{key}", item)


def _unique(walk: Iterator[tuple[str, Parameter]]) -> dict[str, Parameter]:
    seen: set[int] = set()
    unique = {}
    for name, parameter in walk:
        if id(parameter) not in seen:
            seen.add(id(parameter))
            unique[name] = parameter
    return unique


def _shapes(value: Any) -> Any:
    if isinstance(value, (Tensor, Symbolic)):
        return value.shape
    if isinstance(value, (list, tuple)):
        return [_shapes(item) for item in value]
    return None


def _checked_shape(owner: str, leaf: str, shape: Any) -> tuple[int, ...]:
    if isinstance(shape, (int, np.integer)):
        shape = (shape,)
    try:
        sizes = tuple(int(n) for n in shape)
    except TypeError:
        sizes = (-1,)
    if any(n < 0 for n in sizes):
        raise ShapeError(f"[{owner}] a weight needs known sizes; got {shape} for {leaf}; leave out the batch axis")
    return sizes
