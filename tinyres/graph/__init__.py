"""Graph and Trace: what the gradient does at every node and on every edge, measured on the pass that trains."""

from tinyres.graph import files  # registers the formats
from tinyres.graph.compare import compare
from tinyres.graph.graph import Graph
from tinyres.graph.trace import Trace

__all__ = ["Graph", "Trace", "compare", "files"]
