"""The table of ops: what writes each, and those that are not written, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinyres.onnx.recording import Recorded
from tinyres.onnx.writer import Writer

Write = Callable[..., str | None]  # (writer, node, inputs, *attrs) -> the name of the output, None if it was put

WRITERS: dict[str, Write] = {}

_GRADIENTS = (
    "clip_grad conv2d_to_kernel elu_grad gelu_grad leaky_relu_grad max_pool2d_grad max_pool2d_pick place "
    "random_window_grad relu_grad scatter_rows sigmoid_grad silu_grad sum_to tanh_grad"
)
_DRAWS = "it draws random numbers"
REFUSED = {
    "batchnorm": "it takes the statistics of a batch, as in training",
    "dropout": _DRAWS,
    "random_window": _DRAWS,
    "softmax_cross_entropy": "it is a loss",
    **dict.fromkeys(_GRADIENTS.split(), "it belongs to a gradient"),
}


def writes(*names: str) -> Callable[[Write], Write]:
    """Let this function write the ops of these names."""

    def enter(write: Write) -> Write:
        WRITERS.update(dict.fromkeys(names, write))
        return write

    return enter


def written(writer: Writer, node: Recorded, name: str, first: bool) -> None:
    """Put a value, with channels first or as it is."""
    writer.put_first(node, name) if first else writer.put(node, name)


def named(names: dict[str, Any], make: Callable[[Any], Write]) -> None:
    """Enter what `make` gives for each name's value."""
    WRITERS.update({name: make(value) for name, value in names.items()})
