"""The server of the page: only its own page is answered, and only a description within its bounds builds a net."""

from __future__ import annotations

import http.client
import json
import random
import re
import socket
from pathlib import Path

import pytest
from browsing import serving

from tinyres import cli
from tinyres.layers.blocks import PRESETS
from tinyres.play import description
from tinyres.play import wasm as place
from tinyres.play.server import Server

NET = {
    "block": "he2015", "blocks": 2, "units": 4, "features": 2, "classes": 2, "batch": 4, "optimizer": "sgd",
    "initializer": None, "activation": "relu",
}  # fmt: skip
POSTED = {"Content-Type": "application/json"}


def asked(server: Server, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=20)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def posted(server: Server, body: bytes) -> tuple[int, bytes]:
    return asked(server, "POST", "/record", body, Content_Type="application/json")


def raw(server: Server, request: bytes) -> bytes:
    with socket.create_connection(server.server_address[:2], timeout=20) as peer:
        peer.sendall(request)
        peer.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: peer.recv(65536), b""))


def test_the_page_and_all_that_it_names_are_there(server: Server) -> None:
    status, page = asked(server, "GET", "/")
    assert status == 200 and b"<title>tinyres" in page
    for path in server.site:
        if path != "/tr.wasm":
            status, content = asked(server, "GET", path)
            assert status == 200 and content, path
    assert asked(server, "HEAD", "/app.mjs") == (200, b"")


def test_a_block_is_explained_in_a_sentence_and_not_by_its_examples(server: Server) -> None:
    """The page showed whole docstrings, with what they type into Python."""
    told = json.loads(asked(server, "GET", "/about.json")[1])["presets"]
    assert set(told) == set(PRESETS)
    for name, text in told.items():
        assert text.endswith(".") and ">>>" not in text and "\n\n" not in text and len(text) < 240, name
    assert told["he2015"] == "Dense → BN → ReLU → Dense → BN → Add → ReLU (He et al. 2015)."


def test_no_module_waits_until_another_has_come(server: Server) -> None:
    """All that the page imports is named in its head, and is there."""
    named = re.findall(r'<link rel="modulepreload" href="([^"]+)">', asked(server, "GET", "/")[1].decode())
    for name in named:
        text = asked(server, "GET", f"/{name}")[1].decode()
        assert set(re.findall(r'from "\./([^"]+)"', text)) <= set(named), name
    assert {"app.mjs", "early.mjs", "look.mjs", "view/strands.mjs"} <= set(named) and "worker.mjs" not in named


@pytest.mark.parametrize(
    "path", ["/../server.py", "/%2e%2e/server.py", "/static/app.mjs", "//etc/passwd", "/view/../app.mjs"]
)
def test_no_other_path_is_a_file(server: Server, path: str) -> None:
    assert asked(server, "GET", path)[0] == 404


def test_every_answer_has_the_policy(server: Server) -> None:
    for request in (
        b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % sorted(server.hosts)[0].encode(),
        b"GET / HTTP/1.1\r\n\r\n",
        b"X\r\n\r\n",
    ):
        head = raw(server, request).partition(b"\r\n\r\n")[0]
        assert b"Content-Security-Policy: default-src 'none'" in head and b"nosniff" in head
        assert b"unsafe-inline" not in head and b"frame-ancestors 'none'" in head


@pytest.mark.parametrize(
    "host", ["example.org", "127.0.0.1", "localhost.example.org:{port}", "127.0.0.1:1", "0.0.0.0:{port}"]
)
def test_another_host_is_refused(server: Server, host: str) -> None:
    """DNS rebinding: a foreign name that leads here."""
    status, content = asked(server, "GET", "/", Host=host.format(port=server.server_address[1]))
    assert status == 421 and b"got another host" in content


