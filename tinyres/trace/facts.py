"""Facts: what a node of a trace is, as the records of its ops say; and what is taken for it in files without facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple


class Facts(NamedTuple):
    """What theory, lint and verdict judge a node by; a new op or layer brings its own.

    adds: its value is the sum of its inputs. multiplies: its inputs with one another. scales: data by a weight or a
    number, element by element. rectifies: how many times it cuts off one half of the values (ReLU); rectified: its
    value is what such a cut left. leaks: the part of that half that it keeps instead (leaky ReLU), 0 if it does not.
    normalises: over what ("batch", "layer", "rms", "group"), else "". piecewise_linear: nothing in it but sums,
    products with a weight, and cuts. in_row: it has several weights, each for what the one before made. slope: the
    largest derivative of what squashes its value, else 0. drops: the share of its value that is set to 0 at random.
    distributes: over how many units it shares out 1 (softmax), 0 if it does not. breaks, helps: why its value may not
    be finite, and what helps, if the op that made it knows.
    """

    adds: bool = False
    multiplies: bool = False
    scales: bool = False
    rectifies: int = 0
    rectified: bool = False
    leaks: float = 0.0
    normalises: str = ""
    piecewise_linear: bool = False
    in_row: bool = False
    slope: float = 0.0
    drops: float = 0.0
    distributes: int = 0
    breaks: str = ""
    helps: str = ""


Fans = tuple[int, int]


class Weight(NamedTuple):
    """What a trace knows of a Parameter as a weight: see TraceParameter."""

    fans: Fans | None = None
    drawn: str = ""
    coverage: float = 1.0


def encoded_facts(facts: Iterable[Facts], weights: Iterable[Weight]) -> dict[str, Any]:
    """The facts of all nodes by columns, and of all parameters what they are as weights, as JSON takes them."""
    columns = dict(zip(Facts._fields, map(list, zip(*facts))))
    listed = list(weights)
    return {
        "facts": columns,
        "fans": [None if w.fans is None else list(w.fans) for w in listed],
        "drawn": [w.drawn for w in listed],
        "coverage": [w.coverage for w in listed],
    }


def decoded_facts(data: Mapping[str, Any]) -> tuple[list[Facts], list[Weight]]:
    """What `encoded_facts` wrote. Raises what a damaged file makes Python raise; ValueError for a wrong type."""
    columns = data["facts"]
    kinds = {name: type(value) for name, value in Facts()._asdict().items()}
    for name in ("distributes", "leaks", "in_row"):  # older files do not tell
        columns.setdefault(name, [kinds[name](0)] * len(columns["adds"]))
    for name, kind in kinds.items():
        if any(type(value) is not kind for value in columns[name]):
            raise ValueError(f"{name} must be {kind.__name__} throughout")
    facts = [Facts(*row) for row in zip(*[columns[name] for name in kinds], strict=True)]
    fans = [None if f is None else (f[0], f[1]) for f in data["fans"]]
    if any(f is not None and not (type(f[0]) is type(f[1]) is int) for f in fans):
        raise ValueError("fans must be pairs of integers")
    if not all(isinstance(drawn, str) for drawn in data["drawn"]):
        raise ValueError("drawn must be names")
    coverage = data.get("coverage", [1.0] * len(fans))
    if not all(type(part) in (int, float) and part >= 0 for part in coverage):
        raise ValueError("coverage must be parts of a whole")
    return facts, [Weight(*row) for row in zip(fans, data["drawn"], coverage, strict=True)]


def guessed_facts(data: Mapping[str, Any]) -> tuple[list[Facts], list[Weight]]:
    """What traces without facts were judged by: names of ops, a fused ReLU by its zeros, matrices by their shape."""
    nodes, edges = data["nodes"], data["edges"]
    count = len(nodes["name"])
    producers: list[list[int]] = [[] for _ in range(count)]
    for src, dst in zip(edges["src"], edges["dst"], strict=True):
        if 0 <= src < count:
            producers[dst].append(src)
    is_data: list[bool] = []
    facts = []
    for i, (op, primitive) in enumerate(zip(nodes["op"], nodes["primitive"], strict=True)):
        into = sum(is_data[p] for p in producers[i])
        is_data.append(primitive == "" or into > 0)
        fused = primitive.startswith("dense") and nodes["zeros"][i] > 0.2 * _size(nodes["shape"][i]) > 0
        rectified = primitive == "relu" or fused
        facts.append(
            Facts(
                adds=op.lower() == "add",
                multiplies=primitive in ("mul", "div", "matmul"),
                scales=primitive in ("mul", "div") and into == 1,
                rectifies=int(rectified),
                rectified=rectified,
                normalises="batch" if primitive.startswith("batchnorm") else "",
                piecewise_linear=primitive in ("relu", "add", "matmul") or primitive.startswith("dense"),
            )
        )
    return facts, [Weight((s[0], s[1]) if len(s) == 2 else None) for s in data["parameters"]["shape"]]


def _size(shape: Sequence[int]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size
