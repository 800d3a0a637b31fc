"""Nets with a class per pixel: cross-entropy and accuracy, the Dice loss, and intersection over union, by formula."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers, losses, metrics
from tinyres.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(3)
TRUE = RNG.integers(0, 3, (8, 4, 4))
SCORES = RNG.uniform(0, 1, (8, 4, 4, 3)).astype(np.float32)
GUESS = SCORES.argmax(-1)
ONE_HOT = np.eye(3, dtype=np.float32)[TRUE]
WEIGHT = RNG.uniform(0, 2, 8)


def iou(true: np.ndarray, guess: np.ndarray, classes: range | list[int], weight: np.ndarray | float = 1.0) -> float:
    factor = np.broadcast_to(weight, true.shape)
    pairs = [((true == c) & (guess == c), (true == c) | (guess == c)) for c in classes]
    return float(np.mean([(b * factor).sum() / (e * factor).sum() for b, e in pairs if (e * factor).sum()]))


def dice(true: np.ndarray, guess: np.ndarray, axis: tuple[int, ...] | None = None) -> np.ndarray:
    return 1 - 2 * (true * guess).sum(axis) / (true.sum(axis) + guess.sum(axis) + 1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("axis", [None, (1, 2, 3), (0, 1, 2)])
def test_dice_is_its_formula_and_has_its_gradient(axis: tuple[int, ...] | None) -> None:
    values = dice(ONE_HOT, SCORES, axis)
    assert losses.Dice(axis=axis)(ONE_HOT, SCORES).item() == pytest.approx(values.mean(), rel=1e-5)
    assert losses.Dice("sum", axis=axis)(ONE_HOT, SCORES).item() == pytest.approx(values.sum(), rel=1e-5)
    np.testing.assert_allclose(losses.Dice(None, axis=axis)(ONE_HOT, SCORES).numpy(), values, rtol=1e-5)
    given = tr.tensor(SCORES, dtype="float64", requires_grad=True)
    assert tr.gradcheck(lambda p: losses.dice(p, tr.tensor(ONE_HOT, dtype="float64"), axis), [given])


def test_dice_weighs_images_where_it_has_a_value_for_each() -> None:
    found = losses.Dice(axis=(1, 2, 3))(ONE_HOT, SCORES, sample_weight=WEIGHT).item()
    assert found == pytest.approx((WEIGHT * dice(ONE_HOT, SCORES, (1, 2, 3))).mean(), rel=1e-5)
    with pytest.raises(ShapeError, match="one number for the batch"):
        losses.Dice()(ONE_HOT, SCORES, sample_weight=WEIGHT)
    with pytest.raises(ShapeError, match=r"\[dice\] prediction .* and target .* differ"):
        losses.dice(tr.tensor(SCORES), tr.tensor(TRUE))


@pytest.mark.parametrize("weighted", [False, True])
def test_intersection_over_union_by_hand_over_two_batches(weighted: bool) -> None:
    weight = WEIGHT[:, None, None] if weighted else 1.0
    cases = [
        (metrics.MeanIoU(3), TRUE, GUESS, iou(TRUE, GUESS, range(3), weight)),
        (metrics.MeanIoU(3), TRUE, SCORES, iou(TRUE, GUESS, range(3), weight)),
        (metrics.MeanIoU(5), TRUE, GUESS, iou(TRUE, GUESS, range(3), weight)),
        (metrics.IoU(3, [1]), TRUE, GUESS, iou(TRUE, GUESS, [1], weight)),
        (metrics.OneHotIoU(3, [0, 2]), ONE_HOT, SCORES, iou(TRUE, GUESS, [0, 2], weight)),
        (metrics.OneHotMeanIoU(3), ONE_HOT, SCORES, iou(TRUE, GUESS, range(3), weight)),
        (metrics.MeanIoU(3, ignore_class=1), TRUE, GUESS, iou(TRUE, GUESS, range(3), weight * (TRUE != 1))),
        (metrics.BinaryIoU(threshold=0.3), ONE_HOT, SCORES, None),
    ]
    for metric, true, guess, wanted in cases:
        for part in (slice(0, 3), slice(3, 8)):
            metric.update_state(true[part], guess[part], WEIGHT[part] if weighted else None)
        if wanted is None:
            spread = np.broadcast_to(np.reshape(weight, (-1, 1, 1, 1)) if weighted else 1.0, ONE_HOT.shape)
            wanted = iou(ONE_HOT.astype(int), (SCORES >= 0.3).astype(int), [0, 1], spread)
        assert metric.result() == pytest.approx(wanted, rel=1e-5)


def net(seed: int = 0) -> tr.Model:
    tr.manual_seed(seed)
    inputs = tr.Input((4, 4, 1))
    return tr.Model(inputs, layers.Conv2D(3, 3, padding="same", activation="softmax")(inputs))


@pytest.mark.parametrize("capture", [True, False])
def test_a_class_per_pixel_in_fit_and_evaluate(capture: bool) -> None:
    images = TRUE[..., None].astype(np.float32)
    model = net()
    model.compile(tr.optim.Adam(lr=0.05), "sparse_categorical_crossentropy", ["accuracy", metrics.MeanIoU(3)])
    log = model.fit(images, TRUE, batch_size=3, epochs=30, verbose=0, capture=capture).history
    assert log["loss"][-1] < log["loss"][0] and set(log) == {"loss", "accuracy", "mean_io_u"}
    guess = model.predict(images).argmax(-1)
    loss, accuracy, mean = model.evaluate(images, TRUE, batch_size=3, verbose=0)
    assert accuracy == pytest.approx(np.mean(guess == TRUE)) and mean == pytest.approx(iou(TRUE, guess, range(3)))
    p = model.predict(images)
    assert loss == pytest.approx(-np.log(np.take_along_axis(p, TRUE[..., None], -1)).mean(), rel=1e-4)


def test_dice_by_name_trains_and_survives_a_file(tmp_path) -> None:
    model = net()
    model.compile("adam", "dice", [metrics.OneHotMeanIoU(3)])
    images = TRUE[..., None].astype(np.float32)
    before = model.evaluate(images, ONE_HOT, verbose=0)[0]
    model.fit(images, ONE_HOT, epochs=20, verbose=0)
    after = model.evaluate(images, ONE_HOT, verbose=0)
    assert after[0] < before
    model.save(tmp_path / "m.npz")
    assert tr.load(tmp_path / "m.npz").evaluate(images, ONE_HOT, verbose=0) == after


ERRORS = [
    (lambda: metrics.MeanIoU(0), ArgumentError, r"\[MeanIoU\] num_classes is a count from 1 on; got 0"),
    (lambda: metrics.IoU(2, [2]), ArgumentError, r"\[IoU\] target_class_ids are classes from 0 to 1; got 2"),
    (lambda: metrics.MeanIoU(2, axis=1), ArgumentError, r"\[MeanIoU\] classes stand in the last axis; got axis=1"),
    (lambda: metrics.MeanIoU(3)(TRUE, SCORES[..., :2]), ShapeError, r"\[mean_io_u\] there is one class per pixel"),
    (lambda: metrics.BinaryIoU(threshold="a"), ArgumentError, r"\[BinaryIoU\] threshold is a number"),
]


@pytest.mark.parametrize(("act", "error", "message"), ERRORS, ids=range(len(ERRORS)))
def test_what_does_not_fit_is_refused(act, error, message) -> None:
    with pytest.raises(error, match=message):
        act()
