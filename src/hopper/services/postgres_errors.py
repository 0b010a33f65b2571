"""What can be wrong with an embedded PostgreSQL, and how a person mends it."""

import os
from pathlib import Path

from hopper.domain.errors import HopperError

_FULL = ("the disk is full", "Make room")
_QUOTA = ("the disk quota is used up", "Make room")
_LIMIT = ("files may not grow as large as PostgreSQL needs", "Raise the limit (ulimit -f)")
_READ_ONLY = ("the disk is read-only", "Make it writable")
_DENIED = ("permission is denied", "Give yourself write access")
_IN_THE_WAY = ("a file stands where a directory has to be", "Move it away")

_SIGNS = {
    "No space left on device": _FULL,
    "wrote only": _FULL,
    "Disk quota exceeded": _QUOTA,
    "File too large": _LIMIT,
    "File size limit exceeded": _LIMIT,
    "Read-only file system": _READ_ONLY,
    "Permission denied": _DENIED,
    "Operation not permitted": _DENIED,
    "Not a directory": _IN_THE_WAY,
    "File exists": _IN_THE_WAY,
}
"""What the operating system says, what it means, and what to do."""

_LEAST_ROOM = 16 * 1024 * 1024
"""Bytes; one file of the write-ahead log. With less, PostgreSQL may be unable even to say why it stopped."""


class DataDirectoryInUse(HopperError):
    """Another Hopper server runs on the data directory."""

    slug = "data-directory-in-use"


class DataDirectoryUnusable(HopperError):
    """The data directory can't be written, is full, or belongs to something else."""

    slug = "data-directory-unusable"


class PostgresFailed(HopperError):
    """PostgreSQL wouldn't start or stop."""

    slug = "postgres-failed"


class PostgresNotReady(PostgresFailed):
    """PostgreSQL runs, but still recovers after a crash; it goes on doing so."""

    slug = "postgres-not-ready"


def unusable(home: Path, reason: str) -> DataDirectoryUnusable:
    """The error for what the operating system says of the data directory `home`."""
    what, remedy = next((told for sign, told in _SIGNS.items() if sign in reason), (reason, "Mend that"))
    return DataDirectoryUnusable(
        f"The data directory {home} can't be used: {what}. {remedy}, or give Hopper another one (HOPPER_HOME)."
    )


def about_the_disk(home: Path, said: str) -> DataDirectoryUnusable | None:
    """The error for a program that failed with the output `said` for want of room, or of rights to the files."""
    if any(sign in said for sign in _SIGNS):
        return unusable(home, said)
    return unusable(home, "No space left on device") if _room(home) < _LEAST_ROOM else None


def failed(home: Path, program: str, said: str, log: Path) -> HopperError:
    """The error for a program of PostgreSQL's that failed with the output `said`."""
    if full := about_the_disk(home, said):
        return full
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it gave no reason"]
    worst = next((line for line in lines if any(word in line for word in ("PANIC:", "FATAL:", "error:"))), lines[-1])
    return PostgresFailed(
        f"PostgreSQL's {program} failed: {worst} (more in {log}). If you can't mend that, give Hopper another data "
        "directory (HOPPER_HOME)."
    )


def _room(home: Path) -> int:
    """Bytes that a user other than root may still write."""
    disk = os.statvfs(home)
    return disk.f_bavail * disk.f_frsize
