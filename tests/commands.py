"""Runs hopper's commands, each in a process of its own that needn't load Python's and others' packages anew.

Python's fork server loads them once: they read neither environment nor files until a command runs. What is done to a
command while it runs needs a process from scratch.
"""

import atexit
import os
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing import get_context
from os import fdopen
from pathlib import Path
from tempfile import TemporaryDirectory

COMMAND = [sys.executable, "-m", "hopper.entrypoints.cli.main"]
"""A process from scratch."""

_SERVER = get_context("forkserver")
_SERVER.set_forkserver_preload(["hopper.entrypoints.cli.commands", "typer._adapters", "httpx"])


def run(
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input: bytes = b"",
    timeout: float = 120,
) -> "subprocess.CompletedProcess[str]":
    """What `subprocess.run` of `hopper` with these arguments comes to. Raises subprocess.TimeoutExpired."""
    words = [str(argument) for argument in arguments]
    with TemporaryDirectory(prefix="hopper-command-") as place:
        streams = [Path(place, name) for name in ("in", "out", "err")]
        streams[0].write_bytes(input)
        process = _SERVER.Process(target=_run, args=(words, dict(env or os.environ), cwd or Path.cwd(), streams))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(words, timeout)
        out, err = (stream.read_text() for stream in streams[1:])
        return subprocess.CompletedProcess(words, process.exitcode, out, err)


def _run(words: list[str], env: dict[str, str], cwd: Path, streams: list[Path]) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    flags = (os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT)
    for number, (stream, how) in enumerate(zip(streams, flags, strict=True)):
        os.dup2(os.open(stream, how, 0o600), number)
    encoding = "utf-8"  # as Python chooses in UTF-8's and in C's locale
    sys.stdin = fdopen(0, encoding=encoding, closefd=False)
    sys.stdout = fdopen(1, "w", encoding=encoding, closefd=False)
    sys.stderr = fdopen(2, "w", encoding=encoding, errors="backslashreplace", closefd=False)
    sys.argv = ["hopper", *words]
    from hopper.entrypoints.cli.main import main

    try:
        main()
    except SystemExit as ended:
        sys.stdout.flush()
        atexit._run_exitfuncs()
        os._exit(ended.code if isinstance(ended.code, int) else 0)
