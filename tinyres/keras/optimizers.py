"""Keras' optimizers in its order of arguments, learning rate first; what they make is of `tinyres.optim`."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tinyres import optim
from tinyres.errors import ArgumentError, closed, refuse_arguments
from tinyres.optim import Optimizer, get, schedules

sys.modules[f"{__name__}.schedules"] = schedules  # for `from tinyres.keras.optimizers.schedules import …`

__all__ = [
    "Adam",
    "AdamW",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "SGD",
    "deserialize",
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
    "legacy": "leave legacy out, as in optimizers.Adam",
}


class _AsClass:
    """A function that makes optimizers, where Keras has their class."""

    def __init__(self, make: Callable[..., Optimizer], cls: type[Optimizer]) -> None:
        functools.update_wrapper(self, make)
        self._make, self._cls = make, cls

    def __call__(self, *args: Any, **options: Any) -> Any:
        refuse_arguments(self._make.__name__, self._make, args, options)
        if "lr" in options and (args or "learning_rate" in options):
            rate = args[0] if args else options["learning_rate"]
            raise ArgumentError(
                f"[{self._make.__name__}] lr and learning_rate are one; got {rate!r} and lr={options['lr']!r}; give one"
            )
        return self._make(*args, **options)

    def from_config(self, config: dict[str, Any]) -> Any:
        """An optimizer by Keras' options, or by what `get_config` gave."""
        ours = "betas" in config or "clip_norm" in config
        return self._cls.from_config(config) if ours else self(**config)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._cls)

    def __reduce__(self) -> str:
        return self._make.__name__

    def __repr__(self) -> str:
        return f"<optimizer {self._make.__name__}>"


def _as_class(cls: type[Optimizer]) -> Callable[[Callable[..., Optimizer]], _AsClass]:
    return lambda make: _AsClass(make, cls)


def deserialize(config: Any, **options: Any) -> Optimizer:
    """The optimizer of {"class_name": …, "config": …}, by Keras' options.

    Raises ArgumentError for an unknown class.

    >>> import tinyres as tf
    >>> tf.keras.optimizers.deserialize({"class_name": "SGD", "config": {"learning_rate": 0.5}}).learning_rate
    0.5
    """
    made = globals().get(str(config.get("class_name")))
    if not isinstance(made, _AsClass):
        raise ArgumentError(
            f"[optimizers] a record has class_name and config; got {config!r}; its class is one of {sorted(_MADE)}"
        )
    return made.from_config(dict(config.get("config", {})))


@_as_class(optim.SGD)
def SGD(
    learning_rate: Any = 0.01, momentum: float = 0.0, nesterov: bool = False, weight_decay: Any = None, **options: Any
) -> optim.SGD:
    """tinyres.optim.SGD by Keras' arguments.

    Raises ArgumentError for options that tinyres has not.

    >>> import tinyres as tf
    >>> tf.keras.optimizers.SGD(0.1, 0.9).momentum
    0.9
    """
    given = _read("SGD", learning_rate, weight_decay, options)
    return optim.SGD(momentum=momentum, nesterov=nesterov, **given)


@_as_class(optim.Adam)
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

    Raises ArgumentError for options that tinyres has not.

    >>> import tinyres as tf
    >>> tf.keras.optimizers.Adam(1e-4).learning_rate
    0.0001
    """
    given = _read("Adam", learning_rate, weight_decay, {**options, "amsgrad": amsgrad})
    return optim.Adam(betas=(beta_1, beta_2), epsilon=epsilon, **given)


@_as_class(optim.AdamW)
def AdamW(
    learning_rate: Any = 0.001,
    weight_decay: Any = 0.004,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    amsgrad: bool = False,
    **options: Any,
) -> optim.AdamW:
    """tinyres.optim.AdamW by Keras' arguments.

    Raises ArgumentError for options that tinyres has not.

    >>> import tinyres as tf
    >>> tf.keras.optimizers.AdamW(1e-4).learning_rate
    0.0001
    """
    given = _read("AdamW", learning_rate, weight_decay, {**options, "amsgrad": amsgrad})
    return optim.AdamW(betas=(beta_1, beta_2), epsilon=epsilon, **given)


@_as_class(optim.Nadam)
def Nadam(
    learning_rate: Any = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: Any = None,
    **options: Any,
) -> optim.Nadam:
    """tinyres.optim.Nadam by Keras' arguments.

    Raises ArgumentError for options that tinyres has not.

    >>> import tinyres as tf
    >>> tf.keras.optimizers.Nadam(1e-4).learning_rate
    0.0001
    """
    given = _read("Nadam", learning_rate, weight_decay, options)
    return optim.Nadam(betas=(beta_1, beta_2), epsilon=epsilon, **given)


@_as_class(optim.RMSprop)
def RMSprop(
    learning_rate: Any = 0.001,
    rho: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-7,
    centered: bool = False,
    weight_decay: Any = None,
    **options: Any,
) -> optim.RMSprop:
    """tinyres.optim.RMSprop by Keras' arguments.

    Raises ArgumentError for options that tinyres has not.

    >>> import tinyres as tf
    >>> tf.keras.optimizers.RMSprop(1e-4).learning_rate
    0.0001
    """
    given = _read("RMSprop", learning_rate, weight_decay, options)
    return optim.RMSprop(rho=rho, momentum=momentum, epsilon=epsilon, centered=centered, **given)


_MADE = ("Adam", "AdamW", "Nadam", "RMSprop", "SGD")
_REFUSED = {
    "amsgrad": "leave it out",
    "clipnorm": "Keras' clips each weight's gradient by itself; give global_clipnorm, which clips them together",
    "clipvalue": "give global_clipnorm",
    "decay": "give a schedule, such as optimizers.schedules.InverseTimeDecay, as learning_rate",
    "ema_momentum": "leave it out",
    "loss_scale_factor": "leave it out; there is no half precision",
    "use_ema": "leave it out",
}


def _read(owner: str, learning_rate: Any, weight_decay: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Keras' options as ours: those that say nothing fall away, those that we do not have are refused."""
    given = {"lr": options.pop("lr", learning_rate), "weight_decay": weight_decay or 0.0}
    options.pop("name", None)
    options.pop("jit_compile", None)
    if not options.get("use_ema"):
        options.pop("ema_momentum", None)
        options.pop("ema_overwrite_frequency", None)
    if options.get("global_clipnorm") is not None:
        given["clip_norm"] = options["global_clipnorm"]
    if options.get("gradient_accumulation_steps") is not None:
        given["gradient_accumulation_steps"] = options["gradient_accumulation_steps"]
    for option, value in options.items():
        unset = value is None or value is False
        if option not in ("global_clipnorm", "gradient_accumulation_steps") and not (unset and option in _REFUSED):
            remedy = _REFUSED.get(option, "leave it out")
            raise ArgumentError(f"[{owner}] tinyres has no option {option}; got {value!r}; {remedy}")
    return given


if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__, _INSTEAD)
