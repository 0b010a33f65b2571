"""hopper export: all tasks as files, all of them or none."""

import os
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopper.entrypoints.cli.common import DEFAULT_SERVER, Json, Server, connect, naming, path_of

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
            metavar="PATH",
            help="A file; for markdown a folder that isn't there yet; - is standard output.",
            parser=path_of,
        ),
    ],
    format: Annotated[
        Layout | None,
        typer.Option(help="Unless given, .csv and .jsonl say it, and a name without an ending is a folder."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Write all tasks to a file or a folder, from which import makes the same tasks again."""
    from hopper.entrypoints.cli.output import counted, note, progress, say_json

    layout = format or _layout_of(path)
    _require_place(path, layout, force, json)
    with connect(server) as api, progress("exporting", api.get("/learning/statistics")["tasks"]) as show:
        tasks = _Tasks(api, show)
        with naming(path):
            _write(tasks, path, layout)
    if json:
        say_json({"tasks": tasks.count, "format": layout, "path": str(path)})
    else:
        note(f"{counted(tasks.count, 'task')}{f' in {path}' if str(path) != '-' else ''}")


def _layout_of(path: Path) -> Layout:
    """What the name of a place says; another ending would be meant for a file, and make a folder."""
    if str(path) == "-":
        return Layout.JSONL
    ending = path.suffix.lower()
    if ending in _SUFFIXES:
        return _SUFFIXES[ending]
    if ending and not path.is_dir():
        raise typer.BadParameter(
            f"Nothing is written as {ending}. Name a file with {', '.join(_SUFFIXES)}, or a folder without an ending; "
            "or say with --format what it is.",
            param_hint="PATH",
        )
    return Layout.MARKDOWN


def _require_place(path: Path, layout: Layout, force: bool, json: bool) -> None:
    if str(path) == "-" and (layout is Layout.MARKDOWN or json):
        raise typer.BadParameter("Standard output takes the tasks alone, and as one file.", param_hint="PATH")
    if layout is Layout.MARKDOWN and path.exists():
        raise typer.BadParameter(f"{str(path)!r} is there already. Name a new folder.", param_hint="PATH")
    if path.is_dir():
        raise typer.BadParameter(f"{str(path)!r} is a directory. Name a file.", param_hint="PATH")
    if str(path) != "-" and path.exists() and not force:
        said = f"{str(path)!r} is there already. Name another file, or replace it with --force."
        raise typer.BadParameter(said, param_hint="PATH")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"There is no directory {str(path.parent)!r}.", param_hint="PATH")


class _Tasks:
    """All tasks, counted as they pass."""

    def __init__(self, api: "Api", show: Callable[[int], None]) -> None:
        self.count = 0
        self._api = api
        self._show = show

    def __iter__(self) -> Iterator[Entity]:
        for page in self._api.pages("/tasks"):
            for task in page["items"]:
                self.count += 1
                yield task
            self._show(self.count)


def _write(tasks: Iterable[Entity], path: Path, layout: Layout) -> None:
    """All of them or nothing appears at once."""
    from hopper.adapters.formats import folder, json_lines, table

    if layout is Layout.MARKDOWN:
        _write_folder(folder.write(tasks), path)
        return
    write = table.write if layout is Layout.CSV else json_lines.write
    if str(path) == "-":
        import sys

        for block in write(tasks):
            sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            file.writelines(write(tasks))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_folder(files: Iterator[tuple[str, bytes]], path: Path) -> None:
    from shutil import rmtree
    from tempfile import mkdtemp

    part = Path(mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        (part / "tasks").mkdir()
        for name, content in files:
            (part / name).write_bytes(content)
        part.chmod(0o777 & ~_umask())
        part.rename(path)
    finally:
        rmtree(part, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def register(app: typer.Typer) -> None:
    app.command()(export)
