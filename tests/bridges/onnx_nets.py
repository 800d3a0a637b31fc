"""Nets that are exported: of every block, of the literature, and of single layers; and how onnxruntime runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinyres as tr
from tinyres import layers

rng = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def dense(block: Callable[..., Any]) -> tr.Model:
    """Two blocks of a preset between two Dense; weights and statistics are not those of a new net."""
    x = inputs = tr.Input(shape=(12,), name="x")
    x = layers.Dense(16, name="stem")(x)
    depth = (2,) if block is layers.blocks.skipinit else ()
    for i in range(2):
        with tr.name_scope(f"block{i}"):
            x = block(x, 16, *depth)
    return moved(tr.Model(inputs, layers.Dense(5, activation="softmax", name="answer")(x)))


def images(block: Callable[..., Any]) -> tr.Model:
    x = inputs = tr.Input(shape=(8, 8, 3), name="x")
    for i in range(2):
        with tr.name_scope(f"block{i}"):
            x = block(x, 8, 2 - i)
    return moved(tr.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(x))))


def single(make: Callable[[Any], Any], *shape: int | None) -> tr.Model:
    """One layer or function on an Input."""
    inputs = tr.Input(shape=shape, name="x")
    return moved(tr.Model(inputs, make(inputs)))


def moved(model: tr.Model) -> tr.Model:
    """The model with every weight a little off, variances above 0."""
    random = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(np.abs(weight.numpy() + 0.3 * random.uniform(-1, 1, weight.shape)) * _sign(weight))
    return model


def _sign(weight: Any) -> Any:
    return 1.0 if "variance" in weight.name else np.random.default_rng(2).choice([-1.0, 1.0], weight.shape)


def denoiser(diffusion: tr.Model) -> tr.Model:
    """What takes the noise off: what is around it draws noise, as training wants it."""
    return next(layer for layer in diffusion.layers if isinstance(layer, tr.Model))


A = tr.applications
PRESETS: dict[str, Callable[[], tr.Model]] = {
    name: lambda block=block: dense(block) for name, block in layers.blocks.PRESETS.items()
}
PRESETS |= {
    name: lambda name=name: images(getattr(layers.blocks, name))
    for name in ("basic", "bottleneck", "preact_basic", "preact_bottleneck")
}
WHOLE: dict[str, Callable[[], tr.Model]] = {
    "resnet": lambda: A.resnet(20, input_shape=(16, 16, 1), width=4),
    "vgg": lambda: A.vgg(11, 10, (32, 32, 3), batch_norm=True, units=16),
    **{
        f"gpt {norm}": lambda norm=norm: A.gpt(20, context=8, layers=2, heads=2, width=16, norm=norm)
        for norm in ("pre", "post", "deepnorm", "rezero")
    },
    "encoder": lambda: A.transformer_encoder(5, 8, 2, 2, 16, vocabulary=20),
    "encoder with padding": lambda: A.transformer_encoder(5, 8, 2, 2, 16, vocabulary=20, padding=0),
    "encoder of features": lambda: A.transformer_encoder(5, 8, 2, 2, 16, features=7),
    "unet": lambda: A.unet((16, 16, 1), 3, widths=(8, 16), groups=4),
    "unet that adds": lambda: A.unet((16, 16, 1), 3, widths=(8, 16), groups=4, skips="add", attention=(1,), heads=2),
    "unet with time": lambda: A.unet((8, 8, 1), 1, widths=(8, 16), groups=4, time=True, classes=4),
    "net of a diffusion": lambda: denoiser(A.diffusion((8, 8, 1), classes=3, widths=(8, 16), groups=4)),
}


def data_for(model: tr.Model, samples: int, size: int = 6) -> list[np.ndarray]:
    """Samples for each input of a model; size: where one is not known."""
    given = []
    for port in model.ports:
        shape = (samples, *[size if n is None else n for n in port.shape[1:]])
        given.append(
            floats(*shape).astype(port.dtype)
            if port.dtype.kind == "f"
            else rng.integers(0, 3, shape).astype(port.dtype)
        )
    return given


def predicted(model: tr.Model, given: list[np.ndarray]) -> list[np.ndarray]:
    found = model.predict(given if len(given) > 1 else given[0])
    return found if isinstance(found, list) else [found]


def run_by_onnxruntime(content: bytes | str, given: list[np.ndarray]) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {port.name: x for port, x in zip(session.get_inputs(), given)})
