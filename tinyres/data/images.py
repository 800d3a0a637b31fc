"""Images from the user's own files: a folder with a folder for each class, or a .npz; read as a whole or not at all."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyres.errors import ArgumentError, FileError, MissingExtraError
from tinyres.store.archive import read_arrays
from tinyres.store.opening import PathLike, checked_path, opened

# Formats of pixels. What may run programs or reach for other files, such as PostScript, is not among them.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".pbm", ".tif", ".tiff", ".webp"}
_MOST_PIXELS = 1 << 26  # of one image
_MOST_BYTES = 1 << 34  # of all of them as float32
_GREY = {"1", "L", "LA", "I;16", "I;16B", "I;16L"}
_DEEP = {"I;16", "I;16B", "I;16L"}  # 16 bits a pixel


@dataclass(frozen=True)
class Images:
    """Images with their labels; `x, y = images` unpacks them.

    x: float32 (n, height, width, channels) in 0..1, 1 channel where all are grey, else 3. y: int64 (n,). classes: what
    the labels 0, 1, ... stand for. files: of each image, relative to the folder; empty for a .npz.

    >>> images = Images(np.zeros((1, 8, 8, 1), np.float32), np.zeros(1, np.int64), ("cat",))
    >>> x, y = images
    >>> x.shape, images.classes[y[0]]
    ((1, 8, 8, 1), 'cat')
    """

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    files: tuple[str, ...] = field(default=(), repr=False)

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        yield self.x
        yield self.y

    def __repr__(self) -> str:
        return f"<Images: x {self.x.shape}, {len(self.classes)} classes ({', '.join(self.classes[:6])})>"


def load_images(path: PathLike, size: int | tuple[int, int] | None = None) -> Images:
    """Images from a folder that has a folder of them for each class, or from a .npz with x and y.

    Classes are numbered by the names of their folders in order, images follow in the order of their names; hidden files
    and files of other kinds are left out. Alpha is left out, photographs stand upright. size: (height, width), or one
    number, to which all are resized; without it they must have one size. A .npz holds x (n, height, width) or with
    channels, bytes that are divided by 255 or floats that stay as they are, y (n,) whole numbers or words, and perhaps
    classes, their names. Files of images take Pillow: pip install 'tinyres[images]'.
    Raises FileError, which names the file, for one that cannot be read, and for sizes that differ.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "two.npz"
    >>> np.savez(file, x=np.zeros((2, 8, 8), np.uint8), y=["cat", "dog"])
    >>> load_images(file)
    <Images: x (2, 8, 8, 1), 2 classes (cat, dog)>
    """
    name = checked_path("load_images", path)
    wanted = _size(size)
    if Path(name).suffix.lower() == ".npz" and not os.path.isdir(name):
        if wanted is not None:
            raise ArgumentError("[load_images] only files of images are resized; got size for a .npz; leave it out")
        return _from_npz(Path(name))
    if not os.path.isdir(name):
        raise FileError(
            f"[load_images] the path is a folder with a folder for each class, or a .npz; {name!r} is neither; check it"
        )
    return _from_folder(Path(name), wanted)


def _size(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = (size, size) if isinstance(size, (int, np.integer)) and not isinstance(size, bool) else size
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(
        isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0 for n in pair
    ):  # fmt: skip
        raise ArgumentError(f"[load_images] size is (height, width), or one number; got {size!r}; give such")
    return int(pair[0]), int(pair[1])


def _from_folder(folder: Path, wanted: tuple[int, int] | None) -> Images:
    classes = [entry for entry in _listed(folder) if entry.is_dir()]
    files = [(number, file) for number, entry in enumerate(classes) for file in _images_in(entry)]
    _refuse_other_trees(folder, classes, {number for number, _ in files})
    heads = [_head(folder, file) for _, file in files]
    grey = all(mode in _GREY for _, mode in heads)
    height, width = wanted or _one_size(folder, [file for _, file in files], [size for size, _ in heads])
    channels = 1 if grey else 3
    needed = 4 * len(files) * height * width * channels
    if needed > _MOST_BYTES:
        raise FileError(
            f"[load_images] all images are held in memory, {_MOST_BYTES / 1e9:.0f} GB at most; {len(files)} of "
            f"{height} x {width} take {needed / 1e9:.0f} GB; give a smaller size=(height, width)"
        )
    x = np.empty((len(files), height, width, channels), np.float32)
    for i, (_, file) in enumerate(files):
        x[i] = _pixels(folder, file, grey, (height, width))
    y = np.array([number for number, _ in files], np.int64)
    names = tuple(entry.name for entry in classes)
    return Images(x, y, names, tuple(file.relative_to(folder).as_posix() for _, file in files))


def _listed(folder: Path) -> list[Path]:
    """What is in a folder by name, without what is hidden."""
    try:
        return sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=lambda p: p.name)
    except OSError as error:
        raise FileError(
            f"[load_images] a folder must be readable; {folder.name!r}: {error.strerror}; check it"
        ) from None


def _images_in(folder: Path) -> list[Path]:
    return [path for path in _listed(folder) if path.suffix.lower() in _SUFFIXES]


def _refuse_other_trees(folder: Path, classes: list[Path], filled: set[int]) -> None:
    """Folders that are not one per class with images in each."""
    rule = "[load_images] there is a folder for each class, with its images in it"
    if not classes:
        found = f"{len(_images_in(folder))} images and no folder"
        raise FileError(f"{rule}; {folder.name!r} has {found}; sort them into folders named like the classes")
    empty = [entry for number, entry in enumerate(classes) if number not in filled]
    if empty:
        deeper = [entry for entry in _listed(empty[0]) if entry.is_dir()]
        if deeper:
            raise FileError(
                f"{rule}; {empty[0].name!r} has folders, such as {deeper[0].name!r}, and no images; give the folder "
                f"that has the classes, as in load_images({str(folder / empty[0].name)!r})"
            )
        raise FileError(f"{rule}; {empty[0].name!r} has none; put some there, or take it away")


def _one_size(folder: Path, files: list[Path], sizes: list[tuple[int, int]]) -> tuple[int, int]:
    """(height, width) of all images."""
    other = next((i for i, size in enumerate(sizes) if size != sizes[0]), None)
    if other is not None:
        first, second = (files[i].relative_to(folder).as_posix() for i in (0, other))
        (h, w), (oh, ow) = sizes[0], sizes[other]
        count = sum(size != sizes[0] for size in sizes)
        raise FileError(
            f"[load_images] all images must have one size; {first!r} has {h} x {w}, {second!r} has {oh} x {ow} "
            f"(height x width), and {count} of {len(files)} differ from the first; resize all: size=({h}, {w})"
        )
    return sizes[0]


def _pillow() -> Any:
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise MissingExtraError(
            "[load_images] files of images are read by Pillow, which is not installed; got a folder; "
            "python3 -m pip install 'tinyres[images]', or save the images as a .npz with x and y"
        ) from None
    return Image, ImageOps


def _head(folder: Path, file: Path) -> tuple[tuple[int, int], str]:
    """((height, width), mode) of an image as it stands upright, told without its pixels."""
    with _unharmed(folder, file) as image:
        width, height = image.size
        turned = image.getexif().get(0x0112) in (5, 6, 7, 8)
        return ((width, height) if turned else (height, width)), image.mode


def _pixels(folder: Path, file: Path, grey: bool, size: tuple[int, int]) -> np.ndarray:
    """(height, width, channels) in 0..1."""
    pillow, ops = _pillow()
    with _unharmed(folder, file) as image:
        image = ops.exif_transpose(image)
        if image.mode in _DEEP:
            image = pillow.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        image = image.convert("L" if grey else "RGB")
        if image.size != size[::-1]:
            image = image.resize(size[::-1], pillow.Resampling.BILINEAR)
        values = np.asarray(image, np.float32) / np.float32(255)
        return values[..., None] if grey else values


class _unharmed:
    """An open image, whose pixels are not read yet; whatever goes wrong with it is a FileError that names the file."""

    def __init__(self, folder: Path, file: Path) -> None:
        self._file, self._name = file, file.relative_to(folder).as_posix()
        self._image, _ = _pillow()

    def __enter__(self) -> Any:
        self._opened = opened("load_images", self._file, "an image")
        stream = self._opened.__enter__()
        self._warned = warnings.catch_warnings()
        self._warned.__enter__()
        warnings.simplefilter("ignore")
        try:
            image = self._image.open(stream, formats=_FORMATS)
            if image.width * image.height > _MOST_PIXELS:
                raise ValueError(f"it has {image.width} x {image.height} pixels, {_MOST_PIXELS} at most are read")
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return image

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._warned.__exit__(None, None, None)
        self._opened.__exit__(None, None, None)
        if isinstance(error, Exception):  # Pillow raises nearly anything for bytes that are not what they claim
            said = " ".join(str(error).split()).replace(str(self._file), self._name)[:200]
            raise FileError(
                f"[load_images] every image must be readable; {self._name!r} is not ({type(error).__name__}: {said}); "
                "mend it or take it away"
            ) from error


def _from_npz(path: Path) -> Images:
    wanted = "write it with np.savez(path, x=x, y=y)"
    with opened("load_images", path, "a .npz of images") as file:
        try:
            if not zipfile.is_zipfile(file):
                raise ValueError("it is no .npz, or is cut off")
            file.seek(0)
            arrays = read_arrays(file)
        except Exception as error:  # NumPy and zipfile raise nearly anything for bytes that are not what they claim
            raise FileError(
                f"[load_images] the file must be a sound .npz without Python objects; {path.name}: {error}; {wanted}"
            ) from error
    if not {"x", "y"} <= set(arrays):
        came = ", ".join(map(repr, arrays)) or "nothing"
        raise FileError(f"[load_images] a .npz must hold arrays x and y; {path.name} holds {came}; {wanted}")
    x = _scaled(arrays["x"], path)
    y, classes = _labels(arrays["y"], arrays.get("classes"), len(x), path)
    return Images(x, y, classes)


def _scaled(x: npt.NDArray[Any], path: Path) -> npt.NDArray[np.float32]:
    if x.ndim not in (3, 4) or not x.size or x.dtype.kind not in "fiu":
        raise FileError(
            f"[load_images] x is images (n, height, width) or (n, height, width, channels); x in {path.name} is "
            f"{x.dtype} of shape {x.shape}; add the missing axes"
        )
    x = x[..., None] if x.ndim == 3 else x
    if x.dtype.kind in "iu":
        if x.min() < 0 or x.max() > 255:
            raise FileError(
                f"[load_images] whole numbers are bytes, 0 to 255; x in {path.name} has {x.min()} to {x.max()}; save "
                "floats in 0..1"
            )
        return x.astype(np.float32) / np.float32(255)
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(x, np.float32)
    if not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).sum())
        raise FileError(
            f"[load_images] pixels must be finite in float32; {path.name} has {bad} that are not; drop these images"
        )
    return x


def _labels(y: npt.NDArray[Any], classes: Any, count: int, path: Path) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    words = y.dtype.kind == "U"
    if y.shape != (count,) or not (words or y.dtype.kind in "iu"):
        raise FileError(
            f"[load_images] y holds a whole number or a word for each image, ({count},); y in {path.name} is "
            f"{y.dtype} of shape {y.shape}; use y.argmax(axis=1) if it is one-hot"
        )
    if words:
        names, numbered = np.unique(y, return_inverse=True)
        return numbered.astype(np.int64).reshape(-1), tuple(map(str, names))
    if y.min() < 0 or y.max() >= max(2 * count, 1000):
        raise FileError(
            f"[load_images] labels count the classes from 0; y in {path.name} has {y.min()} to {y.max()}; number them, "
            "y = np.unique(y, return_inverse=True)[1]"
        )
    count = int(y.max()) + 1
    if classes is None:
        return y.astype(np.int64), tuple(map(str, range(count)))
    if classes.dtype.kind != "U" or classes.ndim != 1 or len(classes) < count:
        raise FileError(
            f"[load_images] classes names each label, {count} or more; classes in {path.name} is {classes.dtype} of "
            f"shape {classes.shape}; give a name for each"
        )
    return y.astype(np.int64), tuple(map(str, classes))
