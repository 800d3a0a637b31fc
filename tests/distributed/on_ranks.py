"""Programs on several ranks, started as a user does, by mpirun; skipped in words where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("mpi4py", reason="mpi4py is not there: pip install 'tinyres[mpi]'")

# Beside the interpreter, where pip puts it, or on the path, where a distribution does.
MPIRUN = shutil.which("mpirun", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
ROOT = Path(__file__).resolve().parents[2]

needs_mpirun = pytest.mark.skipif(MPIRUN is None, reason="mpirun is not there: pip install 'tinyres[mpi]'")


def on_ranks(
    ranks: int,
    program: str,
    folder: Path,
    *args: str,
    seconds: float = 60,
    starting: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """The finished run of a program on so many ranks. starting: what stands between mpirun and the script.
    without: variables that it does not have."""
    script = folder / "program.py"
    script.write_text(textwrap.dedent(program))
    own = {
        "PYTHONPATH": str(ROOT),
        "TINYRES_THREADS": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_btl": "self,sm",  # nothing but this machine's memory
        "OMPI_MCA_mpi_yield_when_idle": "1",  # ranks that wait leave the CPU to other tests
    }
    assert MPIRUN is not None
    run = starting or (sys.executable,)
    return subprocess.run(
        [MPIRUN, "--oversubscribe", "-n", str(ranks), *run, str(script), *args],
        capture_output=True,
        text=True,
        timeout=seconds,
        cwd=folder,
        env={name: value for name, value in (os.environ | own | environment).items() if name not in without},
    )


def output(run: subprocess.CompletedProcess[str]) -> str:
    """What it printed, if it ended well."""
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    return run.stdout


def here(program: str) -> None:
    """The same program in this process, as the only rank."""
    exec(compile(textwrap.dedent(program), "program.py", "exec"), {"__name__": "__main__"})
