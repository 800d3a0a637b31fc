"""Regularisers: what a weight adds to the loss that is trained on, with Keras' names and defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tinyres import ops
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, Worded, closed, named_arguments, refuse_arguments
from tinyres.store.definitions import Definitions

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get", "l1", "l1_l2", "l2"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed("tinyres.regularizers", __all__)


REGULARIZER_CLASSES: Definitions[type[Regularizer]] = Definitions("a regularizer of class")


class Regularizer(metaclass=Worded):
    """Base of all regularisers: define `__call__(weight)`, one number, and keep the arguments as attributes.

    >>> import tinyres as tr
    >>> tr.regularizers.L2(0.1)(tr.tensor([3.0, 4.0]))
    Tensor(2.5, shape=(), dtype=float32)
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        REGULARIZER_CLASSES.add(cls.__module__, cls.__qualname__, cls)

    def __call__(self, weight: Tensor) -> Tensor:
        """What the weight adds to the loss."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {argument: getattr(self, argument) for argument in named_arguments(type(self))}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.config().items())})"


class L1(Regularizer):
    """l1 · Σ |w|. Raises ArgumentError for a factor below 0.

    weight: of any shape; gives one number.

    >>> import tinyres as tr
    >>> tr.regularizers.L1(0.1)(tr.tensor([3.0, -4.0]))
    Tensor(0.7, shape=(), dtype=float32)
    """

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = _factor("L1", "l1", l1)

    def __call__(self, weight: Tensor) -> Tensor:
        return ops.sum(ops.abs(weight)) * self.l1


class L2(Regularizer):
    """l2 · Σ w². Raises ArgumentError for a factor below 0.

    weight: of any shape; gives one number.

    >>> import tinyres as tr
    >>> tr.regularizers.L2(0.1)(tr.tensor([3.0, -4.0]))
    Tensor(2.5, shape=(), dtype=float32)
    """

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = _factor("L2", "l2", l2)

    def __call__(self, weight: Tensor) -> Tensor:
        return ops.sum(ops.square(weight)) * self.l2


class L1L2(Regularizer):
    """l1 · Σ |w| + l2 · Σ w². Raises ArgumentError for a factor below 0.

    weight: of any shape; gives one number.

    >>> import tinyres as tr
    >>> tr.regularizers.L1L2(l1=0.1, l2=0.1)(tr.tensor([3.0, -4.0]))
    Tensor(3.2, shape=(), dtype=float32)
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = _factor("L1L2", "l1", l1), _factor("L1L2", "l2", l2)

    def __call__(self, weight: Tensor) -> Tensor:
        return ops.sum(ops.abs(weight)) * self.l1 + ops.sum(ops.square(weight)) * self.l2


def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    """L1L2 by its older name, with that one's defaults.

    >>> import tinyres as tr
    >>> tr.regularizers.l1_l2()
    L1L2(l1=0.01, l2=0.01)
    """
    return L1L2(l1, l2)


l1, l2 = L1, L2


def get(identifier: Any) -> Any:
    """The regulariser of this name ("l1", "L2", "l1_l2"), or the object or function of a weight itself; None is none.

    Raises ArgumentError for anything else.

    >>> import tinyres as tr
    >>> tr.regularizers.get("l2"), tr.regularizers.get(None)
    (L2(l2=0.01), None)
    """
    named: dict[str, Callable[[], Regularizer]] = {"l1": L1, "l2": L2, "l1l2": l1_l2}
    if isinstance(identifier, str) and identifier.lower().replace("_", "") in named:
        return named[identifier.lower().replace("_", "")]()
    if identifier is None:
        return None
    if callable(identifier) and not isinstance(identifier, type):
        refuse_arguments("regularizer", identifier, ("weight",), {})
        return identifier
    raise ArgumentError(
        f"[regularizer] known names are l1, l2, l1_l2; got {identifier!r}; use one, or an object such as "
        "regularizers.L2(0.01)"
    )


def penalties(layer: Any) -> Iterator[Tensor]:
    """What the regularised weights of a layer, and of those within it, add to the loss; a shared one adds it once."""
    pending, seen = [layer], set()
    while pending:
        layer = pending.pop()
        if id(layer) not in seen:
            seen.add(id(layer))
            pending.extend(reversed(layer.layers))
            yield from layer.penalties()


def _factor(owner: str, what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise ArgumentError(f"[{owner}] {what} is a number of at least 0; got {value!r}; choose another")
    return float(value)
