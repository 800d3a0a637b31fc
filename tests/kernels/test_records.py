"""What a kernel's record says: complete and right, and nobody who plans or walks calls knows kernels by name."""

from __future__ import annotations

import ast
import math
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel_cases import cases

from tinyres import kernels
from tinyres.backends import native
from tinyres.backends.buffers import Buffer
from tinyres.backends.native import NATIVE
from tinyres.backends.numpy import NUMPY
from tinyres.capture.passes import PASSES
from tinyres.errors import BackendError
from tinyres.kernels.dtypes import FLOAT32, FLOAT64
from tinyres.kernels.forms import CHECK, FLUSHES, MAP, MOVEMENT, PRODUCT, REDUCTION, Epilogues
from tinyres.kernels.record import KERNELS, Kernel, kernel
from tinyres.kernels.sharing import EVERY, OWN, UNDIVIDED, Columns, Cut

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_a_kernel_is_exported_by_being_defined(name: str) -> None:
    assert getattr(kernels, name) is KERNELS[name]


def one(out: Any, x: Any, n: int, *, flags: int) -> None: ...


def two(out: Any, other: Any, x: Any, n: int, *, flags: int) -> None: ...


def product(out: Any, a: Any, b: Any, m: int, n: int, k: int, *, flags: int) -> None: ...


def check(x: Any, n: int, *, flags: int) -> None: ...


