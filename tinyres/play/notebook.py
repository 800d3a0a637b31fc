"""The views of the page in a notebook: a model's gradient, drawn anew while it trains in Python."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from tinyres.errors import ArgumentError, need_extra
from tinyres.model import Model
from tinyres.play.bundle import bundled, source
from tinyres.play.site import ribbon_style
from tinyres.play.telling import sentences_of
from tinyres.store import text
from tinyres.trace.trace import Trace
from tinyres.training.callback import Callback
from tinyres.view import page as report
from tinyres.view import ribbon
from tinyres.view.cells import layout

_MOST_LOSSES = 1000  # then every second one is let go


def widget(model: Model, x: Any, y: Any, loss: Any = None, name: str | None = None) -> Any:
    """A live view of the gradient of a model's loss on these rows, for the last line of a notebook's cell.

    It shows the ribbon, |g| by block, the ledger of a block, the loss and a heat map, as the page does, with what the
    library says of this moment; `look()` draws the present weights, and `follow(every)` is a callback for `fit` that
    does so every so many steps. x, y: (n, ...), loss: as for `model.graph`; each look is a pass forward and back over
    all rows, so a batch of them is enough. name: what the net is called, else the model's name.

    Raises MissingExtraError without anywidget, ArgumentError for a net that is drawn as a U.

    >>> import tinyres as tr
    >>> (x, y), _ = tr.data.load_digits()
    >>> inputs = h = tr.Input(shape=(64,))
    >>> for _ in range(2):
    ...     h = tr.layers.blocks.residual(h, 64)
    >>> model = tr.Model(inputs, tr.layers.Dense(10, activation="softmax")(h))
    >>> model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    >>> try:
    ...     view = tr.play.widget(model, x[:64], y[:64])
    ...     history = model.fit(x, y, epochs=1, verbose=0, callbacks=[view.follow(every=20)])
    ...     looks = view.steps
    ... except tr.errors.MissingExtraError:
    ...     looks = [0, 20, 40]
    >>> looks
    [0, 20, 40]
    """
    if not isinstance(model, Model):
        raise ArgumentError(f"[widget] what is shown is a tr.Model; got {type(model).__name__}; give the model first")
    with need_extra("widget", "a live view in a notebook is a widget", "widget"):
        view = _view_class()
    return view(model, x, y, loss, name)


@functools.cache
def _view_class() -> Any:
    import anywidget
    import traitlets

    class View(anywidget.AnyWidget):
        """See `widget`. steps: those that were looked at."""

        _esm = source("cell.mjs")
        _page = traitlets.Unicode().tag(sync=True)
        _frame = traitlets.Unicode().tag(sync=True)

        def __init__(self, model: Model, x: Any, y: Any, loss: Any, name: str | None) -> None:
            self._graph = model.graph(x, y, loss=loss)
            self.steps: list[int] = []
            self._losses: list[list[Any]] = []
            first = self._graph.trace(audit=False)
            if any(arc.over is not None for arc in layout(first)[1]):
                raise ArgumentError(
                    "[widget] the live view draws blocks in a row; got a net whose skips go across a U; look at its "
                    "trace.ribbon()"
                )
            super().__init__(_page=page_of(first, name or model.name or "net"))
            self._take(0, first)

        def look(self, step: int | None = None) -> None:
            """Draw the gradient at the present weights; step: what it is called, else the one after the last."""
            self._take(self.steps[-1] + 1 if step is None else step, self._graph.trace(audit=False))

        def follow(self, every: int = 10) -> Callback:
            """A callback for `fit` that looks before the first step and after each `every` of them."""
            if isinstance(every, bool) or not isinstance(every, int) or every < 1:
                raise ArgumentError(f"[follow] every counts steps, from 1 on; got {every!r}; choose another")
            return _Following(self, every)

        def _take(self, step: int, trace: Trace) -> None:
            while self.steps and self.steps[-1] >= step:  # another training has begun
                self.steps.pop()
            self.steps.append(step)
            self._losses = [known for known in self._losses if known[0] < step] + [[step, trace.loss, None]]
            if len(self._losses) > _MOST_LOSSES:
                self._losses = self._losses[::2]
            self._frame = frame_of(step, trace, self._losses)

    return View


class _Following(Callback):
    """Looks every so many steps, counted over all epochs of a `fit`."""

    def __init__(self, view: Any, every: int) -> None:
        self._view, self._every, self._steps = view, every, 0

    def on_train_begin(self, logs: Any = None) -> None:
        self._steps = 0
        self._view.look(0)

    def on_train_batch_end(self, step: int, logs: Any = None) -> None:
        self._steps += 1
        if self._steps % self._every == 0:
            self._view.look(self._steps)


def frame_of(step: int, trace: Trace, losses: Sequence[Sequence[Any]]) -> str:
    """What is shown of one moment, as JSON."""
    sentences = [sentence[:1].upper() + sentence[1:] for sentence in sentences_of(trace)]
    rows = {"nodes": trace.rows("layer"), "edges": trace.rows("edge"), "blocks": trace.rows("block")}
    plain = {name: [_plain(row) for row in table] for name, table in rows.items()}
    return text.encoded({"step": step, "sentences": sentences, "losses": list(losses), **plain}).decode()


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in row.items()}


def page_of(trace: Trace, name: str) -> str:
    """The document of the frame: all that it needs, and the net without its numbers."""
    given = json.dumps({"name": name, "ribbon": ribbon.live(trace), "blocks": len(trace.blocks)})
    style = "".join(
        (source("view/vendor/uPlot.min.css"), source("view/report.css"), ribbon_style(), source("page.css"))
    )
    script = bundled("live.mjs").replace("</script", "<\\/script")
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{escape(name)}</title><style>{style} body {{ padding: 0 }}</style></head>
<body>
<p id="live"></p>
<p id="status" class="soft" role="status" aria-live="polite"></p>
<main id="views"></main>
<script type="application/json" id="given">{given.replace("<", chr(92) + "u003c")}</script>
<script>{report.chart_library()}</script>
<script type="module">{script}</script>
</body>
</html>
"""
