"""The house grows in one place a fact: a kernel, an op on it, a layer on that, and the tests of all three.

Each is one record in one file and, for what users import, its name in the imports and in `__all__` of its room. No
other line of the tree changes. Everything is added to a copy, built there, and tested there by the tests that stand.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tinyres.backends import native

ROOT = Path(__file__).parents[1]

TYPED = re.compile(r"<!-- typed: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
PAGE = dict(TYPED.findall((ROOT / "tinyres" / "guide" / "90-internals.md").read_text()))

# By file: a line that is there, and what comes after it; "" is the end of the file. The kernel is that of the guide.
ADDED = {
    "csrc/kernels.def": {"TR_KERNEL(square,": PAGE["csrc/kernels.def"]},
    "csrc/elementwise.inc.h": {"TR_MAP(square,": PAGE["csrc/elementwise.inc.h"]},
    "tinyres/kernels/elementwise.py": {"": "\n\n" + PAGE["tinyres/kernels/elementwise.py"]},
    "tests/kernel_cases/elementwise.py": {"_UNARY = ": PAGE["tests/kernel_cases/elementwise.py"]},
    "tinyres/ops/elementwise.py": {
        "": '''

def _cube_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (g * 3.0 * square(ctx.inputs[0]),)


CUBE = Op("cube", shape=same_shape, forward=unary(kernels.cube), vjp=_cube_vjp, saves=(0,))


def cube(x: Operand) -> Tensor:
    """x³, elementwise.

    >>> import tinyres as tr
    >>> tr.cube(tr.tensor([3.0, -2.0]))
    Tensor([27., -8.], shape=(2,), dtype=float32)
    """
    return apply(CUBE, (x,) if isinstance(x, Tensor) else as_operands(x))
'''
    },
    "tinyres/ops/__init__.py": {
        "from tinyres.engine.primitives import add": "from tinyres.ops.elementwise import cube\n",
        "__all__ = [": '    "cube",\n',
    },
    "tests/op_cases/elementwise.py": {
        'Case("square",': '    Case("cube", tr.cube, lambda x: x**3, ELEMENTWISE, bench=(BIG,)),\n'
    },
    "tinyres/layers/activation.py": {
        "": '''

class Cube(SingleInput):
    """x³.

    >>> import tinyres as tr
    >>> tr.layers.Cube()(tr.tensor([-1.0, 2.0]))
    Tensor([-1.,  8.], shape=(2,), dtype=float32)
    """

    def call(self, x: Tensor) -> Tensor:
        """x³."""
        return ops.cube(x)
'''
    },
    "tinyres/layers/__init__.py": {
        "from tinyres.layers import blocks": "from tinyres.layers.activation import Cube\n",
        "__all__ = [": '    "Cube",\n',
    },
    "tests/layers/test_layers.py": {
        "": """

def test_a_cube_is_saved_and_traced(tmp_path: object) -> None:
    x = tr.Input(shape=(3,))
    model = tr.Model(x, layers.Dense(1)(layers.Cube(name="cubed")(layers.Dense(4)(x))))
    batch = np.ones((2, 3), np.float32)
    assert model.graph(batch, np.ones((2, 1)), loss="mse").trace(audit="full").audit().ok
    model.save(f"{tmp_path}/m.npz")
    np.testing.assert_array_equal(tr.load(f"{tmp_path}/m.npz").predict(batch), model.predict(batch))
"""
    },
}


def with_additions(text: str, additions: dict[str, str]) -> str:
    for before, new in additions.items():
        if not before:
            text += new
            continue
        lines = text.splitlines(keepends=True)
        (at,) = [i for i, line in enumerate(lines) if line.strip().startswith(before)]
        text = "".join([*lines[: at + 1], new, *lines[at + 1 :]])
    return text


def run(tree: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, *command], cwd=tree, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not native.AVAILABLE, reason="needs a C compiler, and the C core was not built")
def test_a_kernel_an_op_and_a_layer_are_one_record_each(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    kept = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__", "*.egg-info", ".*cache", ".git", "build")
    shutil.copytree(ROOT, tree, ignore=kept)
    assert set(PAGE) <= set(ADDED)
    for name, additions in ADDED.items():
        path = tree / name
        path.write_text(with_additions(path.read_text(), additions))
    builder = tree / "csrc" / "build_ffi.py"
    builder.write_text(builder.read_text().replace('"-O3"', '"-O1"'))  # compiles in half the time
    run(tree, "csrc/build_ffi.py")
    tests = "tests/kernels", "tests/ops", "tests/layers/test_layers.py", "tests/test_doctests.py"
    chosen = "cube or Cube or every_op_has_a_row or every_kernel"
    printed = run(tree, "-m", "pytest", "-q", "-m", "", "-k", chosen, *tests)
    assert int(printed.split(" passed")[0].split()[-1]) >= 40
    run(tree, "-m", "pytest", "-q", "tests/test_rooms.py")
