"""The ledger for PyTorch: a module's forward and backward pass as an ordinary Trace.

Read off autograd's own graph, by hooks that are gone afterwards: the module is not changed, rewritten or compiled.
"""

from tinyres.torch.tracing import lint, trace

__all__ = ["lint", "trace"]
