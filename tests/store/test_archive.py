"""The one file format: what comes back, and what any bytes end in."""

from __future__ import annotations

import io
import json
import math
import os
import resource
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest

import tinyres as tr
from tinyres.data import load_table
from tinyres.errors import ArgumentError, FileError
from tinyres.store import archive, text

KIND = archive.Format("a test", 3, "a test file", "the test")
OLD = Path(__file__).parent / "old"


def test_arrays_and_header_come_back(tmp_path):
    arrays = {
        "x": np.arange(6, dtype=np.float32).reshape(2, 3),
        "x.npy": np.ones(2),
        "empty": np.empty((0, 3)),
        "number": np.array(7),
        "turned": np.arange(6.0).reshape(2, 3).T,
        "with/é and space": np.array([True]),
    }
    content = {"n": [1, -math.inf, {"a": math.nan}], "s": "é"}
    archive.write(tmp_path / "a.npz", KIND, content, arrays)
    header, found = archive.read("load", tmp_path / "a.npz", KIND)
    assert header["format"] == "a test" and header["version"] == 3 and math.isnan(header["n"][2]["a"])
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    with np.load(tmp_path / "a.npz", allow_pickle=False) as plain:
        np.testing.assert_array_equal(plain["turned"], arrays["turned"])
    found["x"][0, 0] = 5.0  # they can be written to


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        archive.write(tmp_path / name, KIND, {}, {"x": np.ones(3)})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("name", ["a\0b", "header", "\ud800", "x" * 5000])
def test_names_that_no_file_can_keep(name, tmp_path):
    with pytest.raises(
        ArgumentError, match=r"\[save\] a file keeps arrays by names that can be printed, of up to 4096 b"
    ):
        archive.write(tmp_path / "a.npz", KIND, {}, {name: np.ones(1)})
    assert os.listdir(tmp_path) == []


def test_numbers_have_one_form():
    value = {"a": [math.inf, -math.inf, 1.5, 10**30, None, True], "b": {"$": "tuple"}}
    assert text.decoded(text.encoded(value)) == value
    assert json.loads(text.encoded(value))["a"][:2] == [{"$": "inf"}, {"$": "-inf"}]
    for refused in (b"[NaN]", b"[1e999]", b"[-Infinity]", b"\xff", b"[" * 10**6):
        with pytest.raises((ValueError, RecursionError)):
            text.decoded(refused)
    with pytest.raises(ValueError, match="would be read as a number"):
        text.encoded({"$": "nan"})


def entries(path, made, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in made:
            file.writestr(name, data)


def npy(header, data=b"", version=b"\x01\x00"):
    header = header.encode() + b"\n"
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + data


def header_entry(content=None):
    file = io.BytesIO()
    content = {"format": "a test", "version": 3} if content is None else content
    np.save(file, np.frombuffer(content if isinstance(content, bytes) else json.dumps(content).encode(), np.uint8))
    return "header.npy", file.getvalue()


HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s,)}"
ARRAYS = {
    "absurd shape": (npy(HUGE % 10**12, b"\0" * 64), r"shape \(1000000000000,\) has 64 bytes"),
    "overflowing shape": (npy(HUGE % "2**70".replace("2**70", str(2**70))), "has 0 bytes"),
    "negative shape": (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}"), "an array of shape"),
    "objects": (npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"\0" * 8), "numbers and text only"),
    "records": (npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", b"\0" * 4), "numbers and te"),
    "no size": (
        npy("{'descr': '<U0', 'fortran_order': False, 'shape': (10**9,)}".replace("10**9", "9" * 9)),
        "text only",
    ),
    "no header": (b"\x93NUMPY\x01\x00", "Error: "),
    "another version": (npy(HUGE % 1, b"\0" * 4, b"\x09\x00"), "Error: "),
    "not an array": (b"hello", "Error: "),
    "too long": (npy(HUGE % 1, b"\0" * 8), "has 8 bytes"),
    "deep header": (npy("(" * 5000), "Error: "),
    "wide header": (
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1," * 90 + ")}", b"\0" * 4),
        "Error: ",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("data", "message"), ARRAYS.values(), ids=ARRAYS)
def test_arrays_that_are_none(data, message, tmp_path):
    entries(tmp_path / "a.npz", [header_entry(), ("x.npy", data)])
    with pytest.raises(FileError, match=r"\[load\] a test file must be complete; .*" + message):
        archive.read("load", tmp_path / "a.npz", KIND)


HEADERS = {
    "another format": ({"format": "b", "version": 1}, "it has no a test header"),
    "a NaN version": (b'{"format": "a test", "version": NaN}', "NaN is not JSON"),
    "a version of text": ({"format": "a test", "version": "1"}, "its version is '1'"),
    "a true version": ({"format": "a test", "version": True}, "its version is True"),
    "a negative version": ({"format": "a test", "version": -1}, "its version is -1"),
    "a list": ([], "it has no a test header"),
    "no JSON": (b"{", "JSONDecodeError"),
    "no text": (b"\xff\xfe", "UnicodeDecodeError"),
    "deep": (b"[" * 200_000, "RecursionError"),
    "a number of many digits": (b"1" * 5000, "ValueError"),
}


@pytest.mark.parametrize(("content", "message"), HEADERS.values(), ids=HEADERS)
def test_headers_that_are_none(content, message, tmp_path):
    name, data = header_entry(content)
    entries(tmp_path / "a.npz", [(name, data)])
    with pytest.raises(FileError, match=r"\[load\] a test file must be complete; .*" + message):
        archive.read("load", tmp_path / "a.npz", KIND)
    if isinstance(content, bytes):
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(FileError, match=r"\[load\] a test file must be complete; .*" + message):
            archive.read_text("load", tmp_path / "a.json", KIND)