@pytest.mark.parametrize(
    ("register", "words"),
    [
        (lambda: kernel("f", "ff", "m n k", form=PRODUCT)(product), "a product must say how workers share it"),
        (lambda: kernel("f", "f", "n", form=REDUCTION)(one), "a reduction must say how workers share it"),
        (lambda: kernel("f", "f", "rows cols", form=MAP)(one), "has the one size n; got .*rows"),
        (lambda: kernel("f", "f", "a b c d", form=MOVEMENT)(one), "one has 4 sizes: say which make up its work"),
        (lambda: kernel("f", "f", "n", form=MOVEMENT, work="m")(one), "one has no operand or size m"),
        (lambda: kernel("f", "f", "n", form=CHECK)(one), "a check has no outputs"),
        (lambda: kernel("", "f", "n", form=MOVEMENT)(check), "only a check has none"),
        (lambda: kernel("ff", "f", "n", form=MAP)(two), "only a kernel of one output works in place"),
        (
            lambda: kernel("f", "ff", "m n k", form=PRODUCT, sharing=Columns("cols"))(product),
            "product is shared by cols, which is none of its sizes",
        ),
        (
            lambda: kernel("f", "ff", "m n k", form=PRODUCT, sharing=Columns("n", every="x"))(product),
            "product has no input x; there are a, b",
        ),
        (
            lambda: kernel(
                "f", "ff", "m n k", form=PRODUCT, sharing=UNDIVIDED, epilogues=Epilogues(mask="mask", depth="k")
            )(product),
            "product has no operand or size mask",
        ),
    ],
)
def test_a_fact_that_is_left_open_or_wrong_is_refused(register: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        register()
    assert not {"one", "two", "product", "check"} & set(KERNELS)


def test_a_kernel_without_a_form_is_refused() -> None:
    with pytest.raises(TypeError, match="form"):
        kernel("f", "f", "n")(one)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", sorted(name for name, record in KERNELS.items() if record.in_place))
def test_what_works_in_place_has_cases_in_place(name: str) -> None:
    assert any(case.in_place for case in cases(name))


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("fact", ["keeps, ", "0.08 * n[0], ", ", NONE"])
def test_a_line_of_kernels_def_that_leaves_out_a_fact_does_not_compile(fact: str, tmp_path: Path) -> None:
    for path in (ROOT / "csrc").iterdir():
        if path.suffix in (".c", ".h", ".def"):
            shutil.copy(path, tmp_path)
    compile_walker = ["cc", "-fsyntax-only", "-std=gnu11", str(tmp_path / "run.c")]
    subprocess.run(compile_walker, check=True, capture_output=True)
    line = 'TR_KERNEL(square, "f", "f", "n", "", keeps, 0.08 * n[0], NONE)'
    kernels_def = tmp_path / "kernels.def"
    text = kernels_def.read_text()
    assert line in text and fact in line
    kernels_def.write_text(text.replace(line, line.replace(fact, "")))
    assert subprocess.run(compile_walker, capture_output=True).returncode


def test_a_backend_says_which_calls_it_takes_and_runs_them() -> None:
    singles = [Buffer(2, FLOAT32) for _ in range(2)]
    doubles = [Buffer(2, FLOAT64) for _ in range(2)]
    square, check_finite = kernels.square, kernels.check_finite
    for one_of in (singles, doubles):
        one_of[1].array[:] = 3, float("inf")
        calls = [(square, one_of[:1], one_of[1:], (2,), (), 0), (check_finite, (), one_of[:1], (2,), (), 0)]
        calls.append((kernels.neg, one_of[:1], one_of[1:], (2,), (), 0))
        assert NUMPY.takes(square, one_of[:1], one_of[1:]) and NUMPY.run(calls) == 1
        assert one_of[0].array.tolist() == [9, float("inf")]
        assert NATIVE.takes(square, one_of[:1], one_of[1:]) == (one_of is singles)
        if native.AVAILABLE and one_of is singles:
            assert NATIVE.run(calls) == 1 and NATIVE.run(calls[:1]) == -1
    with pytest.raises(BackendError, match="the C core takes float32 only; got a call on float64; run it with NumPy"):
        NATIVE.run(calls)


# No kernel is known by name where calls are recorded, planned, replayed and measured. In capture/ and measure/ the name
# of a kernel may not be
#   - an item of KERNELS, or an attribute `kernels.<name>` that is not what a call launches (the first argument of
#     `launch`, the first item of a tuple of `launch_list`): asked `is it this one?`, a record answers by its facts;
#   - in capture/ a string, alone or as a word of a list of words, but for the name of a pass that is not compared.
# `kernel.name` may be shown, never compared. (The names of ops in measure/ and trace/ are another matter: those belong
# to `engine.op`.) In the C walker no TR_ID_ of a kernel is written, but by the macro that goes over all of them.


def python_files(*rooms: str) -> list[Path]:
    return [path for room in rooms for path in sorted((ROOT / "tinyres" / room).rglob("*.py"))]


def parents(tree: ast.AST) -> dict[ast.AST, ast.AST]:
    return {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}


def is_docstring(node: ast.Constant, above: dict[ast.AST, ast.AST]) -> bool:
    return isinstance(above[node], ast.Expr)


def is_launched(node: ast.AST, above: dict[ast.AST, ast.AST]) -> bool:
    parent = above[node]
    if isinstance(parent, ast.Call):
        return ast.unparse(parent.func) == "launch" and parent.args[0] is node
    return isinstance(parent, ast.Tuple) and parent.elts[0] is node and not isinstance(above[parent], ast.Compare)


def named(path: Path, strings: bool) -> Iterator[str]:
    """The places at which a file knows a kernel by name."""
    tree = ast.parse(path.read_text())
    above = parents(tree)
    for node in ast.walk(tree):
        where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("KERNELS"):
            yield f"{where}: {ast.unparse(node)}"
        if isinstance(node, ast.Attribute) and node.attr in KERNELS and ast.unparse(node.value) == "kernels":
            if not is_launched(node, above):
                yield f"{where}: {ast.unparse(node)}"
        if isinstance(node, ast.Compare) and re.search(r"kernel\.name\b", ast.unparse(node)):
            yield f"{where}: {ast.unparse(node)}"
        if strings and isinstance(node, ast.Constant) and isinstance(node.value, str) and not is_docstring(node, above):
            words = re.split(r"[\s,]+", node.value.strip())
            is_pass = node.value in PASSES and not isinstance(above[node], ast.Compare)
            if all(word in KERNELS for word in words) and not is_pass:
                yield f"{where}: {node.value!r}"


@pytest.mark.slow
def test_no_kernel_is_known_by_name_in_capture_and_measure() -> None:
    for path in python_files("capture"):
        assert not list(named(path, strings=True))
    for path in python_files("measure"):
        assert not list(named(path, strings=False))
    for path in python_files("trace"):
        assert "kernels" not in re.findall(r"tinyres[. ]\w*", path.read_text())


@pytest.mark.parametrize(
    "code",
    [
        'x = call.kernel.name == "matmul"',
        'x = frozenset("neg exp log".split())',
        "x = call.kernel in (kernels.sgd, kernels.adam)",
        "x = call.kernel is kernels.relu",
        'join = KERNELS["join_halves"]',
        'x = name == "relu"',
        'x = {"sum": 1}',
    ],
)
def test_the_search_finds_kernels_that_are_known_by_name(code: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "code.py").write_text(code)
    assert list(named(tmp_path / "code.py", strings=True))
    (tmp_path / "code.py").write_text('launch(kernels.fill, (out,)); launch_list([(kernels.add, (out,))]); "relu"')
    assert not list(named(tmp_path / "code.py", strings=True))


@pytest.mark.parametrize("name", ["run.c", "flush.h", "ahead.h", "facts.h"])
def test_no_kernel_is_known_by_name_in_the_walker(name: str) -> None:
    text = (ROOT / "csrc" / name).read_text()
    assert not re.findall(r"TR_ID_(?!##)\w+", text)


def test_kernels_of_the_second_storey_fit_the_record() -> None:
    """A convolution and attention: sizes, sharing, work and epilogues as a product has them."""

    def conv2d(y: Any, x: Any, filters: Any, bias: Any, mask: Any, *sizes: int, flags: int) -> None: ...

    sizes = "n h w c kh kw o oh ow sh sw top left dh dw"
    record = Kernel(
        conv2d,
        "f",
        "ffff",
        sizes,
        "",
        PRODUCT,
        sharing=Columns("o", every="x"),
        work="n oh ow o kh kw c",
        epilogues=Epilogues(relu=True, accumulate=True, depth="kh kw c", bias="bias", mask="mask"),
    )
    args = 2, 8, 8, 16, 3, 3, 32, 6, 6, 1, 1, 0, 0, 1, 1
    assert record.depth(args) == 3 * 3 * 16
    assert math.prod(record.sizes_of_work(args)) == 2 * 6 * 6 * 32 * 3 * 3 * 16
    assert record.sharing.by_columns(record, args, 0) == Cut(32, (EVERY, OWN, OWN, OWN))
    assert not record.may_overwrite(0, 0) and record.flush == FLUSHES

    def attention(o: Any, lse: Any, q: Any, k: Any, v: Any, bias: Any, *sizes: int, flags: int) -> None: ...

    strides = " ".join(f"{name}{axis}" for name in "qkvo" for axis in ("batch", "token", "head"))
    sizes = f"outer heads tq tk d dv {strides}"
    record = Kernel(attention, "ff", "ffff", sizes, "scale", PRODUCT, sharing=UNDIVIDED, work="outer heads tq tk d")
    assert record.sharing.by_columns(record, [4] * 18, 0) is None and record.operands[:2] == ("o", "lse")
