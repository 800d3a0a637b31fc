"""Lambda: a function as a layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tinyres.errors import ArgumentError
from tinyres.nn.layer import Layer


class Lambda(Layer):
    """A function of a Tensor as a layer; it has no weights.

    function: of Tensors, with ops. output_shape, mask: Keras asks for them; here the shape is found by running the
    function. arguments: more keywords for it. A file keeps ops (`tr.square`), but no function of your own: for a model
    that is to be saved write a subclass of layers.Layer. Raises ArgumentError for what cannot be called.

    >>> import tinyres as tr
    >>> tr.layers.Lambda(lambda x: x * 2.0)(tr.tensor([1.0, 2.0]))
    Tensor([2., 4.], shape=(2,), dtype=float32)
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: None = None,
        arguments: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        if not callable(function):
            raise ArgumentError(f"[Lambda] it applies a function; got {function!r}; write Lambda(lambda x: x * 2)")
        if mask is not None:
            raise ArgumentError(f"[Lambda] tinyres has no masks; got mask={mask!r}; leave it out")
        self.function = function
        self.output_shape = output_shape
        self.mask = mask
        self.arguments = dict(arguments or {})

    def call(self, inputs: Any) -> Any:
        """What the function gives."""
        return self.function(inputs, **self.arguments)
