"""Which Hopper a command speaks to: a server, or the directory of an instance near where it is run."""

import os
from dataclasses import dataclass
from pathlib import Path

from hopper.adapters.markdown.layout import is_instance
from hopper.domain.errors import Forbidden

LOCAL_SERVER = "http://127.0.0.1:8000"
DIRECTORY = ".hopper"


@dataclass(frozen=True, slots=True)
class Choice:
    """A server's address, or else the directory of an instance; `why` says what decided, in a few words."""

    server: str
    directory: Path | None
    why: str


def choose(server: str = "", here: Path | None = None) -> Choice:
    """What `server` names, else the nearest .hopper, else the person's own, else the server on this machine.

    Raises Forbidden for another user's directory: anyone may put a .hopper above, in /tmp.
    """
    chosen = _choose(server, here or Path.cwd())
    if chosen.directory:
        owner = chosen.directory.stat().st_uid
        if owner not in (0, os.geteuid(), int(os.environ.get("SUDO_UID", "0"))):
            raise Forbidden(
                f"{chosen.directory} ({chosen.why}) belongs to another user, with the number {owner}, so it isn't "
                "used. If it should be yours, change its owner; or make one here with `hopper init`."
            )
    return chosen


def _choose(server: str, here: Path) -> Choice:
    if server:
        return Choice(server, None, "named with --server or HOPPER_SERVER")
    if found := nearest(here):
        return found
    home = Path.home() / DIRECTORY
    if is_instance(home):
        return Choice("", home, "your own: no directory above has a .hopper")
    return Choice(LOCAL_SERVER, None, "no .hopper is near, so it is the server on this machine")


def nearest(here: Path) -> Choice | None:
    """The instance of the nearest directory above that has one.

    A linked worktree of git shares that of its main checkout, at the same place below it.
    """
    root, main = _worktree(here)
    for above in _passable(here):
        shared = main / above.relative_to(root) / DIRECTORY if root and main and above.is_relative_to(root) else None
        if shared and is_instance(shared):
            return Choice("", shared, f"of the main checkout, which the worktree {root} shares")
        if is_instance(above / DIRECTORY):
            return Choice("", above / DIRECTORY, "the nearest above" if above != here else "in this directory")
    return None


def _passable(here: Path) -> list[Path]:
    """It and those above that one may look into: with sudo a command is easily run in another user's directory."""
    return [above for above in (here, *here.parents) if os.access(above, os.X_OK)]


def _worktree(here: Path) -> tuple[Path | None, Path | None]:
    """The root of the linked worktree that `here` is in, and that of its main checkout (gitrepository-layout(5))."""
    for root in _passable(here):
        pointer = root / ".git"
        if pointer.is_dir():
            return None, None
        if pointer.is_file():
            try:
                git_dir = root / pointer.read_text("utf-8").removeprefix("gitdir:").strip()
                common = Path(os.path.normpath(git_dir / (git_dir / "commondir").read_text("utf-8").strip()))
            except (OSError, UnicodeDecodeError):
                return None, None  # a submodule is a project of its own
            return (root, common.parent) if common.name == ".git" else (None, None)
    return None, None
