"""What an ONNX value is while a model is built of its graph: known already, or a symbolic tensor."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyres.errors import FileError
from tinyres.layers.shape import Permute

LAST, FIRST = (2, 3, 1), (3, 1, 2)  # how Permute turns samples, from channels first to last and back


class Known:
    """An array that the file holds, or that follows from shapes.

    open: where it holds a size that is not known before there is data, such as the batch; -1 stands there.
    weight: whether training may change it.
    """

    def __init__(self, array: np.ndarray, open: np.ndarray | None = None, weight: bool = False, name: str = "") -> None:
        self.array = array
        self.open = np.zeros(array.shape, bool) if open is None else open
        self.weight = weight
        self.name = name


class Held:
    """A symbolic tensor, axes as in ONNX, or of an image with channels last, or both, whichever was asked for.

    plain, last: a Symbolic each; to ops it is a Tensor.
    """

    def __init__(self, plain: Any = None, last: Any = None) -> None:
        self._plain = plain
        self._last = last

    @property
    def is_last(self) -> bool:
        """Whether it stands with channels last only."""
        return self._plain is None

    @property
    def plain(self) -> Any:
        """With its axes as in ONNX."""
        if self._plain is None:
            self._plain = Permute(FIRST)(self._last)
        return self._plain

    @property
    def last(self) -> Any:
        """An image with channels last."""
        if self._last is None:
            if len(self.plain.shape) != 4:
                raise FileError(
                    f"[onnx.load] images have shape (batch, channels, height, width); got {self.plain.shape}; nets of "
                    "images of two dimensions are read"
                )
            self._last = Permute(LAST)(self.plain)
        return self._last

    @property
    def shape(self) -> tuple[Any, ...]:
        """The shape as in ONNX."""
        if self._plain is not None:
            return self._plain.shape
        n, *sizes, channels = self._last.shape
        return (n, channels, *sizes)

    @property
    def dtype(self) -> np.dtype:
        return (self._last if self._plain is None else self._plain).dtype


class Sequence(Held):
    """Several values under one name, from which one is taken before it is computed with."""

    def __init__(self, parts: list[Held]) -> None:
        super().__init__()
        self.parts = parts

    @property
    def plain(self) -> Any:
        raise FileError(
            "[onnx.load] of several values under one name one is taken by SequenceAt; another op reads them all; "
            "leave it out of the exported net"
        )

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.plain

    @property
    def dtype(self) -> np.dtype:
        return self.plain


Value = Known | Held
