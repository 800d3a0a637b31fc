"""A model as a pickle: the file that `model.save` writes, and the user's own classes in it by reference.

What a file does not keep, a pickle does not keep either: a loss or metric of one's own, the history.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any

from tinyres.errors import ArgumentError, TinyresError
from tinyres.launch import refuse_while_recording
from tinyres.model import saving
from tinyres.model.architecture import every_layer
from tinyres.ops.random import default_generator
from tinyres.store.definitions import PACKAGE, path_of

if TYPE_CHECKING:
    from tinyres.model.model import Model


def reduced(model: Model, protocol: int) -> Any:
    """What `pickle`, `copy.copy` and worker processes rebuild the model from.

    Raises ArgumentError if the model cannot be written to a file.
    """
    refuse_while_recording("pickle")
    classes = {type(layer) for layer in every_layer(model)}
    own = {path_of(c.__module__, c.__qualname__): c for c in classes if c.__module__.partition(".")[0] != PACKAGE}
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.npz")
            saving.save(model, path)
            with open(path, "rb") as file:
                return _rebuilt, (file.read(), own)
    except TinyresError as error:
        raise ArgumentError(
            f"[pickle] a model is pickled as the file that model.save writes; got {model!r}: {error}; make it one that "
            "can be saved, then save it with model.save"
        ) from error


def _rebuilt(content: bytes, own: dict[str, type]) -> Model:
    """The model; the library's generator stays where it is, for this process draws from it too."""
    generator = default_generator().state.array
    before = generator.copy()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.npz")
        with open(path, "wb") as file:
            file.write(content)
        model = saving.load(path, own)
    generator[...] = before
    return model
