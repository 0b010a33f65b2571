"""Sessions of psql over pipes, and PostgreSQL's other client programs.

psql rather than a driver: what pg_restore writes are statements with the rows between them, as only psql reads them.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from hopper.domain.backup import BackupFailed
from hopper.domain.errors import Unavailable
from hopper.services.postgres_programs import programs

_MARK = "-- hopper: so far"
_NO_CONNECTION = 2
_END_SECONDS = 2
_NO_TLS = "SSL support is not compiled in"

_MISLEADING = {"PGHOSTADDR", "PGSERVICE", "PGOPTIONS", "PGDATESTYLE", "PGTZ", "OPENAI_API_KEY"}
"""What only libpq heeds and the server's driver doesn't: both have to come to one database. And no key is theirs."""


_LIBPQ = {
    *("host", "port", "user", "dbname", "passfile", "service", "target_session_attrs", "krbsrvname", "gsslib"),
    *("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "ssl_min_protocol_version", "ssl_max_protocol_version"),
}
"""What the server's driver keeps to itself of a URL's query, as libpq does."""

_ONLY_TLS = {"sslpassword", "sslnegotiation"}
"""What these programs, which have no TLS, don't need; and one is a secret."""


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
        if _NO_TLS in said:
            return BackupFailed(
                "The database's address asks for TLS (sslmode), which the PostgreSQL programs that come with Hopper "
                "don't speak. Use pg_dump and pg_restore of the database's own version."
            )
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
    """A URL as libpq reads it, without what is secret, and the environment that has the rest.

    What comes twice counts as for the server's driver, and what that sends as settings of the session becomes options.
    """
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    given = dict(parse_qsl(parts.query))
    asked = given.pop("password", "")
    database = given.pop("database", "")
    given.setdefault("dbname", database)
    here = {"host": hosts, "port": hosts, "user": name, "dbname": parts.path.strip("/")}
    kept = {key: text for key, text in given.items() if key in _LIBPQ and text and not here.get(key)}
    address = f"{parts.scheme}://{name}{at}{hosts}{parts.path}?{urlencode(kept, quote_via=quote)}"
    settings = (f"{key}={text}" for key, text in given.items() if key not in {*_LIBPQ, *_ONLY_TLS, "options"})
    options = [given.get("options", ""), *(f"-c {_escaped(setting)}" for setting in settings)]
    environment = {"PGPASSWORD": unquote(password) or asked, "PGOPTIONS": " ".join(filter(None, options))}
    return address, {variable: text for variable, text in environment.items() if text}


def _escaped(text: str) -> str:
    """One word of PGOPTIONS."""
    return re.sub(r"([\\\s])", r"\\\1", text)


def _surroundings() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    return kept | {"LC_ALL": "C", "PGCLIENTENCODING": "UTF8", "PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "hopper backup"}
