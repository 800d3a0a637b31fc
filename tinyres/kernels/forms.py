"""What a kernel is: its form, and what planning may do with a call of it.

The passes and the plan of a captured step ask these facts and know no kernel by name. A form settles most of them for
all its kernels; what it leaves open each kernel states, and a kernel may state otherwise. Nothing has a default that
could be wrong in silence: a kernel that leaves a fact open is refused when it is registered.
"""

from __future__ import annotations

from dataclasses import dataclass

from tinyres.kernels.sharing import UNDIVIDED, Broadcast, Items, Sharing

# Whether subnormal numbers count as 0 in a kernel (csrc/flush.h): it keeps them, flushes them, or flushes where a call
# asks it to by the flag FLUSH.
KEEPS, FLUSHES, ASKED = "keeps", "flushes", "asked"


@dataclass(frozen=True, slots=True)
class Form:
    """The facts that kernels of one kind have in common; None: each kernel states it.

    in_place: an output may be the very memory of an input of its size and type, if that input is full. flush: KEEPS,
    FLUSHES or ASKED. sharing: how workers share a call. flops: floating point operations per unit of the kernel's work.
    """

    name: str
    in_place: bool
    flush: str
    sharing: Sharing | None
    flops: int


MAP = Form("map", in_place=True, flush=KEEPS, sharing=Items(), flops=1)  # a function of each item
BROADCAST = Form("broadcast", in_place=True, flush=KEEPS, sharing=Broadcast(), flops=1)  # the same over rows x columns
PRODUCT = Form("product", in_place=False, flush=FLUSHES, sharing=None, flops=2)  # sums of products of its inputs
REDUCTION = Form("reduction", in_place=False, flush=KEEPS, sharing=None, flops=1)
NORMALISATION = Form("normalisation", in_place=False, flush=FLUSHES, sharing=None, flops=1)  # by sums of its own input
MOVEMENT = Form("movement", in_place=False, flush=KEEPS, sharing=UNDIVIDED, flops=0)  # moves, makes or converts items
UPDATE = Form("update", in_place=False, flush=FLUSHES, sharing=Items(every="hyper"), flops=1)  # a step of an optimizer
CHECK = Form("check", in_place=False, flush=KEEPS, sharing=UNDIVIDED, flops=0)  # writes nothing; may stop the list
STATE = Form("state", in_place=False, flush=KEEPS, sharing=UNDIVIDED, flops=0)  # a few numbers that last
HOSTED = Form("hosted", in_place=False, flush=KEEPS, sharing=UNDIVIDED, flops=0)  # Python's own: see kernels.host


@dataclass(frozen=True, slots=True)
class Epilogues:
    """What a kernel can do to its first output on the way out, in this order, rounding as separate calls do.

    accumulate: with the flag ACCUMULATE the output's old values are added. depth: names of the sizes over which a
    product sums before it does so; where that is more than GEMM_DEPTH the rounding is another. bias: the operand, or
    absent, that is added then. relu: with the flag RELU, max(., 0). mask: the operand, or absent, where which is not
    above 0 the output becomes 0. masked_by: an operand that masks like that with the flag RELU.
    """

    relu: bool = False
    accumulate: bool = False
    depth: str = ""
    bias: str = ""
    mask: str = ""
    masked_by: str = ""


NO_EPILOGUES = Epilogues()

# What kernels do that others can do as an epilogue.
RECTIFIES = "rectifies"  # out = max(x, 0): the flag RELU
MASKS = "masks"  # out = x where y is above 0, else 0: an operand `mask`, or the flag RELU by `masked_by`
FILLS = "fills"  # out = a number everywhere
ADDS_A_PART = "adds a part"  # with ACCUMULATE and FLUSH a walk over out is added to, with FLUSH alone it becomes 0 + x
SUMS = "sums"  # out = a + b of full operands, flushing: the flag ACCUMULATE
