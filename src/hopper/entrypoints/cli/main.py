"""The hopper command: how it starts, what ends it, and its exit codes."""

import gc
import signal
import sys
from types import FrameType
from typing import Any

from hopper.domain.errors import HopperError
from hopper.entrypoints.cli.errors import failed, misused, refused
from hopper.entrypoints.cli.plain import serve_plainly

_ASKS_TO_END = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""`kill`, and a terminal that is closed."""


def main() -> None:
    """Run a command; what a person can mend becomes a line on stderr, or JSON on stdout, and an exit code."""
    for number in _ASKS_TO_END:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup asks for that
            signal.signal(number, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if stream:  # it may be closed
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(_run())


def _run() -> int:
    """The exit code of the command."""
    gc.disable()  # what is plain ends before there is garbage worth looking for
    try:
        return 0 if serve_plainly(sys.argv[1:]) else _run_any()
    except HopperError as error:
        return refused(error)
    except OSError as error:
        return failed(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
    except KeyboardInterrupt:
        return 130


def _run_any() -> int:
    """The exit code of a command that takes the whole command line."""
    gc.enable()
    import typer

    from hopper.entrypoints.cli.commands import app

    usage_error: type[Any] = typer.BadParameter.__mro__[1]  # it has no public name there
    try:
        return app(prog_name="hopper", standalone_mode=False) or 0
    except usage_error as error:
        return misused(error)
    except typer.Abort:  # a question was answered with Ctrl-C or Ctrl-D
        return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Do as Ctrl-C does, so that whatever was started is stopped and removed; another one doesn't break that off."""
    signal.signal(number, signal.SIG_IGN)  # a closed terminal often sends two
    ctrl_c = signal.getsignal(signal.SIGINT)
    if not callable(ctrl_c):  # a script's background job ignores Ctrl-C
        raise KeyboardInterrupt
    ctrl_c(signal.SIGINT, frame)


if __name__ == "__main__":
    main()
