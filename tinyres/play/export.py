"""`tinyres play --export DIR`: the page as a folder that any web server serves, with the nets of its tour recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from tinyres.errors import FileError
from tinyres.play import data
from tinyres.play.description import FEATURES_AND_CLASSES, key
from tinyres.play.nets import Net
from tinyres.play.recording import recorded
from tinyres.play.site import Site
from tinyres.play.wasm import wasm
from tinyres.store.replacing import replacing

# As in state.mjs.
OPENING = {"block": "he2015", "blocks": 16, "units": 32, "batch": 64, "optimizer": "adam", "data": "digits"}


def export(folder: str) -> list[str]:
    """Write the site into a folder, which is made if it is not there; the paths of what was written.

    Raises FileError where it cannot be written, MissingExtraError without tr.wasm.
    """
    wasm()
    nets = {net: f"nets/{i}.bin" for i, net in enumerate(dict.fromkeys(shipped_nets()))}
    site = Site({key(net): name for net, name in nets.items()})
    written = []
    for path in site:
        file = site.get(path)
        assert file is not None
        written.append(_write(folder, path.lstrip("/"), file.content))
    written += [_write(folder, name, recorded(net)) for net, name in nets.items()]
    return written


def opening_net() -> Net:
    """The net that the page opens with."""
    return _net({})


def shipped_nets() -> Iterator[Net]:
    """The net that the page opens with, on each of its data, and those of the tour."""
    for name in data.NAMES:
        yield _net({"data": name})
    tour = files("tinyres.play").joinpath("static/tour.json").read_text(encoding="utf-8")
    for stop in json.loads(tour):
        yield _net(stop["state"])


def _net(state: dict[str, object]) -> Net:
    whole = {"activation": "relu", **OPENING, **state}
    features, classes = FEATURES_AND_CLASSES[str(whole["data"])]
    initializer = whole.get("initializer")
    named = {name: whole[name] for name in ("block", "blocks", "units", "batch", "optimizer", "activation")}
    return Net(**named, features=features, classes=classes, initializer=initializer)  # type: ignore[arg-type]


def _write(folder: str, name: str, content: bytes) -> str:
    path = Path(folder, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"[play] --export takes a folder; got {folder}: {error.strerror}; choose another") from None
    with replacing(str(path)) as file:
        file.write(content)
    return str(path)
