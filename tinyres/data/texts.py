"""Text from the user's own file, or the plays that come with tinyres: characters as ids, in windows of one length.

What is asked of a net is the next character, at every place of a window at once. Windows start anywhere, drawn by a
seed: which ones an epoch has follows from the seed and the number of the epoch alone, as with any Loader.
"""

from __future__ import annotations

import bz2
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyres.data.bundled import bundled
from tinyres.data.loader import Loader
from tinyres.errors import ArgumentError, FileError
from tinyres.store.opening import PathLike, checked_path, opened

_CHUNK = 1 << 24  # bytes looked at in one go
_UNICODE = 0x110000
_PAIRS = 1 << 24  # of characters that may be counted in a table

Ids = npt.NDArray[np.int64]


class Text:
    """A text as windows of characters to train on and to validate on, and what its ids stand for.

    train: Windows, batches of ids of shape (batch_size, context) of its first part. validation: Windows of the last
    part, the share `validation_split` of it, None without one. vocabulary: its characters in order, id 0 first.
    characters: how many it has. Raises ArgumentError for characters that the text has not.

    >>> plays = load_plays(context=64)
    >>> plays.decode(plays.encode("To be"))
    'To be'
    >>> x, y = next(iter(plays.train))
    >>> x.shape, bool((x[:, 1:] == y[:, :-1]).all())
    ((32, 64), True)
    """

    def __init__(
        self,
        codes: np.ndarray,
        table: np.ndarray,
        vocabulary: str,
        context: int,
        batch_size: int,
        validation_split: float,
        seed: int,
        steps_per_epoch: int | None,
        name: str,
    ) -> None:
        self.vocabulary, self.name = vocabulary, name
        self.context, self.characters = context, len(codes)
        self._codes, self._table = codes, table
        self._id_of = {character: i for i, character in enumerate(vocabulary)}
        cut = self.characters - round(self.characters * validation_split)
        parts = {"to train on": cut, "to validate on": self.characters - cut if validation_split else context + 1}
        for what, count in parts.items():
            if count <= context:
                raise FileError(
                    f"[text] a text must have more characters than a window, {context}; got {count} {what} of the "
                    f"{self.characters} in {name}; give a longer one, or a smaller context"
                )
        self.train = Windows(codes[:cut], table, context, batch_size, seed, steps_per_epoch)
        self.validation = Windows(codes[cut:], table, context, batch_size, seed) if cut < self.characters else None

    def encode(self, string: str) -> Ids:
        """The ids of the characters. Raises ArgumentError for one that the text has not."""
        unknown = next((character for character in string if character not in self._id_of), None)
        if unknown is not None:
            raise ArgumentError(
                f"[encode] the characters are those of {self.name}, {self.vocabulary!r}; got {unknown!r}; leave it out"
            )
        return np.array([self._id_of[character] for character in string], np.int64)

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The string of these ids. Raises ArgumentError for one that stands for no character."""
        numbers = np.asarray(ids).reshape(-1)
        size = len(self.vocabulary)
        if numbers.size and (numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= size):
            raise ArgumentError(
                f"[decode] ids are whole numbers in 0..{size - 1}; got {numbers.dtype} {numbers.min()}..{numbers.max()}"
                "; give what encode or a model gave"
            )
        return "".join([self.vocabulary[i] for i in numbers])

    def entropy(self, order: int = 1) -> float:
        """What the next character tells on the average, in nats, to one who knows how often each comes.

        order: 1 for single characters, 2 for pairs: how often each comes after the one before it (Shannon 1948). A net
        whose loss lies below has learned more than that.
        """
        if order not in (1, 2):
            raise ArgumentError(f"[entropy] order is 1 for characters, 2 for pairs; got {order!r}; choose one of them")
        size = len(self.vocabulary)
        single = sum(np.bincount(ids, minlength=size) for ids in self._in_chunks())
        if order == 1:
            return _entropy(single)
        if size * size > _PAIRS:
            raise ArgumentError(
                f"[entropy] pairs are counted in a table of at most {_PAIRS}; got {size} characters; ask for order=1"
            )
        before, pairs, last = np.zeros(size, np.int64), np.zeros(size * size, np.int64), None
        for ids in self._in_chunks():
            joined = ids if last is None else np.concatenate([[last], ids])
            pairs += np.bincount(joined[:-1] * size + joined[1:], minlength=size * size)
            last = ids[-1]
        before = pairs.reshape(size, size).sum(axis=1)
        return _entropy(pairs) - _entropy(before)

    def _in_chunks(self) -> Iterator[Ids]:
        for start in range(0, self.characters, _CHUNK):
            yield self._table[self._codes[start : start + _CHUNK]]

    def __repr__(self) -> str:
        return f"<Text {self.name}: {self.characters} characters, {len(self.vocabulary)} of them different>"


class Windows(Loader):
    """Batches (x, y) of windows of a text: ids (batch_size, context), and at each place of y the one that follows.

    An epoch has as many windows as the text would have side by side, or as steps_per_epoch says, each drawn to start
    anywhere. `in_order`, which `evaluate` and validation go by, cuts the text into windows side by side. characters:
    how many there are.

    >>> from tinyres.data import text
    >>> from pathlib import Path
    >>> _ = Path("letters.txt").write_text("to be or not to be " * 40)
    >>> windows = text("letters.txt", context=16, batch_size=8).train
    >>> x, y = next(iter(windows))
    >>> x.shape, bool((x[:, 1:] == y[:, :-1]).all())
    ((8, 16), True)
    """

    def __init__(
        self,
        codes: np.ndarray,
        table: np.ndarray,
        context: int,
        batch_size: int,
        seed: int,
        steps_per_epoch: int | None = None,
    ) -> None:
        whole = (len(codes) - 1) // context
        size = batch_size if steps_per_epoch else min(batch_size, whole)
        steps = steps_per_epoch or whole // size
        super().__init__(np.empty((steps * size, 0)), batch_size=size, seed=seed)
        self.context, self.characters = context, len(codes)
        self._codes, self._table, self._whole = codes, table, whole

    def in_order(self, batch_size: int | None = None) -> Iterator[Any]:
        """All windows side by side, once; where the Windows stand does not change."""
        size = self.batch_size if batch_size is None else batch_size
        for first in range(0, self._whole, size):
            yield self._windows(np.arange(first, min(first + size, self._whole)) * self.context)

    def __repr__(self) -> str:
        return (
            f"<Windows of {self.context} characters, {len(self)} batches of {self.batch_size}, at epoch {self.epoch}>"
        )

    def _order(self) -> np.ndarray:
        random = np.random.default_rng([self.seed, self.epoch])
        return random.integers(0, len(self._codes) - self.context, self.samples)

    def _batch(self, start: int, order: np.ndarray | None, size: int | None = None) -> Any:
        assert order is not None
        return self._windows(order[start : start + self.batch_size])

    def _windows(self, starts: np.ndarray) -> tuple[Ids, Ids]:
        ids = self._table[self._codes[starts[:, None] + np.arange(self.context + 1)]]
        return np.ascontiguousarray(ids[:, :-1]), np.ascontiguousarray(ids[:, 1:])


def text(
    path: PathLike,
    context: int = 64,
    batch_size: int = 32,
    validation_split: float = 0.1,
    seed: int = 0,
    steps_per_epoch: int | None = None,
) -> Text:
    """The characters of a text file (UTF-8) in windows of `context`, to train on and to validate on.

    batch_size: windows a batch. validation_split: the share of the text, its last part, that is held back. seed: what
    the starts of windows follow from. steps_per_epoch: batches of an epoch, as many as there is text for if left out.
    A file of ASCII stays on the disk, memory-mapped; another one is decoded into memory.
    Raises FileError for a file that is not UTF-8 (it names the place), empty, or too short for a window; ArgumentError
    for options that do not fit.

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "song.txt")
    >>> _ = path.write_text("la la la la, " * 20)
    >>> text(path, context=8).vocabulary
    ' ,al'
    """
    options = _options(context, batch_size, validation_split, seed, steps_per_epoch)
    name = checked_path("text", path)
    with opened("text", name, "a text file") as file:
        if not file.read(1):
            raise FileError(f"[text] a text has characters; got the empty file {name}; give another one")
    codes = np.memmap(name, np.uint8, "r")
    counts = np.zeros(256, np.int64)
    for start in range(0, len(codes), _CHUNK):
        counts += np.bincount(codes[start : start + _CHUNK], minlength=256)
    if counts[128:].any():
        return _decoded(codes, os.path.basename(name), options)
    return _of_codes(codes, counts, os.path.basename(name), options)


def load_plays(
    context: int = 64,
    batch_size: int = 32,
    validation_split: float = 0.1,
    seed: int = 0,
    steps_per_epoch: int | None = None,
) -> Text:
    """Five plays of Shakespeare, 669,261 characters, as `text` would give them from a file.

    Romeo and Juliet, Hamlet, The Tempest, Macbeth and King Lear, in this order; the last part that is held back is of
    King Lear. The text is in the public domain; ATTRIBUTION.md tells where it is from. Raises FileError where the file
    that comes with tinyres is missing.

    >>> load_plays()
    <Text plays: 669261 characters, 66 of them different>
    """
    options = _options(context, batch_size, validation_split, seed, steps_per_epoch)
    codes = np.frombuffer(bz2.decompress(bundled("load_plays", "text", "plays.txt.bz2").read()), np.uint8)
    return _of_codes(codes, np.bincount(codes, minlength=256), "plays", options)


def _options(context: Any, batch_size: Any, validation_split: Any, seed: Any, steps: Any) -> dict[str, Any]:
    whole = {"context": (context, 1), "batch_size": (batch_size, 1), "seed": (seed, 0)}
    if steps is not None:
        whole["steps_per_epoch"] = steps, 1
    for what, (value, least) in whole.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ArgumentError(f"[text] {what} is an integer >= {least}; got {value!r}; choose another")
    number = isinstance(validation_split, (int, float, np.number)) and not isinstance(validation_split, bool)
    if not number or not 0 <= validation_split < 1:
        raise ArgumentError(
            f"[text] validation_split is a share, 0 <= share < 1; got {validation_split!r}; choose another"
        )
    found = {name: int(value) for name, (value, _) in whole.items()}
    return {"steps_per_epoch": None, **found, "validation_split": float(validation_split)}


def _of_codes(codes: np.ndarray, counts: np.ndarray, name: str, options: dict[str, Any]) -> Text:
    """A text of code points, of which `counts` tells how often each comes."""
    present = np.flatnonzero(counts)
    table = np.zeros(len(counts), np.int64)
    table[present] = np.arange(len(present))
    return Text(codes, table, "".join(map(chr, present)), name=name, **options)


def _decoded(codes: np.ndarray, name: str, options: dict[str, Any]) -> Text:
    data = codes.tobytes()
    try:
        string = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileError(
            f"[text] a text is UTF-8; got the byte 0x{data[error.start]:02x} at {error.start}, line {line}, of {name}; "
            "convert the file first, as by iconv -f latin1 -t utf-8"
        ) from None
    points = np.frombuffer(string.encode("utf-32-le"), np.uint32)
    return _of_codes(points, np.bincount(points, minlength=_UNICODE), name, options)


def _entropy(counts: Any) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
