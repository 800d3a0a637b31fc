"""Reverse-mode differentiation: walk the tape from the loss to the leaves, newest node first.

Iterative, so that a chain of 100,000 nodes works. Frees each node as soon as its gradient has been passed on. Never
adds in place into an array that another branch or an observer may hold: a residual Add hands the *same* gradient to
both of its inputs. Observers see every edge and every total of the pass that trains, not of a second one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter

from numpy.typing import ArrayLike

from tinyres import kernels
from tinyres.backends.buffers import Buffer, pending_writes, settle_writes
from tinyres.engine.layout import Part, total_of
from tinyres.engine.node import FurtherOutput, Node
from tinyres.engine.op import Context, Gradients, PartGradients, apply
from tinyres.engine.primitives import ADD, add_in_place, sum_to
from tinyres.engine.state import no_grad, state
from tinyres.engine.tensor import FLOATS, Tensor, node_of, tensor
from tinyres.errors import ArgumentError, GradientError, ShapeError
from tinyres.kernels.dtypes import FLOAT32
from tinyres.launch import door, launch

OnEdge = Callable[[Node, int, Node, "Tensor | None"], None]
OnNode = Callable[[Node, Tensor], None]
Further = dict[Node, list["Tensor | None"]]  # by the Node of an op: the cotangents of its further outputs


def backward(
    loss: Tensor,
    retain_graph: bool = False,
    *,
    gradient: Tensor | ArrayLike | None = None,
    on_edge: OnEdge | None = None,
    on_node: OnNode | None = None,
) -> None:
    """Add ∂loss/∂leaf to the `.grad` of every leaf that requires a gradient.

    loss: one element, or of any shape with a gradient of that shape, which stands for ∂L/∂loss of what follows.
    retain_graph: keep what a second backward needs.
    on_edge(consumer, input index, producer, cotangent): called for every edge; the cotangent is None where the
    consumer's VJP is zero by definition. on_node(node, total): called once per node with its whole gradient.
    Raises GradientError if nothing requires a gradient or the graph was freed, ShapeError for a non-scalar loss.

    >>> import tinyres as tr
    >>> x = tr.tensor([3.0], requires_grad=True)
    >>> tr.backward((x * x).sum()); x.grad.item()
    6.0
    """
    root = scalar_root("backward", loss, gradient is not None)
    seed = None if gradient is None else _seed(gradient, loss)
    recorder = door.recorder
    watcher = None
    if recorder is not None:
        on_node = recorder.starts_backward(loss, on_node)
        watcher = recorder.watcher_of(root)
    if watcher is None:
        order = reachable(root)
    else:
        order, on_edge, on_node = watcher.order, watcher.on_edge, _both(on_node, watcher.on_node)
    gradients = propagate(root, order, retain_graph=retain_graph, on_edge=on_edge, on_node=on_node, seed=seed)
    for node, gradient in gradients.items():
        if node.grad is None and recorder is None:
            node.set_grad(gradient)
        else:
            accumulate(node, gradient)


def _both(first: OnNode | None, then: OnNode) -> OnNode:
    def on_node(node: Node, total: Tensor) -> None:
        if first is not None:
            first(node, total)
        then(node, total)

    return on_node


def _seed(gradient: Tensor | ArrayLike, loss: Tensor) -> Tensor:
    """The cotangent that a caller gave."""
    given = gradient.detach() if isinstance(gradient, Tensor) else tensor(gradient, dtype=loss.dtype)
    if given.shape != loss.shape or given.dtype is not loss.dtype:
        raise ShapeError(
            f"[backward] the gradient has the shape and dtype of the Tensor, {loss.shape} {loss.dtype}; "
            f"got {given.shape} {given.dtype}; reshape or cast it"
        )
    return given


def accumulate(leaf: Node, gradient: Tensor) -> None:
    """Add to a leaf's `.grad`; out of place, since the gradient may be another leaf's too."""
    if door.recorder is not None:
        door.recorder.accumulate_grad(leaf, gradient)
    elif leaf.grad is None:
        leaf.set_grad(gradient)
    else:
        with no_grad():
            leaf.set_grad(apply(ADD, (leaf.grad, gradient)))


def grad(y: Tensor, xs: Sequence[Tensor], create_graph: bool = False, retain_graph: bool | None = None) -> list[Tensor]:
    """[∂y/∂x for x in xs], without touching any `.grad`.

    y: one element. xs: leaves or intermediate Tensors, of any shape, that y was computed from; one that y does not
    depend on gets zeros. create_graph: record the gradients themselves, so that they can be differentiated again.
    retain_graph: keep the graph for another pass (default: as create_graph). Raises ArgumentError for xs that are no
    list of Tensors, ShapeError for a y of several elements, GradientError where an x, or y, requires no gradient.

    >>> import tinyres as tr
    >>> x = tr.tensor(2.0, requires_grad=True)
    >>> (g,) = tr.grad(x ** 3, [x], create_graph=True)
    >>> tr.grad(g, [x])[0].item()
    12.0
    """
    if isinstance(xs, Tensor) or not all(isinstance(x, Tensor) for x in xs):
        raise ArgumentError("[grad] xs must be a list of Tensors; got something else; write tr.grad(y, [x])")
    root = scalar_root("grad", y)
    for i, x in enumerate(xs):
        if not x.requires_grad:
            raise GradientError(
                f"[grad] every x must require a gradient; xs[{i}] of shape {x.shape} does not; "
                "make it with tr.tensor(..., requires_grad=True)"
            )
    targets = [node_of(x) for x in xs]
    order = reachable(root, towards=set(targets))
    keep = create_graph if retain_graph is None else retain_graph
    found = propagate(root, order, retain_graph=keep, create_graph=create_graph, targets=set(targets))
    return [found[n] if n in found else _zeros(n) for n in targets]


def scalar_root(op: str, y: Tensor, any_shape: bool = False) -> Node:
    """The node of a scalar (or, with any_shape, a Tensor) to be differentiated, or the error that says why not."""
    if not isinstance(y, Tensor):
        raise ArgumentError(f"[{op}] a gradient starts from a Tensor; got {type(y).__name__}; pass the loss itself")
    if y.size != 1 and not any_shape:
        raise ShapeError(
            f"[{op}] a gradient starts from one number; got shape {y.shape}; reduce it with .mean() or .sum()"
        )
    if y.node is None or not y.requires_grad:
        raise GradientError(
            f"[{op}] nothing that led to this Tensor of shape {y.shape} requires a gradient (or it was computed under "
            "no_grad); give an input requires_grad=True"
        )
    return y.node


def reachable(root: Node, towards: set[Node] | None = None, all_floats: bool = False) -> list[Node]:
    """The nodes through which gradients flow, newest first.

    towards: only those that lead to one of these nodes. all_floats: also through what no parameter depends on.
    """
    seen = {root}
    stack = [root]
    while stack:
        node = stack.pop()
        if node.freed:
            raise GradientError(
                f"[backward] the graph below {node.label()} was freed by an earlier backward(); "
                "call backward(retain_graph=True) the first time, or run forward again"
            )
        for producer in node.inputs:
            if producer not in seen and (producer.requires_grad or (all_floats and producer.dtype in FLOATS)):
                seen.add(producer)
                stack.append(producer)
    order = sorted(seen, key=attrgetter("index"))
    if towards is not None:
        leading: set[Node] = set()
        for node in order:
            if node in towards or any(n in leading for n in node.inputs):
                leading.add(node)
        order = [node for node in order if node in leading]
    order.reverse()
    return order


def propagate(
    root: Node,
    order: Iterable[Node],
    *,
    retain_graph: bool = False,
    create_graph: bool = False,
    targets: set[Node] | None = None,
    on_edge: OnEdge | None = None,
    on_node: OnNode | None = None,
    seed: Tensor | None = None,
) -> dict[Node, Tensor]:
    """Pass gradients along `order` and return those of the targets (default: the leaves that require one).

    seed: the cotangent of the root (default: 1).
    """
    order = list(order)
    is_included = set(order).__contains__
    totals: dict[Node, Tensor | Part] = {root: unit_cotangent(root) if seed is None else seed}
    further: Further = {}
    owned: set[Node] = set()
    found: dict[Node, Tensor] = {}
    unobserved = on_edge is None
    recording, state.grad_enabled = state.grad_enabled, create_graph
    try:
        for node in order:
            op, total = node.op, totals.pop(node, None)
            if type(total) is Part:
                total = total.tensor()
            if total is None:
                if node not in further:
                    if op is None and node.requires_grad and targets is None:
                        found[node] = _zeros(node)  # all that reached it is constant between its jumps, as a sign is
                    continue
                if on_node is not None:
                    on_node(node, _zeros(node))
            else:
                if on_node is not None:
                    on_node(node, total)
                if (op is None and node.requires_grad) if targets is None else (node in targets):
                    found[node] = total
            if op is None:
                continue
            needs = tuple(map(is_included, node.inputs))
            if True in needs:
                cotangents = _pulled(node, total, needs, further, create_graph)
                for i, producer in enumerate(node.inputs):
                    if not needs[i]:
                        continue
                    cotangent = cotangents[i]
                    alone = unobserved and producer not in totals
                    if alone and type(cotangent) is Tensor and cotangent.shape == producer.shape:
                        totals[producer] = cotangent  # what `_deliver` does with nearly every edge, without the call
                    else:
                        _deliver(node, i, producer, cotangent, totals, owned, create_graph, on_edge)
            if not retain_graph and not node.pins:
                node.free()
    finally:
        state.grad_enabled = recording
    return found


def pull_back(
    node: Node, total: Tensor | None, needs: tuple[bool, ...], further: Further, create_graph: bool = False
) -> Gradients:
    """What the VJP of a node's op sends to its inputs, one gradient per input.

    total: the gradient of the node's output. further: where further outputs leave theirs for the node of their op.
    """
    cotangents = _pulled(node, total, needs, further, create_graph)
    return [c.tensor() if isinstance(c, Part) else c for c in cotangents]


def _pulled(
    node: Node, total: Tensor | None, needs: tuple[bool, ...], further: Further, create_graph: bool
) -> Gradients | PartGradients:
    """`pull_back`, which leaves parts as they are."""
    op = node.op
    assert op is not None
    if type(node) is FurtherOutput:
        assert total is not None
        _hand_over(node, total, further)
        return (None,)
    if node.versions:
        _check_versions(node)
    rule = op.vjp if create_graph else op.parts or op.fast_vjp or op.vjp
    assert rule is not None
    g = total if not op.outputs else (total, *(further.pop(node, None) or (None,) * (len(op.outputs) - 1)))
    cotangents = rule(g, Context(node, needs, create_graph))
    if len(cotangents) != len(needs):
        raise GradientError(
            f"[{op.name}] the VJP must return one gradient per input; "
            f"got {len(cotangents)} for {len(needs)} inputs; return None where there is none"
        )
    return cotangents


def _hand_over(node: FurtherOutput, total: Tensor, further: Further) -> None:
    (first,) = node.inputs
    assert first.op is not None
    parts = further.setdefault(first, [None] * (len(first.op.outputs) - 1))
    before = parts[node.position - 1]
    parts[node.position - 1] = total if before is None else apply(ADD, (before, total))


def _deliver(
    consumer: Node,
    i: int,
    producer: Node,
    cotangent: Tensor | Part | None,
    totals: dict[Node, Tensor | Part],
    owned: set[Node],
    create_graph: bool,
    on_edge: OnEdge | None,
) -> None:
    """Add one cotangent to the producer's total; the first sum is out of place, later ones into that sum."""
    if isinstance(cotangent, Part):
        if on_edge is None and cotangent.dtype is FLOAT32:  # the core adds no parts of float64
            _add_part(producer, cotangent, totals, owned)
            return
        cotangent = cotangent.tensor()
    if cotangent is not None and cotangent.shape != producer.shape:
        cotangent = _unbroadcast(consumer, i, producer, cotangent)
    if on_edge is not None:
        on_edge(consumer, i, producer, cotangent)
    if cotangent is None:
        return
    before = totals.get(producer)
    if before is None:
        totals[producer] = cotangent
    elif isinstance(before, Part):
        totals[producer] = total_of(cotangent, before)
        owned.add(producer)
    elif producer in owned:
        add_in_place(before, cotangent)
    else:
        totals[producer] = apply(ADD, (before, cotangent))
        if not create_graph and on_edge is None:
            owned.add(producer)


