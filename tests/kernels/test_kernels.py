"""Every kernel on every backend and instruction set against the reference run in float64.

Beyond the values: buffers of any alignment, guards on both sides of every operand, in-place calls, and the same bits
for any number of threads.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from kernel_cases import SPECIAL, Array, Case, cases, large_case

from tinyres.backends import native
from tinyres.errors import BackendError
from tinyres.kernels.forms import BROADCAST, STATE
from tinyres.kernels.random import philox
from tinyres.kernels.record import CALL_BYTES, HALF_OF_K, KERNELS, RELU, Kernel, kernel

ISAS = [name for name, supported in native.isas().items() if supported] if native.AVAILABLE else []
NAMES = sorted(KERNELS)
GUARD = 64  # bytes of 0xFF (NaN in every float type) before and after every operand


@pytest.fixture(autouse=True)
def _restore_native() -> Iterator[None]:
    before = (native.isa(), native.threads()) if native.AVAILABLE else None
    yield
    if before:
        native.select_isa(before[0])
        native.set_threads(before[1])


class Placed:
    """A copy of an operand in memory of its own.

    By default it is aligned to 64 bytes, between guards that show what is written beside it. With `exact` it starts
    one item off the alignment of malloc and ends with its block, so that a sanitizer sees what is read beyond it.
    """

    def __init__(self, array: Array, exact: bool = False) -> None:
        before, after = (array.itemsize, 0) if exact else (GUARD + 64, GUARD)
        self.raw = np.full(before + array.nbytes + after, 0xFF, np.uint8)
        self.start = before if exact else GUARD + -self.raw.ctypes.data % 64
        self.end = self.start + array.nbytes
        self.array = self.raw[self.start : self.end].view(array.dtype)
        self.array[...] = array

    @property
    def address(self) -> int:
        return self.raw.ctypes.data + self.start

    def check_guards(self, what: str) -> None:
        around = np.concatenate([self.raw[: self.start], self.raw[self.end :]])
        assert (around == 0xFF).all(), f"{what} wrote outside its operand"


def run_native(
    case: Case, exact: bool = False, in_place: bool = False, repeat: int = 1
) -> tuple[list[Array | None], bool]:
    """The outputs after the call, and whether its value check failed."""
    record = KERNELS[case.kernel]
    operands = [None if array is None else Placed(array, exact) for array in [*case.outs, *case.ins]]
    if in_place:
        operands[0] = operands[len(case.outs) + record.ins.index(record.outs)]
    addresses = [0 if placed is None else placed.address for placed in operands]
    call = record.pack(record.native_id, case.flags, 0, *addresses, *case.args, *case.scalars)
    failed = native.run(call * repeat, repeat) >= 0
    for placed in operands:
        if placed is not None:
            placed.check_guards(describe(case))
    for array, placed in zip(case.ins, operands[len(case.outs) :], strict=True):
        if array is not None and placed is not operands[0]:
            assert placed is not None and placed.array.tobytes() == array.tobytes(), f"{describe(case)} wrote an input"
    return [None if placed is None else placed.array for placed in operands[: len(case.outs)]], failed


def run_reference(case: Case, dtype: type[np.floating]) -> tuple[list[Array | None], bool]:
    """The same with NumPy, with the operands of letter f in `dtype`."""
    record = KERNELS[case.kernel]
    letters = (record.outs + record.ins).lower()
    operands = [
        None if array is None else array.astype(dtype) if letter == "f" else array.copy()
        for array, letter in zip([*case.outs, *case.ins], letters, strict=True)
    ]
    with np.errstate(all="ignore"):
        failed = bool(record.reference(*operands, *case.args, *case.scalars, flags=case.flags))
    return operands[: len(case.outs)], failed


def describe(case: Case) -> str:
    return f"{case.kernel} args={case.args[:3]} scalars={case.scalars} flags={case.flags:#x}"


def assert_agree(case: Case, got: list[Array | None], expected: list[Array | None]) -> None:
    for index, (a, b) in enumerate(zip(got, expected, strict=True)):
        if a is None or b is None:
            assert a is None and b is None
            continue
        with np.errstate(all="ignore"):
            b = b.astype(a.dtype)
            if a.dtype.kind == "f":
                error = np.abs(a.astype(np.float64) - b)
                atol = case.atol[index] if isinstance(case.atol, tuple) else case.atol
                allowed = case.rtol * np.abs(b.astype(np.float64)) + atol
                same = (a == b) | (np.isnan(a) & np.isnan(b)) | (np.isfinite(a) & np.isfinite(b) & (error <= allowed))
                if case.signed_zeros:
                    same &= (a != 0) | (b != 0) | (np.signbit(a) == np.signbit(b))
            else:
                same = a == b
        if not same.all():
            at = int(np.argmin(same))
            inputs = [None if x is None else x[at] if x.size == a.size else "..." for x in case.ins]
            pytest.fail(
                f"{describe(case)}: output {index}[{at}] is {a[at]!r}, expected {b[at]!r}, from {inputs}; "
                f"{np.count_nonzero(~same)} of {same.size} differ"
            )


def assert_same_bits(case: Case, got: list[Array | None], expected: list[Array | None], what: str) -> None:
    for index, (a, b) in enumerate(zip(got, expected, strict=True)):
        if a is not None and b is not None and a.tobytes() != b.tobytes():
            at = int(np.argmax(a.view(np.uint8).reshape(a.size, -1) != b.view(np.uint8).reshape(b.size, -1)))
            at //= a.itemsize
            pytest.fail(f"{describe(case)}: {what} changes output {index}[{at}]: {a[at]!r}, not {b[at]!r}")


def test_the_core_is_there() -> None:
    assert native.AVAILABLE or os.environ.get("TINYRES_NO_EXT") == "1", native.reason


@pytest.mark.parametrize("name", NAMES)
def test_reference_in_float32_agrees_with_float64(name: str) -> None:
    for case in cases(name):
        expected, expected_failed = run_reference(case, np.float64)
        got, failed = run_reference(case, np.float32)
        assert failed == expected_failed
        assert_agree(case, got, expected)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", NAMES)
def test_native_agrees_with_reference(name: str, isa: str) -> None:
    native.select_isa(isa)
    for case in cases(name):
        expected, expected_failed = run_reference(case, np.float64)
        got, failed = run_native(case)
        assert failed == expected_failed, f"{describe(case)}: the value check disagrees"
        assert_agree(case, got, expected)
        assert_same_bits(case, run_native(case, exact=True)[0], got, "a base that is not aligned")
        if case.in_place:
            assert_same_bits(case, run_native(case, in_place=True)[0], got, "running in place")


@pytest.mark.slow
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", [name for name in NAMES if large_case(name)])
def test_threads_do_not_change_a_bit(name: str, isa: str) -> None:
    native.select_isa(isa)
    case = large_case(name)
    assert case is not None
    native.set_threads(1)
    alone, _ = run_native(case, repeat=4)
    for threads in (2, 3):
        assert native.set_threads(threads) == threads
        assert_same_bits(case, run_native(case, repeat=4)[0], alone, f"running on {threads} threads")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("m", "n", "k"), [(5, 32, 128), (33, 48, 144), (7, 64, 512)])
def test_two_halves_are_the_whole_product_bit_for_bit(m: int, n: int, k: int, isa: str) -> None:
    native.select_isa(isa)
    rng = np.random.default_rng(k)
    a, b, bias = (rng.standard_normal(size).astype(np.float32) for size in (m * k, k * n, n))
    out, halves = np.empty(m * n, np.float32), np.empty(2 * m * n, np.float32)
    (whole,), _ = run_native(Case("matmul", [out], [a, b, bias, None], (m, n, k), (), RELU))
    (sums,), _ = run_native(Case("matmul", [halves], [a, b, None, None], (m, n, k), (), HALF_OF_K))
    assert sums is not None
    (joined,), _ = run_native(Case("join_halves", [out], [*sums.reshape(2, -1), bias], (m, n), (), RELU))
    assert whole is not None and joined is not None and joined.tobytes() == whole.tobytes()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sigmoid", "softplus", "sqrt", "reciprocal"])
def test_a_value_does_not_depend_on_its_position(name: str, isa: str) -> None:
    native.select_isa(isa)
    n = 77
    for value in SPECIAL:
        out, x = np.empty(n, np.float32), np.full(n, value)
        (result,), _ = run_native(Case(name, [out], [x], (n,)))
        assert result is not None and len(set(result.view(np.uint32).tolist())) == 1, f"{name}({value!r})"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("isa", ISAS)
def test_subnormals_count_as_zero_where_kernels_multiply_and_add(isa: str, threads: int) -> None:
    native.select_isa(isa)
    native.set_threads(threads)
    n = 128
    tiny, one, zero = (np.full(n * n, value, np.float32) for value in (1e-39, 1.0, 0.0))
    hyper = np.array([1.0, 0.9, 0.999, 1e-8, 0.0, 1.0, 1.0, np.inf])

    def outputs(kernel: str, outs: list[Array], ins: list[Array | None], args: tuple[int, ...]) -> list[Array | None]:
        return run_native(Case(kernel, outs, ins, args), repeat=3)[0]

    for b in (tiny, one):
        (product,) = outputs("matmul", [one], [tiny, b, None, None], (n, n, n))
        assert product is not None and (product == 0).all()
    weights, momenta = outputs("sgd", [one, tiny], [zero, hyper], (n * n,))
    assert weights is not None and (weights == 1).all()
    assert momenta is not None and (momenta == 0).all()
    for name in ("relu", "abs", "exp"):  # one function of each element: every number is kept
        (kept,) = outputs(name, [zero], [tiny if name != "exp" else tiny - 90], (n * n,))
        assert kept is not None and (kept > 0).all() and (kept < np.finfo(np.float32).tiny).all()
    assert (tiny * one > 0).all()  # Python's own arithmetic is as it was


@pytest.mark.parametrize("isa", ISAS)
def test_a_failed_check_stops_the_list(isa: str) -> None:
    native.select_isa(isa)
    out, labels = Placed(np.zeros(3, np.float32)), Placed(np.array([0, 1, 2]))
    fill, check = KERNELS["fill"], KERNELS["check_labels"]

    def fill_with(value: float) -> bytes:
        return fill.pack(fill.native_id, 0, 0, out.address, 3, value)

    calls = fill_with(1.0) + check.pack(check.native_id, 0, 0, labels.address, 3, 2, 0) + fill_with(2.0)
    assert native.run(calls, 3) == 1
    assert out.array.tolist() == [1.0, 1.0, 1.0]


def test_both_lists_of_kernels_agree() -> None:
    if native.AVAILABLE:
        assert sorted(k.native_id for k in KERNELS.values()) == list(range(len(KERNELS)))
    listed = {k.name: [k.outs, k.ins, " ".join(k.args), " ".join(k.scalars), k.flush] for k in KERNELS.values()}
    assert native._mismatch(CALL_BYTES, listed) == ""
    assert native._mismatch(CALL_BYTES + 8, listed) == "a call has 328 bytes there and 320 here"
    without = {name: signature for name, signature in listed.items() if name != "add"}
    assert native._mismatch(CALL_BYTES, without).startswith("kernel add is missing there and ['f', 'ff',")
    assert native._mismatch(CALL_BYTES, {**listed, "exp": ["f", "ff", "n", "", "keeps"]}).startswith("kernel exp is")


def test_a_call_is_packed_as_the_c_struct_lays_it_out() -> None:
    def example(out: Array, total: Array, x: Array, rows: int, cols: int, scale: float, *, flags: int) -> None: ...

    record = Kernel(example, "fD", "l", "rows cols", "scale", STATE)
    call = record.pack(7, 5, 2, 16, 0, 48, -3, 4, 0.5)
    assert len(call) == CALL_BYTES
    assert np.frombuffer(call, np.int32, 4).tolist() == [7, 5, 2, 0]
    assert np.frombuffer(call, np.uint64, 10, offset=16).tolist() == [16, 0, 48] + [0] * 7
    assert np.frombuffer(call, np.int64, 24, offset=96).tolist() == [-3, 4] + [0] * 22
    assert np.frombuffer(call, np.float64, 4, offset=288).tolist() == [0.5, 0, 0, 0]
    assert (record.float_operand, record.mutates, KERNELS["check_labels"].float_operand) == (0, True, -1)


def test_a_kernel_is_registered_once() -> None:
    def add(out: Array, a: Array, b: Array, rows: int, cols: int, *, flags: int) -> None: ...

    with pytest.raises(ValueError, match=r"\[kernel\] add is registered twice"):
        kernel("f", "ff", "rows cols", form=BROADCAST)(add)


def test_philox_gives_the_published_words() -> None:
    """The known-answer vectors that its authors publish with Random123, philox4x32 with 10 rounds."""
    ones = 0xFFFFFFFF
    known = {
        ((0, 0, 0, 0), (0, 0)): (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
        ((ones, ones, ones, ones), (ones, ones)): (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)): (
            0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1,
        ),
    }  # fmt: skip
    for (counter, key), words in known.items():
        got = philox([np.array([word], np.uint64) for word in counter], [np.uint64(word) for word in key])
        assert tuple(int(word[0]) for word in got) == words


@pytest.mark.parametrize("isa", ISAS)
def test_an_unknown_instruction_set_lists_the_supported_ones(isa: str) -> None:
    with pytest.raises(BackendError, match=rf"the instruction set 'mmx' is not known; choose one of: .*\b{isa}\b"):
        native.select_isa("mmx")


@pytest.mark.slow
@pytest.mark.parametrize("isa", ISAS[:1])
@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("TINYRES_ISA", "generic", "generic"),
        ("TINYRES_ISA", "mmx", "the instruction set 'mmx' is not known"),
        ("TINYRES_THREADS", "2", "2"),
        ("TINYRES_THREADS", "two", "1..65536, or 0 for all CPUs; got 'two'; unset it"),
    ],
)
def test_environment(variable: str, value: str, expected: str, isa: str) -> None:
    program = "from tinyres.backends import native; print(native.isa(), native.threads())"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, variable: value}, capture_output=True, text=True
    )
    assert expected in (done.stdout.split() if done.returncode == 0 else done.stderr)
