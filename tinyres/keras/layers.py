"""Keras' layers: those of `tinyres.layers`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyres.errors import closed
from tinyres.layers import *  # noqa: F403
from tinyres.layers import __all__ as _NAMES

__all__ = [*_NAMES]

_RECURRENT = "there are no recurrent layers; write the steps in a layer of your own"
_INSTEAD = {
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "TimeDistributed", "ConvLSTM2D"), _RECURRENT),
    "AlphaDropout": "use layers.Dropout or GaussianDropout; none here keeps the mean and variance that SELU relies on",
    "ActivityRegularization": "add what depends on activations to the loss, in a loop of your own",
    "Masking": "give a sample_weight with 0 where a step does not count",
    "ThresholdedReLU": "use layers.ReLU(threshold=...)",
}

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__, _INSTEAD)
