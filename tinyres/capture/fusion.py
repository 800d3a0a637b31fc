"""Passes that let one call do the work of two, with the rounding of the two.

Each fusion moves a read or a write to another call; `_Uses` is told, so that the next one sees the program as it is.
"""

from __future__ import annotations

from dataclasses import replace

from tinyres.capture.program import NO_SLOT, Call, Program
from tinyres.kernels.forms import FLUSHES, MASKS, RECTIFIES, SUMS
from tinyres.kernels.record import ACCUMULATE, FLUSH, GEMM_DEPTH, RELU


def fuse_relu(program: Program) -> Program:
    """A ReLU of something that nobody else reads becomes the epilogue of the call that makes it."""
    uses = _Uses(program)
    calls: list[Call | None] = list(program.calls)
    fused = 0
    for j, call in enumerate(program.calls):
        if call.kernel.does != RECTIFIES:
            continue
        source, target = call.ins[0], call.outs[0]
        i = uses.only_writer(source)
        if i is None or uses.readers(source) != [j] or uses.only_writer(target) != j:
            continue
        producer = calls[i]
        if producer is None or producer.outs[0] != source or not producer.kernel.epilogues.relu:
            continue
        calls[i] = replace(producer, outs=(target, *producer.outs[1:]), flags=producer.flags | RELU)
        calls[j] = None
        fused += 1
    return program.with_calls([c for c in calls if c is not None], ("relu", f"{fused} ReLUs became epilogues"))


def accumulate_into_product(program: Program) -> Program:
    """total = total + a @ b of a gradient becomes a product with β = 1 into the total, where K fits one block.

    The product is summed in full before it is added, so the rounding is that of the two calls.
    """
    uses = _Uses(program)
    calls: list[Call | None] = list(program.calls)
    same: dict[int, int] = {}
    fused = 0
    for j, call in enumerate(program.calls):
        if call.kernel.does != SUMS or call.flags != FLUSH:
            continue
        for product, total in (call.ins, call.ins[::-1]):
            if product == total:
                break
            i = uses.only_writer(product)
            if i is None or uses.readers(product) != [j]:
                continue
            producer = calls[i]
            if (
                producer is None
                or not _can_accumulate(producer, product)
                or not uses.may_take_over(total, call.outs[0], j)
            ):
                continue
            if uses.meet(total, (product, *producer.reads)) or uses.changed_between(producer.reads, i, j):
                continue
            calls[i] = None
            uses.moves(i, j, producer.reads, total)
            calls[j] = replace(producer, outs=(total,), flags=producer.flags | ACCUMULATE)
            if call.outs[0] != total:
                same[call.outs[0]] = total
            fused += 1
            break
    kept = [_renamed(c, same) for c in calls if c is not None]
    return program.with_calls(kept, ("accumulate", f"{fused} gradient sums moved into their product"))


def fuse_relu_grad(program: Program) -> Program:
    """The mask of a ReLU's gradient moves into the call that makes what it masks, if nobody else reads that.

    A product takes the ReLU's output as its mask; the gradient of a normalisation has it already if it is what was
    normalised.
    """
    uses = _Uses(program)
    calls: list[Call | None] = list(program.calls)
    same: dict[int, int] = {}
    fused = 0
    for j, call in enumerate(program.calls):
        if call.kernel.does != MASKS:
            continue
        (gradient, mask), target = call.ins, call.outs[0]
        i = uses.last_writer(gradient, j)
        if i is None or uses.readers_after(gradient, i) != [j] or uses.changed_between((mask,), i - 1, j):
            continue
        producer = calls[i]
        whole = program.slots[gradient].size == program.slots[mask].size
        masked = _masked(producer, gradient, mask) if producer and whole else None
        if not masked:
            continue
        if masked.flags & ACCUMULATE:
            if target == gradient or not uses.may_take_over(gradient, target, j):
                continue
            same[target] = gradient
        elif uses.begins(target, j):
            masked = replace(masked, outs=(target, *masked.outs[1:]))
        else:
            continue
        calls[i], calls[j] = masked, None
        fused += 1
    kept = [_renamed(c, same) for c in calls if c is not None]
    return program.with_calls(kept, ("mask", f"{fused} ReLU gradients became masks of other calls"))


