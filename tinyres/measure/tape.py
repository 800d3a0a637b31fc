"""Read a recorded tape as a graph of layer calls: units, their names, and the edges between them.

The ops of one layer call become one unit if exactly one of them is read from outside. Ops outside of layers are units
of their own, and so are those of a layer that contains other layers or has several outputs. Numbers written in the
program are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tinyres.engine.backward import reachable
from tinyres.engine.node import ConstantLeaf, Node, ParameterLeaf
from tinyres.engine.op import Fans
from tinyres.engine.state import Scope
from tinyres.measure.facts import facts_of, fans_of
from tinyres.measure.roles import LEAF, looks_up, roles_of
from tinyres.structure.names import unused
from tinyres.trace.facts import Facts


@dataclass(frozen=True, slots=True)
class Tape:
    """A tape by units, in graph order.

    order: the op nodes and leaves through which gradients flow, newest first, as backward wants them.
    units: per unit the node that holds its output; parameters: the leaves of Parameters. owner: the unit of each node.
    names, parameter_names, kinds: per unit what users call it and its op. scopes: path of the innermost name_scope.
    roles: per unit what kind of leaf it is, "" if it was computed. looking_up: the units that read data as integers.
    edges: (producer, consumer) units -> how many op inputs; parameter_edges: (parameter, consumer) likewise.
    facts: per unit what it is. fans: (fan_in, fan_out) of the Parameters that are weights of an op,
    and the part of the fan_in that is there. squashed: the edges by which attentions get their queries and keys.
    """

    order: list[Node]
    units: list[Node]
    parameters: list[Node]
    owner: dict[Node, int]
    names: list[str]
    parameter_names: list[str]
    kinds: list[str]
    roles: list[str]
    looking_up: set[int]
    scopes: list[str]
    edges: dict[tuple[int, int], int]
    parameter_edges: dict[tuple[int, int], int]
    facts: list[Facts]
    fans: dict[Node, tuple[Fans, float]]
    squashed: set[tuple[int, int]]


def read_tape(root: Node, level: str, given: Mapping[Node, str] | None = None) -> Tape:
    """The tape below `root`, by layer calls ("layer") or with every op a unit ("op"). given: known roles of leaves."""
    order = [n for n in reachable(root, all_floats=True) if type(n) is not ConstantLeaf]
    forward = order[::-1]
    included = set(forward)
    layer_of = _layer_calls(forward, included, root) if level == "layer" else {}
    parameters: list[Node] = [n for n in forward if type(n) is ParameterLeaf and n is not root]
    outputs: dict[Scope, int] = {}
    owner: dict[Node, int] = {}
    units: list[Node] = []
    layers: list[Scope | None] = []
    # A layer call's output is the newest of its ops, so units in the order of their outputs are in graph order.
    for node in order:
        if type(node) is ParameterLeaf and node is not root:
            continue
        layer = layer_of.get(node)
        if layer is not None and layer in outputs:
            owner[node] = outputs[layer]
            continue
        owner[node] = len(units)
        if layer is not None:
            outputs[layer] = len(units)
        units.append(node)
        layers.append(layer)
    last = len(units) - 1
    units.reverse()
    layers.reverse()
    for node in owner:
        owner[node] = last - owner[node]
    edges, parameter_edges = _edges(forward, owner, parameters)
    looking_up = {owner[n] for n in forward if n.op is not None and looks_up(n, given)}
    roles = roles_of(units, edges, {dst for _, dst in parameter_edges}, given, looking_up)
    names = _names(units, layers, roles)
    return Tape(
        order=order,
        units=units,
        parameters=parameters,
        owner=owner,
        names=names,
        parameter_names=_parameter_names(parameters, parameter_edges, names),
        kinds=[role or _kind(node, layer) for node, layer, role in zip(units, layers, roles)],
        roles=roles,
        looking_up=looking_up,
        scopes=[node.scope.block if node.scope is not None and node.op is not None else "" for node in units],
        edges=edges,
        parameter_edges=parameter_edges,
        facts=facts_of(forward, owner, units),
        fans=fans_of(forward),
        squashed=_squashed(forward, owner),
    )


def _layer_calls(forward: list[Node], included: set[Node], root: Node) -> dict[Node, Scope]:
    """The layer call of every op that lies in one with a single output and no layers inside."""
    innermost: dict[Scope, Scope | None] = {}
    layer_of: dict[Node, Scope] = {}
    containers: set[Scope] = set()
    for node in forward:
        scope = node.scope
        if scope is None or node.op is None:
            continue
        if scope not in innermost:
            innermost[scope] = _innermost_layer(scope, containers)
        layer = innermost[scope]
        if layer is not None:
            layer_of[node] = layer
    outputs: dict[Scope, set[Node]] = {layer_of[root]: {root}} if root in layer_of else {}
    for node in forward:
        layer = layer_of.get(node)
        for producer in node.inputs:
            theirs = layer_of.get(producer)
            if theirs is not None and theirs is not layer and producer in included:
                outputs.setdefault(theirs, set()).add(producer)
    return {n: s for n, s in layer_of.items() if s not in containers and len(outputs[s]) == 1}


def _innermost_layer(scope: Scope, containers: set[Scope]) -> Scope | None:
    """The layer call that `scope` lies in; the calls around that one are noted as containers."""
    layer: Scope | None = None
    outer: Scope | None = scope
    while outer is not None:
        if outer.layer is not None:
            if layer is None:
                layer = outer
            else:
                containers.add(outer)
        outer = outer.parent
    return layer


def _edges(
    forward: list[Node], owner: dict[Node, int], parameters: list[Node]
) -> tuple[dict[tuple[int, int], int], dict[tuple[int, int], int]]:
    number = {node: i for i, node in enumerate(parameters)}
    edges: dict[tuple[int, int], int] = {}
    parameter_edges: dict[tuple[int, int], int] = {}
    for node in forward:
        for producer in node.inputs:
            src = owner.get(producer)
            if src is not None:
                if src != owner[node]:
                    edges[src, owner[node]] = edges.get((src, owner[node]), 0) + 1
            elif producer in number:
                key = number[producer], owner[node]
                parameter_edges[key] = parameter_edges.get(key, 0) + 1
    return edges, parameter_edges


def _squashed(forward: list[Node], owner: dict[Node, int]) -> set[tuple[int, int]]:
    """Of attentions that stand alone: what comes from elsewhere as query or key, and not as value too."""
    found = set()
    for node in forward:
        if node.op is not None and node.op.attends is not None:
            query, key, value = (owner.get(n) for n in node.inputs[:3])
            found |= {(n, owner[node]) for n in (query, key) if n is not None and n not in (value, owner[node])}
    return found


def _kind(node: Node, layer: Scope | None) -> str:
    if layer is not None and layer.layer is not None:
        return layer.layer
    return node.op.name if node.op is not None else ""


def _names(units: list[Node], layers: list[Scope | None], roles: list[str]) -> list[str]:
    taken: dict[str, int] = {}
    names = []
    for node, layer, role in zip(units, layers, roles):
        if layer is not None:
            names.append(unused(layer.path, "@", taken))
        elif node.op is None:
            unnamed = role if role != LEAF else "tensor" if node.requires_grad else "input"
            names.append(unused(node.name or unnamed, "_", taken))
        else:
            prefix = f"{node.scope.path}/" if node.scope is not None else ""
            names.append(unused(prefix + node.op.name, "_", taken))
    return names


def _parameter_names(parameters: list[Node], edges: Iterable[tuple[int, int]], unit_names: list[str]) -> list[str]:
    """Full names: a Parameter that is called just "kernel" is named after the first layer call that reads it."""
    first: dict[int, int] = {}
    for parameter, consumer in edges:
        first.setdefault(parameter, consumer)
    taken = dict.fromkeys(unit_names, 0)
    names = []
    for i, node in enumerate(parameters):
        name = node.name or "parameter"
        names.append(unused(name if "/" in name else f"{unit_names[first[i]]}/{name}", "_", taken))
    return names
