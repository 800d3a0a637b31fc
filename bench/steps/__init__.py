"""One train step of a residual MLP, written for every library: the same float32 work on the same weights and data.

The net: Dense+ReLU from the input to `units`, then `blocks` of Dense+ReLU → BatchNorm → Dense → BatchNorm → Add → ReLU,
then a Dense to 10 classes; softmax cross-entropy, SGD with momentum 0.9, moving statistics kept. A contender is a
function of (size, weights, data) that returns `step() -> loss`; the loss may be a lazy value of its library.
"""

from steps.contenders import CONTENDERS, OURS, available, make
from steps.task import SIZES, Size, floor_seconds

__all__ = ["CONTENDERS", "OURS", "SIZES", "Size", "available", "floor_seconds", "make"]
