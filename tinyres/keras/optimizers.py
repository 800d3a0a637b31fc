"""Keras' optimizers in its order of arguments, learning rate first; what they make is of `tinyres.optim`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from tinyres import optim
from tinyres.errors import ArgumentError, refuse_name
from tinyres.optim import Optimizer, get, schedules

__all__ = [
    "Adam",
    "AdamW",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "SGD",
    "get",
    "schedules",
]

_INSTEAD = {
    "Adadelta": "use RMSprop or Adam",
    "Adafactor": "use AdamW",
    "Adagrad": "use RMSprop or Adam",
    "Adamax": "use Adam",
    "Ftrl": "use SGD or Adam",
    "Lion": "use AdamW",
}


def SGD(
    learning_rate: Any = 0.01, momentum: float = 0.0, nesterov: bool = False, weight_decay: Any = None, **options: Any
) -> optim.SGD:
    """tinyres.optim.SGD by Keras' arguments.

    >>> import tinyres as tf
    >>> tf.keras.optimizers.SGD(0.1, 0.9).momentum
    0.9
    """
    given = _read("SGD", learning_rate, weight_decay, options)
    return optim.SGD(momentum=momentum, nesterov=nesterov, **given)


def Adam(
    learning_rate: Any = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    amsgrad: bool = False,
    weight_decay: Any = None,
    **options: Any,
) -> optim.Adam:
    """tinyres.optim.Adam by Keras' arguments.

    >>> import tinyres as tf
    >>> tf.keras.optimizers.Adam(1e-4).learning_rate
    0.0001
    """
    given = _read("Adam", learning_rate, weight_decay, {**options, "amsgrad": amsgrad})
    return optim.Adam(betas=(beta_1, beta_2), epsilon=epsilon, **given)


def AdamW(
    learning_rate: Any = 0.001,
    weight_decay: Any = 0.004,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    amsgrad: bool = False,
    **options: Any,
) -> optim.AdamW:
    """tinyres.optim.AdamW by Keras' arguments."""
    given = _read("AdamW", learning_rate, weight_decay, {**options, "amsgrad": amsgrad})
    return optim.AdamW(betas=(beta_1, beta_2), epsilon=epsilon, **given)


def Nadam(
    learning_rate: Any = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: Any = None,
    **options: Any,
) -> optim.Nadam:
    """tinyres.optim.Nadam by Keras' arguments."""
    given = _read("Nadam", learning_rate, weight_decay, options)
    return optim.Nadam(betas=(beta_1, beta_2), epsilon=epsilon, **given)


def RMSprop(
    learning_rate: Any = 0.001,
    rho: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-7,
    centered: bool = False,
    weight_decay: Any = None,
    **options: Any,
) -> optim.RMSprop:
    """tinyres.optim.RMSprop by Keras' arguments."""
    given = _read("RMSprop", learning_rate, weight_decay, options)
    return optim.RMSprop(rho=rho, momentum=momentum, epsilon=epsilon, centered=centered, **given)


_REFUSED = {
    "amsgrad": "leave it out",
    "clipnorm": "Keras' clips each weight's gradient by itself; give global_clipnorm, which clips them together",
    "clipvalue": "give global_clipnorm",
    "decay": "give a schedule, such as optimizers.schedules.InverseTimeDecay, as learning_rate",
    "ema_momentum": "leave it out",
    "gradient_accumulation_steps": "add up gradients in a loop of your own, with tinyres.capture",
    "jit_compile": "leave it out; steps are captured",
    "loss_scale_factor": "leave it out; there is no half precision",
    "use_ema": "leave it out",
}


def _read(owner: str, learning_rate: Any, weight_decay: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Keras' options as ours: those that say nothing fall away, those that we do not have are refused."""
    given = {"lr": options.pop("lr", learning_rate), "weight_decay": weight_decay or 0.0}
    options.pop("name", None)
    if options.get("global_clipnorm") is not None:
        given["clip_norm"] = options["global_clipnorm"]
    for option, value in options.items():
        if option != "global_clipnorm" and (value not in (None, False) or option not in _REFUSED):
            remedy = _REFUSED.get(option, "leave it out")
            raise ArgumentError(f"[{owner}] tinyres has no option {option}; got {value!r}; {remedy}")
    return given


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        refuse_name(__name__, name, __all__, _INSTEAD)
