"""What a model can do beside training: single batches, files, names of metrics, its architecture as plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from tinyres.errors import ArgumentError
from tinyres.model import architecture, saving
from tinyres.model.foreign import Loaded, Names
from tinyres.model.generating import generate
from tinyres.model.rebuilding import Reader
from tinyres.nn.functional import Functional
from tinyres.store.opening import PathLike
from tinyres.training.further import read_further
from tinyres.training.single import as_keras, predict_on_batch, test_on_batch, train_on_batch

if TYPE_CHECKING:
    from tinyres.model.model import Model

_ANY_SIZE = 1 << 40  # what is rebuilt here comes from this program, not from a file


class AsKeras(Functional):
    """The base of Model with all that is not training."""

    def train_on_batch(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
        **further: Any,
    ) -> Any:
        """One captured training step on one batch: its loss, with metrics [loss, each metric], or a dict by name.

        x, y, sample_weight, class_weight: as for `fit`. The values are those of this batch, before its step.

        >>> import tinyres as tr
        >>> model = tr.Sequential([tr.layers.Dense(1, kernel_initializer="zeros")])
        >>> model.compile(optimizer="sgd", loss="mse")
        >>> model.train_on_batch([[1.0]], [[2.0]])
        4.0
        """
        read_further("train_on_batch", further, "x, y, sample_weight, class_weight and return_dict")
        return as_keras(train_on_batch(self._model, x, y, sample_weight, class_weight), return_dict)

    def test_on_batch(
        self, x: Any, y: Any, sample_weight: Any = None, return_dict: bool = False, **further: Any
    ) -> Any:
        """What `train_on_batch` returns, in inference and without a step."""
        read_further("test_on_batch", further, "x, y, sample_weight and return_dict")
        return as_keras(test_on_batch(self._model, x, y, sample_weight), return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """What `predict` returns, for one batch."""
        return predict_on_batch(self._model, x)

    def save(self, path: PathLike, **further: Any) -> None:
        """Write the model to an .npz file: layers, weights, optimizer, generators, and how far `fit` has come.

        A kill at any moment leaves the old file or the new one. Raises FileError if the file cannot be written.
        """
        read_further("save", further, "a path that ends in .npz")
        saving.save(self._model, path)

    def save_weights(self, path: PathLike, names: Names = None, **further: Any) -> None:
        """Write the weights alone, for `load_weights`, whole or not at all: to .npz, or for PyTorch to .safetensors.

        names: for .safetensors, what PyTorch calls layers that go by other names here; see `load_weights`. Raises
        MissingExtraError where the library for it is not installed.
        """
        read_further("save_weights", further, "a path that ends in .npz or .safetensors")
        saving.save_weights(self._model, path, names)

    def load_weights(self, path: PathLike, names: Names = None, strict: bool = True, **further: Any) -> Loaded:
        """Take over the weights of a model of the same architecture, and tell what matched; all or nothing.

        path: .npz of this library; .safetensors, a state dict of PyTorch; .weights.h5 or .keras of Keras 3. What
        stands otherwise there (a Dense's matrix, a kernel's axes) is turned. names: of .safetensors, what a layer is
        called there, by its path ("block3/dense": "layer1.0.fc1") or as a function of it; else its path with dots. Of
        Keras' files layers go by class and order. strict=False: take over what fits and leave the rest as it is.
        Raises FileError, and changes nothing, where a weight is missing or has another shape, where the file has more
        than the model, or is none; MissingExtraError where the library for it is not installed.
        """
        read_further("load_weights", further, "a path, names and strict")
        return saving.load_weights(self._model, path, names, strict)

    def generate(
        self,
        prompt: Any,
        max_new_tokens: int = 100,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int | None = None,
        text: Any = None,
        cache: bool = True,
    ) -> Any:
        """The prompt and how it goes on: tokens drawn one after the other by the scores of this model.

        prompt: ids (tokens,) or (batch, tokens); or a string, with text, what tr.data.text gave, and a string comes
        back. temperature: scores are divided by it; 0 takes the likeliest token. top_k: draw among so many of the best.
        seed: of the draws; default: the library's generator. cache: keep keys and values of earlier tokens, which
        changes the speed alone. Where a model has so many places and no more, it looks at the last ones.
        Raises ArgumentError for a model of anything but ids, ShapeError for an empty prompt or one longer than the
        model's places.

        >>> import tinyres as tr
        >>> model = tr.applications.gpt(5, context=8, layers=1, heads=1, width=4)
        >>> model.generate([1, 2], max_new_tokens=3, seed=0).shape
        (5,)
        """
        return generate(self, prompt, max_new_tokens, temperature, top_k, seed, text, cache)

    @property
    def metrics_names(self) -> list[str]:
        """The names of what `evaluate` returns, the loss first. Raises ArgumentError before the model is compiled."""
        if not self.built:
            raise ArgumentError("[metrics_names] outputs are known once a model is built; got none; call it on data")
        return list(self._model.plan("metrics_names").testing.read())

    def reset_metrics(self) -> None:
        """Nothing: what `train_on_batch` returns is of its batch alone, and `evaluate` begins anew."""

    @property
    def keras_kind(self) -> str:
        """What Keras calls models in files: a Model of a graph is of a class of its own there."""
        kind = super().keras_kind
        return "functional" if kind == "model" else kind

    def get_config(self) -> dict[str, Any]:
        """The architecture without weights, as plain data for `from_config`.

        >>> import tinyres as tr
        >>> model = tr.Sequential([tr.Input(shape=(2,)), tr.layers.Dense(1)], name="line")
        >>> tr.Sequential.from_config(model.get_config()).count_params()
        3
        """
        return architecture.encode_layer(self) if self.steps else super().get_config()

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A new model, with fresh weights, from what `get_config` gave."""
        return Reader(None, _ANY_SIZE).layer(config) if "graph" in config else super().from_config(config)

    def to_json(self) -> str:
        """`get_config` as JSON, for tinyres.keras.models.model_from_json."""
        return json.dumps(architecture.encode_layer(self))

    @property
    def _model(self) -> Model:
        return cast("Model", self)


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """A new model, with fresh weights, from what `to_json` gave. custom_objects: see tinyres.load.

    >>> import tinyres as tf
    >>> model = tf.keras.Sequential([tf.keras.Input(shape=(4,)), tf.keras.layers.Dense(3)])
    >>> tf.keras.models.model_from_json(model.to_json()).output_shape
    (None, 3)
    """
    return cast("Model", Reader(custom_objects, _ANY_SIZE).layer(json.loads(json_string)))


def clone_model(model: Model, *args: Any, **kwargs: Any) -> Model:
    """A model of the same layers, with fresh weights. Raises ArgumentError for Keras' further options.

    >>> import tinyres as tf
    >>> model = tf.keras.Sequential([tf.keras.Input(shape=(4,)), tf.keras.layers.Dense(3)])
    >>> tf.keras.models.clone_model(model).count_params() == model.count_params()
    True
    """
    if any(value is not None for value in (*args, *kwargs.values())):
        raise ArgumentError("[clone_model] layers are made as they were; got further options; build the model anew")
    return cast("Model", Reader(None, _ANY_SIZE).layer(architecture.encode_layer(model)))
