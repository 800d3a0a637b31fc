"""Made images with a class per pixel: the same from the same seed, every class there, labels where the ink is."""

from __future__ import annotations

import numpy as np
import pytest

import tinyres as tr
from tinyres.errors import ArgumentError


def test_the_same_from_the_same_seed_and_others_from_another() -> None:
    images, labels = tr.data.make_segmentation(8, seed=1)
    again, labels_again = tr.data.make_segmentation(8, seed=1)
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(labels, labels_again)
    assert (tr.data.make_segmentation(8, seed=2)[0] != images).any()
    assert images.dtype == np.float32 and images.min() >= 0 and images.max() <= 1 and labels.dtype == np.int64


@pytest.mark.parametrize("size", [16, 32, 33])
def test_every_class_comes_and_each_image_has_one_digit(size: int) -> None:
    images, labels = tr.data.make_segmentation(100, size, noise=0.0)
    assert set(np.unique(labels)) == set(range(len(tr.data.SEGMENTATION_CLASSES)))
    for image, label in zip(images[..., 0], labels):
        assert len({*np.unique(label)} & {*range(1, 11)}) == 1
        assert image[label > 0].min() > 0.29


@pytest.mark.parametrize("options", [{"count": 0}, {"size": 8}, {"noise": -1.0}], ids=str)
def test_what_cannot_be_made_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ArgumentError, match=r"\[make_segmentation\] "):
        tr.data.make_segmentation(**options)
