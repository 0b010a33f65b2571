"""Sessions of psql over pipes, and PostgreSQL's other client programs.

psql rather than a driver: what pg_restore writes are statements with the rows between them, as only psql reads them.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from hopper.domain.backup import BackupFailed
from hopper.domain.errors import Unavailable
from hopper.services.postgres_programs import programs

_MARK = "-- hopper: so far"
_NO_CONNECTION = 2
_END_SECONDS = 2

_MISLEADING = {"PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE", "PGOPTIONS", "PGDATESTYLE", "PGTZ", "OPENAI_API_KEY"}
"""What only libpq heeds and the server's driver doesn't: both have to come to one database. And no key is theirs."""


class Psql:
    """One session, for as long as the block lasts; it ends without a commit unless one was sent.

    Nor does a killed Hopper leave a thing: psql reads the end of its input then, and PostgreSQL undoes the transaction.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> Self:
        # Nothing but the message: details and contexts quote rows.
        options = ("-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse")
        self._errors = TemporaryFile()
        self._process = start("psql", *options, url=self._url, stdin=subprocess.PIPE, stderr=self._errors)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end(self._process)
        self._errors.close()

    @property
    def input(self) -> IO[bytes]:
        """Where statements go: also those of another program."""
        assert self._process.stdin
        return self._process.stdin

    def run(self, statements: str) -> list[list[str]]:
        """The rows that statements give, all together. Raises BackupFailed, and Unavailable without a connection."""
        assert self._process.stdout
        try:
            self.input.write(f"{statements}\n\\echo '{_MARK}'\n".encode())
            self.input.flush()
        except BrokenPipeError:
            raise self.failure() from None
        rows: list[list[str]] = []
        for line in self._process.stdout:
            text = line.decode().rstrip("\n")
            if text == _MARK:
                return rows
            rows.append(text.split("\t"))
        raise self.failure()

    @property
    def has_ended(self) -> bool:
        """Whether a statement was refused, or the connection lost."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_END_SECONDS)
        return self._process.poll() is not None

    def failure(self) -> BackupFailed | Unavailable:
        """What went wrong, once psql has ended."""
        with suppress(OSError):
            self.input.close()
        code = self._process.wait()
        said = read_back(self._errors)
        if code == _NO_CONNECTION:
            return Unavailable(f"The database can't be used: {said}. Check DATABASE_URL, and that it is running.")
        return BackupFailed(f"PostgreSQL refused: {said}. Nothing was changed.")


@contextmanager
def reading_from(program: str, url: str, *arguments: str) -> Iterator[IO[bytes]]:
    """What a program writes to its standard output. Raises BackupFailed when it fails."""
    with TemporaryFile() as errors:
        process = start(program, *arguments, url=url, stdin=subprocess.DEVNULL, stderr=errors)
        assert process.stdout
        try:
            yield process.stdout
            if process.wait() != 0:
                raise BackupFailed(f"PostgreSQL's {program} failed: {read_back(errors)}.")
        finally:
            end(process)


def start(
    program: str, *arguments: str, stdin: Any, stderr: Any, stdout: Any = subprocess.PIPE, url: str | None = None
) -> "subprocess.Popen[bytes]":
    """A program, on a database or by itself. A password stands in its environment: all can read its arguments."""
    address, secret = _apart(url) if url else ("", {})
    return subprocess.Popen(  # noqa: S603 - no shell, and the program is ours
        [str(programs() / program), *arguments, *(["-d", address] if url else [])],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,  # Ctrl-C is for Hopper, which then ends this
        env=_surroundings() | secret,
    )


def end(process: "subprocess.Popen[bytes]") -> None:
    """Have it ended, whatever it was at, and its pipes closed."""
    if process.poll() is None:
        process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with suppress(OSError):
                pipe.close()


def read_back(errors: IO[bytes]) -> str:
    """The first complaint in what a program wrote to its standard error."""
    errors.seek(0)
    lines = [line.strip() for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    worst = next((line for line in lines if any(word in line for word in ("ERROR:", "FATAL:", "error:"))), None)
    return (worst or (lines[-1] if lines else "it gave no reason")).rstrip(".")


def _apart(url: str) -> tuple[str, dict[str, str]]:
    """A URL without its password, and the environment that has it."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    options = dict(parse_qsl(parts.query))
    password = unquote(password) or options.pop("password", "")
    address = parts._replace(netloc=name + at + hosts, query=urlencode(options)).geturl()
    return address, {"PGPASSWORD": password} if password else {}


def _surroundings() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    return kept | {"LC_ALL": "C", "PGCLIENTENCODING": "UTF8", "PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "hopper backup"}
