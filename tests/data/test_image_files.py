"""Images from folders and .npz files, MNIST's and CIFAR-10's files: what is read, and what a bad file is told."""

from __future__ import annotations

import gzip
import pickle
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinyres as tr
from tinyres.data.pickled import read_plain
from tinyres.errors import ArgumentError, FileError, MissingExtraError

RNG = np.random.default_rng(0)
MANY = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def idx(array: np.ndarray) -> bytes:
    code = {"uint8": 8, ">i4": 12, ">f4": 13}[str(array.dtype)]
    return struct.pack(f">BBBB{array.ndim}i", 0, 0, code, array.ndim, *array.shape) + array.tobytes()


def write_mnist(folder: Path, packed: bool = False) -> dict[str, np.ndarray]:
    parts = {}
    for part, count in (("train", 6), ("t10k", 3)):
        parts[f"{part}-images-idx3-ubyte"] = RNG.integers(0, 256, (count, 4, 5), np.uint8)
        parts[f"{part}-labels-idx1-ubyte"] = RNG.integers(0, 10, count, np.uint8)
    for name, array in parts.items():
        (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(idx(array), mtime=0) if packed else idx(array))
    return parts


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_is_read_from_its_four_files(tmp_path: Path, packed: bool) -> None:
    parts = write_mnist(tmp_path, packed)
    (x, y), (x_test, y_test) = tr.data.load_mnist(tmp_path)
    assert (x.shape, x.dtype, y.dtype, x_test.shape) == ((6, 4, 5, 1), np.float32, np.int64, (3, 4, 5, 1))
    assert np.array_equal(np.round(x[..., 0] * 255), parts["train-images-idx3-ubyte"])
    assert y_test.tolist() == parts["t10k-labels-idx1-ubyte"].tolist()


@pytest.mark.parametrize("array", [np.zeros((0, 3), np.uint8), RNG.normal(size=(2, 3)).astype(">f4")])
def test_idx_of_other_types(tmp_path: Path, array: np.ndarray) -> None:
    (tmp_path / "file").write_bytes(idx(array))
    found = tr.data.read_idx(tmp_path / "file")
    assert np.array_equal(found, array) and found.dtype == array.dtype.newbyteorder("=")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it does not begin as one"),
        (b"\0\0\x08\x01\0\0", "its sizes are cut off"),
        (b"\0\0\x08\x01\0\0\0\x05\1\2", "an array of shape (5,) has 2 bytes"),
        (b"\0\0\x08\x02\x7f\xff\xff\xff\x7f\xff\xff\xff", "1073741824 bytes at most"),
        (b"\0\0\x08\x01\xff\xff\xff\xff", "shape (-1,)"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\x05\1\2", mtime=0), "3 of 5 bytes of values are missing"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\x01\1\2", mtime=0), "it is longer than it says"),
        (b"\x1f\x8bnothing", "damaged or something else"),
    ],
)
def test_what_is_no_idx_file_is_told(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(FileError) as caught:
        tr.data.read_idx(tmp_path / "file")
    assert words in str(caught.value) and "'file'" in str(caught.value)


def test_files_of_mnist_that_are_missing_or_do_not_belong_together(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="the folder must have train-images-idx3-ubyte, with .gz or without"):
        tr.data.load_mnist(tmp_path)
    write_mnist(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(5, np.uint8)))
    with pytest.raises(FileError, match=r"got uint8 \(6, 4, 5\) in .*, uint8 \(5,\) in 'train-labels-idx1-ubyte'"):
        tr.data.load_mnist(tmp_path)


def write_cifar(folder: Path, binary: bool, protocol: int = 2) -> tuple[np.ndarray, np.ndarray]:
    x, y = RNG.integers(0, 256, (12, 3072), np.uint8), RNG.integers(0, 10, 12)
    for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        rows, labels = x[2 * i : 2 * i + 2], y[2 * i : 2 * i + 2].tolist()
        if binary:
            content = b"".join(bytes([label]) + row.tobytes() for label, row in zip(labels, rows))
            (folder / f"{name}.bin").write_bytes(content)
        else:
            named = {"batch_label": name, "labels": labels, "data": rows, "filenames": ["a.png", "b.png"]}
            (folder / name).write_bytes(pickle.dumps(named, protocol=protocol))
    return x, y


@pytest.mark.parametrize(("binary", "protocol"), [(True, 2), (False, 2), (False, 4)])
def test_cifar_is_read_in_both_forms(tmp_path: Path, binary: bool, protocol: int) -> None:
    x, y = write_cifar(tmp_path, binary, protocol)
    (x_train, y_train), (x_test, y_test) = tr.data.load_cifar10(tmp_path)
    assert x_train.shape == (10, 32, 32, 3) and x_train.dtype == np.float32
    assert x_test[1, 5, 7, 2] == np.float32(x[11, 2 * 1024 + 5 * 32 + 7]) / np.float32(255)
    assert [*y_train, *y_test] == y.tolist()


