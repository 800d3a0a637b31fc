"""Adam, and AdamW with its weight decay apart from the gradient."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tinyres import kernels
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError
from tinyres.kernels.record import DECOUPLED
from tinyres.launch import Launch
from tinyres.optim.optimizer import EPSILON, A, B, Moving, Optimizer, decay_rate, positive
from tinyres.optim.schedules import LearningRateSchedule


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and of its square (Kingma and Ba 2015).

    betas: the decay rates of the two means. epsilon: added to the root of the second.
    weight_decay: g is gradient + weight_decay·p. clip_norm: see Optimizer.
    Raises ArgumentError for numbers out of range.

    >>> import tinyres as tr
    >>> w = tr.tensor([3.0], requires_grad=True)
    >>> opt = tr.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward(); opt.step()
    >>> f"{w.item():.1f}"
    '2.9'
    """

    name = "adam"
    slots = ("m", "v")
    _flags = 0

    def __init__(
        self,
        params: Iterable[Tensor] | None = None,
        *,
        lr: float | LearningRateSchedule = 0.001,
        learning_rate: float | LearningRateSchedule | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
    ) -> None:
        try:
            a, b = betas
        except (TypeError, ValueError):
            raise ArgumentError(
                f"[{self.name}] betas are two numbers in [0, 1); got {betas!r}; write betas=(0.9, 0.999)"
            ) from None
        super().__init__(
            params,
            lr=lr,
            learning_rate=learning_rate,
            a=decay_rate(self.name, "betas[0]", a),
            b=decay_rate(self.name, "betas[1]", b),
            epsilon=positive(self.name, "epsilon", epsilon),
            weight_decay=weight_decay,
            clip_norm=clip_norm,
        )

    def updates(self, moving: Sequence[Moving]) -> list[Launch]:
        adam, hyper, flags = kernels.adam, self.hyper, self._flags
        return [(adam, (p, *slots), (g, hyper), (p.size,), (), flags) for p, g, slots in moving]

    @property
    def betas(self) -> tuple[float, float]:
        """The decay rates of the two means; they may be set at any time."""
        return float(self.hyper.array[A]), float(self.hyper.array[B])

    @betas.setter
    def betas(self, value: tuple[float, float]) -> None:
        a, b = value
        self.hyper.array[[A, B]] = decay_rate(self.name, "betas[0]", a), decay_rate(self.name, "betas[1]", b)

    @property
    def epsilon(self) -> float:
        """What is added to the root of the second mean; it may be set at any time."""
        return float(self.hyper.array[EPSILON])

    @epsilon.setter
    def epsilon(self, value: float) -> None:
        self.hyper.array[EPSILON] = positive(self.name, "epsilon", value)

    def config(self) -> dict[str, Any]:
        hyper = self.hyper.array.tolist()
        return {**super().config(), "betas": (hyper[A], hyper[B]), "epsilon": hyper[EPSILON]}


class AdamW(Adam):
    """Adam whose weight decay shrinks parameters directly: p = p·(1 − lr·weight_decay) (Loshchilov and Hutter 2019).

    Arguments as Adam's; weight_decay is 0.01 unless told otherwise.

    >>> import tinyres as tr
    >>> tr.optim.AdamW(lr=0.002).lr
    0.002
    """

    name = "adamw"
    _flags = DECOUPLED

    def __init__(
        self,
        params: Iterable[Tensor] | None = None,
        *,
        lr: float | LearningRateSchedule = 0.001,
        learning_rate: float | LearningRateSchedule | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            learning_rate=learning_rate,
            betas=betas,
            epsilon=epsilon,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
        )