def _masked(call: Call, out: int, mask: int) -> Call | None:
    """The call with the mask, if it can take it."""
    if call.outs[0] != out or call.flags & RELU:
        return None
    kernel = call.kernel
    own, operand = kernel.input(kernel.epilogues.masked_by), kernel.input(kernel.epilogues.mask)
    if own >= 0 and call.ins[own] == mask:
        return replace(call, flags=call.flags | RELU)
    if operand >= 0 and call.ins[operand] == NO_SLOT:
        return replace(call, ins=(*call.ins[:operand], mask, *call.ins[operand + 1 :]))
    return None


class _Uses:
    """Where the memory of each slot is written and read, by call number, also by calls on a part or a whole of it."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._slots = program.slots
        self._writes: dict[int, list[int]] = {}
        self._reads: dict[int, list[int]] = {}
        for i, call in enumerate(program.calls):
            for slots, found in ((call.reads, self._reads), (call.writes, self._writes)):
                for slot in program.touched(slots):
                    seen = found.setdefault(slot, [])
                    if not seen or seen[-1] != i:
                        seen.append(i)

    def moves(self, i: int, j: int, reads: tuple[int, ...], written: int) -> None:
        """Note that call j now does what call i did: it reads `reads`, and writes `written`."""
        for slot in self._program.touched(reads):
            self._reads[slot] = sorted({*self._reads[slot], j} - {i})
        for slot in self._program.touched((written,)):
            self._writes[slot] = sorted({*self._writes.get(slot, ()), j})

    def meet(self, slot: int, others: tuple[int, ...]) -> bool:
        """Whether a slot shares memory with any of the others."""
        return any(s in others for s in self._program.touched((slot,)))

    def only_writer(self, slot: int) -> int | None:
        """The one call that writes a temporary or an output; None for anything else."""
        writers = self._writes.get(slot, [])
        return writers[0] if len(writers) == 1 and self._slots[slot].role in ("temporary", "output") else None

    def readers(self, slot: int) -> list[int]:
        """The calls that read a temporary; an output is also read from outside."""
        return self._reads.get(slot, []) if self._slots[slot].role == "temporary" else []

    def last_writer(self, slot: int, j: int) -> int | None:
        """The last call before j that writes a temporary."""
        if self._slots[slot].role != "temporary":
            return None
        return max((i for i in self._writes.get(slot, ()) if i < j), default=None)

    def readers_after(self, slot: int, i: int) -> list[int]:
        """The calls behind call i that read a temporary."""
        return [j for j in self.readers(slot) if j > i]

    def begins(self, slot: int, j: int) -> bool:
        """Whether call j is the first to touch a temporary or an output."""
        reads = self._reads.get(slot, [])
        return (
            self._slots[slot].role in ("temporary", "output")
            and self._writes[slot][0] == j
            and (not reads or reads[0] >= j)
        )

    def may_take_over(self, total: int, out: int, j: int) -> bool:
        """Whether call j may leave its result in `total`: a temporary that dies there, with `out` as its next life.

        Both are whole buffers then, of which nobody uses a part.
        """
        if total == out:
            return self._slots[total].role == "temporary"
        return (
            self._slots[total].role == "temporary"
            and self._program.overlaps.keys().isdisjoint((total, out))
            and self._writes[total][-1] < j
            and self.readers(total)[-1:] == [j]
            and self.begins(out, j)
            and self._slots[out].role == "temporary"
            and self._slots[total].size == self._slots[out].size
        )

    def changed_between(self, slots: tuple[int, ...], i: int, j: int) -> bool:
        """Whether any of the slots is written by a call after i and before j."""
        return any(i < w < j for slot in slots for w in self._writes.get(slot, ()))


def _can_accumulate(call: Call, out: int) -> bool:
    """Whether adding to `out` instead of overwriting it rounds as a sum of two behind the call."""
    kernel = call.kernel
    bias = kernel.input(kernel.epilogues.bias)
    return (
        kernel.epilogues.accumulate
        and kernel.flush == FLUSHES
        and 0 < kernel.depth(call.args) <= GEMM_DEPTH
        and call.outs == (out,)
        and not call.flags & (ACCUMULATE | RELU)
        and (bias < 0 or call.ins[bias] == NO_SLOT)
    )


def _renamed(call: Call, same: dict[int, int]) -> Call:
    """The call with slots replaced by the ones that took over their lives (chains of them followed)."""

    def final(slot: int) -> int:
        while slot in same:
            slot = same[slot]
        return slot

    if any(s in same for s in (*call.outs, *call.ins)):
        return replace(call, outs=tuple(map(final, call.outs)), ins=tuple(map(final, call.ins)))
    return call
