"""Every refusal of Graph, Trace and their files, in its wording."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_nets import residual

import tinyres as tr
from tinyres.errors import ArgumentError, CaptureError, FileError, ShapeError, TraceError


@pytest.fixture(scope="module")
def trace():
    return tr.Graph(residual()[0]).trace()


def says(message):
    return re.compile(re.escape(message))


def test_a_loss_that_is_not_one_number():
    with pytest.raises(ShapeError, match=says("[graph] a graph ends in one number; got shape (2,); reduce it with")):
        tr.Graph(tr.tensor([1.0, 2.0], requires_grad=True))


def test_a_loss_that_is_no_tensor():
    with pytest.raises(ArgumentError, match=says("[graph] a graph ends in a Tensor; got float; pass the loss itself")):
        tr.Graph(1.0)


def _detached():
    return residual()[0].detach()


def _no_grad():
    with tr.no_grad():
        return residual()[0]


def _captured():
    return tr.capture(lambda x: tr.sum(x * 2.0))(tr.tensor([1.0]))


@pytest.mark.parametrize("make", [_detached, _no_grad, _captured])
def test_a_loss_that_was_not_recorded(make):
    with pytest.raises(TraceError, match="the loss must be recorded.*no_grad, detached, returned by a captured step"):
        tr.Graph(make())


@pytest.mark.parametrize("ask", ["trace", "lint", "paths"])
def test_a_loss_that_is_being_recorded(ask):
    def step(x):
        getattr(tr.Graph(tr.sum(x * x)), ask)()
        return x

    with pytest.raises(CaptureError, match=says("[graph] a step is being recorded, its values are not there yet")):
        tr.capture(step)(tr.tensor([1.0], requires_grad=True))


def test_a_tape_that_was_freed():
    loss, _ = residual()
    loss.backward()
    with pytest.raises(TraceError, match=r"an earlier backward\(\) freed it; make tr.Graph\(loss\) before backward"):
        tr.Graph(loss)


def test_parameters_that_were_changed():
    loss, w = residual()
    graph = tr.Graph(loss)
    loss.backward()
    tr.optim.SGD(list(w.made.values()), lr=0.1).step()
    expected = r"block\d/kernel_\d \(8, 8\) was changed in place since .*model.graph\(x, y\)"
    with pytest.raises(TraceError, match=expected):
        graph.trace()


def test_parameters_whose_values_no_gradient_needs_were_changed():
    bias = tr.Parameter([1.0, 2.0], "bias")
    graph = tr.Graph(tr.sum(tr.tensor([1.0, 2.0]) + bias))
    bias.assign([0.0, 0.0])
    with pytest.raises(TraceError, match=r"bias \(2,\) was changed"):
        graph.trace()


def test_unknown_names_list_the_nearest(trace):
    with pytest.raises(TraceError, match=r"got 'block1/ad'; the nearest are .*block1/add"):
        trace["block1/ad"]
    with pytest.raises(TraceError, match="the nearest are"):
        trace.fork("blokc1")


def test_forks_that_are_none(trace):
    with pytest.raises(TraceError, match="'block1/add' is not a fork"):
        trace.fork("block1/add")
    with pytest.raises(TraceError, match="an index of a fork is below 3; got 7"):
        trace.fork(7)
    plain = tr.Graph(residual(skip=False)[0]).trace()
    with pytest.raises(TraceError, match="'block0' is a block without a fork"):
        plain.fork("block0")


def test_what_was_not_measured_is_not_there(trace):
    with pytest.raises(TraceError, match=r"the arrays of input were not measured; call graph.trace\(arrays=True\)"):
        _ = trace["input"].value
    with pytest.raises(TraceError, match=r'ops were not measured; call graph.trace\(level="op"\)'):
        trace.rows("op")
    with pytest.raises(TraceError, match=r"the audit was not made; call graph.trace\(audit=True\)"):
        tr.Graph(residual()[0]).trace(audit=False).audit()


def test_levels(trace):
    with pytest.raises(ArgumentError, match="a level is one of stage, block, layer, op, edge, parameter; got 'layers'"):
        trace.table("layers")
    with pytest.raises(ArgumentError, match='a level is "layer" or "op"'):
        tr.Graph(residual()[0]).trace(level="block")


def test_suffixes(trace, tmp_path):
    with pytest.raises(ArgumentError, match=r"saved as .json or .npz or .csv; got .*t.txt"):
        trace.save(tmp_path / "t.txt")
    with pytest.raises(FileError, match=r"loaded from .json or .npz; got"):
        tr.Trace.load(tmp_path / "t.csv")


@pytest.mark.parametrize("suffix", ["json", "npz"])
def test_files_that_are_missing(tmp_path, suffix):
    with pytest.raises(FileError, match=r"\[load\] a trace file is needed; .*none\..* is not there; check the path"):
        tr.Trace.load(tmp_path / f"none.{suffix}")


@pytest.mark.parametrize("suffix", ["json", "npz"])
def test_files_that_are_truncated(trace, tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    trace.save(path)
    content = path.read_bytes()
    for length in range(0, len(content), max(1, len(content) // 60)):
        path.write_bytes(content[:length])
        with pytest.raises(FileError):
            tr.Trace.load(path)


def test_files_that_are_something_else(tmp_path):
    import numpy as np

    (tmp_path / "t.json").write_text('{"format": "other"}')
    with pytest.raises(FileError, match=r"a trace file must be complete; .* damaged or .*no tinyres trace header"):
        tr.Trace.load(tmp_path / "t.json")
    np.savez(tmp_path / "t.npz", x=np.zeros(3))
    with pytest.raises(FileError, match="is damaged or something else .*; give a file that trace.save wrote"):
        tr.Trace.load(tmp_path / "t.npz")


def test_files_of_a_newer_version(trace, tmp_path):
    path = tmp_path / "t.json"
    trace.save(path)
    data = json.loads(path.read_text()) | {"version": 99}
    path.write_text(json.dumps(data))
    with pytest.raises(FileError, match="of version 99; upgrade tinyres"):
        tr.Trace.load(path)


@pytest.mark.parametrize("part", ["header", "nodes", "edges", "forks", "blocks", "audit", "files", "version"])
def test_files_that_lack_a_part(trace, tmp_path, part):
    path = tmp_path / "t.json"
    trace.save(path)
    data = json.loads(path.read_text())
    del data[part]
    path.write_text(json.dumps(data))
    with pytest.raises(FileError, match="is damaged or something else .*; give a file that trace.save wrote"):
        tr.Trace.load(path)


def places(data, path=()):
    """Every place in a JSON value."""
    yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


@pytest.fixture(scope="module")
def saved(trace, tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "t.json"
    trace.save(path)
    content = path.read_text()
    return path, content, list(places(json.loads(content)))[1:]


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_files_with_a_wrong_value_somewhere_load_or_are_refused(saved, data):
    path, content, everywhere = saved
    spoiled = json.loads(content)
    *way, last = data.draw(st.sampled_from(everywhere))
    inner = spoiled
    for key in way:
        inner = inner[key]
    inner[last] = data.draw(st.sampled_from([None, -1, 10**9, 0.5, "x", "", [], {}, True, [1], {"$": "nan"}]))
    path.write_text(json.dumps(spoiled))
    try:
        loaded = tr.Trace.load(path)
    except FileError as error:
        assert "damaged or not a trace" in str(error) or "something else" in str(error) or "upgrade" in str(error)
    else:
        assert str(loaded)
        for level in ("block", "layer", "edge", "parameter"):
            assert len(loaded.table(level).splitlines()) == len(loaded.rows(level)) + 1


def test_a_save_that_fails_leaves_the_old_file(trace, tmp_path):
    path = tmp_path / "t.json"
    trace.save(path)
    before = path.read_bytes()
    with pytest.raises(ArgumentError, match="arrays are kept by .npz"):
        tr.Graph(residual()[0]).trace(arrays=True).save(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("suffix", ["json", "npz", "csv"])
def test_a_place_that_cannot_be_written(trace, tmp_path, suffix):
    with pytest.raises(FileError, match=r"cannot be written: No such file or directory; choose another place"):
        trace.save(tmp_path / "nowhere" / f"t.{suffix}")


def test_compare():
    with pytest.raises(ArgumentError, match="there must be traces to compare"):
        tr.compare()
    with pytest.raises(ArgumentError, match="every argument is a Trace; got str for a"):
        tr.compare(a="t.json")
