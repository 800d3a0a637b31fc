"""Layer: parameters, sublayers and a `call`, run on Tensors at once or recorded on symbolic ones.

    class Scale(layers.Layer):
        def build(self, input_shape):
            self.factor = self.add_weight(name="factor", shape=(input_shape[-1],), initializer="ones")

        def call(self, x):
            return x * self.factor

A `call` that takes `training` is told; one that does not passes it on to its sublayers all the same.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from tinyres.engine.state import Scope, entered, state, user_source
from tinyres.engine.tensor import Tensor, tensor
from tinyres.errors import Absent, ArgumentError
from tinyres.kernels.dtypes import DTYPES
from tinyres.launch import DryRecorder, door, recording
from tinyres.nn import regularizers
from tinyres.nn.hints import hint_at_raw_bytes
from tinyres.nn.layouts import SAME, Layout
from tinyres.nn.naming import joined, snake_case
from tinyres.nn.options import OptionsOfKeras, refuse_option
from tinyres.nn.other_names import OtherNames
from tinyres.nn.symbolic import Symbolic, current_block, input_of, output_of, record, shape_of, symbolics
from tinyres.nn.tree import LayerTree
from tinyres.store.definitions import Definitions


def made_by_build() -> Any:
    """For a layer's class to say so of an attribute: asked for before the layer is built, it tells what to do."""
    return Absent(
        "[{owner}] it has no .{name}; got this name; it is not built yet: call it on data or on an Input first"
    )


LAYERS: Definitions[type[Layer]] = Definitions("a layer of class")


class Layer(OtherNames, LayerTree, metaclass=OptionsOfKeras):
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
    layouts: ClassVar[Mapping[str, Layout]] = {}  # by weight, how it stands in PyTorch's and Keras' layer
    weighs = False  # it sums what it is called on by weights
    passes_values = False  # it moves or drops what it is called on, and leaves values as large as they are
    places = False  # it tells where tokens stand, and takes start_index, the place of the first
    reads_values = True  # False: it looks at the shape alone of what it is called on
    sample_shape: tuple[int, ...] | None = None  # what input_shape told a layer that begins a Sequential

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._takes_training = "training" in inspect.signature(cls.call).parameters
        if "build" in vars(cls):
            cls.build = _building(cls.build)  # type: ignore[assignment, method-assign]
        if "get_config" in vars(cls) and "config" not in vars(cls):
            cls.config = _config_of_keras  # type: ignore[method-assign]
        LAYERS.add(cls.__module__, cls.__qualname__, cls)

    def __init__(
        self, name: str | None = None, trainable: bool = True, dtype: DTypeLike = "float32", **unknown: Any
    ) -> None:
        for option, value in unknown.items():
            refuse_option(type(self).__name__, option, value, [])
        super().__init__(name, trainable, dtype)

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
        outer, outer_training = state.scope, state.training
        state.scope = self._scope(outer)
        try:
            if not self.built:
                self.build_for(args)
            return self.run(args, kwargs, outer_training or False)
        finally:
            state.scope = outer

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any], training: bool) -> Any:
        """`call` in the scope that is entered already; `training` holds unless kwargs say otherwise."""
        if door.recorder is not None:
            door.recorder.depends_on(self)
        outer_training = state.training
        told = kwargs.get("training")
        state.training = training if told is None else bool(told)
        try:
            if self._takes_training:
                return self.call(*args, **{**kwargs, "training": state.training})
            if "training" in kwargs:
                kwargs = {key: value for key, value in kwargs.items() if key != "training"}
            return self.call(*args, **kwargs)
        finally:
            state.training = outer_training

    def build_for(self, args: Sequence[Any]) -> None:
        """Build for these arguments, once; a build that fails leaves no weights behind."""
        if self.built:
            return
        if door.recorder is not None and not isinstance(door.recorder, DryRecorder):
            door.recorder.refuse("layer", f"{self} cannot be built, for that makes parameters,")
        before = dict(vars(self))
        try:
            with recording(None), entered(None):
                self.build(_shapes(args[0]) if args else None)
        except Exception:
            self.__dict__ = {**before, "_trained": {}, "_kept": {}, "_penalties": {}}
            raise
        self.built = True
        self.set_path(self.path)

    def layout_of(self, leaf: str) -> Layout:
        """How a weight of this layer stands in the same layer of PyTorch and Keras."""
        return self.layouts.get(leaf, SAME)

    @property
    def keras_kind(self) -> str:
        """What Keras calls layers of this class in files, before numbers are added."""
        return snake_case(type(self).__name__)

    @property
    def by_token(self) -> bool:
        """Whether what it gives for a token of (batch, tokens, ...) depends on this token alone."""
        return False

    def penalties(self) -> Iterator[Tensor]:
        """What this layer's own regularised weights add to the loss."""
        own = {**self._trained, **self._kept}
        for leaf, regularizer in self._penalties.items():
            if own[leaf].trainable:
                yield regularizer(own[leaf])

    @property
    def final_activation(self) -> str | None:
        """ "softmax" or "sigmoid" if the output is one and `logits` gives what it is made of, else None."""
        return None

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, read from the attributes of the same names; override it where they differ."""
        config = {}
        partly = type(self).config is _config_of_keras  # a get_config of one's own adds the rest
        for argument in inspect.signature(type(self).__init__).parameters.values():
            if argument.name == "self" or argument.kind in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL):
                continue
            if argument.name in ("trainable", "dtype") or (partly and argument.name not in vars(self)):
                continue
            if not hasattr(self, argument.name):
                raise ArgumentError(
                    f"[{type(self).__name__}] a saved layer keeps its constructor's arguments as attributes; "
                    f"{argument.name!r} is not there; set self.{argument.name} or override config()"
                )
            config[argument.name] = getattr(self, argument.name)
        config["name"] = self._name
        return config

    def get_config(self) -> dict[str, Any]:
        """Keras' name of `config`; a layer of one's own may define either."""
        return Layer.config(self) if type(self).config is _config_of_keras else self.config()

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of what a call gives, None for the batch; the layer stays as it is.

        input_shape: with the batch axis, or a list of them for a layer that is called on a list.

        >>> import tinyres as tr
        >>> tr.layers.Dense(7).compute_output_shape((None, 4))
        (None, 7)
        """
        several = isinstance(input_shape, list) and all(isinstance(shape, (list, tuple)) for shape in input_shape)
        made = [
            Symbolic(tuple(shape), self.dtype, None)  # type: ignore[arg-type]
            for shape in (input_shape if several else [input_shape])
        ]
        return shape_of(copy.deepcopy(self)(made if several else made[0]))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """A new, unbuilt layer from what `config` gave; it gets its name also where __init__ does not take one."""
        layer = cls(**{argument: value for argument, value in config.items() if argument != "name"})
        layer.rename(config.get("name"))
        return layer

    def __deepcopy__(self, memo: dict[int, Any]) -> Layer:
        """A layer of its own with copied weights; dtypes are compared by identity and stay the same objects."""
        clone = type(self).__new__(type(self))
        memo[id(self)] = clone
        memo[id(self.dtype)] = self.dtype
        clone.__dict__.update({name: copy.deepcopy(value, memo) for name, value in vars(self).items()})
        return clone

    def __setstate__(self, held: dict[str, Any]) -> None:
        """Out of a pickle: dtypes are compared by identity."""
        vars(self).update({k: DTYPES[v.name] if isinstance(v, np.dtype) else v for k, v in held.items()})

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
        hint_at_raw_bytes(type(self).__name__, self, value)
        return tensor(value, dtype=self.dtype)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}{'' if self.built else ', not built'}>"


