"""Memory that other libraries look into: a Tensor's own, read-only, for as long as any of them holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinyres.backends.buffers import Buffer
from tinyres.errors import ArgumentError

_TELLS_READ_ONLY = (1, 0)  # of DLPack


class _Lent:
    """What NumPy makes an array of: the buffer does not go back to the pool before the last holder lets go."""

    def __init__(self, values: np.ndarray, buffer: Buffer) -> None:
        self.__array_interface__ = {**values.__array_interface__, "data": (values.ctypes.data, True)}
        self._buffer = buffer


def lent(values: np.ndarray, buffer: Buffer, options: Mapping[str, Any]) -> Any:
    """The capsule of DLPack for these values of a buffer: shared where the asker can be told that it is read-only.

    Raises ArgumentError where copy=False cannot be granted.
    """
    asked = {key: value for key, value in options.items() if key != "copy"}
    if tuple(asked.get("max_version") or (0, 0)) >= _TELLS_READ_ONLY and not options.get("copy"):
        return np.asarray(_Lent(values, buffer)).__dlpack__(**asked)
    if options.get("copy") is False:
        raise ArgumentError(
            "[dlpack] a Tensor's memory is shared read-only, which DLPack tells from 1.0 on; got copy=False and "
            f"max_version={asked.get('max_version')}; ask for a copy"
        )
    return values.copy().__dlpack__(**asked)