def test_entries_that_no_file_of_ours_has(tmp_path):
    good = npy(HUGE % 1, b"\0" * 4)
    path = tmp_path / "a.npz"
    for made, compression, message in (
        ([("x", good)], zipfile.ZIP_STORED, "'x' is no array"),
        ([("x.npy", good)], zipfile.ZIP_BZIP2, "is compressed in another way"),
    ):
        entries(path, [header_entry(), *made], compression)
        with pytest.raises(FileError, match=message):
            archive.read("load", path, KIND)
    entries(path, [header_entry(), ("x.npy", good), ("y.npy", good)])
    path.write_bytes(path.read_bytes().replace(b"y.npy", b"x.npy"))
    with pytest.raises(FileError, match="stands there twice"):
        archive.read("load", path, KIND)


BOMB = """
import resource, sys
import tinyres as tr
from tinyres.data import load_table
from tinyres.errors import FileError

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for read in (tr.load, tr.Trace.load, tr.GradientNorms.load, load_table):
    try:
        read(sys.argv[1])
    except FileError as error:
        print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def bomb(path, name="x.npy", gigabytes=1):
    zeros = bytes(1 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open(name, "w", force_zip64=True) as entry:
        entry.write(npy(HUGE % (gigabytes * 2**28)))
        for _ in range(gigabytes * 1024):
            entry.write(zeros)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x.npy", "header.npy", "trace.npy"])
def test_a_bomb_takes_no_memory(name, tmp_path):
    bomb(tmp_path / "a.npz", name)
    assert (tmp_path / "a.npz").stat().st_size < 2e6
    command = [sys.executable, "-c", textwrap.dedent(BOMB), os.fspath(tmp_path / "a.npz")]
    *said, megabytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(said) == 4 and all("would unpack to" in line for line in said[:3])
    assert int(megabytes) < 100


def test_a_table_that_unpacks_too_far_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "FREE", 1000)
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((10_000, 100)), y=np.zeros(10_000))
    with pytest.raises(FileError, match=r"\[load_table\] .*would unpack to 8"):
        load_table(tmp_path / "a.npz")


READERS = {
    "model": (tr.load, "m.npz"),
    "trace": (tr.Trace.load, "t.npz"),
    "trace text": (tr.Trace.load, "t.json"),
    "recording": (tr.GradientNorms.load, "g.npz"),
    "recording text": (tr.GradientNorms.load, "g.json"),
    "table": (load_table, "d.npz"),
    "table text": (load_table, "d.csv"),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name here")
@pytest.mark.parametrize(("read", "name"), READERS.values(), ids=READERS)
def test_what_is_no_ordinary_file(read, name, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(FileError, match="pipe or a device"):
        read(tmp_path / name)
    os.unlink(tmp_path / name)
    os.symlink("/dev/zero", tmp_path / name)
    with pytest.raises(FileError, match="pipe or a device"):
        read(tmp_path / name)
    os.unlink(tmp_path / name)
    os.mkdir(tmp_path / name)
    with pytest.raises(FileError, match="(?i)folder|directory"):
        read(tmp_path / name)
    with pytest.raises(FileError):
        read(tmp_path / f"a\0{name}")


@pytest.mark.parametrize(("read", "name"), READERS.values(), ids=READERS)
def test_bytes_of_any_kind_end_in_file_error(read, name, tmp_path):
    rng = np.random.default_rng(0)
    for content in (b"", b"PK", b"PK\x05\x06" + bytes(18), bytes(100), *(rng.bytes(n) for n in range(1, 200, 13))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileError):
            read(tmp_path / name)


def test_old_traces_and_recordings_load():
    plain = tr.Trace.load(OLD / "trace-1.json")
    assert math.isnan(plain.header.loss) and plain["block0/dense"].source == ("net.py", 16) and plain.has_paths
    full = tr.Trace.load(OLD / "trace-1.npz")
    assert full["dense"].value.shape == (16, 3) and full.audit().ok
    for name in ("gradients-1.npz", "gradients-1.json"):
        gradients = tr.GradientNorms.load(OLD / name)
        assert gradients.steps.tolist() == [0, 1, 9] and gradients.norms[2, 0] == np.inf
        assert np.isnan(gradients.norms[2, 1:]).all() and np.isfinite(gradients.norms[:2]).all()


def test_a_new_file_of_each_kind_is_of_version_2(tmp_path):
    full = tr.Trace.load(OLD / "trace-1.npz")
    for name in ("t.npz", "t.json"):
        trace = full if name == "t.npz" else tr.Trace.load(OLD / "trace-1.json")
        trace.save(tmp_path / name)
        assert str(tr.Trace.load(tmp_path / name)) == str(trace)
    assert json.loads((tmp_path / "t.json").read_text())["version"] == 2
    np.testing.assert_array_equal(tr.Trace.load(tmp_path / "t.npz")["dense"].value, full["dense"].value)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit of file sizes here")
def test_a_disk_that_fills_up_gives_one_line(tmp_path):
    program = """
        import resource, signal, sys
        import numpy as np
        from tinyres.errors import FileError
        from tinyres.store import archive
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            archive.write(sys.argv[1], archive.Format("a", 1, "a", "a"), {}, {"x": np.ones(10**6)})
        except FileError as error:
            print(error)
    """
    path = tmp_path / "a.npz"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", textwrap.dedent(program), os.fspath(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == "" and done.stdout.startswith(
        f"[save] '{path}' cannot be written: File too large; choose ano"
    )
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.npz"]
