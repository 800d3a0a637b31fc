"""Every kernel: what it is called with, what planning may know of it, and what it means, in NumPy.

A kernel is one flat computation over contiguous buffers. Its record (`tinyres.kernels.record`) stands at its meaning in
NumPy, in float32 and float64, in the module of its family; the modules bear the names of the C files that hold the same
kernels. The NumPy meaning is the oracle that the native core is tested against, what every float64 call runs, and the
fallback where no compiler was there at install time. So each is written to be obviously right, not fast.

Whoever runs it does so under `numpy.errstate(all="ignore")`: kernels give the values of IEEE 754 and never warn.
"""
# ruff: noqa: F403  the list is what the families define; a new kernel is not named here

from tinyres.kernels.attention import *
from tinyres.kernels.conv import *
from tinyres.kernels.elementwise import *
from tinyres.kernels.functions import *
from tinyres.kernels.gather import *
from tinyres.kernels.gemm import *
from tinyres.kernels.inspect import *
from tinyres.kernels.integers import *
from tinyres.kernels.movement import *
from tinyres.kernels.norm import *
from tinyres.kernels.norm_groups import *
from tinyres.kernels.optim import *
from tinyres.kernels.pooling import *
from tinyres.kernels.random import *
from tinyres.kernels.reduce import *
from tinyres.kernels.softmax import *
