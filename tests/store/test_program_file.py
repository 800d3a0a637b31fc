"""The file of a program: what was written is read back, and nothing damaged is."""

from __future__ import annotations

import json
import random
import zlib
from pathlib import Path
from typing import Any

import pytest
from other_headers import with_header

import tinyres as tr
from tinyres.errors import FileError
from tinyres.store.program_file import MAGIC, ProgramFile, parsed, read_program

w = tr.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)


def content() -> bytes:
    opt = tr.optim.SGD([w], lr=0.1)

    @tr.capture
    def step(x: Any) -> Any:
        opt.zero_grad()
        loss = (x @ w).sum()
        loss.backward()
        opt.step()
        return {"loss": loss}

    from tinyres.capture.export import exported

    return exported({"step": step.record(tr.tensor([[1.0, 1.0]]))}, {"w": w}).to_bytes()


def renewed(file: bytes, change: Any) -> bytes:
    """The file with another header and a checksum that fits: what somebody makes on purpose."""
    header = json.loads(json.dumps(parsed(file).header))
    change(header)
    return with_header(file, header)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    file = parsed(content())
    file.write(tmp_path / "net.trp")
    again = read_program(tmp_path / "net.trp")
    assert again == file
    assert sorted(again.names) == ["loss", "w", "x"]
    assert again.header["memory"]["w"]["shape"] == [2, 2]
    assert len(again.calls) == again.header["count"] * 280


def test_any_changed_byte_and_any_length_is_refused() -> None:
    file = content()
    rng = random.Random(0)
    for at in [*range(24), *(rng.randrange(len(file)) for _ in range(200))]:
        damaged = bytearray(file)
        damaged[at] ^= 1 << rng.randrange(8)
        with pytest.raises(FileError, match="no program|damaged|version"):
            parsed(bytes(damaged))
    for length in [*range(40), len(file) - 1]:
        with pytest.raises(FileError):
            parsed(file[:length])
    with pytest.raises(FileError, match="damaged"):
        parsed(file + b"\0")


def test_a_newer_file_says_so() -> None:
    file = bytearray(content())
    file[8] = 9
    with pytest.raises(FileError, match="version 9; this tinyres reads 2"):
        parsed(bytes(file))


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.update(image=64),
        lambda h: h.update(image=-1),
        lambda h: h.update(image=1 << 40),
        lambda h: h.update(image=True),
        lambda h: h.update(count=h["count"] + 1),
        lambda h: h.update(call_bytes=0),
        lambda h: h.update(pointer_bytes=8),
        lambda h: h.update(kernels=h["kernels"][:1]),
        lambda h: h.update(kernels=[1] * 9),
        lambda h: h["stored"].append([0, 8]),
        lambda h: h["state"].append([h["image"], 1]),
        lambda h: h["memory"]["w"].update(at=h["image"] - 4),
        lambda h: h["memory"]["w"].update(shape=[1 << 20, 1 << 20]),
        lambda h: h["memory"]["w"].update(shape=[-1]),
        lambda h: h["memory"]["w"].update(dtype="float16"),
        lambda h: h["memory"].pop("x"),
        lambda h: h["programs"]["step"].update(first=1),
        lambda h: h["programs"]["step"].update(exposed=[[0]]),
        lambda h: h.pop("programs"),
        lambda h: h.update(memory=[]),
    ],
)
def test_a_header_that_contradicts_itself_is_refused_with_a_right_checksum_too(change: Any) -> None:
    with pytest.raises(FileError, match=r"\[load\] 'program' is a damaged program: .*; export it again"):
        parsed(renewed(content(), change))


def test_a_pointer_beyond_the_memory_is_refused() -> None:
    whole = parsed(content())
    calls = bytearray(whole.calls)
    calls[16:20] = (whole.header["image"]).to_bytes(4, "little")
    with pytest.raises(FileError, match="a call reaches beyond the memory"):
        parsed(ProgramFile(whole.header, whole.stored, bytes(calls)).to_bytes())


def test_a_header_that_is_no_object_is_refused() -> None:
    for text in (b"[]      ", b"1       ", b"\xff" * 8, b"[" * 4096):
        file = MAGIC + (2).to_bytes(4, "little") + len(text).to_bytes(4, "little")
        file += zlib.crc32(text).to_bytes(4, "little") + bytes(4) + text
        with pytest.raises(FileError, match="damaged"):
            parsed(file)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        read_program(tmp_path / "none.trp")
