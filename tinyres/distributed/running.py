"""What `tinyres run` does: a script as `python` runs it, but that an error on one rank ends them all."""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from collections.abc import Sequence

from tinyres.distributed import ranks
from tinyres.errors import FileError


def run(script: str, arguments: Sequence[str]) -> int:
    """Run a script as the main program; gives what the process is to end with.

    Its error is shown as `python` shows it. Raises FileError where there is no such file.
    """
    if not os.path.isfile(script):
        raise FileError(f"[run] it runs a Python script; got {script}, which is no file; give its path")
    before = sys.argv, sys.path[:]
    sys.argv, sys.path[:0] = [script, *arguments], [os.path.dirname(os.path.abspath(script))]
    try:
        runpy.run_path(script, run_name="__main__")
        return 0
    except SystemExit as stop:
        if stop.code is not None and not isinstance(stop.code, int):
            print(stop.code, file=sys.stderr)
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException as error:
        shown = traceback.TracebackException.from_exception(error)
        shown.stack = traceback.StackSummary.from_list([f for f in shown.stack if not _of_running(f.filename)])
        print("".join(shown.format()), end="", file=sys.stderr)
        code = 130 if isinstance(error, KeyboardInterrupt) else 1
    finally:
        sys.argv, sys.path[:] = before
    if code:
        ranks.end_others()
    return code


def _of_running(filename: str) -> bool:
    """Whether a frame is one of those that start the script."""
    return filename == __file__ or filename.startswith("<frozen runpy") or os.path.basename(filename) == "runpy.py"