class _OfCalls:
    """Keras' name of what a built layer was called on or gave; an attribute of a layer of one's own goes before it."""

    def __init__(self, read: Callable[[Layer], Any]) -> None:
        self.read = read

    def __get__(self, layer: Layer | None, owner: type) -> Any:
        return self if layer is None else self.read(layer)


for _name, _read in {
    "input": input_of,
    "output": output_of,
    "input_shape": lambda layer: shape_of(input_of(layer)),
    "output_shape": lambda layer: shape_of(output_of(layer)),
    "losses": lambda layer: list(regularizers.penalties(layer)),
}.items():
    setattr(Layer, _name, _OfCalls(_read))


class SingleInput(Layer):
    """A layer that is called on one tensor, never on a list."""

    def _as_tensors(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        args = super()._as_tensors(args)
        if len(args) != 1 or not isinstance(args[0], Tensor):
            got = f"{len(args)} arguments" if len(args) != 1 else f"a {type(args[0]).__name__}"
            raise ArgumentError(f"[{type(self).__name__}] it is called on one tensor; got {got}; join them first")
        return args


def _config_of_keras(self: Layer) -> dict[str, Any]:
    return self.get_config()


def _building(build: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """`build` that may also be called by hand, as in Keras: the first call then finds the layer built."""

    @functools.wraps(build)
    def built(self: Any, input_shape: Any = None) -> None:
        if self.built:
            return
        is_shape = isinstance(input_shape, list) and all(n is None or isinstance(n, int) for n in input_shape)
        build(self, tuple(input_shape) if is_shape and input_shape else input_shape)
        self.built = True

    return built


def _shapes(value: Any) -> Any:
    if isinstance(value, (Tensor, Symbolic)):
        return value.shape
    if isinstance(value, (list, tuple)):
        return [_shapes(item) for item in value]
    return None
