"""A connection to a server that can be watched, and that breaks when it is told to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR
from threading import Thread
from typing import Any

import httpx

BUSY = (
    b'{"type": "urn:hopper:problem:unavailable", "title": "Unavailable", "status": 503, "detail": "Others are busy."}'
)


class Wire(ThreadingHTTPServer):
    """Stands before a server. `seen` keeps what is sent to it, with the path.

    Where `at` is in the path, it answers as a busy server does, as often as `busy` says, or hangs up after the server
    has answered, as often as `lost` says. `meanwhile` is done once before such an answer goes on.
    """

    daemon_threads = True

    def __init__(self, url: str, at: str) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.behind = url
        self.lost = self.busy = 0
        self.at = at
        self.meanwhile: Callable[[], object] | None = None
        self.seen: list[tuple[str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def sent(self, path: str = "") -> list[bytes]:
        """The bodies that went to paths with this in them, in order."""
        return [content for seen, content in self.seen if path in seen]


class _Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Wire

    def do_GET(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.seen.append((self.path, content))
        kept = {
            name: value for name, value in self.headers.items() if name.lower() in {"content-type", "authorization"}
        }
        if self.server.busy and self.server.at in self.path:
            self.server.busy -= 1
            self._answer(503, BUSY, "application/problem+json")
            return
        answer = httpx.request(self.command, self.server.behind + self.path, content=content, headers=kept)
        if self.server.meanwhile and self.server.at in self.path:
            meanwhile, self.server.meanwhile = self.server.meanwhile, None
            meanwhile()
        if self.server.lost and self.server.at in self.path:
            self.server.lost -= 1
            self.connection.shutdown(SHUT_RDWR)
            self.close_connection = True
            return
        self._answer(answer.status_code, answer.content, answer.headers.get("content-type", ""))

    def _answer(self, status: int, content: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        if status != httpx.codes.NO_CONTENT:
            self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_DELETE = do_GET  # noqa: N815 - the names that http.server looks for

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def wired(url: str, at: str) -> Iterator[Wire]:
    with Wire(url, at) as wire:
        thread = Thread(target=wire.serve_forever, args=(0.05,))
        thread.start()
        yield wire
        wire.shutdown()
        thread.join()
