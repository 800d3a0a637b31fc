"""Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers, SC 2011).

A key is (seed, counter) in int64. Element i is lane i % 4 of block counter / 4 + i / 4, so that any part of a
stream can be made on its own, by any number of workers, on either backend, with the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tinyres.kernels.forms import MAP, MOVEMENT, STATE
from tinyres.kernels.record import ALIKE, FLIP_COLUMNS, FLIP_ROWS, Array, kernel
from tinyres.kernels.sharing import UNDIVIDED

_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_ROUNDS = 10


def philox(counter: Sequence[Array], key: Sequence[Array]) -> list[Array]:
    """Four random words for each counter of four words, under a key of two; all are 32-bit words in uint64."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (product1 >> _HALF) ^ c1 ^ k0,
            product1 & _LOW,
            (product0 >> _HALF) ^ c3 ^ k1,
            product0 & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return [c0, c1, c2, c3]


def uniform(key: Array, n: int) -> Array:
    """The n numbers in [0, 1) that stand at a key: multiples of 2^-24, exact in float32; given in float64."""
    seed, counter = key.view(np.uint64)
    block = counter // np.uint64(4) + np.arange((n + 3) // 4, dtype=np.uint64)
    zero = np.zeros_like(block)
    words = philox([block & _LOW, block >> _HALF, zero, zero], [seed & _LOW, seed >> _HALF])
    return (np.stack(words, axis=-1).reshape(-1)[:n] >> np.uint64(8)) * 2.0**-24


@kernel("lL", "", "n", form=STATE)
def random_key(key: Array, state: Array, n: int, *, flags: int) -> None:
    """Hand out the key for n numbers and move the generator past them, in whole blocks of 4."""
    key[...] = state
    state[1] += (n + 3) // 4 * 4


@kernel("f", "l", "n", form=MOVEMENT, sharing=UNDIVIDED)
def random_uniform(out: Array, key: Array, n: int, *, flags: int) -> None:
    """The n numbers in [0, 1) that stand at the key."""
    out[...] = uniform(key, n)


@kernel("f", "fl", "n", "rate", form=MAP, sharing=UNDIVIDED)
def dropout(out: Array, x: Array, key: Array, n: int, rate: float, *, flags: int) -> None:
    """x / (1 - rate) where the element's number is at least `rate`, else 0."""
    keep = uniform(key, n) >= rate
    out[...] = np.where(keep, np.divide(x, x.dtype.type(1 - rate)), 0)


_WINDOW = "n h w c oh ow"


@kernel("f", "fl", _WINDOW, form=MOVEMENT, work="n oh ow c")
def random_window(y: Array, x: Array, key: Array, *sizes: int, flags: int) -> None:
    """y[n, oh, ow, c] = a window of each image x[n, h, w, c], each place as likely.

    With FLIP_ROWS, FLIP_COLUMNS each is upside down, right side left, by chance; with ALIKE all have one draw.
    """
    n, h, w, c, oh, ow = sizes
    images, windows = x.reshape(n, h, w, c), y.reshape(n, oh, ow, c)
    for i, rows, columns in _drawn(key, sizes, flags):
        windows[i] = images[i][np.ix_(rows, columns)]


@kernel("f", "fl", _WINDOW, form=MOVEMENT, work="n h w c")
def random_window_grad(x: Array, y: Array, key: Array, *sizes: int, flags: int) -> None:
    """The transpose of `random_window`: y where the same key put the window, 0 beside it."""
    n, h, w, c, oh, ow = sizes
    images, windows = x.reshape(n, h, w, c), y.reshape(n, oh, ow, c)
    images[...] = 0
    for i, rows, columns in _drawn(key, sizes, flags):
        images[i][np.ix_(rows, columns)] = windows[i]


def _drawn(key: Array, sizes: Sequence[int], flags: int) -> Iterator[tuple[int, Array, Array]]:
    """Each image, and which of its rows and columns make the window: four numbers of the stream for each."""
    n, h, w, _, oh, ow = sizes
    for i in range(n):
        numbers = uniform(np.array([key[0], key[1] + (0 if flags & ALIKE else 4 * i)]), 4)
        rows = int(numbers[0] * (h - oh + 1)) + np.arange(oh)
        columns = int(numbers[1] * (w - ow + 1)) + np.arange(ow)
        yield (
            i,
            rows[::-1] if flags & FLIP_ROWS and numbers[2] >= 0.5 else rows,
            columns[::-1] if flags & FLIP_COLUMNS and numbers[3] >= 0.5 else columns,
        )
