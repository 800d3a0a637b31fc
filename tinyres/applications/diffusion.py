"""Diffusion (Ho et al. 2020): a net that learns to take noise away, and images made by asking it again and again.

Source of the sampler: Song et al. 2021 (DDIM); of guidance: Ho and Salimans 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyres.applications.unet import unet
from tinyres.capture import capture
from tinyres.engine.state import no_grad
from tinyres.engine.tensor import Tensor, tensor
from tinyres.errors import ArgumentError
from tinyres.layers.merge import Subtract
from tinyres.layers.noise import Diffuse, signal_shares
from tinyres.layers.scaling import Rescaling
from tinyres.model import Model
from tinyres.nn.operators import Input
from tinyres.ops.random import default_generator


def diffusion(
    input_shape: Sequence[int] = (8, 8, 1),
    classes: int | None = None,
    net: Model | None = None,
    steps: int = 1000,
    schedule: str = "cosine",
    prediction: str = "noise",
    drop: float = 0.1,
    name: str | None = None,
    **options: Any,
) -> Model:
    """A model that learns to make images like those it is fitted to, compiled with Adam: model.fit(images, images).

    Its output is what it misses of the noise that it was given, the loss the mean square of that. Noise and times are
    drawn within the step. input_shape: of an image, whose values lie in 0 … 1. classes: then it is fitted to
    ([images, labels], images), and makes images of a class; a label is left out with probability `drop`. net: takes
    [images, times] or [images, times, labels] and gives images; a `unet` with `options` if left out. steps: of noise.
    schedule: "cosine" or "linear". prediction: "noise" or "velocity". `tr.applications.sample` makes images.
    Raises ArgumentError for options out of range.

    >>> import tinyres as tr
    >>> model = tr.applications.diffusion((8, 8, 1), widths=(8, 16), steps=100)
    >>> tr.applications.sample(model, 2, steps=3, seed=0).shape
    (2, 8, 8, 1)
    """
    if net is not None and options:
        raise ArgumentError(f"[diffusion] {sorted(options)} are of the U-Net; got a net too; leave out one of them")
    if net is None:
        net = unet(input_shape, time=True, classes=classes, name="net", **options)
    images = Input(shape=tuple(input_shape), name="images")
    labels = [] if classes is None else [Input(shape=(), dtype="int64", name="label")]
    centred = Rescaling(2.0, -1.0, name="centred")(images)
    mixing = Diffuse(steps, schedule, prediction, classes, drop, name="diffuse")
    noisy, time, target, *told = mixing([centred, *labels] if labels else centred)
    error = Subtract(name="error")([net([noisy, time, *told]), target])
    model = Model([images, *labels] if labels else images, error, name=name)
    model.compile("adam", "squared_output")
    return model


def sample(
    model: Model,
    count: int = 16,
    labels: Any = None,
    steps: int = 50,
    guidance: float = 0.0,
    eta: float = 0.0,
    seed: int | None = None,
) -> np.ndarray:
    """Images (count, height, width, channels) in 0 … 1, made of noise by a model of `diffusion`.

    labels: a class per image, or one for all, where the model knows classes; else none. steps: how often the net is
    asked, as many of its times. guidance: how far to go beyond what the class asks, (1 + g) · told - g · not told.
    eta: 0 for DDIM, where only the first noise is chance; 1 for DDPM's own amount of noise in every step. seed: the
    library's generator if left out. Raises ArgumentError for another model and for options out of range.

    >>> model = diffusion((4, 4, 1), widths=(4, 8), steps=50)
    >>> sample(model, 3, steps=4, seed=0).shape
    (3, 4, 4, 1)
    """
    mixing, net = _parts(model)
    chosen = _labels(mixing, count, labels)
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or not 1 <= steps <= mixing.steps:
        raise ArgumentError(f"[sample] steps are a count from 1 to {mixing.steps}; got {steps!r}; give 50")
    if not 0.0 <= eta <= 1.0 or not guidance >= 0.0:
        raise ArgumentError(
            f"[sample] eta lies in 0 … 1, guidance from 0 on; got {eta!r} and {guidance!r}; give 0.0 and 2.0"
        )
    random = default_generator().numpy() if seed is None else np.random.default_rng(seed)
    shares = signal_shares(mixing.schedule, mixing.steps)
    times = np.round(np.linspace(mixing.steps - 1, 0, steps)).astype(int)
    x = random.standard_normal([count, *(int(size or 1) for size in model.inputs[0].shape[1:])])
    ask = _asking(net, mixing, chosen, guidance)
    for i, time in enumerate(times):
        kept, next_kept = shares[time], shares[times[i + 1]] if i + 1 < steps else 1.0
        image = np.clip(_clean(x, ask(x, time), kept, mixing.prediction), -1.0, 1.0)
        noise = (x - np.sqrt(kept) * image) / np.sqrt(1.0 - kept)
        spread = eta * np.sqrt((1.0 - next_kept) / (1.0 - kept) * (1.0 - kept / next_kept))
        x = np.sqrt(next_kept) * image + np.sqrt(max(1.0 - next_kept - spread**2, 0.0)) * noise
        if spread:
            x = x + spread * random.standard_normal(x.shape)
    return ((x + 1.0) / 2.0).astype(np.float32)


def _parts(model: Any) -> tuple[Diffuse, Any]:
    layers = list(getattr(model, "layers", []))
    mixing = next((layer for layer in layers if isinstance(layer, Diffuse)), None)
    net = next((layer for layer in layers if isinstance(layer, Model)), None)
    if mixing is None or net is None:
        raise ArgumentError(
            f"[sample] images are made by a model of tr.applications.diffusion; got {model!r}; build one"
        )
    return mixing, net


def _labels(mixing: Diffuse, count: Any, labels: Any) -> np.ndarray | None:
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
        raise ArgumentError(f"[sample] count is how many images, from 1 on; got {count!r}; give 16")
    if mixing.classes is None:
        if labels is not None:
            raise ArgumentError(f"[sample] this model knows no classes; got labels {labels!r}; leave them out")
        return None
    chosen = np.asarray(mixing.classes if labels is None else labels)
    if (
        chosen.dtype.kind not in "iu"
        or chosen.shape not in ((), (count,))
        or not 0 <= chosen.min() <= chosen.max() <= (mixing.classes)
    ):
        raise ArgumentError(
            f"[sample] labels are classes from 0 to {mixing.classes - 1}, one or {count} of them; got {labels!r}; "
            "leave them out for images of any class"
        )
    return np.broadcast_to(chosen, (int(count),)).astype(np.int64)


def _asking(net: Any, mixing: Diffuse, labels: np.ndarray | None, guidance: float) -> Any:
    """What the net says of images at a time: in one captured call, twice as many where it is guided."""
    guided = guidance > 0.0 and labels is not None

    def forward(*given: Tensor) -> Tensor:
        with no_grad():
            return net(list(given), training=False)

    step = capture(forward)

    def ask(x: np.ndarray, time: int) -> np.ndarray:
        told = [] if labels is None else [labels]
        if guided:
            x, told = np.concatenate([x, x]), [np.concatenate([labels, np.full_like(labels, mixing.classes)])]
        times = np.full(len(x), float(time))
        given = [tensor(x), tensor(times), *(tensor(each, dtype="int64") for each in told)]
        answer = step(*given).numpy().astype(np.float64)
        if not guided:
            return answer
        with_class, without = np.split(answer, 2)
        return (1.0 + guidance) * with_class - guidance * without

    return ask


def _clean(x: np.ndarray, answer: np.ndarray, kept: float, prediction: str) -> np.ndarray:
    """The image without its noise, by what the net said."""
    if prediction == "velocity":
        return np.sqrt(kept) * x - np.sqrt(1.0 - kept) * answer
    return (x - np.sqrt(1.0 - kept) * answer) / np.sqrt(kept)
