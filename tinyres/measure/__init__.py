"""What reads a tape: Graph, and all that is measured on the pass that trains."""

from tinyres import view

__all__ = ["view"]  # the traces that are measured here show themselves
