"""What PyTorch's functions are, by name: facts from which kinds, theory and lint follow, as from the records of ops.

A function that stands here under no name counts as one about which nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Options = dict[str, Any]
Args = tuple[Any, ...]


@dataclass(frozen=True)
class Function:
    """adds: its result is the sum of what it reads. multiplies: its inputs with one another; weighs: one is a weight.

    view: the same values in another shape. rectifies: cuts one half off; leaks: the part that it keeps of that.
    normalises: over what. slope: the largest derivative of what squashes. drops: the share set to 0. distributes:
    shares out 1. breaks, helps: why a result may not be finite, and what helps. images: channels stand on axis 1;
    moves: axes may stand elsewhere then. opaque: what is done in one call that is not seen.
    """

    adds: bool = False
    multiplies: bool = False
    weighs: bool = False
    view: bool = False
    rectifies: bool = False
    leaks: Callable[[Args, Options], float] | None = None
    normalises: str = ""
    slope: float = 0.0
    drops: Callable[[Args, Options], float] | None = None
    distributes: bool = False
    breaks: str = ""
    helps: str = ""
    images: bool = False
    moves: bool = False
    opaque: str = ""


def option(position: int, name: str, default: float) -> Callable[[Args, Options], float]:
    """How to read a number that a function is called with."""

    def read(args: Args, options: Options) -> float:
        given = options.get(name, args[position] if len(args) > position else default)
        return float(given) if isinstance(given, (int, float)) else default

    return read


_ADD, _VIEW, _RELU = Function(adds=True), Function(view=True), Function(rectifies=True)
_MUL = Function(multiplies=True)
_DIV = Function(
    multiplies=True, breaks="it divides by 0, or by next to nothing", helps="add a small number to the denominator"
)
_PRODUCT = Function(multiplies=True, weighs=True, moves=True)
_CONV = Function(multiplies=True, weighs=True, images=True)
_IMAGES = Function(images=True)
_SIGMOID, _TANH = Function(slope=0.25), Function(slope=1.0)
_SOFTMAX = Function(distributes=True)
_EXP = Function(breaks="its input is too large", helps="subtract the maximum first, or use torch.softmax and logsumexp")
_LOG = Function(
    breaks="log of a number below 0 is NaN, of 0 infinite", helps="keep its input positive, as with clamp(min=1e-7)"
)
_SQRT = Function(breaks="the square root of a number below 0 is NaN", helps="keep its input from falling below 0")
_DROPOUT = Function(drops=option(1, "p", 0.5))
_ATTENTION = Function(multiplies=True, distributes=True)
_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")
_NOTHING = Function()

_BY_NAME: dict[str, Function] = {
    **dict.fromkeys(("add", "iadd", "radd"), _ADD),
    **dict.fromkeys(("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze"), _VIEW),
    **dict.fromkeys(("contiguous", "view_as", "reshape_as"), _VIEW),
    **dict.fromkeys(("relu", "threshold"), _RELU),
    "relu6": _RELU,
    "leaky_relu": Function(rectifies=True, leaks=option(1, "negative_slope", 0.01)),
    **dict.fromkeys(("mul", "multiply", "imul", "rmul"), _MUL),
    **dict.fromkeys(("div", "divide", "true_divide", "truediv", "itruediv", "rdiv", "rtruediv"), _DIV),
    **dict.fromkeys(("linear", "addmm", "bilinear"), _PRODUCT),
    **dict.fromkeys(("matmul", "mm", "bmm", "baddbmm", "rmatmul", "einsum", "tensordot"), _PRODUCT),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _CONV),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _CONV),
    **dict.fromkeys(("sigmoid", "hardsigmoid"), _SIGMOID),
    **dict.fromkeys(("tanh", "softsign"), _TANH),
    **dict.fromkeys(("softmax", "gumbel_softmax"), _SOFTMAX),
    **dict.fromkeys(("permute", "transpose", "movedim", "swapaxes", "t", "T", "mT"), Function(moves=True)),
    **{name: Function(opaque=f"a fused {name.partition('_')[0].upper()}") for name in _RECURRENT},
    "CompiledFunction": Function(opaque="compiled"),
    "batch_norm": Function(normalises="batch", images=True),
    "instance_norm": Function(normalises="group", images=True),
    "group_norm": Function(normalises="group", images=True),
    "layer_norm": Function(normalises="layer", moves=True),
    "rms_norm": Function(normalises="rms"),
    **dict.fromkeys(("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"), _DROPOUT),
    **dict.fromkeys(("scaled_dot_product_attention", "multi_head_attention_forward"), _ATTENTION),
    "exp": _EXP, "log": _LOG, "sqrt": _SQRT, "rsqrt": _SQRT,
    **dict.fromkeys(
        (
            "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d",
            "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool2d", "interpolate", "pixel_shuffle",
            "boolean_dispatch",
        ),
        _IMAGES,
    ),
}  # fmt: skip


def function(name: str) -> Function:
    """What is known of a function of PyTorch."""
    return _BY_NAME.get(name, _NOTHING)
