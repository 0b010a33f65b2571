"""Where things lie in a local instance's directory (docs/local-instances.md)."""

import re
from collections.abc import Mapping
from pathlib import Path

TASKS = "tasks"
INSTANCES = "instances"
DELEGATIONS = "memory/delegations"
EPISODES = "memory/episodes"
PATTERNS = "memory/patterns"
ORIGINS = "memory/origins"
FEEDBACK = "feedback"
LEASES = ".state/leases"
CONFIG = "config.yaml"
ATTRIBUTES = ".gitattributes"
BOTH_SIDES = b"memory/episodes/*.md merge=union\n"
"""Two branches both add their decisions to a day's file, and git would call that a conflict."""

LEARNING = "memory/learning.yaml"

FOLDERS: Mapping[str, str] = {
    TASKS: ".md",
    INSTANCES: ".md",
    DELEGATIONS: ".md",
    EPISODES: ".md",
    PATTERNS: ".md",
    ORIGINS: ".yaml",
    FEEDBACK: ".md",
    LEASES: ".yaml",
}
"""Folders of documents, with the ending of their names."""

STATE = ".state"
"""What belongs to this machine and can't be made again: the lock, an unfinished change, leases."""

INDEX = ".index"
"""What can be made again from the files."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._ -]|^\.")
_ESCAPED = re.compile(r"(?:%[0-9A-F]{2})+")


def path_of(folder: str, id: str) -> str:
    """The file of an entity, below the instance's directory."""
    return f"{folder}/{_UNSAFE.sub(_escape, id)}{FOLDERS[folder]}"


def id_in(path: str) -> str:
    """The id that a file is named after."""
    name = path.rpartition("/")[2].rpartition(".")[0]
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[0].replace("%", "")).decode(errors="replace"), name)


def folder_of(path: str) -> str:
    """The folder of a document; for one that stands alone, the document itself."""
    return path if path in (CONFIG, LEARNING) else path.rpartition("/")[0]


def is_document(path: str) -> bool:
    """Whether a path names a document below the instance's directory, and nothing else."""
    folder, _, name = path.rpartition("/")
    return path in (CONFIG, LEARNING) or (
        folder in FOLDERS and name.endswith(FOLDERS[folder]) and not name.startswith(".") and name.isprintable()
    )


def is_instance(directory: Path) -> bool:
    """Whether a directory holds a local instance; one of the same name may hold a server's data."""
    if (directory / TASKS).is_dir():
        return True
    try:
        config = (directory / CONFIG).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return re.search(r"^(?:instance|storage):", config, re.MULTILINE) is not None


def _escape(found: "re.Match[str]") -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())
