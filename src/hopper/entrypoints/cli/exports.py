"""hopper export: all tasks as files, all of them or none."""

import os
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopper.entrypoints.cli.common import DEFAULT_SERVER, Json, Server, connect

if TYPE_CHECKING:
    from hopper.adapters.http.api import Api

Entity = dict[str, Any]


class Layout(StrEnum):
    """As what tasks can be exported."""

    JSONL = "jsonl"
    CSV = "csv"
    MARKDOWN = "markdown"


_SUFFIXES = {".csv": Layout.CSV, ".jsonl": Layout.JSONL, ".ndjson": Layout.JSONL}


def export(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="A file; for markdown a folder that isn't there yet; - is standard output."
        ),
    ],
    format: Annotated[
        Layout | None, typer.Option(help="Unless given, .csv and .jsonl say it, and a name without either is a folder.")
    ] = None,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Write all tasks to a file or a folder, from which import makes the same tasks again."""
    from hopper.entrypoints.cli.output import note, progress, say_json

    layout = format or _SUFFIXES.get(path.suffix.lower(), Layout.JSONL if str(path) == "-" else Layout.MARKDOWN)
    _require_place(path, layout, json)
    with connect(server) as api, progress("exporting", api.get("/learning/statistics")["tasks"]) as show:
        count = _written(_tasks(api, show), path, layout)
    if json:
        say_json({"tasks": count, "format": layout, "path": str(path)})
    else:
        note(f"{count} tasks are in {path}" if str(path) != "-" else f"{count} tasks")


def _require_place(path: Path, layout: Layout, json: bool) -> None:
    if str(path) == "-" and (layout is Layout.MARKDOWN or json):
        raise typer.BadParameter("Standard output takes the tasks alone, and as one file.", param_hint="PATH")
    if layout is Layout.MARKDOWN and path.exists():
        raise typer.BadParameter(f"{str(path)!r} is there already. Name a new folder.", param_hint="PATH")
    if path.is_dir():
        raise typer.BadParameter(f"{str(path)!r} is a directory. Name a file.", param_hint="PATH")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"There is no directory {str(path.parent)!r}.", param_hint="PATH")


def _tasks(api: "Api", show: Callable[[int], None]) -> Iterator[Entity]:
    count = 0
    for page in api.pages("/tasks"):
        yield from page["items"]
        count += len(page["items"])
        show(count)


def _written(tasks: Iterator[Entity], path: Path, layout: Layout) -> int:
    """How many were written, where all of them or nothing appears at once."""
    from hopper.adapters.formats import folder, json_lines, table

    if layout is Layout.MARKDOWN:
        return _written_folder(folder.write(tasks), path)
    write = table.write if layout is Layout.CSV else json_lines.write
    counted = _Counted(tasks)
    if str(path) == "-":
        import sys

        for block in write(counted):
            sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()
        return counted.count
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            file.writelines(write(counted))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return counted.count


def _written_folder(files: Iterator[tuple[str, bytes]], path: Path) -> int:
    from shutil import rmtree
    from tempfile import mkdtemp

    part = Path(mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    count = -1  # its config is no task
    try:
        (part / "tasks").mkdir()
        for name, content in files:
            (part / name).write_bytes(content)
            count += 1
        part.chmod(0o777 & ~_umask())
        part.rename(path)
    finally:
        rmtree(part, ignore_errors=True)
    return count


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


class _Counted:
    """Counts what passes."""

    def __init__(self, tasks: Iterator[Entity]) -> None:
        self.count = 0
        self._tasks = tasks

    def __iter__(self) -> Iterator[Entity]:
        for task in self._tasks:
            self.count += 1
            yield task


def register(app: typer.Typer) -> None:
    app.command()(export)
