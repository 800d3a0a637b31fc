"""What Python itself does between two kernels of a list: an exchange with other processes, for example.

Such a call passes the door, is recorded, planned and listed like any other. It stands in no list of the core: NumPy's
backend runs it, so that a captured step comes back to Python there and goes on in C behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinyres.kernels.forms import HOSTED
from tinyres.kernels.record import Kernel


def hosted(action: Callable[..., None], outs: str, ins: str = "", args: str = "") -> Kernel:
    """A kernel of one's own around `action`, which gets the arrays of its operands, its sizes and `flags`.

    It may raise: nothing behind it in the list has run then. outs, ins, args: as of every kernel.
    """
    made = Kernel(action, outs, ins, args, "", HOSTED)
    made.pack_buffers = _not_for_the_core
    return made


def _not_for_the_core(*call: Any) -> None:
    """There is no C struct of it."""