def python_2_pickle() -> bytes:
    """What Python 2 wrote: text as bytes, the array's content in a string."""
    content = bytes(range(256)) * 12
    return (
        b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03K\x07aU\x04dataq\x04cnumpy.core.multiarray\n_reconstruct\nq\x05"
        b"cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87R(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nq\x07U\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<i", 3072) + content + b"tbu."
    )


def test_the_published_form_is_a_pickle_of_python_2(tmp_path: Path) -> None:
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (tmp_path / name).write_bytes(python_2_pickle())
    (x, y), _ = tr.data.load_cifar10(tmp_path)
    assert y.tolist() == [7] * 5 and x[0, 0, 5, 0] == np.float32(5) / np.float32(255)


class Runs:
    def __reduce__(self) -> Any:
        return subprocess.check_call, (["touch", "ran"],)


def test_a_pickle_that_would_run_something_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_cifar(tmp_path, binary=False)
    for content in (Runs(), {"data": Runs()}, {"labels": [np.random.RandomState]}):
        (tmp_path / "data_batch_3").write_bytes(pickle.dumps(content, protocol=2))
        with pytest.raises(FileError, match="'data_batch_3' is damaged or something else .it wants to call"):
            tr.data.load_cifar10(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"(" * 9 + b".", "it leaves 0 values"),
        (b"\x80\x02}(\x85R.", "made"),
        (b"]2.", "its instruction DUP is none"),
        (pickle.dumps([1]), "it holds no dict"),
        (pickle.dumps({"labels": [1], "data": np.zeros((1, 3072), ">u2")}, protocol=2), "must be of uint8"),
        (pickle.dumps({"labels": [1], "data": np.zeros((1, 4), np.uint8)}, protocol=2), "images (1, 4)"),
        (pickle.dumps({"labels": [99], "data": np.zeros((1, 3072), np.uint8)}, protocol=2), "a label 99"),
        (b"N0" * 300_000 + b".", "it takes more than 524288 steps"),
    ],
)
def test_what_is_no_file_of_cifar_is_told(tmp_path: Path, content: bytes, words: str) -> None:
    write_cifar(tmp_path, binary=False)
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(FileError) as caught:
        tr.data.load_cifar10(tmp_path)
    assert words in str(caught.value) and "'test_batch'" in str(caught.value)


def broken(data: st.DataObject, content: bytes) -> bytes:
    """The content with some bytes changed, or cut off, or longer."""
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(0, 4))):
        changed[data.draw(st.integers(0, min(len(changed), 200) - 1))] = data.draw(st.integers(0, 255))
    return bytes(changed[: data.draw(st.integers(0, len(changed)))]) + data.draw(st.binary(max_size=3))


@MANY
@given(data=st.data())
def test_any_bytes_give_an_array_or_a_file_error(tmp_path: Path, data: st.DataObject) -> None:
    plain = idx(np.arange(12, dtype=np.uint8).reshape(3, 4))
    content = data.draw(st.sampled_from([plain, gzip.compress(plain, mtime=0)]))
    (tmp_path / "file").write_bytes(broken(data, content))
    try:
        assert isinstance(tr.data.read_idx(tmp_path / "file"), np.ndarray)
    except FileError:
        pass


@MANY
@given(data=st.data())
def test_any_pickle_gives_plain_data_or_a_value_error(data: st.DataObject) -> None:
    wholes = [python_2_pickle(), pickle.dumps({"labels": [1, 2], "data": np.zeros((2, 3), np.uint8)}, protocol=4)]
    try:
        read_plain(broken(data, data.draw(st.sampled_from(wholes))))
    except ValueError:
        pass


