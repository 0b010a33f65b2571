"""The key of whoever owns a server's data directory: the server makes it at its first start, commands read it there."""

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from hopper.ports import Ports

NAME = "admin.key"
VARIABLE = "HOPPER_API_KEY"

_LONGEST = 1_000


def key_for(address: str) -> str | None:
    """The key to show to a server: HOPPER_API_KEY, or for one on this machine what its data directory has.

    To no other server that one is sent: it opens everything here.
    """
    if named := os.environ.get(VARIABLE, "").strip():
        return named
    try:
        if (urlsplit(address).hostname or "") not in {"127.0.0.1", "::1", "localhost"}:
            return None
        return _read(usual_home() / NAME)
    except (ValueError, RuntimeError, OSError):
        return None


def usual_home() -> Path:
    """The data directory that commands know of; they don't read the server's settings. Raises RuntimeError."""
    return Path(os.environ.get("HOPPER_HOME") or "~/.hopper/server").expanduser()


async def keep(home: Path, ports: "Ports") -> None:
    """Let the key in the data directory do everything; one is made where there is none, or where it was revoked.

    Raises BadConfiguration when it can't be written.
    """
    from hopper.app.access import admit
    from hopper.config import BadConfiguration
    from hopper.domain.access import issue

    path = home / NAME
    try:
        token = _read(path) or _write(path, issue()[0], replace=False)
        if not await admit(token, "this machine's", ports=ports):
            await admit(_write(path, issue()[0], replace=True), "this machine's", ports=ports)
    except OSError as error:
        raise BadConfiguration(
            f"The admin key can't be kept in {path}: {error.strerror or error}. Let Hopper write there, or give it "
            "a key of your own in HOPPER_ADMIN_KEY."
        ) from None


def _read(path: Path) -> str | None:
    with suppress(FileNotFoundError, NotADirectoryError), path.open("rb") as file:
        return file.read(_LONGEST).decode("ascii", "replace").strip() or None
    return None


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
    finally:
        new.unlink(missing_ok=True)
    return _read(path) or token
