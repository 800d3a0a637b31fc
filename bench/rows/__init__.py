"""What test_kernels.py times. ROWS: the name of a group -> a function that makes its operands."""

from __future__ import annotations

from collections.abc import Callable

from rows import elementwise, matmul, training
from rows.row import Row

ROWS: dict[str, Callable[[], Row]] = {
    **dict(matmul.matmul_rows()),
    **dict(elementwise.elementwise_rows()),
    **dict(elementwise.reduction_rows()),
    **dict(training.norm_rows()),
    **dict(training.loss_rows()),
    **dict(training.update_rows()),
}

__all__ = ["ROWS", "Row"]
