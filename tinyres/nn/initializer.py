"""What an initialiser is, and the tables that names and files go by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyres.errors import Worded, named_arguments
from tinyres.store.definitions import Definitions, claim

INITIALIZERS: dict[str, type[Initializer]] = {}
INITIALIZER_CLASSES: Definitions[type[Initializer]] = Definitions("an initializer of class")


class Initializer(metaclass=Worded):
    """A function from a shape to the values that a weight starts with.

    A subclass defines `__call__(shape)`, which gives float64 values, and keeps its arguments as attributes.

    >>> import tinyres as tr
    >>> class Checkered(tr.initializers.Initializer):
    ...     def __call__(self, shape):
    ...         return np.indices(shape).sum(0) % 2.0
    >>> layer = tr.layers.Dense(3, kernel_initializer=Checkered())
    >>> layer(tr.ones((1, 2))).tolist()
    [[1.0, 1.0, 1.0]]
    """

    name = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in vars(cls):
            claim(INITIALIZERS, cls.name, cls)
        INITIALIZER_CLASSES.add(cls.__module__, cls.__qualname__, cls)

    def __call__(self, shape: Sequence[int]) -> np.ndarray:
        """Float64 values of this shape."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {argument: getattr(self, argument) for argument in named_arguments(type(self))}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.config().items())})"
