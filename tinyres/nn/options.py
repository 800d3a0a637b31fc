"""The options that every layer of Keras has, and words for those that a layer does not take."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyres.errors import ArgumentError, Worded, refuse_arguments

# What Keras' layers take and these do not; None says nothing.
_REFUSED = {
    "activity_regularizer": "add what depends on activations to the loss, in a loop of your own",
    "autocast": "choose a dtype with model.astype",
    "constraint": "set the weights after each step, in a Callback",
    "bias_constraint": "set the weights after each step, in a Callback",
    "beta_constraint": "set the weights after each step, in a Callback",
    "beta_regularizer": "leave it out",
    "gamma_constraint": "set the weights after each step, in a Callback",
    "gamma_regularizer": "leave it out",
    "kernel_constraint": "set the weights after each step, in a Callback",
    "lora_rank": "leave it out",
    "noise_shape": "leave it out; each element is dropped by itself",
    "renorm": "leave it out",
    "rms_scaling": "use layers.RMSNormalization",
    "fused": "leave it out",
    "synchronized": "leave it out",
    "virtual_batch_size": "leave it out",
    "embeddings_constraint": "set the weights after each step, in a Callback",
    "input_length": "give the model a tr.Input(shape=(length,)), or leave it out",
    "reverse_dtype": "leave it out",
    "alpha_constraint": "set the weights after each step, in a Callback",
    "weights": "call layer.set_weights once it is built",
}


class OptionsOfKeras(Worded):
    """Makes layers; `input_shape`, `input_dim`, `trainable` and `dtype` are options of every one of them."""

    def __call__(cls, *args: Any, **options: Any) -> Any:
        parameters = dict(inspect.signature(cls.__init__).parameters)  # type: ignore[misc]
        open_end = next((name for name, p in parameters.items() if p.kind is p.VAR_KEYWORD), None)
        if open_end == "unknown":  # the base's, which refuses what it is given
            del parameters[open_end]
        passed_on = ("trainable", "dtype") if open_end not in (None, "unknown") else ()
        common = {key: options.pop(key) for key in _COMMON if key in options and key not in (*parameters, *passed_on)}
        if open_end in (None, "unknown"):
            for option in [key for key in options if key not in parameters]:
                value = options.pop(option)
                if value is not None or option not in _REFUSED:
                    refuse_option(cls.__name__, option, value, [name for name in parameters if name != "self"])
            refuse_arguments(cls.__name__, cls.__init__, (None, *args), options)  # type: ignore[misc]
        layer = type.__call__(cls, *args, **options)
        for option, value in common.items():
            if value is not None:
                _COMMON[option](layer, value)
        return layer


def refuse_option(owner: str, option: str, value: Any, known: list[str]) -> None:
    """Raise ArgumentError for an option that does not exist here."""
    remedy = _REFUSED.get(option, f"it takes {', '.join(known)}" if known else "it takes no options")
    raise ArgumentError(f"[{owner}] tinyres has no option {option}; got {value!r}; {remedy}")


def _set_shape(layer: Any, shape: Any) -> None:
    sizes = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if not all(isinstance(n, (int, np.integer)) and n > 0 for n in sizes):
        raise ArgumentError(
            f"[{type(layer).__name__}] input_shape is the shape of one sample, without batch; got {shape!r}; "
            "write input_shape=(64,)"
        )
    layer.sample_shape = tuple(int(n) for n in sizes)


def _set_batch_shape(layer: Any, shape: Any) -> None:
    _set_shape(layer, tuple(shape)[1:])


def _set_trainable(layer: Any, trainable: Any) -> None:
    layer.trainable = bool(trainable)


def _set_dtype(layer: Any, dtype: Any) -> None:
    layer.dtype = np.dtype(dtype)


# Set once the layer is made, since constructors of one's own need not know of them.
_COMMON: dict[str, Callable[[Any, Any], None]] = {
    "input_shape": _set_shape,
    "input_dim": _set_shape,
    "batch_input_shape": _set_batch_shape,
    "trainable": _set_trainable,
    "dtype": _set_dtype,
    "batch_size": lambda layer, size: None,  # of an Input only; any number of samples fits
}
