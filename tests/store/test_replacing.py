"""tinyres.store.replacing.replacing: a file is there whole or not at all, with and without files that have no name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tinyres.errors import FileError
from tinyres.store.replacing import replacing


@pytest.fixture(params=["nameless", "hidden"])
def way(request, monkeypatch):
    """Both ways of writing; not every system has the first."""
    if request.param == "hidden":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    return request.param


def test_the_file_is_there_at_the_end(way, tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"ne")
        assert path.read_bytes() == b"old"
        file.seek(0)
        file.write(b"new!")
    assert path.read_bytes() == b"new!" and os.listdir(tmp_path) == ["a.bin"]


def test_an_exception_leaves_the_old_file_and_nothing_else(way, tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), replacing(path) as file:
        file.write(b"half")
        raise KeyError("no")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.bin"]


def test_a_link_is_followed(way, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with replacing(tmp_path / "link") as file:
        file.write(b"x")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"x"


def test_it_has_the_mode_of_any_new_file(way, tmp_path):
    with replacing(tmp_path / "ours") as file:
        file.write(b"x")
    (tmp_path / "any").write_bytes(b"x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "any").stat().st_mode


def test_a_folder_that_is_not_there(way, tmp_path):
    with pytest.raises(FileError, match=r"\[save\] '.*a' cannot be written: No such file or directory; choose another"):
        with replacing(tmp_path / "missing" / "a"):
            pass


@pytest.mark.slow
def test_a_kill_leaves_nothing_visible(tmp_path):
    program = """
        import os, signal, sys
        from tinyres.store.replacing import replacing
        with replacing(sys.argv[1]) as file:
            file.write(b"half")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program), os.fspath(path)], cwd=_root())
    assert done.returncode == -signal.SIGKILL
    visible = [name for name in os.listdir(tmp_path) if not name.startswith(".")]
    assert visible == ["a.bin"] and path.read_bytes() == b"old"


def _root():
    return Path(__file__).resolve().parents[2]


def test_the_mode_of_a_file_that_is_there_is_kept(way, tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"old")
    path.chmod(0o600)
    with replacing(path) as file:
        file.write(b"new")
    assert path.stat().st_mode & 0o777 == 0o600 and path.read_bytes() == b"new"


def test_long_names_work_and_longer_ones_are_told(way, tmp_path):
    with replacing(tmp_path / ("n" * 250)) as file:
        file.write(b"x")
    assert (tmp_path / ("n" * 250)).read_bytes() == b"x"
    with pytest.raises(FileError, match="cannot be written: File name too long; choose another place"):
        with replacing(tmp_path / ("n" * 300)):
            pass
    with pytest.raises(FileError, match="cannot be written: a path holds no NUL"):
        with replacing(f"{tmp_path}/a\0b"):
            pass


def test_a_pipe_or_device_is_written_to_and_stays(tmp_path):
    os.symlink("/dev/null", tmp_path / "nothing")
    with replacing(tmp_path / "nothing") as file:
        file.write(b"gone")
    assert not Path("/dev/null").is_file()
    with pytest.raises(FileError, match="cannot be written: No space left on device; choose another place"):
        with replacing("/dev/full") as file:
            file.write(b"x")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match="cannot be written"):  # nobody reads
        with replacing(tmp_path / "pipe"):
            pass


def test_a_folder_is_not_replaced(way, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match="cannot be written: Is a directory; choose another place"):
        with replacing(tmp_path / "folder"):
            pass
    assert os.listdir(tmp_path) == ["folder"]
