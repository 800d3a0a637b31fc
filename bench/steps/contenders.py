"""The contenders by name, and how to get one ready."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import NamedTuple

import peers

import tinyres as tr
from steps.task import Size, batch_of, first_weights
from tinyres.backends import native

Step = Callable[[], object]


class Contender(NamedTuple):
    """A function `function(size, weights, x, labels) -> step` of a module in this package.

    library: what must be installed for it. What tinyres is given: threads, backend, and isa ("": the best there is).
    """

    library: str
    module: str
    function: str
    threads: int = 1
    backend: str = "native"
    isa: str = ""

    @property
    def is_available(self) -> bool:
        return peers.installed(self.library)

    @property
    def setting(self) -> tuple[int, str, str]:
        """What `set_up` sets."""
        return self.threads, self.backend, self.isa

    def set_up(self) -> None:
        """Give tinyres what this contender runs with."""
        if native.AVAILABLE:
            native.set_threads(self.threads)
            native.select_isa(self.isa or BEST)
            tr.set_backend(self.backend)

    def make(self, size: Size) -> Step:
        """The step at this size, from the shared weights, on the shared batch."""
        function = getattr(importlib.import_module(f"steps.{self.module}"), self.function)
        return function(size, first_weights(size), *batch_of(size))


CONTENDERS = {
    "tinyres captured": Contender("tinyres", "in_tinyres", "captured"),
    "tinyres captured, 2 threads": Contender("tinyres", "in_tinyres", "captured", threads=2),
    "tinyres captured, generic": Contender("tinyres", "in_tinyres", "captured", isa="generic"),
    "tinyres captured, NumPy": Contender("tinyres", "in_tinyres", "captured", backend="reference"),
    "tinyres fit": Contender("tinyres", "in_tinyres", "fit"),
    "tinyres fit, watched": Contender("tinyres", "in_tinyres", "fit_watched"),
    "tinyres eager": Contender("tinyres", "in_tinyres", "eager"),
    "numpy by hand": Contender("numpy", "in_numpy", "by_hand"),
    "torch eager": Contender("torch", "in_torch", "eager"),
    "torch fused optimizer": Contender("torch", "in_torch", "fused"),
    "jax jit": Contender("jax", "in_jax", "unrolled"),
    "jax jit, scanned": Contender("jax", "in_jax", "scanned"),
}
OURS = "tinyres captured"
BEST = native.isa() if native.AVAILABLE else ""
PEERS = [name for name in CONTENDERS if not name.startswith("tinyres")]
