"""Optimizer steps, in place on parameters and state.

Whatever may change between two steps stands in a buffer, never in the call: `hyper` is float64[8] =
learning rate, a, b, epsilon, weight decay, gradient scale, step count, norm to clip at. `a` is the momentum of
SGD and the first decay rate of Adam, `b` Adam's second. Where gradients are added up it is float64[10]: behind these
stand which of so many steps this is, and how many they are; kernels with the flag DUE act in the last of them.
"""

from __future__ import annotations

import numpy as np

from tinyres.kernels.forms import KEEPS, STATE, UPDATE
from tinyres.kernels.record import DECOUPLED, DUE, NESTEROV, UNDECAYED, Array, kernel
from tinyres.kernels.sharing import UNDIVIDED

GRADIENT_SCALE, STEP, CLIP_NORM, COUNT, EVERY = 5, 6, 7, 8, 9


def _is_due(hyper: Array, flags: int) -> bool:
    return not flags & DUE or hyper[COUNT] == hyper[EVERY]


@kernel("D", "", form=UPDATE, flush=KEEPS, sharing=UNDIVIDED)
def optimizer_tick(hyper: Array, *, flags: int) -> None:
    if flags & DUE:
        hyper[COUNT] = hyper[COUNT] % hyper[EVERY] + 1
    if _is_due(hyper, flags):
        hyper[STEP] += 1


@kernel("F", "fd", "n", form=UPDATE)
def accumulate(total: Array, grad: Array, hyper: Array, n: int, *, flags: int) -> None:
    """total += grad / the number of steps that are added up."""
    total += grad * total.dtype.type(1 / hyper[EVERY])


@kernel("F", "d", "n", form=UPDATE)
def clear_when_due(total: Array, hyper: Array, n: int, *, flags: int) -> None:
    """total = 0 behind a step that has moved parameters."""
    if _is_due(hyper, DUE):
        total.fill(0)


@kernel("D", "d", form=STATE)
def clip_scale(hyper: Array, norm_squared: Array, *, flags: int) -> None:
    """Scale gradients of too large a norm down to the norm to clip at; a norm of NaN stays visible."""
    norm = np.sqrt(norm_squared[0])
    within = norm <= hyper[CLIP_NORM]
    hyper[GRADIENT_SCALE] = 1 if within else hyper[CLIP_NORM] / norm


@kernel("FF", "fd", "n", form=UPDATE)
def sgd(param: Array, velocity: Array, grad: Array, hyper: Array, n: int, *, flags: int) -> None:
    """Gradient descent with momentum (Sutskever et al. 2013); without `velocity` (absent) the plain one."""
    if not _is_due(hyper, flags):
        return
    lr, momentum, _, _, weight_decay, scale = hyper.tolist()[:6]
    weight_decay = 0.0 if flags & UNDECAYED else weight_decay
    g = grad * scale
    g += weight_decay * param
    if velocity is not None:
        velocity *= momentum
        velocity += g
        g = g + momentum * velocity if flags & NESTEROV else velocity
    param -= lr * g


@kernel("FFF", "fd", "n", form=UPDATE)
def adam(param: Array, m: Array, v: Array, grad: Array, hyper: Array, n: int, *, flags: int) -> None:
    """Adam (Kingma and Ba 2015); DECOUPLED is AdamW (Loshchilov and Hutter 2019)."""
    if not _is_due(hyper, flags):
        return
    lr, a, b, epsilon, weight_decay, scale, step = hyper.tolist()[:7]
    weight_decay = 0.0 if flags & UNDECAYED else weight_decay
    g = grad * scale
    if flags & DECOUPLED:
        param *= 1 - lr * weight_decay
    else:
        g += weight_decay * param
    m *= a
    m += (1 - a) * g
    v *= b
    v += (1 - b) * g * g
    rate = np.divide(lr, 1 - a**step)
    param -= float(rate) * m / (np.sqrt(v) / np.sqrt(1 - b**step).item() + epsilon)
