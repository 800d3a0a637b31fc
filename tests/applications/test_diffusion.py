"""Diffusion: what is mixed, what is learnt, what is sampled, and that a step draws anew in one captured call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError
from tinyres.layers.noise import signal_shares

RNG = np.random.default_rng(0)


def small(**options: Any) -> tr.Model:
    return tr.applications.diffusion((4, 4, 1), **{"widths": (4, 8), "steps": 50, **options})


def test_schedules_are_those_of_the_papers() -> None:
    linear, cosine = signal_shares("linear", 1000), signal_shares("cosine", 1000)
    assert np.allclose(linear, np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)))
    f = np.cos((np.arange(1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
    assert np.allclose(cosine[:-1], f[1:-1] / f[0]) and 0 < cosine[-1] < 1e-4


@pytest.mark.parametrize("prediction", ["noise", "velocity"])
def test_images_are_mixed_as_much_as_their_time_says(prediction: str) -> None:
    x = RNG.normal(size=(400, 4, 4, 1))
    noisy, time, target = (t.numpy() for t in layers.Diffuse(100, "cosine", prediction, seed=3)(tr.tensor(x)))
    assert time.min() >= 0 and time.max() <= 99 and 35 < time.mean() < 64 and np.array_equal(time, np.floor(time))
    kept = signal_shares("cosine", 100)[time.astype(int)][:, None, None, None]
    if prediction == "noise":
        assert np.allclose(np.sqrt(kept) * x + np.sqrt(1 - kept) * target, noisy, atol=1e-5)
        assert abs(target.mean()) < 0.05 and abs(target.std() - 1) < 0.05
    else:
        assert np.allclose(np.sqrt(kept) * noisy - np.sqrt(1 - kept) * target, x, atol=1e-5)


def test_labels_are_left_out_in_training_only() -> None:
    mixing = layers.Diffuse(10, classes=7, drop=0.3, seed=0)
    x, labels = tr.zeros((1000, 2, 2, 1)), tr.tensor(np.arange(1000) % 7, dtype="int64")
    assert mixing([x, labels])[3].tolist() == labels.tolist()
    told = mixing([x, labels], training=True)[3].numpy()
    assert 0.25 < (told == 7).mean() < 0.35 and (told[told != 7] == labels.numpy()[told != 7]).all()


@pytest.mark.slow
def test_a_captured_step_draws_anew_each_time_and_equals_eager() -> None:
    x = RNG.random((32, 4, 4, 1))
    losses = []
    for captured in (True, False):
        tr.manual_seed(5)
        model = small()
        history = model.fit(x, x, batch_size=8, epochs=3, verbose=0, capture=captured)
        losses.append(history.history["loss"])
        assert len(set(losses[-1])) == 3
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_a_model_of_one_image_makes_that_image(tmp_path: Path) -> None:
    tr.manual_seed(0)
    image = (RNG.random((1, 4, 4, 1)) > 0.5) * 0.8 + 0.1
    model = small(prediction="velocity")
    model.compile(tr.optim.Adam(lr=5e-3), "squared_output")
    model.fit(np.repeat(image, 512, 0), np.repeat(image, 512, 0), epochs=15, verbose=0)
    made = tr.applications.sample(model, 8, steps=20, seed=0)
    assert made.shape == (8, 4, 4, 1) and made.dtype == np.float32
    assert np.abs(made - image).mean() < 0.1
    model.save(tmp_path / "model.npz")
    loaded = tr.load(tmp_path / "model.npz")
    assert np.array_equal(tr.applications.sample(loaded, 8, steps=20, seed=0), made)
    assert loaded.fit(np.repeat(image, 32, 0), np.repeat(image, 32, 0), verbose=0).history["loss"][0] < 0.5


@pytest.mark.slow
def test_sampling_is_seeded_guided_and_as_random_as_eta_says() -> None:
    tr.manual_seed(0)
    model = small(classes=2)
    x, y = RNG.random((16, 4, 4, 1)), np.arange(16) % 2
    model.fit([x, y], x, verbose=0)

    def made(**options: Any) -> np.ndarray:
        return tr.applications.sample(model, 2, **{"labels": [0, 1], "steps": 5, "seed": 1, **options})

    assert np.array_equal(made(), made()) and np.array_equal(made(labels=1)[1], made()[1])
    for other in ({"seed": 2}, {"eta": 1.0}, {"guidance": 2.0}, {"labels": None}, {"steps": 7}):
        assert not np.array_equal(made(), made(**other))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: small(schedule="sigmoid"), "schedule is one of 'linear', 'cosine'; got 'sigmoid'"),
        (lambda: small(prediction="x"), "prediction is one of 'noise', 'velocity'; got 'x'"),
        (lambda: small(steps=1), "steps are a count from 2 to 1048576; got 1"),
        (lambda: small(net=small()), r"\['widths'\] are of the U-Net; got a net too"),
        (lambda: tr.applications.sample(small(), 0), "count is how many images, from 1 on; got 0"),
        (lambda: tr.applications.sample(small(), 1, labels=1), "this model knows no classes; got labels 1"),
        (lambda: tr.applications.sample(small(classes=2), 1, labels=3), "labels are classes from 0 to 1"),
        (lambda: tr.applications.sample(small(classes=2), 2, labels=[0, 1, 1]), "labels are classes from 0 to 1"),
        (lambda: tr.applications.sample(small(), 1, steps=51), "steps are a count from 1 to 50; got 51"),
        (lambda: tr.applications.sample(small(), 1, eta=2.0), "eta lies in 0 … 1"),
        (lambda: tr.applications.sample(tr.applications.unet((4, 4, 1)), 1), "a model of tr.applications.diffusion"),
    ],
)
def test_what_does_not_fit_is_told(call: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        call()
