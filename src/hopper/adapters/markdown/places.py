"""Where this machine keeps its own part of an instance: beside the files, or elsewhere if they can only be read."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from hopper.adapters.markdown.layout import INDEX, STATE
from hopper.domain.errors import Forbidden


@dataclass(frozen=True, slots=True)
class Place:
    """An instance's directory, with the folders of the lock and the unfinished change, and of the index."""

    root: Path
    state: Path
    index: Path
    may_write: bool

    def require_writing(self) -> None:
        """Raises Forbidden where the files can only be read."""
        if not self.may_write:
            raise Forbidden(
                f"You may only read {self.root}: nothing can be changed there. Let its owner give you the right to "
                "write, or make a list of your own with `hopper init`."
            )


def place_of(root: Path) -> Place:
    """Who may only read has an index in their own cache directory."""
    state, index = root / STATE, root / INDEX
    if not root.exists() or all(_may_write(folder if folder.exists() else root) for folder in (state, index)):
        return Place(root, state, index, True)
    own = cached(root, "read-only")
    return Place(root, own, own, False)


def cached(root: Path, what: str) -> Path:
    """Where the person's own cache directory has something of an instance: nobody else writes there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "hopper" / what / sha256(os.fsencode(root.resolve())).hexdigest()[:32]


def private(folder: Path) -> Path:
    """The folder, which is made if need be: git doesn't look at it, and other users can't."""
    if not (folder / ".gitignore").exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n", encoding="ascii")
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def _may_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def write_private(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    """Have JSON in a private folder: on the disk when this returns, in a file of its own until then.

    Another command may write the same.
    """
    import json
    from tempfile import mkstemp

    file, unfinished = mkstemp(prefix=f"{name}.", dir=private(folder))
    with os.fdopen(file, "wb") as out:
        out.write(json.dumps(content).encode())
        out.flush()
        os.fsync(out.fileno())
    Path(unfinished).rename(folder / name)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
