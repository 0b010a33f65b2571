"""The key of whoever owns a server's data directory: the server makes it at its first start, commands read it there."""

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from hopper.entrypoints.cli.output import note

if TYPE_CHECKING:
    from hopper.ports import Ports

NAME = "admin.key"
VARIABLE = "HOPPER_API_KEY"

_LONGEST = 1_000


def key_for(address: str) -> str | None:
    """The key to show to a server: HOPPER_API_KEY, or for one on this machine what its data directory has.

    To no other server that one is sent: it opens everything here. Raises BadConfiguration for what can't be a key.
    """
    from hopper.adapters.http.client import LOOPBACK

    if named := os.environ.get(VARIABLE, "").strip():
        return _usable(named, VARIABLE)
    try:
        if urlsplit(address).hostname not in LOOPBACK:
            return None
        path = usual_home() / NAME
        found = _read(path)
    except PermissionError:
        from hopper.config import BadConfiguration

        raise BadConfiguration(
            f"The key in {path} can't be read: it is its owner's. Name one of your own in {VARIABLE}."
        ) from None
    except (ValueError, RuntimeError, OSError):
        return None
    return _usable(found, str(path)) if found else None


def usual_home() -> Path:
    """The data directory that commands know of; they don't read the server's settings. Raises RuntimeError."""
    return Path(os.environ.get("HOPPER_HOME") or "~/.hopper/server").expanduser()


async def keep(home: Path, ports: "Ports") -> None:
    """Let the key in the data directory do everything; one is made where there is none, or where it was revoked.

    Raises BadConfiguration when it can't be written, or when another user has put one there, who would then know it.
    """
    from hopper.app.access import admit
    from hopper.config import BadConfiguration
    from hopper.domain.access import issue

    path = home / NAME
    try:
        token = _own(path) or _write(path, issue()[0], replace=False)
        if not await admit(token, "this machine's", ports=ports):
            await admit(_write(path, issue()[0], replace=True), "this machine's", ports=ports)
            note(
                f"What {path} held is no key, or a revoked one; it holds another one now. If it was changed by "
                "somebody else, revoke the former: `hopper key list` shows all."
            )
    except OSError as error:
        raise BadConfiguration(
            f"The admin key can't be kept in {path}: {error.strerror or error}. Let Hopper write there, or give it "
            "a key of your own in HOPPER_ADMIN_KEY."
        ) from None


def _usable(token: str, where: str) -> str:
    if token.isascii() and token.isprintable():
        return token
    from hopper.config import BadConfiguration

    raise BadConfiguration(f"What {where} holds can't be a key. `hopper key create` prints one: a single line.")


def _own(path: Path) -> str | None:
    """What this user's file holds, which from now on nobody else may read; None where there is none."""
    from hopper.config import BadConfiguration

    with suppress(FileNotFoundError, NotADirectoryError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            owner = os.fstat(descriptor).st_uid
            if owner != os.geteuid():
                raise BadConfiguration(
                    f"{path} belongs to another user, with the number {owner}, so it isn't used: whoever put it there "
                    "knows the key. Remove it, and let nobody else write in that directory."
                )
            with suppress(OSError):  # not every kind of disk knows who may read
                os.fchmod(descriptor, 0o600)
            return _line(file)
    return None


def _read(path: Path) -> str | None:
    with suppress(FileNotFoundError, NotADirectoryError), path.open("rb") as file:
        return _line(file)
    return None


def _line(file: BinaryIO) -> str | None:
    return file.read(_LONGEST).decode("ascii", "replace").strip() or None


def _write(path: Path, token: str, *, replace: bool) -> str:
    """Write it whole, for its owner alone; returns the one that is there then, which may be another server's."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f"{NAME}.{token_hex(4)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{token}\n")
            file.flush()
            os.fsync(file.fileno())
        if replace:
            new.replace(path)
        else:
            with suppress(FileExistsError):
                path.hardlink_to(new)
            if _read(path) is None:  # emptied, perhaps by a full disk
                new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return _read(path) or token
