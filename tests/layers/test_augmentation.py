"""RandomFlip and RandomCrop: what they draw, only in training, alike in eager and captured steps, and resumable."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(64, 6, 5, 2)).astype("float32")
MIRRORED = {(False, False): IMAGES, (False, True): IMAGES[:, :, ::-1], (True, False): IMAGES[:, ::-1],
            (True, True): IMAGES[:, ::-1, ::-1]}  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "kinds"),
    [
        ("horizontal", [(False, False), (False, True)]),
        ("vertical", [(False, False), (True, False)]),
        ("horizontal_and_vertical", list(MIRRORED)),
    ],
)
def test_each_image_is_flipped_by_itself(mode, kinds):
    layer = layers.RandomFlip(mode, seed=1)
    y = layer(IMAGES, training=True).numpy()
    counts = {kind: sum(np.array_equal(a, b) for a, b in zip(y, MIRRORED[kind])) for kind in MIRRORED}
    assert sum(counts.values()) == 64
    assert [kind for kind, number in counts.items() if number] == kinds
    assert all(counts[kind] > 5 for kind in kinds)
    assert not np.array_equal(layer(IMAGES, training=True).numpy(), y)
    assert np.array_equal(layer(IMAGES).numpy(), IMAGES)


def test_a_crop_is_a_window_at_one_place_for_the_batch():
    layer = layers.RandomCrop(4, 3, seed=1)
    seen = set()
    for _ in range(60):
        y = layer(IMAGES, training=True).numpy()
        seen |= {(i, j) for i in range(3) for j in range(3) if np.array_equal(y, IMAGES[:, i : i + 4, j : j + 3])}
    assert seen == {(i, j) for i in range(3) for j in range(3)}


def test_a_crop_shows_the_middle_resized_where_it_does_not_draw():
    torch = pytest.importorskip("torch")
    x = RNG.normal(size=(2, 9, 14, 3)).astype("float32")
    y = layers.RandomCrop(6, 6)(x).numpy()
    middle = torch.tensor(x[:, :, 2:11]).permute(0, 3, 1, 2)
    same = torch.nn.functional.interpolate(middle, size=(6, 6), mode="bilinear", align_corners=False)
    assert np.allclose(y, same.permute(0, 2, 3, 1).numpy(), atol=2e-6)
    small = layers.RandomCrop(18, 9)(x, training=True)  # larger than the image: as in inference
    assert small.shape == (2, 18, 9, 3)
    assert np.array_equal(small.numpy(), layers.RandomCrop(18, 9)(x).numpy())
    assert np.array_equal(layers.RandomCrop(9, 14)(x).numpy(), x)


def net(seed=None):
    return tr.Sequential(
        [
            tr.Input(shape=(6, 5, 2)),
            layers.RandomFlip(seed=seed),
            layers.RandomCrop(4, 4),
            layers.Conv2D(3, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(2, activation="softmax"),
        ]
    )


LABELS = np.arange(64) % 2


@pytest.mark.parametrize("seed", [None, 5])
def test_eager_and_captured_training_are_the_same_bit_for_bit(seed):
    trained = []
    for capture in (False, True):
        tr.manual_seed(3)
        model = net(seed)
        model.compile(tr.optim.SGD(lr=0.1), loss="sparse_categorical_crossentropy")
        losses = model.fit(IMAGES, LABELS, epochs=3, batch_size=16, verbose=0, capture=capture).history["loss"]
        trained.append((losses, model.get_weights()))
    assert trained[0][0] == trained[1][0]
    assert all(np.array_equal(a, b) for a, b in zip(trained[0][1], trained[1][1]))


def test_each_replay_draws_anew_and_a_trace_leaves_no_mark():
    tr.manual_seed(3)
    flip = layers.RandomFlip()
    flip(IMAGES)
    step = tr.capture(lambda x: flip(x, training=True))
    replayed = [step(IMAGES).numpy() for _ in range(3)]
    tr.manual_seed(3)
    assert all(np.array_equal(y, flip(IMAGES, training=True).numpy()) for y in replayed)
    assert not np.array_equal(replayed[0], replayed[1])
    model = net(seed=5)
    model.compile("sgd", loss="sparse_categorical_crossentropy")
    before = [generator.state.array.copy() for generator in model.generators()]
    assert model.graph(IMAGES, LABELS).trace().audit().ok
    assert all(np.array_equal(a, b.state.array) for a, b in zip(before, model.generators()))


@pytest.mark.parametrize("seed", [None, 5])
def test_a_resumed_training_draws_what_would_have_come(tmp_path, seed):
    def trained(epochs, model=None, first=0):
        if model is None:
            tr.manual_seed(3)
            model = net(seed)
            model.compile("adam", loss="sparse_categorical_crossentropy")
        model.fit(IMAGES, LABELS, epochs=epochs, initial_epoch=first, batch_size=16, verbose=0)
        return model

    straight = trained(4)
    trained(2).save(tmp_path / "half.npz")
    tr.manual_seed(99)
    resumed = trained(4, tr.load(tmp_path / "half.npz"), 2)
    assert all(np.array_equal(a, b) for a, b in zip(straight.get_weights(), resumed.get_weights()))


def test_the_gradient_goes_back_to_where_each_pixel_came_from():
    x = tr.tensor(IMAGES, requires_grad=True)
    layer = layers.RandomCrop(4, 3, seed=1)
    y = layer(layers.RandomFlip(seed=2)(x, training=True), training=True)
    g = RNG.normal(size=y.shape).astype("float32")
    (y * g).sum().backward()
    assert np.isclose((x.grad.numpy() * IMAGES).sum(), (y.numpy() * g).sum(), rtol=1e-4)
    assert (x.grad.numpy() == 0).sum() == IMAGES.size - y.size


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (
            lambda: layers.RandomFlip("sideways"),
            ArgumentError,
            "[RandomFlip] the mode is one of horizontal, vertical, horizontal_and_vertical; got 'sideways'; choose one",
        ),
        (
            lambda: layers.RandomCrop(0, 3),
            ArgumentError,
            "[RandomCrop] height is a count from 1 on; got 0; give an integer",
        ),
        (
            lambda: layers.RandomFlip()(IMAGES[..., 0], training=True),
            ShapeError,
            "[RandomFlip] random_flip takes images (n, height, width, channels); got shape (64, 6, 5); add the missing "
            "axes, as in x[..., None] for one channel",
        ),
        (
            lambda: layers.RandomCrop(3, 3, data_format="channels_first"),
            ArgumentError,
            "[RandomCrop] images are (n, height, width, channels); got data_format='channels_first'; transpose them "
            "once, as in x.transpose(0, 2, 3, 1), and leave it out",
        ),
    ],
)
def test_mistakes(wrong, kind, message):
    with pytest.raises(kind) as caught:
        wrong()
    assert str(caught.value) == message
