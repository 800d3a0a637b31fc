"""The report of a moment of the page: both nets trained up to it here, and what the library says of them then."""

from __future__ import annotations

from dataclasses import replace

from tinyres.layers.losses import softmax_cross_entropy
from tinyres.play import data
from tinyres.play.record import Recorded
from tinyres.play.replay import replayed
from tinyres.play.state import State
from tinyres.play.telling import sentences_of
from tinyres.store import text
from tinyres.trace.compare import compare
from tinyres.trace.trace import Trace
from tinyres.view import compared


def reported(state: State) -> bytes:
    """JSON: "sentences" of "residual" and "plain", and "html", the offline report of both."""
    traces = {"residual": _trace(state, skips=True), "plain": _trace(state, skips=False)}
    told = {name: sentences_of(trace) for name, trace in traces.items()}
    report = compared.html(compare(**{"with skips": traces["residual"], "without": traces["plain"]}))
    return text.encoded({"sentences": told, "html": report})


def _trace(state: State, skips: bool) -> Trace:
    """Of the weights after these steps, on the rows of the next one."""
    known = data.load(state.data)
    net = replace(state.net, skips=skips)
    changes = [event for event in state.events if skips or not event[1].startswith("skip")]
    strengths = {"lr": state.lr, "skip": state.skip if skips else 1.0, "branch": state.branch}
    x, y = known.x[: known.trained], known.y[: known.trained]
    recorded = Recorded(net)
    replayed(net, x, y, state.step, state.seed, **strengths, events=changes, recorded=recorded)
    rows = data.rows(state.step, net.batch, len(x))
    return recorded.model.graph(x[rows], y[rows], loss=softmax_cross_entropy).trace()
