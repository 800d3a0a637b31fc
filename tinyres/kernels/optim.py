"""Optimizer steps, in place on parameters and state.

Whatever may change between two steps stands in a buffer, never in the call: `hyper` is float64[8] =
learning rate, a, b, epsilon, weight decay, gradient scale, step count, norm to clip at. `a` is the momentum of
SGD and the first decay rate of Adam, `b` Adam's second.
"""

from __future__ import annotations

import numpy as np

from tinyres.kernels.forms import KEEPS, STATE, UPDATE
from tinyres.kernels.record import DECOUPLED, NESTEROV, Array, kernel
from tinyres.kernels.sharing import UNDIVIDED

GRADIENT_SCALE, STEP, CLIP_NORM = 5, 6, 7


@kernel("D", "", form=UPDATE, flush=KEEPS, sharing=UNDIVIDED)
def optimizer_tick(hyper: Array, *, flags: int) -> None:
    hyper[STEP] += 1


@kernel("D", "d", form=STATE)
def clip_scale(hyper: Array, norm_squared: Array, *, flags: int) -> None:
    """Scale gradients of too large a norm down to the norm to clip at; a norm of NaN stays visible."""
    norm = np.sqrt(norm_squared[0])
    within = norm <= hyper[CLIP_NORM]
    hyper[GRADIENT_SCALE] = 1 if within else hyper[CLIP_NORM] / norm


@kernel("FF", "fd", "n", form=UPDATE)
def sgd(param: Array, velocity: Array, grad: Array, hyper: Array, n: int, *, flags: int) -> None:
    """Gradient descent with momentum (Sutskever et al. 2013); without `velocity` (absent) the plain one."""
    lr, momentum, _, _, weight_decay, scale, _, _ = hyper.tolist()
    g = grad * scale + weight_decay * param
    if velocity is not None:
        velocity *= momentum
        velocity += g
        g = g + momentum * velocity if flags & NESTEROV else velocity
    param -= lr * g


@kernel("FFF", "fd", "n", form=UPDATE)
def adam(param: Array, m: Array, v: Array, grad: Array, hyper: Array, n: int, *, flags: int) -> None:
    """Adam (Kingma and Ba 2015); DECOUPLED is AdamW (Loshchilov and Hutter 2019)."""
    lr, a, b, epsilon, weight_decay, scale, step, _ = hyper.tolist()
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
