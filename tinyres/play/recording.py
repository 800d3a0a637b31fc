"""What the page gets for a net: the file of its program, its ribbon without widths, and what the library says of it.

A record is a uint32 (little-endian) with the length of a JSON text, that text, and the file of the program.
"""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from typing import Any

import numpy as np

from tinyres.layers.losses import softmax_cross_entropy
from tinyres.play import data
from tinyres.play.nets import Net
from tinyres.play.record import Recorded
from tinyres.play.replay import started
from tinyres.play.telling import sentences_of
from tinyres.store import text
from tinyres.trace.flow import flow_of
from tinyres.trace.trace import Trace
from tinyres.view import ribbon
from tinyres.view.curves import binomial_of, curves_of

_LONGEST_SPECTRUM = 48  # blocks: its time grows with the square


def recorded(net: Net) -> bytes:
    """The record of a net, told at rows of its shape (a first batch, or random ones), before training, at seed 0."""
    made = Recorded(net)
    file = made.file().to_bytes()
    twins = {"residual": made, "plain": Recorded(replace(net, skips=False))}
    x, y, rows = _rows(net)
    traces = {name: _trace(twin, x, y) for name, twin in twins.items()}
    told = {name: {**_told(trace), "rows": rows} for name, trace in traces.items()}
    head = text.encoded({"ribbon": ribbon.live(traces["residual"]), "told": told})
    return struct.pack("<I", len(head)) + head + file


def _trace(fresh: Recorded, x: Any, y: Any) -> Trace:
    net = fresh.net
    graph = started(fresh).model.graph(x, y, loss=softmax_cross_entropy)
    return graph.trace(paths=net.skips and net.blocks <= _LONGEST_SPECTRUM)


def _rows(net: Net) -> tuple[Any, Any, str]:
    """Rows of the net's shape, which is all that it tells of its data, and what they are in words."""
    for name in data.NAMES:
        known = data.load(name)
        if (known.x.shape[1], known.classes) == (net.features, net.classes):
            return known.x[: net.batch], known.y[: net.batch], f"the first {net.batch} rows of {name}"
    random = np.random.default_rng(0)
    x = random.normal(size=(net.batch, net.features)).astype(np.float32)
    return x, random.integers(0, net.classes, net.batch), f"{net.batch} random rows"


def _told(trace: Trace) -> dict[str, Any]:
    """Sentences, the fit and the law of |g| over the blocks, and the spectrum of path lengths."""
    curves, theory = curves_of(trace), flow_of("", trace).theory
    told: dict[str, Any] = {
        "sentences": sentences_of(trace),
        "fit": curves.fit,
        "fit_words": curves.fit_words,
        "theory_rate": None if theory is None else theory.rate,
        "theory_words": curves.theory_words,
        "paths": None,
    }
    if trace.has_paths:
        spectrum = trace.paths()
        shares = [s if s is not None and math.isfinite(s) else None for s in spectrum.shares]
        told["paths"] = {"shares": shares, "binomial": binomial_of(spectrum), "at": spectrum.at}
    return told
