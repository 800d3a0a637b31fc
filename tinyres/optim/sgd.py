"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tinyres import kernels
from tinyres.backends.buffers import ABSENT
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError
from tinyres.kernels.record import NESTEROV
from tinyres.launch import Launch
from tinyres.optim.numbers import A, Common, decay_rate
from tinyres.optim.optimizer import Moving, Optimizer

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SGD(Optimizer):
    """Gradient descent with momentum: v = momentum·v + g; p = p − lr·v (Sutskever et al. 2013; PyTorch's form).

    lr, weight_decay, clip_norm: see Optimizer; g is gradient + weight_decay·p. nesterov: step by g + momentum·v instead
    of v. Raises ArgumentError for numbers out of range. params: Tensors of any shape.

    >>> import tinyres as tr
    >>> w = tr.tensor([3.0], requires_grad=True)
    >>> opt = tr.optim.SGD([w], lr=0.1, momentum=0.9)
    >>> (w * w).sum().backward(); opt.step()
    >>> f"{w.item():.1f}"
    '2.4'
    """

    name = "sgd"
    accumulates = True
    slots = ("velocity",)
    default_lr = 0.01

    def __init__(
        self,
        params: Iterable[Tensor] | None = None,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        **common: Unpack[Common],
    ) -> None:
        self._momentum = decay_rate(self.name, "momentum", momentum)
        if nesterov and not self._momentum:
            raise ArgumentError("[sgd] nesterov looks ahead along the momentum; got momentum=0.0; give a momentum > 0")
        self._flags = NESTEROV if nesterov else 0
        super().__init__(params, a=self._momentum, **common)

    def updates(self, moving: Sequence[Moving]) -> list[Launch]:
        sgd, hyper, flags = kernels.sgd, self.hyper, self._flags
        without_velocity = () if self._momentum else (ABSENT,)
        return [
            (sgd, (p, *slots, *without_velocity), (g, hyper), (p.size,), (), flags | self._rule(p))
            for p, g, slots in moving
        ]

    @property
    def momentum(self) -> float:
        """The share of the velocity that is kept; it may be set where there is a velocity."""
        return float(self.hyper.array[A])

    @momentum.setter
    def momentum(self, value: float) -> None:
        if not self._momentum:
            raise ArgumentError(
                f"[sgd] a velocity is kept if the optimizer was made so; got momentum = {value!r} afterwards; write "
                f"SGD(momentum={value!r})"
            )
        self.hyper.array[A] = decay_rate(self.name, "momentum", value)

    @property
    def nesterov(self) -> bool:
        """Whether a step looks ahead along the velocity."""
        return bool(self._flags)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "momentum": self.momentum, "nesterov": self.nesterov}

    def _kept_slots(self) -> tuple[str, ...]:
        return self.slots if self._momentum else ()
