"""`tinyres play`: a server for this machine alone, which hands out the page and records the nets that it describes.

It keeps nothing about who asks. Every request must name this very server as its host, so that no other site can reach
it through a browser; a description is held to its bounds before anything is built from it.
"""

from __future__ import annotations

import contextlib
import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tinyres.errors import ArgumentError, TinyresError
from tinyres.play import description, state
from tinyres.play.export import opening_net
from tinyres.play.nets import Net
from tinyres.play.recording import recorded
from tinyres.play.reporting import reported
from tinyres.play.site import POLICY, File, Site
from tinyres.play.state import State, read_state
from tinyres.play.wasm import wasm

_TIMEOUT = 10.0  # seconds that a peer may be silent
_MOST_AT_ONCE = 256  # connections; a browser holds six for each page
_MOST_KEPT = 48_000_000  # bytes of recorded nets

_LARGEST_BODIES = {"/record": description.MOST_BYTES, "/report": state.MOST_BYTES}
_TYPES = {"/record": "application/octet-stream", "/report": "application/json"}
_HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


class Recorder:
    """Records nets one at a time, and keeps the last ones, up to a bound in bytes."""

    def __init__(self) -> None:
        self._kept: dict[Net, bytes] = {}
        self._lock = threading.Lock()

    def __call__(self, asked: Net) -> bytes:
        """What the page replays."""
        with self._lock:
            made = self._kept.pop(asked, None)
            made = recorded(asked) if made is None else made
            self._kept[asked] = made
            while sum(map(len, self._kept.values())) > _MOST_KEPT and len(self._kept) > 1:
                del self._kept[next(iter(self._kept))]
        return made

    def report(self, asked: State) -> bytes:
        """What the library says of this state, and its report; not while something is recorded."""
        with self._lock:
            return reported(asked)


class Server(ThreadingHTTPServer):
    """The server on 127.0.0.1; port 0 takes one that is free. `url` tells where it is.

    Raises OSError where the port is taken.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int = 0) -> None:
        self.site = Site()
        self.record = Recorder()
        self._places = threading.BoundedSemaphore(_MOST_AT_ONCE)
        super().__init__(("127.0.0.1", port), _Handler)
        number = self.server_address[1]
        self.hosts = {f"{name}:{number}" for name in ("127.0.0.1", "localhost")}

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, while there are not too many."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """See socketserver."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that hangs up is no error of this server."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = _TIMEOUT
    server_version, sys_version = "tinyres", ""

    def do_GET(self) -> None:
        """A file of the site."""
        if self._allowed():
            self._send_file(self.server.site.get(self.path.partition("?")[0]))

    def do_HEAD(self) -> None:
        """The same without its content."""
        self.do_GET()

    def do_POST(self) -> None:
        """Record a net, at /record, or report a state, at /report."""
        if not self._allowed():
            return
        if self.path not in _LARGEST_BODIES:
            words = "a net is posted to /record, a state to /report; got another path; post it there"
            self._refuse(HTTPStatus.NOT_FOUND, words)
            return
        body = self._body(_LARGEST_BODIES[self.path])
        if body is None:
            return
        record = self.server.record
        try:
            made = record.report(read_state(body)) if self.path == "/report" else record(description.read(body))
        except ArgumentError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except (TinyresError, MemoryError) as error:
            words = str(error) or "[play] a net must fit into memory; got one that does not; ask for a smaller one"
            self._refuse(HTTPStatus.INSUFFICIENT_STORAGE, words)
        else:
            self._send(HTTPStatus.OK, _TYPES[self.path], made)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is written about requests."""

    def _allowed(self) -> bool:
        """Whether this request comes from the server's own page, or from no page; if not, it is refused."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0] not in self.server.hosts:
            here = self.server.url
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, f"this server is {here}; got another host; go to {here}")
            return False
        own = {f"http://{host}" for host in self.server.hosts}
        foreign = any(origin not in own for origin in self.headers.get_all("Origin", []))
        if foreign or self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            self._refuse(HTTPStatus.FORBIDDEN, "only its own page may ask this server; got another site; open the page")
            return False
        return True

    def _body(self, most: int) -> bytes | None:
        """What was posted; None, and refused, if it is not JSON of a known, small length."""
        lengths = self.headers.get_all("Content-Length", [])
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip()
        if len(lengths) != 1 or "Transfer-Encoding" in self.headers:
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "a body has one Content-Length; got none, or several; send one")
        elif not (lengths[0].isascii() and lengths[0].isdigit()):
            self._refuse(HTTPStatus.BAD_REQUEST, "Content-Length is a whole number; got no such; count the bytes")
        elif len(lengths[0]) > 9 or int(lengths[0]) > most:
            words = f"a description has at most {most} bytes; got more; leave out the rest"
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, words)
        elif kind != "application/json":
            words = "a description is of type application/json; got another; name that type"
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, words)
        else:
            body = self.rfile.read(int(lengths[0]))
            if len(body) == int(lengths[0]):
                return body
            self.close_connection = True
        return None

    def _send_file(self, file: File | None) -> None:
        if file is None:
            self._refuse(HTTPStatus.NOT_FOUND, "the page has no such file; got another path; open /")
        else:
            self._send(HTTPStatus.OK, file.type, file.content)

    def _refuse(self, status: HTTPStatus, words: str) -> None:
        """An answer of this status; what may still come of the request is not read."""
        self.close_connection = True
        told = words if words.startswith("[") else f"[play] {words}"
        self._send(status, "application/json", json.dumps({"error": told}).encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        if self.request_version == "HTTP/0.9":  # whose answers would have no headers
            self.request_version = "HTTP/1.0"
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-store" if status is not HTTPStatus.OK else "no-cache")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server refuses by itself, such as a method that is not known, in the same words and headers."""
        self.command = self.command or "GET"
        self._refuse(HTTPStatus(code), f"this server takes GET, HEAD and POST; got another request ({message}); open /")


def run(port: int) -> None:
    """Serve until interrupted.

    Raises ArgumentError where the port cannot be had, MissingExtraError where tr.wasm was not built.
    """
    wasm()
    try:
        server = Server(port)
    except (OSError, OverflowError) as error:
        raise ArgumentError(f"[play] port {port} cannot be used: {error}; choose another: --port") from None
    with server:
        print(f"tinyres play: {server.url} (stop it with Ctrl-C)", flush=True)
        threading.Thread(target=_prepare, args=(server.record,), daemon=True).start()  # while a browser is opened
        server.serve_forever()


def _prepare(record: Recorder) -> None:
    """Record the net that the page opens with; what cannot be recorded is told when the page asks for it."""
    with contextlib.suppress(TinyresError, MemoryError):
        record(opening_net())
