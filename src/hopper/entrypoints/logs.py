"""What is told of the work under way: a line an event on standard error, as JSON or for people.

Whoever tells puts a line on a list, and a thread writes it. Standard error may be a pipe that nobody reads, or a file
on a full disk: nobody's work waits or ends for that.
"""

import atexit
import logging
import os
import sys
from collections import deque
from contextvars import ContextVar
from threading import Event, Thread
from time import gmtime, strftime, time
from traceback import walk_tb
from typing import Any, Final

import orjson
import structlog

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
KEY_ID: ContextVar[str] = ContextVar("key_id", default="")
TRACE_ID: ContextVar[str] = ContextVar("trace_id", default="")
"""What every line says that is told while a request is answered, if it has them."""

_MOST_WAITING = 10_000
_GATHER_SECONDS = 0.05
"""Lines gather for so long: waking the thread for each would cost the requests more than their lines do."""

_LAST_SECONDS = 1.0
"""What the last lines get to be written when the process ends."""


class Lines:
    """Writes lines to standard error as it is at the time, in order; those that find too many waiting are lost."""

    def __init__(self) -> None:
        self.lost = 0
        self._waiting: deque[str] = deque()
        self._some, self._none = Event(), Event()
        self._none.set()
        self._thread: Thread | None = None

    def add(self, line: str) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            self.lost += 1
            return
        self._waiting.append(line)
        if not self._some.is_set():
            self._none.clear()
            self._some.set()
            if self._thread is None:
                self._thread = Thread(target=self._write_on, name="log", daemon=True)
                self._thread.start()

    def flush(self, seconds: float = _LAST_SECONDS) -> None:
        """Wait until all is written, but no longer than so long."""
        self._none.wait(seconds)

    def _write_on(self) -> None:
        while True:
            self._some.wait()
            Event().wait(_GATHER_SECONDS)
            self._some.clear()
            lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if not _written("".join(lines).encode(errors="replace")):
                self.lost += len(lines)
            if not self._waiting:
                self._none.set()


def _written(content: bytes) -> bool:
    """Past Python's own buffer: a thread that hangs in there would keep the process from ending."""
    try:
        place = sys.stderr.fileno()
        while content:
            content = content[os.write(place, content) :]
    except (OSError, ValueError, AttributeError):  # full, closed, or never open
        return False
    return True


LINES: Final = Lines()
atexit.register(LINES.flush)


class _Logger:
    """What structlog hands the rendered lines to."""

    def __init__(self, name: str = "hopper") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        LINES.add(line + "\n")

    debug = info = warning = warn = error = critical = exception = msg


class _FromLibraries(logging.Handler):
    """Hears what libraries say. The values in their messages aren't repeated, which may be what a task says."""

    def emit(self, record: logging.LogRecord) -> None:
        said = str(record.msg).partition("\n")[0]
        error = record.exc_info[1] if record.exc_info else None
        more = {"error": type(error).__name__, "where": where(error)} if error else {}
        level = max(logging.DEBUG, min(record.levelno, logging.CRITICAL)) // 10 * 10
        structlog.get_logger(record.name).log(level, said, **more)


def log_to_stderr(format: str = "console", level: str = "info") -> None:
    """Have structlog, and the libraries' loggers, write beside the answer on stdout, one line an event."""
    least = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            _with_request,
            structlog.processors.add_log_level,
            _with_logger,
            structlog.processors.TimeStamper(fmt="iso"),
            _as_json if is_json(format) else structlog.dev.ConsoleRenderer(colors=_is_terminal(), pad_event_to=0),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=_Logger,
    )
    logging.basicConfig(handlers=[_FromLibraries()], level=max(least, logging.WARNING), force=True)
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)  # whoever used the connection hears of it
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # adapters.telemetry says it once, with what to do


def is_json(format: str) -> bool:
    """Whether lines are JSON: with `auto`, unless a person watches."""
    return format == "json" or (format == "auto" and not _is_terminal())


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (ValueError, AttributeError):
        return False


def _with_request(_logger: Any, _method: str, event: Any) -> Any:
    for variable in (REQUEST_ID, KEY_ID, TRACE_ID):
        if value := variable.get():
            event[variable.name] = value
    return event


def _with_logger(logger: Any, _method: str, event: Any) -> Any:
    event["logger"] = logger.name
    return event


def _as_json(_logger: Any, _method: str, event: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def where(error: BaseException) -> str:
    """Hopper's own line in which it happened: the lines of libraries below it are always the same few."""
    own = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").startswith("hopper.")
    ]
    return own[-1] if own else ""


class Timestamps:
    """The time of a line as TimeStamper writes it, for a tenth of the price: the second is written once."""

    def __init__(self) -> None:
        self._second = 0
        self._written = ""

    def now(self) -> str:
        moment = time()
        second = int(moment)
        if second != self._second:
            self._second, self._written = second, strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))
        return f"{self._written}.{int((moment - second) * 1_000):03d}Z"