@pytest.mark.parametrize(
    "origin", ["http://example.org", "null", "https://127.0.0.1:{port}", "file://", "http://127.0.0.1:1"]
)
def test_another_site_is_refused(server: Server, origin: str) -> None:
    given = origin.format(port=server.server_address[1])
    status, content = asked(
        server, "POST", "/record", json.dumps(NET).encode(), Origin=given, **{"Content_Type": POSTED["Content-Type"]}
    )
    assert status == 403 and b"got another site" in content
    assert asked(server, "GET", "/", Sec_Fetch_Site="cross-site")[0] == 403


def test_a_form_of_another_site_cannot_post(server: Server) -> None:
    assert asked(server, "POST", "/record", json.dumps(NET).encode(), Content_Type="text/plain")[0] == 415


@pytest.mark.parametrize(
    "request_, status",
    [
        (b"POST /record HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\r\n", 411),
        (b"POST /record HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
        (b"POST /record HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2001\r\n\r\n", 413),
        (b"POST /record HTTP/1.1\r\nHost: {host}\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /record HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 411),
        (b"POST /record HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}", 411),
        (b"GET / HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n", 421),
        (b"DELETE / HTTP/1.1\r\nHost: {host}\r\n\r\n", 501),
        (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\nHost: {host}\r\n\r\n", 414),
        (b"GET / HTTP/9.9\r\nHost: {host}\r\n\r\n", 505),
        (b"nonsense\r\n\r\n", 400),
    ],
)
def test_requests_that_are_none(server: Server, request_: bytes, status: int) -> None:
    answer = raw(server, request_.replace(b"{host}", sorted(server.hosts)[0].encode()))
    assert int(answer.split(b" ", 2)[1]) == status


def test_a_body_that_does_not_come_is_given_up(server: Server) -> None:
    host = sorted(server.hosts)[0].encode()
    head = b"POST /record HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{" % host
    assert raw(server, head) == b""


def test_every_bound_is_held(server: Server) -> None:
    wrong = {
        "block": ["", "basic", "HE2015", 1, None, [], {}, "__class__"],
        "blocks": [0, 129, -1, 1.0, 1e3, "2", True, None, [2], 10**60],
        "units": [1, 129, 2.5, "x"],
        "features": [0, 257, False],
        "classes": [1, 33],
        "batch": [1, 129, 10**9],
        "optimizer": ["rmsprop", "Adam", 0],
        "initializer": ["preset", "ones", 0, False],
        "activation": ["relu6", "lambda", None],
    }
    for name, values in wrong.items():
        for value in values:
            status, content = posted(server, json.dumps({**NET, name: value}).encode())
            assert status == 422, (name, value)
            told = json.loads(content)["error"]
            assert told.startswith("[play] ") and len(told) < 400
    status, content = posted(server, json.dumps({**NET, "blocks": 128, "units": 128}).encode())
    assert status == 422 and b"at most 2,000,000 weights" in content


def hostile(random_: random.Random) -> bytes:
    """A body that is no description: a description with something changed, cut, doubled or put in."""
    text = json.dumps(NET)
    kind = random_.randrange(8)
    if kind == 0:
        return bytes(random_.randrange(256) for _ in range(random_.randrange(200)))
    if kind == 1:
        return text[: random_.randrange(len(text))].encode()
    if kind == 2:
        return ("[" * random_.randrange(1, 900)).encode()
    if kind == 3:
        return json.dumps(
            {**NET, random_.choice(list(NET)): random_.choice([None, 0, -1, 1e99, "x", [], {}, True, 2**70, "\x00"])}
            | {"a": 1}
        ).encode()
    if kind == 4:
        return json.dumps({**NET, "units": random_.choice([-(10**18), 10**18, 1e300, 0.5])}).encode()
    if kind == 5:
        return text.replace(
            '"blocks": 2',
            '"blocks": ' + random_.choice(["NaN", "Infinity", "-Infinity", "1" * 500, "1e400", "02", "0x2"]),
        ).encode()
    if kind == 6:
        return (text[:-1] + f', "{random_.choice(list(NET))}": 3}}').encode()
    at = random_.randrange(len(text))
    return (text[:at] + random_.choice('"\\{}[]:,\x00\x7f') + text[at:]).encode()


def thrown(server: Server, count: int, seed: int) -> None:
    random_ = random.Random(seed)
    before = dict(server.record._kept)
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=20)
    for _ in range(count):
        body = hostile(random_)
        connection.request("POST", "/record", body, POSTED)
        answer = connection.getresponse()
        assert 400 <= answer.status < 500, body
        assert json.loads(answer.read())["error"].startswith("[play] ")
    connection.close()
    assert server.record._kept == before


@pytest.mark.slow
def test_hostile_bodies_change_nothing(server: Server) -> None:
    thrown(server, 400, seed=0)


@pytest.mark.slow
def test_ten_thousand_hostile_bodies_change_nothing(server: Server) -> None:
    thrown(server, 10_000, seed=1)


def test_a_net_is_recorded_once(server: Server) -> None:
    status, first = posted(server, json.dumps(NET).encode())
    assert status == 200
    length = int.from_bytes(first[:4], "little")
    head = json.loads(first[4 : 4 + length])
    assert head["ribbon"].startswith("<svg") and first[4 + length :][:4] == b"\x89TRP"
    assert posted(server, json.dumps(NET).encode())[1] == first
    kept = [description.key(net) for net in server.record._kept]  # other tests ask this server too
    assert kept.count(json.dumps(NET, separators=(",", ":"))) == 1


def test_the_command_refuses_in_words(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "WASM", tmp_path / "tr.wasm")
    for arguments in (["play"], ["play", "--export", str(tmp_path / "site")]):
        assert cli.main(arguments) == 2
        assert "python3 -m tinyres.play.build" in capsys.readouterr().err
    (tmp_path / "tr.wasm").write_bytes(b"")
    with serving() as taken:
        assert cli.main(["play", "--port", str(taken.server_address[1])]) == 2
    assert "[play] port" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert cli.main(["play", "--export", str(tmp_path / "file" / "x")]) == 2
    assert "[play] --export takes a folder" in capsys.readouterr().err


STATE = {**NET, "data": "xor", "seed": 3, "lr": 0.01, "skip": 1, "branch": 0.5, "events": [[2, "skip:1", 0]], "step": 4}


def report(server: Server, **changed: object) -> tuple[int, dict[str, object]]:
    body = json.dumps({**STATE, **changed}).encode()
    status, content = asked(server, "POST", "/report", body, Content_Type="application/json")
    return status, json.loads(content)


def test_a_state_is_reported(server: Server) -> None:
    status, told = report(server)
    assert status == 200 and set(told) == {"sentences", "html"}
    assert all(told["sentences"][net] for net in ("residual", "plain"))
    assert told["html"].startswith("<!doctype html>") and "with skips" in told["html"] and "without" in told["html"]
    assert report(server)[1] == told
    assert report(server, seed=4)[1] != told


def test_every_bound_of_a_state_is_held(server: Server) -> None:
    wrong: dict[str, list[object]] = {
        "data": ["own", "", "digits", None, 1, "../xor"],
        "seed": [-1, 2**31, 1.5, "1", True],
        "lr": ["0.1", None, 1e7, -1e7, True],
        "skip": [[], 1e300],
        "branch": [{}, -(10**40)],
        "step": [-1, 50_001, 2.0, None, 10**30],
        "events": [
            {},
            None,
            [1],
            [[1, "lr"]],
            [[1, "x", 0]],
            [[-1, "lr", 0]],
            [[1, "skip:x", 0]],
            [[0, "lr", 0]] * 1001,
        ],
        "blocks": [0, 129],
    }
    for name, values in wrong.items():
        for value in values:
            status, told = report(server, **{name: value})
            assert status == 422, (name, value)
            assert str(told["error"]).startswith("[play] ") and len(str(told["error"])) < 400
    assert report(server, more=1)[0] == 422 and report(server, events=["x" * 50_000])[0] == 413
