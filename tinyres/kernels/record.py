"""The record of a kernel: what it is called with, what planning may do with it, and what it means.

A kernel is one flat computation over contiguous buffers: no shapes to infer, no broadcasting to resolve, no gradients.
What it reads and writes stands in four strings, here at its meaning in NumPy and once more in the C core's own list; a
test proves that the two lists agree. What only the core asks, the cost of a call and which operands are worth fetching
ahead, stands in that list alone (csrc/kernels.def); what planning asks (`tinyres.kernels.forms`) here.

Operands are named by one letter each, outputs first, then inputs:

    f  the float type of the call: float32 on the native backend, float32 or float64 on NumPy
    d  always float64        l  always int64        b  bool, one byte        x  any item type, told by the flags

An upper-case letter is an operand that is read *and* written. An operand may be absent where its kernel says so.

The NumPy function gets flat NumPy arrays (None where absent), then the `args` as ints, then the `scalars` as
floats, and `flags=`. It writes into its outputs and returns None; a kernel that checks values returns True where
the check failed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from struct import Struct
from types import CodeType
from typing import Any

from tinyres.kernels.dtypes import FLOAT64
from tinyres.kernels.forms import BROADCAST, CHECK, NO_EPILOGUES, Epilogues, Form
from tinyres.kernels.sharing import FULL, Sharing

POINTERS = 10
ARGS = 24
SCALARS = 4


def call_bytes(pointer_bytes: int) -> int:
    """The size of the C struct of a call where a pointer has so many bytes: 8 here, 4 in WebAssembly."""
    return 16 + pointer_bytes * POINTERS + 8 * (ARGS + SCALARS)


CALL_BYTES = call_bytes(8)

TRANSPOSE_A = 1 << 0  # matmul: a is stored k x m
TRANSPOSE_B = 1 << 1  # matmul: b is stored n x k
CAUSAL = 1 << 0  # attention, attention_grad: a query sees the keys up to its own place + offset
MEAN = 1 << 0  # pool_sum, pool_spread: over the number of pixels of a window
NESTEROV = 1 << 0  # sgd
IGNORES = 1 << 0  # check_labels, softmax_cross_entropy, softmax_cross_entropy_grad: `ignored` does not count
RMS = 1 << 0  # groupnorm, groupnorm_grad: by the root of the mean square, no mean is taken off
DECOUPLED = 1 << 0  # adam: weight decay apart from the gradient (AdamW)
ACCUMULATE = 1 << 16  # matmul, copy, sum: add to the output instead of overwriting it
UNDECAYED = 1 << 1  # sgd, adam: weight decay leaves this parameter alone
DUE = 1 << 2  # sgd, adam, optimizer_tick: gradients are added up, only every so many steps something moves
# matmul, join_halves, add, batchnorm, batchnorm_inference, groupnorm: max(., 0) on the way out. batchnorm_grad: its
# gradient, for an x that came out of one.
RELU = 1 << 17

# How a call of a planned list is shared among workers: tr_call.share in csrc/tr.h.
BY_COLUMNS, ALONE, TOGETHER, BY_ROWS = 1, 2, 3, 4
WAIT = 8
AHEAD = 16
COUNT_SHIFT = 5
SHARE_UNIT = 16

FLUSH = 1 << 19  # add, copy: a sum in which subnormal numbers count as 0, as in matmul
HALF_OF_K = 1 << 18  # matmul, in a list for two workers: each sums its half of k
GEMM_HALVES_FROM = 128  # matmul without transposes: from this k on, up to GEMM_DEPTH, the sum is one of two halves
GEMM_DEPTH = 512  # matmul: up to this k, adding to the output rounds as a product and an addition do

TANH_FORM = 1 << 20  # gelu, gelu_grad: the form by tanh instead of erf
FLIP_ROWS, FLIP_COLUMNS, ALIKE = 1, 2, 4  # random_window: flipped by chance; one draw for all images
REVERSE = 1 << 21  # cumsum: from the end; argsort: descending
SORTED_IN_WORKSPACE = 1 << 18  # argsort: rows up to this length need no scratch: TR_OWN_BYTES in int64

RELATIONS = (">", ">=", "<", "<=", "==", "!=")
RELATION_SHIFT = 4  # compare: the index into RELATIONS stands above the two layouts

# integers, logic, reduce_integers: the index stands where compare has its relation
OPERATIONS = ("add", "sub", "mul", "floor_divide", "mod", "maximum", "minimum", "and", "or", "xor", "pow")

ITEM_TYPES = ("float32", "float64", "int64", "bool")  # cast: source | target << TARGET_SHIFT
TARGET_SHIFT = 4

ITEM_BYTES_MASK = 0xF  # copy: 1, 4 or 8
COPY_DIMENSIONS = 6

Array = Any  # a flat numpy.ndarray, or None where the operand is absent


class Kernel:
    """One kernel: what it is called with, what it means in NumPy, what planning may know, how a call is packed.

    `operands` are their names, outputs first. `form`, `in_place`, `flush`, `epilogues`, `does`: see
    `tinyres.kernels.forms`; `sharing`: `tinyres.kernels.sharing`. `work` names the sizes whose product says how much a
    call does; with `walks` it touches so many items of each operand, else all of them. `halves` is the kernel that
    joins the two sums which a product of m x n x k leaves with the flag HALF_OF_K; None where that flag is not taken.
    `mutates` says whether an output is also read, so that old values get lost. `is_check`: it writes nothing and may
    stop the list.

    `pack(native_id, flags, share, *addresses, *args, *scalars)` gives the 320 bytes of one C call: an address per
    operand (0 where absent), `share` how workers share it (0: the core decides); `packer(4)` gives this function for a
    machine whose pointers have 4 bytes. `pack_buffers(outs, ins, args, scalars, flags)` does so for Buffers; None if
    they are float64, which the core does not do. `native_id` is -1 until the native core is bound. `float_operand` is
    the index, outputs first, of an operand that tells the float type of a call; -1 where none does.
    """

    def __init__(
        self,
        reference: Callable[..., bool | None],
        outs: str,
        ins: str,
        args: str,
        scalars: str,
        form: Form,
        *,
        in_place: bool | None = None,
        flush: str | None = None,
        sharing: Sharing | None = None,
        work: str | None = None,
        walks: bool = False,
        epilogues: Epilogues = NO_EPILOGUES,
        does: str = "",
        halves: Kernel | None = None,
    ) -> None:
        self.name = reference.__name__
        self.outs = outs
        self.ins = ins
        self.args = tuple(args.split())
        self.scalars = tuple(scalars.split())
        self.reference = reference
        self.operands = reference.__code__.co_varnames[: len(outs) + len(ins)]
        self.form = form
        self.in_place = form.in_place if in_place is None else in_place
        self.flush = form.flush if flush is None else flush
        self.sharing = self._sharing(sharing)
        self.work = self._work(work)
        self.walks = walks
        self.epilogues = epilogues
        self.does = does
        self.halves = halves
        self.mutates = outs != outs.lower()
        self.is_check = not outs
        self._check()
        self.native_id = -1
        # Inputs first: an output may be absent (batchnorm_grad), the first float input never is.
        at = ins.lower().find("f")
        self.float_operand = len(outs) + at if at >= 0 else outs.lower().find("f")
        self.pack: Callable[..., bytes] = self.packer(8)
        self.pack_buffers: Callable[..., bytes | None] = _buffer_packer(self)

    def packer(self, pointer_bytes: int) -> Callable[..., bytes]:
        """`pack` for a machine whose pointers have so many bytes."""
        return _call_layout(len(self.outs) + len(self.ins), len(self.args), len(self.scalars), pointer_bytes).pack

    def input(self, name: str) -> int:
        """The index of the input of this name; -1 for the name "": there is none."""
        return self.operands.index(name) - len(self.outs) if name else -1

    def may_overwrite(self, i: int, flags: int) -> bool:
        """Whether the output may lie over input i, if that has its size and type."""
        return self.in_place and (self.form is not BROADCAST or flags >> 2 * i & 3 == FULL)

    def sizes_of_work(self, args: Sequence[int]) -> list[int]:
        """The sizes of a call whose product says how much it does."""
        return [size for name, size in zip(self.args, args) if name in self.work]

    def depth(self, args: Sequence[int]) -> int:
        """Over how many products a call sums each item of its output, as its epilogues name them."""
        names = self.epilogues.depth.split()
        return math.prod(size for name, size in zip(self.args, args) if name in names)

    def __repr__(self) -> str:
        return f"<kernel {self.name}: {self.outs or '-'} <- {self.ins or '-'}>"

    def _sharing(self, stated: Sharing | None) -> Sharing:
        sharing = stated or self.form.sharing
        if sharing is None:
            raise ValueError(f"[kernel] {self.name}: a {self.form.name} must say how workers share it: sharing=")
        return sharing

    def _work(self, stated: str | None) -> tuple[str, ...]:
        if stated is None and len(self.args) > 3:
            raise ValueError(f"[kernel] {self.name} has {len(self.args)} sizes: say which make up its work: work=")
        return self.args if stated is None else tuple(stated.split())

    def _check(self) -> None:
        """Raise ValueError for facts that contradict one another."""
        if self.is_check != (self.form is CHECK):
            raise ValueError(f"[kernel] {self.name}: a check has no outputs, and only a check has none")
        if self.in_place and len(self.outs) != 1:
            raise ValueError(f"[kernel] {self.name}: only a kernel of one output works in place: in_place=False")
        of_epilogues = self.epilogues.bias, self.epilogues.mask, self.epilogues.masked_by
        unknown = [name for name in of_epilogues if name and name not in self.operands[len(self.outs) :]]
        unknown += [name for name in (*self.work, *self.epilogues.depth.split()) if name not in self.args]
        if unknown:
            raise ValueError(f"[kernel] {self.name} has no operand or size {', '.join(unknown)}")
        self.sharing.check(self)


KERNELS: dict[str, Kernel] = {}


def kernel(
    outs: str, ins: str, args: str = "", scalars: str = "", *, form: Form, **facts: Any
) -> Callable[[Callable[..., bool | None]], Kernel]:
    """Register the decorated NumPy function; the decorated name becomes its `Kernel`.

    `outs` and `ins` hold one letter per operand, `args` and `scalars` the names of the sizes and numbers, in the
    order in which the function takes them. form: what it is (`tinyres.kernels.forms`). facts: those that its form
    leaves open or that are otherwise: `in_place`, `flush`, `sharing`, `work`, `walks`, `epilogues`, `does`, `halves`.
    """

    def register(reference: Callable[..., bool | None]) -> Kernel:
        record = Kernel(reference, outs, ins, args, scalars, form, **facts)
        if record.name in KERNELS:
            raise ValueError(f"[kernel] {record.name} is registered twice")
        KERNELS[record.name] = record
        return record

    return register


def _call_layout(pointers: int, args: int, scalars: int, pointer_bytes: int) -> Struct:
    if pointers > POINTERS or args > ARGS or scalars > SCALARS:
        raise ValueError(f"[kernel] a call holds {POINTERS} operands, {ARGS} sizes and {SCALARS} scalars at most")
    # "=" is native byte order without alignment: the padding is written out, as in the C struct.
    address, absent = {4: "I", 8: "Q"}[pointer_bytes], pointer_bytes * (POINTERS - pointers)
    numbers = f"{args}q{8 * (ARGS - args)}x{scalars}d{8 * (SCALARS - scalars)}x"
    layout = Struct(f"=iii4x{pointers}{address}{absent}x{numbers}")
    assert layout.size == call_bytes(pointer_bytes)
    return layout


def _buffer_packer(kernel: Kernel) -> Callable[..., bytes | None]:
    """`kernel.pack_buffers`, written out for its numbers of operands, as dataclasses write their __init__.

    Every eager op passes here: a loop over operands would take twice the time, a tenth of a small op.
    """
    namespace: dict[str, Any] = {"kernel": kernel, "pack": kernel.pack, "FLOAT64": FLOAT64}
    counts = [len(getattr(kernel, group)) for group in _GROUPS]
    exec(_packer_code(tuple(counts), kernel.float_operand), namespace)
    return namespace["pack_buffers"]


@functools.cache
def _packer_code(counts: tuple[int, ...], float_operand: int) -> CodeType:
    """Compiled once for all kernels of so many outs, ins, args and scalars."""
    names = {group: [f"{group}{i}" for i in range(count)] for group, count in zip(_GROUPS, counts)}
    operands = names["outs"] + names["ins"]
    values = [f"{name}.address" for name in operands] + names["args"] + names["scalars"]
    lines = [f"    ({''.join(f'{part}, ' for part in parts)}) = {group}" for group, parts in names.items()]
    if float_operand >= 0:
        lines.append(f"    if {operands[float_operand]}.dtype is FLOAT64: return None")
    lines.append(f"    return pack(kernel.native_id, flags, 0, {', '.join(values)})")
    source = ["def pack_buffers(outs, ins, args, scalars, flags):", *lines]
    return compile("\n".join(source), "<string>", "exec")


_GROUPS = ("outs", "ins", "args", "scalars")
