"""What reads a tape: Graph, and all that is measured on the pass that trains."""
