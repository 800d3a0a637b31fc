"""RMSprop and Nadam, composed of the kernel calls of SGD and Adam with other numbers in their buffers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import ABSENT, Buffer
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError
from tinyres.kernels.dtypes import FLOAT64
from tinyres.launch import Launch
from tinyres.optim.numbers import (
    CLIP_NORM,
    EPSILON,
    GRADIENT_SCALE,
    LR,
    STEP,
    WEIGHT_DECAY,
    A,
    B,
    Betas,
    Common,
    Number,
    decay_rate,
    non_negative,
    positive,
)
from tinyres.optim.optimizer import Moving, Optimizer

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _Composed(Optimizer):
    """`_reading` is what SGD's kernel reads the gradient by, with its clipping and weight decay, and moves nothing."""

    prepares = True

    def _made_of(self) -> None:
        self._reading = Buffer(8, FLOAT64)
        self._reading.array[:] = 0.0
        self._reading.array[[GRADIENT_SCALE, CLIP_NORM]] = 1.0, math.inf

    def prepare(self) -> None:
        """The numbers that the next step goes by."""
        super().prepare()
        self._reading.array[[WEIGHT_DECAY, CLIP_NORM]] = self.hyper.array[[WEIGHT_DECAY, CLIP_NORM]]

    def updates(self, moving: Sequence[Moving]) -> list[Launch]:
        return [call for p, g, slots in moving for call in self._update(p, g, *slots)]

    def _update(self, param: Buffer, gradient: Buffer, *slots: Buffer) -> Sequence[Launch]:
        raise NotImplementedError

    def _clipped(self) -> Buffer:
        return self._reading

    def _read(self, param: Buffer, gradient: Buffer) -> tuple[Buffer, list[Launch]]:
        """(scale · gradient + weight decay · parameter, the calls that make it)."""
        decayed = Buffer(param.size, param.dtype)
        read = kernels.sgd, (param, decayed), (gradient, self._reading), (param.size,), (), self._rule(param)
        return decayed, [_zero(decayed), read]


class RMSprop(_Composed):
    """Steps scaled by a running mean of the gradient's square (Hinton 2012; PyTorch's form): p = p - lr·g / (√v + ε).

    lr, weight_decay, clip_norm: see Optimizer; g is gradient + weight_decay·p. rho: the decay rate of that mean.
    momentum: of a velocity of the scaled gradients. epsilon: added to the root. Raises ArgumentError for numbers out of
    range, and for Keras' `centered`, which is not there. params: Tensors of any shape.

    >>> import tinyres as tr
    >>> w = tr.tensor([3.0], requires_grad=True)
    >>> opt = tr.optim.RMSprop([w], lr=0.1, rho=0.75)
    >>> (w * w).sum().backward(); opt.step()
    >>> f"{w.item():.1f}"
    '2.8'
    """

    name = "rmsprop"
    slots = ("v", "velocity")

    rho = Number(B, decay_rate, "The decay rate of the mean square.", "_scaling")
    epsilon = Number(EPSILON, positive, "What is added to the root of the mean square.", "_scaling")

    def __init__(
        self,
        params: Iterable[Tensor] | None = None,
        *,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **common: Unpack[Common],
    ) -> None:
        if centered:
            raise ArgumentError("[rmsprop] the mean square is not centered; got centered=True; leave it out")
        self._momentum = decay_rate(self.name, "momentum", momentum)
        self._scaling = Buffer(8, FLOAT64)
        self._scaling.array[:] = (
            1.0,
            0.0,
            decay_rate(self.name, "rho", rho),
            positive(self.name, "epsilon", epsilon),
            0.0,
            1.0,
            math.inf,  # so many steps that Adam's correction of the first ones is 1
            math.inf,
        )
        self._made_of()
        super().__init__(params, a=self._momentum, **common)
        self._moving = Buffer(8, FLOAT64)
        self._moving.array[:] = 0.0
        self._moving.array[[GRADIENT_SCALE, CLIP_NORM]] = -1.0, math.inf

    def prepare(self) -> None:
        """The numbers that the next step goes by."""
        super().prepare()
        self._moving.array[[LR, A]] = self.hyper.array[[LR, A]]

    def _update(self, param: Buffer, gradient: Buffer, *slots: Buffer) -> Sequence[Launch]:
        v, velocity = (*slots, ABSENT)[:2]
        decayed, reading = self._read(param, gradient)
        direction, mean = (Buffer(param.size, param.dtype) for _ in range(2))
        return [
            *reading,
            _zero(direction),
            _zero(mean),
            (kernels.adam, (direction, mean, v), (decayed, self._scaling), (param.size,), (), 0),
            (kernels.sgd, (param, velocity), (direction, self._moving), (param.size,), (), 0),
        ]

    def config(self) -> dict[str, Any]:
        return {**super().config(), "rho": self.rho, "momentum": self._momentum, "epsilon": self.epsilon}

    def _kept_slots(self) -> tuple[str, ...]:
        return self.slots if self._momentum else self.slots[:1]


