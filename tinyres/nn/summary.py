"""The summary of a model as plain text: one row per layer call, with what it is connected to.

Which inputs of a joining layer are skips, `structure` tells, as it does for a trace.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tinyres.nn.functional import Functional
from tinyres.nn.layer import Layer
from tinyres.nn.shape import LayerGraph
from tinyres.nn.symbolic import Symbolic, symbolics
from tinyres.structure.names import shortened

WIDTH, _NARROWEST = 80, 50
_SHAPE, _COUNT = 13, 10
_KIND = 24  # letters of a kind, which stands on a line with the path


class Row(NamedTuple):
    """One layer call: links are the paths of the calls it reads, skips those of them that are skips."""

    path: str
    kind: str
    shape: str
    parameters: int
    links: tuple[str, ...]
    skips: frozenset[str]


class Layout(NamedTuple):
    """Columns of a table: all, and of the names and the links among them."""

    width: int
    name: int
    links: int

    @classmethod
    def of(cls, width: int | None) -> Layout:
        """For this many columns; None: those of the terminal, 80 at most."""
        width = max(_NARROWEST, min(WIDTH, shutil.get_terminal_size().columns) if width is None else width)
        rest = width - _SHAPE - _COUNT - 4
        name = round(rest * 0.58)
        return cls(width, name, rest - name)


def summary(model: Functional, width: int | None = None) -> str:
    """The table, under a title and above the totals. width: as for `Layout.of`."""
    layout = Layout.of(width)
    rows = _connected(model) if model.steps else [_alone(path, layer) for path, layer in model._children()]
    rows = _shortened(rows, layout.width - _KIND)
    title = f'{type(model).__name__} "{model.name or model.default_name}"'
    lines = [title, _line(layout, "layer", "output shape", "parameters", "reads"), "-" * layout.width]
    for row in rows:
        lines.extend(_lines(layout, row))
    lines.append("-" * layout.width)
    total = model.count_params()
    trained = sum(w.size for w in model.trainable_weights)
    lines.append(f"{total:,} parameters: {trained:,} trained, {total - trained:,} not trained")
    skips = sum(len(row.skips) for row in rows)
    if skips:
        lines.append(f"{skips} skip connection{'s' if skips > 1 else ''}")
    if not model.built:
        lines.append("not built yet: shapes and parameters are known after the first call")
    return "\n".join(lines)


def _shortened(rows: Sequence[Row], longest: int) -> list[Row]:
    """The rows with paths that fit, distinct where they were."""
    paths = [row.path for row in rows]
    short = dict(zip(paths, shortened(paths, longest)))
    return [
        row._replace(
            path=short[row.path],
            links=tuple(short[link] for link in row.links),
            skips=frozenset(short[link] for link in row.skips),
        )
        for row in rows
    ]


def print_summary(
    self: Functional,
    line_length: int | None = None,
    positions: Any = None,
    print_fn: Callable[[str], Any] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Any = None,
) -> None:
    """Print a table of the layers: shapes, parameters, what each is connected to, and which inputs are skips.

    line_length: columns, at least 50; else those of the terminal, at most 80. print_fn: what is called on each line.
    The others: taken as Keras takes them; the table has all rows, the width of its columns follows from its own.
    """
    for line in summary(self, line_length).splitlines():
        (print_fn or print)(line)


Functional.summary = print_summary  # type: ignore[method-assign]


def _connected(model: Functional) -> list[Row]:
    graph = LayerGraph(model)
    path_of: dict[Symbolic, str] = {}
    rows = []
    layer_paths = {layer: path for path, layer in model._children()}
    for symbolic in model.inputs:
        layer = symbolic.producer.layer
        path_of[symbolic] = layer_paths[layer]
        rows.append(_alone(layer_paths[layer], layer)._replace(shape=str(symbolic.shape)))
    counted: set[Layer] = set()
    for step in model.steps:
        sources = step.call.inputs()
        outputs = list(symbolics(step.call.outputs))
        path_of.update(dict.fromkeys(outputs, step.path))
        shape = ", ".join(str(output.shape) for output in outputs)
        parameters = 0 if step.layer in counted else step.layer.count_params()
        counted.add(step.layer)
        links = tuple(dict.fromkeys(path_of[s] for s in sources))
        skips = frozenset(path_of[sources[i]] for i in graph.skips_into(step.call))
        rows.append(Row(step.path, type(step.layer).__name__, shape, parameters, links, skips))
    return rows


def _alone(path: str, layer: Layer) -> Row:
    return Row(path, type(layer).__name__, "-", layer.count_params(), (), frozenset())


def _lines(layout: Layout, row: Row) -> list[str]:
    links = [f"{link} (skip)" if link in row.skips else link for link in row.links]
    first, *others = _wrapped(links, layout.links) or [""]
    if len(first) > layout.links:
        first, others = "", [first, *others]
    title = f"{row.path} ({row.kind})"
    lines = [title] if len(title) > layout.name else []
    lines.append(_line(layout, "" if lines else title, row.shape, f"{row.parameters:,}", first))
    for link in others:
        lines.append(f"{link:>{layout.width}}" if len(link) > layout.links else _line(layout, "", "", "", link))
    return lines


def _wrapped(links: Sequence[str], width: int) -> list[str]:
    """The links, as many to a line as fit."""
    lines: list[str] = []
    for i, link in enumerate(links):
        text = link if i == len(links) - 1 else link + ","
        if lines and len(lines[-1]) + 1 + len(text) <= width:
            lines[-1] += " " + text
        else:
            lines.append(text)
    return lines


def _line(layout: Layout, name: str, shape: str, parameters: str, links: str) -> str:
    return f"{name:<{layout.name}} {shape:<{_SHAPE}} {parameters:>{_COUNT}}  {links}".rstrip()
