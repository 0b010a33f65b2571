"""What the commands print: JSON, tables, plain lines. Tables are drawn by rich on a terminal and aligned elsewhere."""

import json as json_format
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hopper.entrypoints.cli.references import Names, names_of, short

if TYPE_CHECKING:
    from rich.text import Text

    from hopper.adapters.http.api import Api

Entity = dict[str, Any]

_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What could move the cursor, change colours or turn the direction of the text."""


_CLIPPED = 60
_UNBOUNDED = 200
"""Columns of a tree that no terminal shows."""
_LEGIBLE = 48
"""Columns that a line of a tree has for itself at least."""


def say(text: str = "") -> None:
    """A line of the answer, on stdout."""
    _write(_UNSAFE.sub("�", text) + "\n")


def note(text: str) -> None:
    """A line beside the answer, on stderr."""
    if sys.stderr:  # it may be closed
        sys.stderr.write(_UNSAFE.sub("�", text) + "\n")
        sys.stderr.flush()


def say_json(answer: Any) -> None:
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json_format.dumps(answer, indent=2, ensure_ascii=not utf8)
    _write(_UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """Rows under their columns' names; `empty` is said when there are none."""
    cells = [[_UNSAFE.sub("�", " ".join(str(cell).split())) for cell in row] for row in rows]
    if not cells:
        note(empty)
    elif sys.stdout.isatty():
        _draw(columns, cells)
    else:
        _write("".join(f"{line}\n" for line in _aligned([[name.upper() for name in columns], *cells])))


def facts(pairs: Sequence[tuple[str, object]]) -> None:
    """Names and values, one pair a line; without those that have no value."""
    shown = [(name, str(value)) for name, value in pairs if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        say(f"{name:<{width}}  {value}")


def task_table(names: Names, tasks: Sequence[Entity], empty: str) -> None:
    rows = [
        (
            short(task["id"]),
            task["status"],
            task["priority"] or "",
            names.of(task["instance_id"]),
            tag_text(task["tags"]),
            task["title"],
        )
        for task in tasks
    ]
    table(("id", "status", "priority", "instance", "tags", "title"), rows, empty)


def task_page(api: "Api", page: Entity, json: bool, empty: str) -> None:
    """A part of a listing of tasks, as JSON or as a table."""
    if json:
        say_json(page)
        return
    tasks = page["items"]
    task_table(names_of(api, [task["instance_id"] for task in tasks]), tasks, empty)
    more_note(page)


def tag_text(tags: dict[str, bool | str]) -> str:
    return ", ".join(name if value is True else f"{name}={value}" for name, value in tags.items())


def clipped(text: str) -> str:
    """A long text's beginning."""
    return text if len(text) <= _CLIPPED else f"{text[: _CLIPPED - 1]}…"


def percent(share: float) -> str:
    return f"{share:.0%}"


def counted(count: int, noun: str) -> str:
    """So many, in words that fit one as well."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def moment(time: str | None) -> str:
    """A time of the API in the local time zone."""
    from datetime import datetime

    return datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M") if time else ""


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, moved by saying how much of the total is done; nothing where nobody watches."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def working(label: str) -> Iterator[None]:
    """A sign of life on stderr while the server works; nothing where nobody watches."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(label):
        yield


@contextmanager
def amount(label: str) -> Iterator[Callable[[int], None]]:
    """How many bytes there are so far, on stderr, where nobody knows how many there will be."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console

    with Console(stderr=True).status(label) as status:
        yield lambda done: status.update(f"{label}  {done / 1e6:,.0f} MB")


def more_note(page: Entity) -> None:
    if page["next_cursor"]:
        note(f"The first {len(page['items'])}; --limit shows more, --all everything.")


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


@dataclass
class Branch:
    """A line of a tree: its parts, each a text and a style of rich's, and what hangs below."""

    parts: list[tuple[str, str]]
    children: "list[Branch]" = field(default_factory=list)


def trees(roots: Sequence[Branch]) -> None:
    """Trees, one line an entry, clipped to the terminal. What would be too far to the right follows as another tree."""
    from rich.console import Console
    from rich.tree import Tree

    wide = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(markup=False, highlight=False, emoji=False, width=None if wide else _UNBOUNDED)
    deepest = max(3, (console.width - _LEGIBLE) // 4)
    waiting = list(reversed(roots))
    try:
        while waiting:
            root = waiting.pop()
            drawn = Tree(_line(root.parts))
            unfinished = deque([(root, drawn, 1)])
            cut: list[Branch] = []
            while unfinished:
                branch, node, depth = unfinished.popleft()
                for child in branch.children:
                    goes_on = bool(child.children) and depth == deepest
                    below = node.add(_line([("↓ ", "bold"), *child.parts] if goes_on else child.parts))
                    if goes_on:
                        cut.append(child)
                    else:
                        unfinished.append((child, below, depth + 1))
            waiting += reversed(cut)
            console.print(drawn)
    except BrokenPipeError:
        _reader_has_gone()


def _line(parts: Sequence[tuple[str, str]]) -> "Text":
    from rich.text import Text

    line = Text(no_wrap=True, overflow="ellipsis")
    for text, style in parts:
        line.append(_UNSAFE.sub("�", re.sub(r"\s", " ", text)), style)
    return line


def _draw(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(columns):
        drawn.add_column(name, no_wrap=name == "id", overflow="fold", ratio=1 if number == len(columns) - 1 else None)
    for row in rows:
        drawn.add_row(*row)
    try:
        Console(markup=False, highlight=False, emoji=False).print(drawn)
    except BrokenPipeError:
        _reader_has_gone()


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _reader_has_gone()


def _reader_has_gone() -> None:
    """Whoever reads the output (`head`) has seen enough: end quietly, also when Python flushes stdout at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit
