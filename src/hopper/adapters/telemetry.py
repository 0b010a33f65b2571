"""Spans by OpenTelemetry, sent by OTLP over HTTP. Imported only where the environment asks for them."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from time import time_ns

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, format_trace_id, get_current_span, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from hopper import __version__
from hopper.ports.spans import Attributes

_CONTEXT = {b"traceparent", b"tracestate"}
_CLOSE_SECONDS = 3.0
"""What the last spans get to be sent; a collector may hang for longer."""


class _Exporter(OTLPSpanExporter):
    """Says when spans can't be sent any more, and when they can again."""

    def __init__(self, log: Callable[[str], None]) -> None:
        super().__init__()
        self._log = log
        self._fails = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        if self._fails is not (fails := result is not SpanExportResult.SUCCESS):
            self._fails = fails
            self._log(
                "traces can't be sent: look whether the collector that OTEL_EXPORTER_OTLP_ENDPOINT names runs there"
                if fails
                else "traces are sent again"
            )
        return result


class OpenTelemetrySpans:
    """Implements ports.spans.Spans. They are sent from a thread; while the collector fails the newest are dropped.

    The SDK's own variables say where to, how many of them, and under which name.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        name = os.environ.get("OTEL_SERVICE_NAME") or "hopper"
        resource = Resource.create({SERVICE_NAME: name, SERVICE_VERSION: __version__})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_Exporter(log)))
        self._tracer = self._provider.get_tracer("hopper", __version__)
        self._context = TraceContextTextMapPropagator()

    def close(self) -> None:
        closing = Thread(target=self._provider.shutdown, name="telemetry", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)

    @contextmanager
    def request(
        self, method: str, headers: Iterable[tuple[bytes, bytes]], attributes: Attributes
    ) -> Iterator["_RequestSpan"]:
        carrier = {name.decode(): value.decode("latin-1") for name, value in headers if name in _CONTEXT}
        context = self._context.extract(carrier)
        told = {"http.request.method": method, **attributes}
        span = self._tracer.start_span(method, context, SpanKind.SERVER, told)
        with _current(span):
            yield _RequestSpan(span, method)

    @contextmanager
    def call(self, name: str, attributes: Attributes, *, always: bool) -> Iterator[None]:
        if not always and not get_current_span().get_span_context().is_valid:
            yield
            return
        with _current(self._tracer.start_span(name, None, SpanKind.CLIENT, dict(attributes))):
            yield

    def called(self, name: str, attributes: Attributes, seconds: float, error: BaseException | None) -> None:
        if not get_current_span().get_span_context().is_valid:
            return
        now = time_ns()
        began = now - int(seconds * 1_000_000_000)
        span = self._tracer.start_span(name, None, SpanKind.CLIENT, dict(attributes), start_time=began)
        if error:
            _fail(span, error)
        span.end(now)


class _RequestSpan:
    """Implements ports.spans.RequestSpan."""

    def __init__(self, span: Span, method: str) -> None:
        self.trace_id = format_trace_id(span.get_span_context().trace_id)
        self._span = span
        self._method = method

    def answered(self, route: str, status: int) -> None:
        self._span.update_name(f"{self._method} {route}")
        self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._span.set_attribute("error.type", str(status))
            self._span.set_status(Status(StatusCode.ERROR))


@contextmanager
def _current(span: Span) -> Iterator[None]:
    with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield
        except BaseException as error:
            _fail(span, error)
            raise


def _fail(span: Span, error: BaseException) -> None:
    """The error's name alone: its message may be what a task says."""
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(Status(StatusCode.ERROR))
