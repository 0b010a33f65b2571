"""Which formats there are, and telling which one a file or a folder has."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from hopper.adapters.formats import backlog, beads, folder, github, json_lines, table, taskwarrior
from hopper.adapters.formats.draft import Files, Read, objects
from hopper.domain.moving import OWN, SOURCE_LENGTH, Format, Unusable


@dataclass(frozen=True, slots=True)
class Kind:
    """How a format is called and read."""

    name: str
    read: Callable[[Files], Read]


KINDS = {
    Format.HOPPER: Kind(json_lines.NAME, json_lines.read),
    Format.CSV: Kind(table.NAME, table.read),
    Format.FOLDER: Kind(folder.NAME, folder.read),
    Format.GITHUB: Kind(github.NAME, github.read),
    Format.BEADS: Kind(beads.NAME, beads.read),
    Format.TASKWARRIOR: Kind(taskwarrior.NAME, taskwarrior.read),
    Format.BACKLOG: Kind(backlog.NAME, backlog.read),
}


def format_of_file(name: str, content: bytes) -> Format:
    """What a file looks like; new tasks unless it looks like anything else."""
    if PurePosixPath(name.removesuffix(".gz")).suffix.lower() == ".csv":
        return Format.CSV
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start not in (b"{", b"["):
        header = content.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode(errors="replace")
        return Format.CSV if "title" in map(str.strip, header.split(",")) else Format.TASKS
    first = next((found[1] for found in objects(name, content) if not isinstance(found, Unusable)), {})
    return _format_of_object(first)


def format_of_folder(files: Files) -> Format:
    """What a folder looks like: one of Backlog.md's tasks has a created_date, one of Hopper's a created_at."""
    if all(name.endswith(".jsonl") for name, _ in files):
        return Format.BEADS
    heads = [content.split(b"\n---", 1)[0] for name, content in files if name.endswith(".md")]
    if any(b"\ncreated_date:" in head for head in heads):
        return Format.BACKLOG
    return Format.FOLDER


def source_of(format: Format, files: Files) -> str:
    """Who gave the external ids, unless somebody says it otherwise."""
    is_own = (
        format is Format.HOPPER
        or (format is Format.CSV and all(table.is_export(content) for _, content in files))
        or (format is Format.FOLDER and folder.is_export(files))
    )
    if is_own:
        return OWN
    if format is Format.BACKLOG:
        project = backlog.configured(files).project
        return f"backlog:{project}"[:SOURCE_LENGTH] if project else "backlog"
    return str(format)


def _format_of_object(first: dict[str, Any]) -> Format:
    keys = first.keys()
    if keys >= {"uuid", "description"}:
        return Format.TASKWARRIOR
    if (
        "issue_type" in keys
        or first.get("_type") in ("issue", "memory")
        or (keys >= {"id", "title", "status"} and isinstance(first.get("priority"), int))
    ):
        return Format.BEADS
    if "number" in keys or first.get("state") in ("OPEN", "CLOSED") or keys & {"createdAt", "updatedAt"}:
        return Format.GITHUB
    return Format.HOPPER if json_lines.is_export(first) else Format.TASKS
