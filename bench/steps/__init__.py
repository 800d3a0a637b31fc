"""One train step of a residual MLP, written for every library: the same float32 work on the same weights and data.

The net: Dense+ReLU from the input to `units`, then `blocks` of Dense+ReLU → BatchNorm → Dense → BatchNorm → Add → ReLU,
then a Dense to 10 classes; softmax cross-entropy, SGD with momentum 0.9, moving statistics kept. A step returns its
loss, as a number or as a lazy value of its library.
"""

from steps.contenders import CONTENDERS, OURS, PEERS, Contender, Step
from steps.task import SIZES, Size, gemm_flops

__all__ = ["CONTENDERS", "OURS", "PEERS", "SIZES", "Contender", "Size", "Step", "gemm_flops"]
