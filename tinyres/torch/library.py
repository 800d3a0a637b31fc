"""PyTorch itself, or the error that says how to get it."""

from __future__ import annotations

from tinyres.errors import MissingExtraError

try:
    import torch
except ImportError:
    raise MissingExtraError(
        "[torch] a module of PyTorch is traced by PyTorch, which is not installed; got import tinyres.torch; "
        "run: python3 -m pip install 'tinyres[torch]'"
    ) from None

__all__ = ["torch"]
