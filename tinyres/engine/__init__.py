"""The engine: tensors, the tape, and reverse-mode differentiation. Knows no concrete op but its own two."""
