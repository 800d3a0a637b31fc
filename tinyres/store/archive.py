"""Model files: one `.npz` with all arrays and a JSON header, written so that a kill leaves the old file or the new one.

It is read whole, with no pickles, and every array passes its checksum, before anybody looks at what it says.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinyres.errors import ArgumentError, FileError
from tinyres.store import text
from tinyres.store.replacing import replacing

FORMAT = "tinyres model"
VERSION = 2
HEADER = "header"

PathLike = str | os.PathLike[str]


def write(path: PathLike, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a file of this format. Raises FileError if that cannot be done; the file of before is then still there.

    header: what JSON takes. arrays: by name.
    """
    target = _target("save", path)
    try:
        encoded = text.encoded({"format": FORMAT, "version": VERSION, **header})
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"[save] what a layer's config() gives must fit into JSON; got {error}; return numbers, strings and lists"
        ) from None
    with replacing(target) as file:
        entries: dict[str, Any] = {HEADER: np.frombuffer(encoded, np.uint8), **arrays}
        np.savez(file, **entries)


def read(op: str, path: PathLike) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(header, arrays) of a file of this format. Raises FileError if it is missing, damaged or something else."""
    source = _target(op, path)
    if not os.path.isfile(source):
        what = "is a folder" if os.path.isdir(source) else "is not there"
        raise FileError(f"[{op}] a model file is needed; {path} {what}; give the path that model.save was given")
    try:
        with open(source, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged archive fails in many ways, in zipfile, zlib, struct or NumPy
        raise FileError(
            f"[{op}] {path} is not a model file, or is truncated or damaged ({type(error).__name__}: {error}); "
            "give a file that model.save wrote"
        ) from error
    return _header(op, path, arrays.pop(HEADER, None)), arrays


def _header(op: str, path: PathLike, encoded: np.ndarray | None) -> dict[str, Any]:
    header = None
    if encoded is not None and encoded.dtype == np.uint8 and encoded.ndim == 1:
        with contextlib.suppress(ValueError, RecursionError):
            header = text.decoded(encoded.tobytes())
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise FileError(
            f"[{op}] {path} is an .npz file, but not a model: it has no {FORMAT} header; "
            "give a file that model.save wrote"
        )
    version = header.get("version")
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise FileError(
            f"[{op}] this tinyres reads model files of version 1 to {VERSION}; {path} has {version!r}; "
            "install a newer one"
        )
    return header


def _target(op: str, path: PathLike) -> str:
    try:
        target = os.fsdecode(path)
    except TypeError:
        raise FileError(f'[{op}] a path is a string or a Path; got {type(path).__name__}; write "model.npz"') from None
    stem, suffix = os.path.splitext(os.path.basename(target))
    if suffix != ".npz":
        raise FileError(f"[{op}] model files end in .npz; got {target!r}; name it {stem or 'model'}.npz")
    return os.path.realpath(target)
