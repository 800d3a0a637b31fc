"""The ledger for PyTorch: a module's forward and backward pass as an ordinary Trace.

Read off autograd's own graph, by hooks that are gone afterwards: the module is not changed, rewritten or compiled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyres.errors import closed
from tinyres.torch.tracing import lint, trace

__all__ = ["lint", "trace"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__)
