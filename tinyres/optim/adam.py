"""Adam, and AdamW with its weight decay apart from the gradient."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tinyres import kernels
from tinyres.engine.tensor import Tensor
from tinyres.kernels.record import DECOUPLED
from tinyres.launch import Launch
from tinyres.optim.numbers import EPSILON, Betas, Common, Number, positive
from tinyres.optim.optimizer import Moving, Optimizer

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and of its square (Kingma and Ba 2015).

    lr, weight_decay, clip_norm and other common options: see Optimizer; g is gradient + weight_decay·p. betas: the
    decay rates of the two means. epsilon: added to the root of the second. Raises ArgumentError for numbers out of
    range. params: Tensors of any shape.

    >>> import tinyres as tr
    >>> w = tr.tensor([3.0], requires_grad=True)
    >>> opt = tr.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward(); opt.step()
    >>> f"{w.item():.1f}"
    '2.9'
    """

    name = "adam"
    accumulates = True
    slots = ("m", "v")
    _flags = 0

    betas = Betas()
    epsilon = Number(EPSILON, positive, "What is added to the root of the second mean.")

    def __init__(
        self,
        params: Iterable[Tensor] | None = None,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        **common: Unpack[Common],
    ) -> None:
        a, b = Betas.read(self.name, betas)
        super().__init__(params, a=a, b=b, epsilon=positive(self.name, "epsilon", epsilon), **common)

    def updates(self, moving: Sequence[Moving]) -> list[Launch]:
        adam, hyper, flags = kernels.adam, self.hyper, self._flags
        return [(adam, (p, *slots), (g, hyper), (p.size,), (), flags | self._rule(p)) for p, g, slots in moving]

    def config(self) -> dict[str, Any]:
        return {**super().config(), "betas": self.betas, "epsilon": self.epsilon}


class AdamW(Adam):
    """Adam whose weight decay shrinks parameters directly: p = p·(1 − lr·weight_decay) (Loshchilov and Hutter 2019).

    Arguments as Adam's; weight_decay is 0.01 unless told otherwise. params: Tensors of any shape.

    >>> import tinyres as tr
    >>> tr.optim.AdamW(lr=0.002).lr
    0.002
    """

    name = "adamw"
    default_weight_decay = 0.01
    _flags = DECOUPLED
