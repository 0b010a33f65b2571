"""Which formats there are, and telling which one a file or a folder has."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from hopper.adapters.formats import backlog, beads, folder, github, json_lines, table, taskwarrior
from hopper.adapters.formats.draft import Files, Read, objects
from hopper.domain.errors import Invalid
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

_LINES = {".jsonl", ".ndjson"}
"""Names of what is JSON a line, even if its first line is broken."""


def format_of_file(name: str, content: bytes) -> Format:
    """What a file looks like; lines of JSON are new tasks unless they look like anything else. Raises Invalid."""
    suffix = PurePosixPath(name.removesuffix(".gz")).suffix.lower()
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if suffix == ".csv" or (start not in (b"{", b"[") and table.has_title(content)):
        return Format.CSV
    unusable = None
    for found in objects(name, content) if start in (b"{", b"[") else ():
        if not isinstance(found, Unusable):
            format = _format_of_object(found[1])
            if format is Format.TASKS and start == b"[":
                break
            return format
        unusable = unusable or found
    if suffix in _LINES and start != b"[":
        return Format.TASKS
    why = f" {unusable.where}: {unusable.detail}" if unusable else ""
    raise Invalid(
        "PATH",
        f"{name!r} looks like none of the formats that are read.{why} If it is in one of them, --format says in which; "
        "new tasks are one JSON object a line.",
    )


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
