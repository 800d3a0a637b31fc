"""The records a Trace is made of: nodes, parameters, edges, forks and the audit's findings. Plain, immutable data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from tinyres.errors import TraceError
from tinyres.trace.facts import Facts, Fans


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What is measured of one array and of the loss's gradient with respect to it.

    name: never an id. shape: of the array. value_norm: its L2 norm; value_mean, value_std: over all elements.
    zeros, nans, infs: how many elements are that. grad_norm: L2 norm of ∂loss/∂array over all elements and the whole
    batch, accumulated in float64; grad_nans: how many of its elements are NaN or infinite.
    """

    name: str
    shape: tuple[int, ...]
    value_norm: float
    value_mean: float
    value_std: float
    zeros: int
    nans: int
    infs: int
    grad_norm: float
    grad_nans: int
    arrays: tuple[np.ndarray, np.ndarray | None] | None = field(default=None, repr=False, kw_only=True)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))

    @property
    def value(self) -> np.ndarray:
        """The array itself, read-only; measured by `graph.trace(arrays=True)`."""
        return self._arrays()[0]

    @property
    def grad(self) -> np.ndarray:
        """∂loss/∂array, read-only, zeros where nothing came back; measured by `graph.trace(arrays=True)`."""
        grad = self._arrays()[1]
        return np.zeros(self.shape) if grad is None else grad

    def _arrays(self) -> tuple[np.ndarray, np.ndarray | None]:
        if self.arrays is None:
            raise TraceError(
                f"[trace] the arrays of {self.name} were not measured; call graph.trace(arrays=True), "
                "of a module of PyTorch none are kept"
            )
        return self.arrays


@dataclass(frozen=True, slots=True, eq=False)
class TraceParameter(Measured):
    """One Parameter: named like "block3/dense/kernel". Its gradient is summed over all layer calls that use it.

    fans: (fan_in, fan_out) where an op takes it as a weight that it multiplies its input with, else None: a receptive
    field counts by its taps. coverage: the part of fan_in that one output is made of, on the average: less than 1 where
    windows reach over a border, and between the strides of a transposed convolution. drawn: the initialiser whose
    values it still has ("he_normal"), "" if it was changed since or had none with a name.
    """

    trainable: bool = True
    fans: Fans | None = None
    coverage: float = 1.0
    drawn: str = ""


class Head(NamedTuple):
    """One head of an attention.

    entropy: the mean over the queries of -Σ p log p of what they take of the keys, in units of the largest that as many
    keys as they see allow: 1 takes of all alike, 0 of one alone. Queries that see one key are left out; None if all do.
    dead: neither what it gives nor the rows of the weight that reads this have a gradient.
    """

    entropy: float | None
    dead: bool


@dataclass(frozen=True, slots=True, eq=False)
class TraceNode(Measured):
    """One call of a layer, one op outside of layers, or one leaf.

    op: class name of the layer, name of the op, or of a leaf what it is: "leaf" (an input, or made with
    requires_grad=True), "target", "sample_weight", "constant". primitive: the op that computed the output. block: the
    name of its block or part of one, "" outside of any. source: (file, line) of the user's code. params: by short name,
    "kernel". facts: what its ops make it. dead: of the units (of images: channels) that a ReLU cuts at 0, how many are
    0 for the whole batch, everywhere in the images; None where nothing cuts them. by_position: see `grad_by_position`,
    None for outputs of fewer than three axes and in older files. heads: of an attention, None elsewhere.
    channels_first: whether channels stand on axis 1, as in PyTorch's images, and taps behind them in its kernels.
    """

    op: str = ""
    primitive: str = ""
    block: str = ""
    source: tuple[str, int] | None = None
    params: Mapping[str, TraceParameter] = field(default_factory=dict)
    facts: Facts = Facts()
    dead: int | None = None
    by_position: tuple[float, ...] | None = None
    heads: tuple[Head, ...] | None = None
    channels_first: bool = False

    @property
    def channels(self) -> int:
        """The length of the axis of features or channels, 0 without axes."""
        return 0 if not self.shape else self.shape[1 if self.channels_first else -1]

    @property
    def pixels(self) -> tuple[int, ...]:
        """The axes between batch and features: height and width of images."""
        return self.shape[2:] if self.channels_first else self.shape[1:-1]

    @property
    def grad_by_position(self) -> np.ndarray:
        """L2 norm of the gradient at each token of (batch, tokens, features), over the batch and the features.

        Their squares sum to that of `grad_norm`. Raises TraceError for an output of other axes.
        """
        if self.by_position is None:
            raise TraceError(
                f"[trace] a gradient by position is of an output (batch, tokens, features); got {self.name} of shape "
                f"{self.shape}; ask a node with three axes, and trace anew what an older file holds"
            )
        return np.array(self.by_position)


@dataclass(frozen=True, slots=True)
class TraceEdge:
    """The gradient that one consumer sent back to what it read.

    src: the producer, a node or a parameter. dst: the consumer. kind: skip, branch, parallel, gate, condition, chain or
    parameter.
    grad_norm: L2 norm of the cotangent g_e that came back over it. share: ⟨g_e, g⟩ / ⟨g, g⟩ of the producer's whole
    gradient g, signed; cosine: ⟨g_e, g⟩ / (|g_e| |g|). Both None where g (or g_e) is exactly 0.
    count: how many times the consumer read the producer.
    """

    src: str
    dst: str
    kind: str
    grad_norm: float
    share: float | None
    cosine: float | None
    count: int = 1


class Returned(NamedTuple):
    """What a node on a skip sends back beside what came to the end of the skip: ratio of the norms, and cosine."""

    ratio: float
    cosine: float


@dataclass(frozen=True, slots=True)
class Fork:
    """A node that feeds several consumers; here its gradient is the sum of what comes back over its edges.

    node: its name. join: the first node that everything from here to the loss passes. edges: to its consumers in graph
    order, their shares sum to 1. note: what to keep in mind where skip and branch are not clear-cut, else "".
    carried: by node that lies on its skips, |y - x| / |x| of what it made of the value x at the fork; None where that
    cannot be compared, as behind a projection. returned: likewise what became of the gradient, of those that can be.
    None as a whole in traces of files that do not tell.
    """

    node: str
    join: str
    edges: tuple[TraceEdge, ...]
    note: str = ""
    carried: Mapping[str, float | None] | None = None
    returned: Mapping[str, Returned] | None = None

    def share(self, kind: str) -> float | None:
        """The summed share of all edges of this kind, None if there is none or the gradient is exactly 0."""
        shares = [e.share for e in self.edges if e.kind == kind]
        if not shares or None in shares:
            return None
        return float(sum(s for s in shares if s is not None))


@dataclass(frozen=True, slots=True, repr=False)
class Failure:
    """One thing that does not add up: at which node, on which edge (src, dst), what, and by how much."""

    node: str
    edge: tuple[str, str] | None
    problem: str
    error: float

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        where = self.node if self.edge is None else f"{self.node} (edge {self.edge[0]} -> {self.edge[1]})"
        return f"{where}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Audit:
    """Whether the measured gradients add up.

    level: "sums" (every gradient is the sum of its edges) or "full" (each VJP against differences too).
    nodes, edges: how many were checked.
    """

    level: str
    nodes: int
    edges: int
    failures: tuple[Failure, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failures
