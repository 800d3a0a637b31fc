"""Images as people give them to fit, predict and a call: bytes, wrong shapes, and more than memory holds."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.backends import memory
from tinyres.errors import OutOfMemoryError, ShapeError
from tinyres.nn import hints

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (8, 12, 10, 3), np.uint8)
IMAGES = RNG.normal(size=(8, 12, 10, 3)).astype("float32")
LABELS = np.arange(8) % 2


def net(*first, shape=(12, 10, 3)):
    model = tr.Sequential([tr.Input(shape=shape), *first, layers.Flatten(), layers.Dense(2, activation="softmax")])
    model.compile("sgd", loss="sparse_categorical_crossentropy")
    return model


@pytest.fixture
def unsaid(monkeypatch):
    monkeypatch.setattr(hints, "_said", set())


CALLS = {
    "fit": lambda model: model.fit(BYTES, LABELS, verbose=0),
    "evaluate": lambda model: model.evaluate(BYTES, LABELS),
    "predict": lambda model: model.predict(BYTES),
    "Sequential": lambda model: model(BYTES),
}


@pytest.mark.parametrize("op", CALLS)
def test_bytes_are_cast_and_the_hint_is_said_once(op, unsaid):
    model = net(layers.RandomFlip(), layers.Conv2D(2, 3))
    with pytest.warns(UserWarning) as caught:
        CALLS[op](model)
    (said,) = caught
    assert str(said.message) == (
        f"[{op}] images of bytes, 0 to 255, are cast and go into conv2d as they are; got uint8 of shape "
        "(8, 12, 10, 3); weights start out for values of about 1: divide by 255, or begin with "
        "layers.Rescaling(1 / 255)"
    )
    assert said.filename == __file__
    for call in CALLS.values():
        call(model)
    assert np.array_equal(model.predict(BYTES), model.predict(BYTES.astype("float32")))


def test_what_is_scaled_or_is_no_image_is_not_hinted_at(unsaid):
    class Own(tr.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(tr.reshape(x, (x.shape[0], -1)) / 255.0)

    inputs = tr.Input(shape=(12, 10, 3))
    scaled = tr.Model(inputs, layers.Conv2D(2, 3)(inputs / 255.0))
    inside = net(tr.Sequential([layers.Flatten(), layers.Rescaling(1 / 255), layers.Dense(3)]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for model in (net(layers.Rescaling(1 / 255)), net(layers.BatchNorm()), scaled, Own(), inside):
            model.predict(BYTES)
        net(layers.Conv2D(2, 3)).predict(BYTES // 255)
        layers.Dense(2)(BYTES[:, 0, 0])
    with pytest.warns(UserWarning, match="go into dense as they are"):
        net().predict(BYTES)


@pytest.mark.parametrize(
    ("shape", "given", "hint"),
    [
        ((12, 10, 3), (8, 9, 9, 3), "built for images of 12 x 10 x 3; resize them, or build it for these"),
        ((12, 10, 3), (8, 3, 12, 10), "channels stand last, x.transpose(0, 2, 3, 1)"),
        ((12, 10, 3), (12, 10, 3), "a single sample is x[None]"),
        ((12, 10, 3), (8, 360), "use x.reshape(-1, 12, 10, 3)"),
        ((12, 10, 3), (8, 7), "give one image per sample"),
        ((12, 10, 1), (8, 12, 10), "give the channel an axis, x[..., None]"),
        ((None, None, 3), (8, 3, 12, 10), "channels stand last, x.transpose(0, 2, 3, 1)"),
    ],
)
def test_images_of_another_shape_are_told_what_to_do(shape, given, hint):
    x = tr.Input(shape=shape)
    model = tr.Model(x, layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(x)))
    with pytest.raises(ShapeError) as caught:
        model.predict(np.zeros(given, np.float32))
    assert str(caught.value).endswith(f"got {given}; {hint}".replace("; built", "; this model was built"))


def test_bytes_in_words():
    assert [memory.in_words(n) for n in (5 << 20, 999_000_000, 3_210_000_000)] == ["5 MB", "999 MB", "3.2 GB"]
    assert memory.available() > 0


def test_more_than_memory_is_refused_before_it_is_taken(monkeypatch):
    with pytest.raises(OutOfMemoryError, match=r"one tensor takes 4,000.0 GB, .* are free; use smaller batches"):
        tr.zeros((10**6, 1000, 1000))
    x = np.broadcast_to(np.float32(0), (10**9, 12, 10, 3))
    with pytest.raises(MemoryError, match=r"\[predict\] .* x as one array of float32 takes 1,440.0 GB"):
        net(layers.Conv2D(2, 3)).predict(x)
    model = net(layers.Conv2D(8, 3))
    before = model.get_weights()
    monkeypatch.setattr(memory, "ASKED_FROM", 16_000)  # any one array here takes less, what the step computes more
    monkeypatch.setattr(memory, "available", lambda: 2_000)
    with pytest.raises(OutOfMemoryError, match=r"\[capture\] .* what this step computes takes 0 MB, 0 MB are free"):
        model.fit(IMAGES, LABELS, batch_size=4, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
    monkeypatch.setattr(memory, "available", lambda: None)
    model.fit(IMAGES, LABELS, batch_size=4, verbose=0)


def test_a_container_is_asked_too(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    for name, text in {"max": "5000", "current": "4000", "stat": "anon 1\ninactive_file 500\n"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    assert memory.available() == 1500
    (tmp_path / "memory.max").write_text("max")
    assert memory._of_group() is None


@pytest.mark.parametrize(
    "take",
    [
        lambda: tr.eye(10**7),
        lambda: tr.arange(10**13),
        lambda: tr.Sequential([tr.Input(shape=(100,)), layers.Dense(10**11)]),
    ],
    ids=["eye", "arange", "Dense"],
)
def test_what_numpy_takes_for_us_is_refused_in_words_too(take):
    with pytest.raises(OutOfMemoryError, match=r"it must fit into memory; .* takes [0-9,]+\.0 GB, .* are free; "):
        take()


def test_a_limit_of_the_process_is_told_as_memory(monkeypatch):
    def refuse(*args):
        raise MemoryError

    monkeypatch.setattr("tinyres.backends.buffers.np.empty", refuse)
    with pytest.raises(OutOfMemoryError, match=r"one tensor takes \d+ MB, which the system refuses"):
        tr.zeros((12_345, 1_717))


def test_labels_of_a_million_classes_take_a_row_each():
    rows = tr.keras.utils.to_categorical([1, 999_999])
    assert rows.shape == (2, 10**6) and np.argmax(rows, axis=1).tolist() == [1, 999_999] and rows.sum() == 2
