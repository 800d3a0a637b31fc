"""Layers, the functional graph of layers, initialisers and losses."""