def _add_part(producer: Node, part: Part, totals: dict[Node, Tensor | Part], owned: set[Node]) -> None:
    before = totals.get(producer)
    if before is None:
        totals[producer] = part.tensor() if part.is_whole else part
    elif producer in owned and isinstance(before, Tensor):
        part.add_to(before)
    else:
        totals[producer] = total_of(before, part)
        owned.add(producer)


def _unbroadcast(consumer: Node, i: int, producer: Node, cotangent: Tensor) -> Tensor:
    lead = len(cotangent.shape) - len(producer.shape)
    fits = lead >= 0 and all(p in (1, c) for p, c in zip(producer.shape, cotangent.shape[lead:]))
    if not fits:
        raise GradientError(
            f"[{consumer.op.name}] the gradient of input {i} must have its shape {producer.shape}; "  # type: ignore[union-attr]
            f"its VJP returned {cotangent.shape}; correct the VJP"
        )
    return sum_to(cotangent, producer.shape)


def _check_versions(node: Node) -> None:
    if pending_writes:
        settle_writes()
    inputs = node.inputs
    for position, version in zip(node.op.saves, node.versions):  # type: ignore[union-attr]
        producer = inputs[position]
        if producer.freed or producer.buffer.version != version:
            raise GradientError(_why_stale(node, producer, version))


def _why_stale(node: Node, producer: Node, version: int) -> str:
    """Why the value that this node saved of its producer is not there any more."""
    if producer.freed:
        return (
            f"[backward] the value of {producer.label()} was freed by an earlier backward(); "
            "call backward(retain_graph=True) the first time, or run forward again"
        )
    return (
        f"[backward] {producer.label()} (shape {producer.shape}), which [{node.op.name}] saved "  # type: ignore[union-attr]
        f"for its gradient, was changed in place since: version {version} then, {producer.buffer.version} now; "
        "run forward again before backward()"
    )


def unit_cotangent(node: Node) -> Tensor:
    """The cotangent that every backward pass starts from: 1."""
    buffer = Buffer(1, node.dtype)
    launch(kernels.fill, (buffer,), (), (1,), (1.0,))
    return Tensor(buffer, node.shape, node.dtype)


def _zeros(node: Node) -> Tensor:
    buffer = Buffer(math.prod(node.shape), node.dtype)
    launch(kernels.fill, (buffer,), (), (buffer.size,), (0.0,))
    return Tensor(buffer, node.shape, node.dtype)
