"""A real collector on loopback: it takes OTLP over HTTP, and keeps what came as it came and as it reads."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """`url` is what OTEL_EXPORTER_OTLP_ENDPOINT is set to; one that `hangs` takes a request and never answers."""

    def __init__(self, hangs: bool = False) -> None:
        self.received: list[bytes] = []
        self.asked = Event()
        released = self._released = Event()
        collector = self

        class Taking(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    content = gzip.decompress(content)
                collector.received.append(content)
                collector.asked.set()
                if hangs:
                    released.wait()
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for content in list(self.received)
            for resource in ExportTraceServiceRequest.FromString(content).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def of_trace(self, trace_id: str) -> list[Span]:
        return [span for span in self.spans if span.trace_id.hex() == trace_id]

    def serve(self) -> None:
        self._server.serve_forever(0.02)

    def end(self) -> None:
        self._released.set()
        with suppress(OSError):
            self._server.shutdown()
            self._server.server_close()


@contextmanager
def a_collector(*, hangs: bool = False) -> Iterator[Collector]:
    """Up for as long as the block lasts."""
    collector = Collector(hangs)
    thread = Thread(target=collector.serve, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.end()
        thread.join(5)


def attributes(span: Span) -> dict[str, str | int]:
    return {
        each.key: each.value.string_value if each.value.HasField("string_value") else each.value.int_value
        for each in span.attributes
    }
