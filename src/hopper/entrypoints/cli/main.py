"""The hopper command line, put together from its parts."""

import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from hopper import __version__
from hopper.domain.errors import HopperError
from hopper.entrypoints.cli import (
    bench,
    data,
    delegations,
    demo,
    embeddings,
    exports,
    graph,
    instances,
    learning,
    leases,
    patterns,
    pushing,
    routing,
    search,
    server,
    show,
    sync_sources,
    tasks,
    where,
)
from hopper.entrypoints.cli.errors import UsageError, failed, misused, refused

EXIT_CODES = """\
Exit codes: 0 fine; 1 something unexpected; 2 wrong usage or configuration; 3 not found;
4 refused (invalid, in conflict, changed meanwhile, ambiguous, too large); 5 the server can't be
reached or isn't available; 6 an import ended with lines that couldn't be used;
7 a check found differences; 130 interrupted.
"""

_ASKS_TO_END = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""`kill`, and a terminal that is closed."""

app = typer.Typer(
    help="Routes every task to whoever should do it, explains why, and learns from every outcome.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hopper {__version__}")
        raise typer.Exit


@app.callback()
def hopper(
    address: Annotated[
        str | None, typer.Option("--server", help="The server's address, for any command.", show_default=False)
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Routes every task to whoever should do it, explains why, and learns from every outcome."""
    if address is not None:
        os.environ["HOPPER_SERVER"] = address


for part in (
    tasks,
    where,
    leases,
    show,
    search,
    routing,
    instances,
    patterns,
    learning,
    delegations,
    data,
    exports,
    pushing,
    embeddings,
    graph,
    sync_sources,
    server,
    demo,
    bench,
):
    part.register(app)


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
    try:
        return app(prog_name="hopper", standalone_mode=False) or 0
    except UsageError as error:
        return misused(error)
    except HopperError as error:
        return refused(error)
    except OSError as error:
        return failed(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
    except KeyboardInterrupt:
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
