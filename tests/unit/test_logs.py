"""The log: what libraries say is told without its values, and lines that can't be written are lost and counted."""

import json
import subprocess
import sys
from pathlib import Path

BEGIN = "from hopper.entrypoints.logs import LINES, log_to_stderr; import logging, structlog; log_to_stderr('json'); "


def run(program: str, stderr: int = subprocess.PIPE) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", BEGIN + program]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=stderr, text=True)


def test_what_libraries_say_holds_no_values() -> None:
    """A driver's warning would repeat what a task says, or a password."""
    done = run(
        "logging.getLogger('driver').warning('refused %s', 'planted')\n"
        "try: raise ValueError('planted')\n"
        "except ValueError: logging.getLogger('asyncio').error('Task failed\\nfuture: planted', exc_info=True)"
    )
    assert "planted" not in done.stderr
    first, second = (json.loads(line) for line in done.stderr.splitlines())
    assert (first["event"], first["level"], first["logger"]) == ("refused %s", "warning", "driver")
    assert (second["event"], second["error"]) == ("Task failed", "ValueError")


def test_the_last_lines_are_written() -> None:
    """What a server said when it ended would be missing, which is what people look for."""
    done = run("[structlog.get_logger('a').info('said', number=n) for n in range(1000)]")
    assert [json.loads(line)["number"] for line in done.stderr.splitlines()] == [*range(1000)]


def test_less_is_told_at_a_higher_level() -> None:
    """A busy server's disk would fill with what nobody asked for."""
    done = run("log_to_stderr('console', 'warning'); log = structlog.get_logger('a'); log.info('x'); log.warning('y')")
    [line] = done.stderr.splitlines()
    assert "y" in line
    assert "[warning" in line


def test_lines_that_cannot_be_written_are_counted() -> None:
    """Nobody would know that the log has holes."""
    with Path("/dev/full").open("w") as full:
        done = run(
            "import time; structlog.get_logger('a').info('said')\n"
            "while not LINES.lost: time.sleep(0.01)\nprint(LINES.lost)",
            full.fileno(),
        )
    assert done.stdout == "1\n"
