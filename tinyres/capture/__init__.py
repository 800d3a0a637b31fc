"""capture: a function of tensors, recorded once per signature and replayed in one C call.

    @tr.capture
    def step(x, y):
        loss = tr.losses.softmax_cross_entropy(model(x, training=True), y)
        opt.zero_grad(); loss.backward(); opt.step()
        return loss

The first call with new shapes, dtypes or constants runs the Python once while the door records; then it plans, and
runs like every later call. Python side effects and branches on data are frozen at that moment, as in every tracing
system: what must change between calls lives in a tensor argument, in a NumPy array that the step reads, or in library
state (`opt.lr`, generators, `requires_grad`, attributes of layers, lists and dicts among them).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from tinyres.errors import CaptureError

__all__ = ["capture"]


def capture(fn: Callable[..., Any] | None = None, *, check_finite: bool = False, check: bool = False) -> Any:
    """Turn a function of tensors into a CapturedStep; also a decorator, with or without arguments.

    check_finite: stop at the first loss, or gradient of one by `backward`, that is not finite, with all state as before
    that call, and name the first node that made it. check: at each recording also run the function eagerly and raise
    CaptureError at the first call whose result differs (slow; for finding frozen side effects).

    >>> import tinyres as tr
    >>> double = tr.capture(lambda x: x * 2.0)
    >>> double(tr.tensor([1.0, 2.0]))
    Tensor([2., 4.], shape=(2,), dtype=float32)
    """
    if fn is None:
        return functools.partial(capture, check_finite=check_finite, check=check)
    if inspect.isgeneratorfunction(fn) or inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
        raise CaptureError(
            f"[capture] a step is a function that returns; got {getattr(fn, '__name__', 'one')}, which yields or "
            "awaits, so that a call of it does nothing yet; capture what it does in one round"
        )
    from tinyres.capture.step import CapturedStep  # loads when something is first captured

    return CapturedStep(fn, check_finite, check)
