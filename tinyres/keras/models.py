"""Keras' models, and `load_model`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyres.errors import closed
from tinyres.model import Model, Sequential, load
from tinyres.model.as_keras import clone_model, model_from_json
from tinyres.training.further import read_further

__all__ = [
    "Model",
    "Sequential",
    "clone_model",
    "load_model",
    "model_from_json",
]

_INSTEAD = {
    "model_from_yaml": "use model_from_json",
    "save_model": "use model.save(path)",
}


def load_model(filepath: Any, custom_objects: Any = None, compile: bool = True, **further: Any) -> Model:
    """tinyres.load by Keras' arguments. compile: False forgets what the model was compiled with.

    >>> import tinyres as tf
    >>> model = tf.keras.Sequential([tf.keras.Input(shape=(4,)), tf.keras.layers.Dense(3)])
    >>> model.save("model.npz")
    >>> tf.keras.models.load_model("model.npz").output_shape
    (None, 3)
    """
    read_further("load", further, "filepath, custom_objects and compile")
    model = load(filepath, custom_objects)
    if not compile:
        model.optimizer = model.loss = None
    return model


if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__, _INSTEAD)
