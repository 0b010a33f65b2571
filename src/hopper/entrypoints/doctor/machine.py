"""What of this machine Hopper needs: Python and packages, the data directory, room, the port."""

import errno
import os
import shutil
import socket
import stat
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from hopper.entrypoints.cli.admin_key import NAME as KEY
from hopper.entrypoints.cli.running import address_of
from hopper.entrypoints.doctor.findings import Finding, ok, warning, wrong
from hopper.entrypoints.doctor.server import told_version
from hopper.services.extras import how_to_install

if TYPE_CHECKING:
    from hopper.config import Settings

_LEAST_ROOM = 16 * 1024**2
_LITTLE_ROOM = 1024**3

_OWN_ONLY = ("postgres", "postgres.log", "neo4j", "neo4j/password")
"""What nobody else has any business with, in the data directory."""


def packages(extras: tuple[str, ...] = ()) -> Iterator[Finding]:
    """Python, and every package that Hopper names, with those of the extras that are wanted."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    python = sys.version.split()[0]
    try:
        needed = [Requirement(line) for line in requires("hopper") or ()]
    except PackageNotFoundError:
        yield wrong("Hopper itself isn't installed, only its source is there.", "Run `make serve`.")
        return
    wanted = [
        one for one in needed if not one.marker or any(one.marker.evaluate({"extra": name}) for name in ("", *extras))
    ]
    fitting = SpecifierSet(metadata("hopper")["Requires-Python"])
    bad = not fitting.contains(python, prereleases=True)
    if bad:
        yield wrong(f"This is Python {python}, and Hopper needs {fitting}.", "Install such a one, and Hopper for it.")
    for one in wanted:
        try:
            found = version(one.name)
        except PackageNotFoundError:
            found = ""
        if not one.specifier.contains(found or "0", prereleases=True):
            bad = True
            what = f"is {found}" if found else "is missing"
            yield wrong(
                f"The package {one.name} {what}, and {one.specifier} is needed.",
                f"Install all that belongs to this version: {how_to_install(*extras)}.",
            )
    if not bad:
        yield ok(f"Python {python} and the {len(wanted)} packages that are needed")


def data_directory(home: Path, *, external: bool = False) -> Iterator[Finding]:
    """The data directory, which may not be there yet, with what is private in it.

    `external` says that the database is named, and elsewhere.
    """
    if not home.exists():
        above = next(parent for parent in home.parents if parent.exists())
        if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
            yield ok(f"{home} isn't there yet: the first start makes it")
        else:
            yield wrong(f"{home} isn't there and can't be made in {above}.", "Make it, or name another (HOPPER_HOME).")
    elif not home.is_dir():
        yield wrong(f"{home} is no directory.", "Move it away, or name another (HOPPER_HOME).")
    else:
        bad = list(_unfit(home))
        yield from bad or [ok(f"{home} is there and can be written")]
        if not external and (home / KEY).exists() and not (home / "postgres").exists():
            yield warning(
                f"{home} holds the key of a server and no database: that server's is an external one, which isn't "
                "looked at here.",
                "Give this command the server's settings, DATABASE_URL first; for a service under systemd: "
                "set -a; . /etc/hopper/hopper.env; set +a",
            )
    yield _room(home)


def _unfit(home: Path) -> Iterator[Finding]:
    state = home.stat()
    if state.st_uid != os.geteuid() and os.geteuid() != 0:
        yield wrong(
            f"{home} belongs to another user, with the number {state.st_uid}.",
            f"Run Hopper as that user, or give it to yourself: sudo chown -R $USER {home}",
        )
    elif not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        yield wrong(f"{home} can't be written.", f"Give yourself the right: chmod u+rwx {home}")
    if stat.S_IMODE(state.st_mode) & 0o022:
        yield wrong(f"Other users can change what is in {home}.", f"Take that from them: chmod go-w {home}")
    for name in _OWN_ONLY:
        path = home / name
        # To pass through is harmless: root's Hopper lets PostgreSQL's user do that.
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o066:
            yield wrong(f"Other users can read or change {path}.", f"Take that from them: chmod go-rw {path}")


def _room(home: Path) -> Finding:
    disk = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(disk).free
    told = (
        f"{free / 1024**3:.1f} GiB are free on its disk"
        if free >= _LITTLE_ROOM
        else f"{free / 1024**2:.0f} MiB are free"
    )
    if free < _LEAST_ROOM:
        return wrong(
            f"Only {told}: PostgreSQL can't work with so little.", "Make room, or name another disk (HOPPER_HOME)."
        )
    if free < _LITTLE_ROOM:
        return warning(f"Only {told} on the disk of {home}.", "Make room before it is full: writes fail then.")
    return ok(told)


def port(settings: "Settings") -> Iterator[Finding]:
    """Whether a server could listen where it is to, or does."""
    host, number = settings.host, settings.port
    if number == 0:
        yield ok(f"The system chooses a port on {host}")
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as error:
            yield _taken(host, number, error)
            return
    yield ok(f"The port {number} is free on {host}")


def _taken(host: str, number: int, error: OSError) -> Finding:
    if error.errno == errno.EADDRINUSE:
        if found := told_version(address_of(host, number)):
            return ok(f"Hopper {found} listens on {host}:{number}")
        return wrong(
            f"Something else than Hopper listens on {host}:{number}.",
            f"Stop it, or choose another port: hopper serve --port {number + 1}",
        )
    reason = error.strerror or str(error)
    return wrong(f"Hopper can't listen on {host}:{number}: {reason}.", "Choose another with 'host' and 'port'.")