class Nadam(_Composed):
    """Adam with Nesterov's momentum (Dozat 2016): the step also takes the present gradient's share of the next mean.

    momentum_decay: how fast the first decay rate grows to betas[0]: μ_t = betas[0]·(1 - 0.96^(t·momentum_decay) / 2).
    Other arguments as Adam's. params: Tensors of any shape.

    >>> import tinyres as tr
    >>> w = tr.tensor([3.0], requires_grad=True)
    >>> opt = tr.optim.Nadam([w], lr=0.1)
    >>> (w * w).sum().backward(); opt.step()
    >>> f"{w.item():.2f}"
    '2.89'
    """

    name = "nadam"
    slots = ("m", "v")

    betas = Betas()
    epsilon = Number(EPSILON, positive, "What is added to the root of the second mean.")

    def __init__(
        self,
        params: Iterable[Tensor] | None = None,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        momentum_decay: float = 0.004,
        **common: Unpack[Common],
    ) -> None:
        self._momentum_decay = non_negative(self.name, "momentum_decay", momentum_decay)
        self._product, self._counted = 1.0, 0
        self._present, self._running = Buffer(8, FLOAT64), Buffer(8, FLOAT64)
        self._made_of()
        a, b = Betas.read(self.name, betas)
        super().__init__(params, a=a, b=b, epsilon=positive(self.name, "epsilon", epsilon), **common)

    def prepare(self) -> None:
        """The shares of the present gradient and of the running mean in the next step."""
        super().prepare()
        hyper = self.hyper.array
        step = int(hyper[STEP]) + 1
        if step <= self._counted:
            self._product, self._counted = 1.0, 0
        while self._counted < step:
            self._counted += 1
            self._product *= self._share(self._counted)
        following = self._share(step + 1)
        present = hyper[LR] * (1 - self._share(step)) / (1 - self._product)
        running = hyper[LR] * following / (1 - self._product * following) * (1 - hyper[A] ** step)
        for buffer, lr, a in ((self._present, present, 0.0), (self._running, running, hyper[A])):
            buffer.array[:] = lr, a, hyper[B], hyper[EPSILON], 0.0, 1.0, step, np.inf

    def _update(self, param: Buffer, gradient: Buffer, *slots: Buffer) -> Sequence[Launch]:
        m, v = slots
        decayed, reading = self._read(param, gradient)
        mean, ahead = (Buffer(param.size, param.dtype) for _ in range(2))
        return [
            *reading,
            _zero(mean),
            _zero(ahead),
            (kernels.add, (ahead,), (ahead, v), (1, param.size), (), 0),
            (kernels.adam, (param, mean, ahead), (decayed, self._present), (param.size,), (), 0),
            (kernels.adam, (param, m, v), (decayed, self._running), (param.size,), (), 0),
        ]

    def config(self) -> dict[str, Any]:
        own = {"betas": self.betas, "epsilon": self.epsilon, "momentum_decay": self._momentum_decay}
        return {**super().config(), **own}

    def _share(self, step: int) -> float:
        return float(self.hyper.array[A]) * (1 - 0.5 * 0.96 ** (step * self._momentum_decay))


def _zero(buffer: Buffer) -> Launch:
    return kernels.fill, (buffer,), (), (buffer.size,), (0.0,), 0
