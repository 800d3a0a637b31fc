"""Import this before NumPy: it holds every library that is compared to one thread.

Each library reads its own variable once, when it is loaded, so the order of imports matters and is checked here. Rows
that use more threads say so and ask tinyres for them with `set_threads`.
"""

from __future__ import annotations

import os
import sys

if "numpy" in sys.modules:
    raise RuntimeError("bench/one_thread.py must be imported before NumPy, which has chosen its threads already")

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NPROC"):
    os.environ[variable] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["TINYRES_THREADS"] = "1"