def write_images(folder: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    image = pytest.importorskip("PIL.Image")
    written = {}
    for name, shape in shapes.items():
        (folder / name).parent.mkdir(exist_ok=True)
        written[name] = RNG.integers(0, 256, shape, np.uint8)
        image.fromarray(written[name]).save(folder / name)
    return written


def test_a_folder_has_a_folder_for_each_class(tmp_path: Path) -> None:
    shapes = {"dog/b.png": (4, 5, 3), "cat/2.png": (4, 5, 3), "cat/10.bmp": (4, 5), "dog/a.png": (4, 5, 4)}
    written = write_images(tmp_path, shapes)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    images = tr.data.load_images(tmp_path)
    assert images.files == ("cat/10.bmp", "cat/2.png", "dog/a.png", "dog/b.png")
    assert images.classes == ("cat", "dog") and images.y.tolist() == [0, 0, 1, 1]
    x, y = images
    assert x.shape == (4, 4, 5, 3) and (x.dtype, y.dtype) == (np.float32, np.int64)
    assert np.array_equal(np.round(x[3] * 255), written["dog/b.png"])
    assert np.array_equal(np.round(x[2] * 255), written["dog/a.png"][..., :3])
    assert np.array_equal(np.round(x[0, ..., 1] * 255), written["cat/10.bmp"])


def test_grey_images_have_one_channel_and_sizes_can_be_made_alike(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    write_images(tmp_path, {"a/1.png": (8, 6), "b/1.png": (4, 3)})
    deep = np.full((4, 3), 0x80FF, np.uint16)
    image.fromarray(deep).save(tmp_path / "b" / "2.png")
    images = tr.data.load_images(tmp_path, size=(4, 3))
    assert images.x.shape == (3, 4, 3, 1)
    assert np.all(images.x[2] == np.float32(0x80) / np.float32(255))
    with pytest.raises(FileError) as caught:
        tr.data.load_images(tmp_path)
    assert str(caught.value) == (
        "[load_images] all images must have one size; 'a/1.png' has 8 x 6, 'b/1.png' has 4 x 3 (height x width), and 2 "
        "of 3 differ from the first; resize all: size=(8, 6)"
    )


def test_photographs_stand_upright(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "a").mkdir()
    lying = image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40)
    exif = lying.getexif()
    exif[0x0112] = 6
    lying.save(tmp_path / "a" / "1.png", exif=exif)
    x, _ = tr.data.load_images(tmp_path)
    assert x.shape == (1, 3, 2, 1)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_an_unreadable_file_is_named(tmp_path: Path, content: bytes) -> None:
    write_images(tmp_path, {"a/1.png": (4, 4), "b/1.png": (4, 4)})
    (tmp_path / "b" / "2.png").write_bytes(content)
    with pytest.raises(FileError, match="every image must be readable; 'b/2.png' is not .*; mend it or take it away"):
        tr.data.load_images(tmp_path)


def test_a_file_that_is_cut_off_or_too_large_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, {"a/1.png": (40, 40, 3)})
    whole = (tmp_path / "a" / "1.png").read_bytes()
    (tmp_path / "a" / "1.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match="'a/1.png' is not"):
        tr.data.load_images(tmp_path)
    huge = whole[:16] + struct.pack(">II", 60_000, 60_000) + whole[24:]
    (tmp_path / "a" / "1.png").write_bytes(huge)
    with pytest.raises(FileError, match="'a/1.png' is not"):
        tr.data.load_images(tmp_path)


@MANY
@given(data=st.data())
def test_any_image_is_read_or_named(tmp_path: Path, data: st.DataObject) -> None:
    if not (tmp_path / "whole").exists():
        write_images(tmp_path, {"a/1.png": (5, 4, 3)})
        (tmp_path / "whole").write_bytes((tmp_path / "a" / "1.png").read_bytes())
    (tmp_path / "a" / "1.png").write_bytes(broken(data, (tmp_path / "whole").read_bytes()))
    try:
        assert tr.data.load_images(tmp_path, size=4).x.shape[:3] == (1, 4, 4)
    except FileError as error:
        assert "'a/1.png'" in str(error)


def test_folders_of_other_forms_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="has 0 images and no folder; sort them into folders named like the classes"):
        tr.data.load_images(tmp_path)
    (tmp_path / "train" / "cat").mkdir(parents=True)
    with pytest.raises(FileError, match="'train' has folders, such as 'cat', and no images; give the folder that has"):
        tr.data.load_images(tmp_path)
    with pytest.raises(FileError, match="'cat' has none; put some there, or take it away"):
        tr.data.load_images(tmp_path / "train")
    with pytest.raises(FileError, match="'nowhere' is neither; check it"):
        tr.data.load_images("nowhere")
    with pytest.raises(ArgumentError, match=r"size is \(height, width\), or one number; got 0; give such"):
        tr.data.load_images(tmp_path, size=0)


def test_without_pillow_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path, {"a/1.png": (4, 4)})
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"python3 -m pip install 'tinyres\[images\]'"):
        tr.data.load_images(tmp_path)


def test_images_in_an_npz(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (3, 4, 5), np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=[1, 0, 1], classes=["cat", "dog"])
    images = tr.data.load_images(tmp_path / "a.npz")
    assert images.x.shape == (3, 4, 5, 1) and images.x.max() <= 1 and images.classes == ("cat", "dog")
    assert images.y.tolist() == [1, 0, 1]
    np.savez(tmp_path / "a.npz", x=x / 255, y=["dog", "cat", "dog"])
    again = tr.data.load_images(tmp_path / "a.npz")
    assert np.allclose(again.x, images.x) and again.y.tolist() == [1, 0, 1] and again.classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros((2, 3, 3))}, "must hold arrays x and y; a.npz holds 'x'"),
        ({"x": np.zeros((2, 9)), "y": [0, 1]}, "x in a.npz is float64 of shape (2, 9); add the missing axes"),
        ({"x": np.full((1, 2, 2), 256), "y": [0]}, "whole numbers are bytes, 0 to 255; x in a.npz has 256 to 256"),
        ({"x": np.full((1, 2, 2), np.nan), "y": [0]}, "pixels must be finite in float32; a.npz has 4 that are not"),
        ({"x": np.zeros((2, 3, 3)), "y": [0]}, "y in a.npz is int64 of shape (1,)"),
        ({"x": np.zeros((2, 3, 3)), "y": [0, -1]}, "labels count the classes from 0; y in a.npz has -1 to 0"),
        ({"x": np.zeros((2, 3, 3)), "y": [0, 1], "classes": ["cat"]}, "classes names each label, 2 or more"),
    ],
)
def test_what_is_wrong_in_an_npz_is_told(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(FileError) as caught:
        tr.data.load_images(tmp_path / "a.npz")
    assert words in str(caught.value)
