"""The recording of watched gradients: saved, loaded, told in words."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tinyres as tr
from tinyres.errors import FileError


def recording():
    """Two steps of three layers; the last one took no part in the second."""
    gradients = tr.GradientNorms()
    gradients.append(0, ("block0/dense", "block1/dense", "head"), np.array([0.5, np.inf, 2.0]))
    gradients.append(7, ("block0/dense", "head"), np.array([0.25, 1.0]))
    return gradients


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_it_comes_back(suffix, tmp_path):
    saved = recording()
    saved.save(tmp_path / f"g{suffix}")
    loaded = tr.GradientNorms.load(tmp_path / f"g{suffix}")
    assert loaded.names == saved.names and loaded.steps.tolist() == [0, 7]
    np.testing.assert_array_equal(loaded.norms, saved.norms)
    assert loaded.rows() == saved.rows() and loaded.told() == saved.told()


def test_json_is_strict(tmp_path):
    recording().save(tmp_path / "g.json")

    def refuse(constant):
        raise AssertionError(constant)

    data = json.loads((tmp_path / "g.json").read_text(), parse_constant=refuse)
    assert data["norms"] == [[0.5, {"$": "inf"}, 2.0], [0.25, {"$": "nan"}, 1.0]]


def test_an_empty_recording(tmp_path):
    for suffix in (".npz", ".json"):
        tr.GradientNorms().save(tmp_path / f"g{suffix}")
        assert len(tr.GradientNorms.load(tmp_path / f"g{suffix}")) == 0


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_every_truncation_is_found(suffix, tmp_path):
    path = tmp_path / f"g{suffix}"
    recording().save(path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(FileError, match=r"\[load\] a recording of gradients must be complete; .* is damaged or so"):
            tr.GradientNorms.load(path)


def test_what_is_no_recording(tmp_path):
    with pytest.raises(FileError, match=r"\[load\] a recording of gradients is needed; '.*g\.npz' is not there; ch"):
        tr.GradientNorms.load(tmp_path / "g.npz")
    with pytest.raises(FileError, match=r"\[save\] a recording of gradients ends in .npz or .json; got '.*g.csv'; "):
        recording().save(tmp_path / "g.csv")
    recording().save(tmp_path / "g.json")
    data = json.loads((tmp_path / "g.json").read_text())
    for change, message in (
        ({"version": 3}, r"must be of version 2 or older; .* is of version 3; upgrade tinyres"),
        ({"format": "other"}, r"it has no tinyres gradients header"),
        ({"steps": [1]}, r"\(2, 3\) norms of 1 steps and 3 layers"),
        ({"steps": [1, -2]}, "the steps are not counts"),
        ({"steps": [1, 2.5]}, "the steps are not counts"),
        ({"names": ["a", "a", "b"]}, "not a list of different texts"),
    ):
        (tmp_path / "g.json").write_text(json.dumps({**data, **change}))
        with pytest.raises(FileError, match=message):
            tr.GradientNorms.load(tmp_path / "g.json")


def test_a_model_file_is_no_recording(tmp_path):
    model = tr.Sequential([tr.layers.Dense(1)])
    model.compile(loss="mse")
    model.fit([[0.0], [1.0]], [[0.0], [2.0]], verbose=0)
    model.save(tmp_path / "m.npz")
    with pytest.raises(FileError, match="is damaged or something else"):
        tr.GradientNorms.load(tmp_path / "m.npz")


@pytest.mark.parametrize(
    ("norms", "worst"),
    [
        ([1.0, 1.2, 0.1, 0.1], "b, |g| x 12 from c"),
        ([1.0, 0.001, 0.002, 0.004], "a, |g| x 1e+03 from b"),
        ([0.0, 0.0, 3.0, 1.0], "b, |g| is 0 after 3 at c"),
        ([np.nan, np.nan, 3.0, 1.0], "b, |g| is nan"),
    ],
)
def test_the_worst_block(norms, worst):
    gradients = tr.GradientNorms()
    gradients.append(0, ("a/dense", "b/dense", "c/dense", "head"), np.array(norms))
    assert str(gradients.worst) == worst
    assert gradients.told()[1] == f"  worst block: {worst}"


def test_one_block_has_no_worst():
    gradients = tr.GradientNorms()
    gradients.append(3, ("dense",), np.array([2.0]))
    assert gradients.worst is None and gradients.told() == ["  gradient at step 3: dense 2, dense 2, first/last 1"]
