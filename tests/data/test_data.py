"""The bundled digits, and tables from the user's own files: what is read, and what each bad file is told."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinyres.data
from tinyres.data import FASHION_CLASSES, load_digits, load_fashion, load_table
from tinyres.errors import FileError


def test_digits_are_the_known_images_in_a_fixed_split() -> None:
    (x_train, y_train), (x_test, y_test) = load_digits()
    assert (x_train.shape, y_train.shape, x_test.shape, y_test.shape) == ((1437, 64), (1437,), (360, 64), (360,))
    assert (x_train.dtype, y_train.dtype, x_test.dtype, y_test.dtype) == (np.float32, np.int64, np.float32, np.int64)
    x, y = np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test])
    # Counts and the sum of all pixels as the data set is published.
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (x.min(), x.max(), (x * 16).sum(dtype=np.float64)) == (0.0, 1.0, 561718.0)
    assert y_train[:8].tolist() == [2, 8, 2, 6, 6, 7, 1, 9]
    assert y_test[-4:].tolist() == [3, 7, 7, 8]


def test_digits_are_new_arrays_at_each_call() -> None:
    load_digits()[0][0][:] = -1
    assert load_digits()[0][0].min() == 0


def test_fashion_is_a_balanced_part_in_a_fixed_split() -> None:
    (x_train, y_train), (x_test, y_test) = load_fashion()
    assert (x_train.shape, x_test.shape) == ((2000, 28, 28, 1), (500, 28, 28, 1))
    assert (x_train.dtype, y_train.dtype, x_test.dtype, y_test.dtype) == (np.float32, np.int64, np.float32, np.int64)
    assert np.bincount(y_train).tolist() == [200] * 10 and np.bincount(y_test).tolist() == [50] * 10
    x = np.concatenate([x_train, x_test])
    assert (x.min(), x.max(), round(float((x * 255).sum(dtype=np.float64)))) == (0.0, 1.0, 143783860)
    assert [FASHION_CLASSES[y] for y in y_train[:3]] == ["Sandal", "Dress", "Sneaker"]


def test_what_is_bundled_comes_with_its_origin_and_licence() -> None:
    folder = Path(tinyres.data.__file__).parent
    told = (folder / "ATTRIBUTION.md").read_text()
    assert all(name in told for name in ("digits.npz", "fashion.npz", "Zalando", "1708.07747"))
    assert "Copyright © 2017 Zalando SE" in (folder / "LICENSE-fashion-mnist.txt").read_text()
    assert (folder / "fashion.npz").stat().st_size < 1_200_000


@pytest.mark.parametrize(
    ("text", "x", "y"),
    [
        ("a,b,label\n1,2,0\n3,4.5,1\n", [[1, 2], [3, 4.5]], [0, 1]),
        ("Target,b,c\n1,2,3\n0,5,6\n", [[2, 3], [5, 6]], [1, 0]),
        ("b,c,kind\n2,3,1\n5,6,0\n", [[2, 3], [5, 6]], [1, 0]),
        ("2,3,1.0\n5,1e2,0\n\n", [[2, 3], [5, 100]], [1, 0]),
        ("\ufeffy, b\r\n0, 3\r\n", [[3]], [0]),
    ],
)
def test_csv(tmp_path: Path, text: str, x: list[list[float]], y: list[int]) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode())
    got_x, got_y = load_table(path)
    assert (got_x.tolist(), got_y.tolist()) == (x, y)
    assert (got_x.dtype, got_y.dtype) == (np.float32, np.int64)


def test_npz_is_flattened(tmp_path: Path) -> None:
    images = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
    np.savez(tmp_path / "images.NPZ.npz", x=images, y=np.array([[2], [0], [1]], np.int8))
    x, y = load_table(str(tmp_path / "images.NPZ.npz"))
    assert x.tolist() == images.reshape(3, 8).tolist()
    assert y.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file needs rows of numbers; bad.csv has none; check what wrote it"),
        ("a,label\n", "the file needs rows of numbers; bad.csv has none; check what wrote it"),
        (
            "a\n1\n",
            "a row holds features and a label; the rows of bad.csv have one column; separate columns by commas, "
            "semicolons, tabs or bars",
        ),
        (
            "a,label\n1,0\n1,2,3\n",
            "all rows must have the same columns; line 3 of bad.csv has 3, expected 2; mend that line",
        ),
        (
            "a,b,label\n1,2,0\n1,red,0\n",
            "features must be numbers; column 'b' of bad.csv has 'red' in line 3; encode it (pd.get_dummies makes a "
            "column per category) or drop it",
        ),
        (
            "a,b,label\n1,2,0\n1,nan,0\n",
            "features must not be missing; column 'b' of bad.csv has no value in line 3; fill it (with the column's "
            "median, say) or drop that row",
        ),
        (
            "a,label\n1,0.5\n",
            "labels are classes: words or whole numbers; column 'label' of bad.csv has 0.5; if it is a number to "
            "predict, ask for a regression (--regression), else choose another label column",
        ),
    ],
)
def test_bad_csv(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(FileError, match=re.escape(f"[load_table] {message}") + "$"):
        load_table(path)


X, Y = np.ones((3, 2)), np.arange(3)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "a .npz must hold arrays x and y; bad.npz holds x; write it with np.savez(path, x=x, y=y)"),
        ({"x": X, "y": np.eye(3)}, "shape (3,); y in bad.npz has shape (3, 3); use y.argmax(axis=1) if it is one-hot"),
        ({"x": X, "y": Y[:2]}, "one label per row of x, shape (3,); y in bad.npz has shape (2,)"),
        ({"x": X, "y": Y + 0.5}, "labels are classes: words or whole numbers; column 'y' of bad.npz has 0.5"),
        ({"x": X, "y": np.array([0, 1, None], object)}, "the file must be a sound .npz without Python objects"),
        ({"x": X.astype(str), "y": Y}, "x must hold numbers; x in bad.npz is <U32; encode it as floats"),
        ({"x": X[:, 0], "y": Y}, "x must have shape (n, features) with n and features at least 1; x in bad.npz has"),
        ({"x": X[:0], "y": Y[:0]}, "x must have shape (n, features) with n and features at least 1; x in bad.npz has"),
        ({"x": X * 1e300, "y": Y}, "features must be finite in float32; bad.npz has inf in row 0, column 0 (from 0)"),
    ],
)
def test_bad_npz(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(FileError, match=re.escape(message)):
        load_table(tmp_path / "bad.npz")


def test_files_that_are_not_tables(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"must end in \.npz, \.csv, \.tsv or \.txt; got table\.xls; save it as"):
        load_table(tmp_path / "table.xls")
    for name in ("missing.csv", "missing.npz"):
        with pytest.raises(FileError, match=r"a table is needed; .*missing.* is not there; check the path"):
            load_table(tmp_path / name)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(FileError, match="is a folder; check the path"):
        load_table(tmp_path / "folder.csv")
    (tmp_path / "latin.csv").write_bytes("größe,label\n1,0\n".encode("latin-1"))
    with pytest.raises(FileError, match=r"a \.csv must be UTF-8 text; latin\.csv"):
        load_table(tmp_path / "latin.csv")


def sound_npz() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.random.default_rng(0).normal(size=(20, 3)), y=np.arange(20) % 3)
    return buffer.getvalue()


SOUND = sound_npz()


def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.npz"
    for length in range(0, len(SOUND), 7):
        path.write_bytes(SOUND[:length])
        with pytest.raises(FileError, match=r"^\[load_table\] "):
            load_table(path)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, len(SOUND) - 1), byte=st.integers(0, 255))
def test_a_damaged_file_never_ends_in_another_error(tmp_path: Path, position: int, byte: int) -> None:
    path = tmp_path / "damaged.npz"
    path.write_bytes(SOUND[:position] + bytes([byte]) + SOUND[position + 1 :])
    try:
        x, y = load_table(path)
    except FileError as error:
        assert str(error).startswith("[load_table] ")
    else:
        assert x.shape == (20, 3) and y.shape == (20,)
