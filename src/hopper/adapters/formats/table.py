"""CSV with a line of column names (RFC 4180): anybody's with id and title, or Hopper's export with all its columns."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import Any

import orjson

from hopper.adapters.formats.draft import Draft, Files, Read, UnusableRecord, finished
from hopper.adapters.formats.own import FIELDS, Entity, record_of
from hopper.domain.moving import Record, Unusable
from hopper.domain.task import Priority, TaskStatus

NAME = "CSV"

_TEXTS = ("title", "description", "project", "source", "tags")
_FORMULA = re.compile(r"['=+\-@\t\r]")
"""How a text may begin that a spreadsheet would take for a formula; such cells get an apostrophe in front."""

_PLAIN_TAG = re.compile(r"[^;=\"'{\s][^;=]*(?<!\s)")
_PLAIN_VALUE = re.compile(r"[^;\s]([^;]*[^;\s])?")
_STATUS = {
    "pending": TaskStatus.PENDING,
    "open": TaskStatus.PENDING,
    "to do": TaskStatus.PENDING,
    "todo": TaskStatus.PENDING,
    "done": TaskStatus.DONE,
    "cancelled": TaskStatus.CANCELLED,
    "in progress": TaskStatus.IN_PROGRESS,
    "completed": TaskStatus.DONE,
    "closed": TaskStatus.DONE,
    "canceled": TaskStatus.CANCELLED,
}
_SHOWN = 20
"""How many columns are named where one is missing."""

_TAKEN = {*FIELDS} - {"instance_id", "source", "source_instance_id"}


def read(files: Files) -> Read:
    csv.field_size_limit(2**31 - 1)
    for name, content in files:
        try:
            text = content.removeprefix(b"\xef\xbb\xbf").decode()
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            yield Unusable(f"{name}:{line}", "This is not UTF-8.")
            continue
        yield from _rows(name, text)


def has_title(content: bytes) -> bool:
    """Whether the first line names a title among its columns, whatever stands between them."""
    return "title" in (column.strip(" \"'").lower() for column in re.split(r"[,;\t]", _first_line(content)))


def is_export(content: bytes) -> bool:
    """Whether it has all columns of an export, so that its ids are those of tasks."""
    return set(_columns(_first_line(content).split(","))) >= set(FIELDS)


def write(tasks: Iterable[Entity]) -> Iterator[bytes]:
    buffer = StringIO()
    writer = csv.writer(buffer)
    writer.writerow(FIELDS)
    for task in tasks:
        writer.writerow([_cell(name, task[name]) for name in FIELDS])
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    if buffer.tell():
        yield buffer.getvalue().encode()


def _first_line(content: bytes) -> str:
    return content.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode(errors="replace").strip()


def _rows(name: str, text: str) -> Read:
    rows = csv.reader(StringIO(text, newline=""), strict=True)
    if not text.strip():
        return
    try:
        header = _columns(next(rows, []))
        if fault := _fault_of(header):
            yield Unusable(f"{name}:1", fault)
            return
        own = set(header) >= set(FIELDS)
        line = rows.line_num
        for row in rows:
            where, line = f"{name}:{line + 1}", rows.line_num
            if not row:
                continue
            if len(row) != len(header):
                yield Unusable(where, f"It has {len(row)} cells where the first line names {len(header)} columns.")
                continue
            cells = dict(zip(header, row, strict=True))
            yield _own_record(where, cells) if own else finished(where, lambda: _draft(where, cells))  # noqa: B023
    except csv.Error as error:
        yield Unusable(f"{name}:{rows.line_num}", f"This is not CSV: {error}.")


def _columns(names: list[str]) -> list[str]:
    """The names of the columns; Title is title, unless there is a title besides."""
    stripped = [name.strip() or f"column {number}" for number, name in enumerate(names, 1)]
    known = set(FIELDS) - set(stripped)
    return [name.lower() if name.lower() in known else name for name in stripped]


def _fault_of(header: list[str]) -> str | None:
    """What keeps every row of a table from being a task."""
    if missing := [name for name in ("id", "title") if name not in header]:
        seen = ", ".join(map(repr, header[:_SHOWN])) + (", …" if len(header) > _SHOWN else "")
        hint = (
            " Commas have to stand between them."
            if len(header) == 1
            else " Rename the column that tells the rows apart, or add one with numbers that stay."
            if missing == ["id"]
            else ""
        )
        return f"The first line has to name the columns, with id and title among them; it names {seen}.{hint}"
    if twice := [column for column, count in Counter(header).items() if count > 1]:
        return f"Several columns are called {twice[0]!r}. Give each a name of its own."
    return None


def _own_record(where: str, cells: dict[str, str]) -> Record | Unusable:
    try:
        task: dict[str, Any] = {
            name: _bare(value) if name in _TEXTS else value or None for name, value in cells.items()
        }
        task["tags"] = _tags(task["tags"] or "")
        task["depends_on"] = (task["depends_on"] or "").split()
        return record_of(task, where)
    except UnusableRecord as error:
        return Unusable(where, str(error))


def _draft(where: str, cells: dict[str, str]) -> Draft:
    id = cells["id"].strip()
    if not id:
        raise UnusableRecord("It has no id: without one it couldn't be told apart the next time.")
    draft = Draft(NAME, where, id, cells["title"], body=cells.get("description"), project=cells.get("project"))
    status = cells.get("status", "").strip()
    word = status.lower().replace("_", " ")
    draft.status = _STATUS.get(word, TaskStatus.PENDING)
    if word and word not in _STATUS:
        draft.tag("status", "status", status)
    priority = cells.get("priority", "").strip()
    draft.priority = Priority(priority.lower()) if priority.lower() in set(Priority) else None
    if priority and not draft.priority:
        draft.tag("priority", "priority", priority)
    for tag, value in _tags(cells.get("tags", "")).items():
        draft.label(tag, value)
    draft.parent = cells.get("parent_task_id", "").strip() or None
    draft.duplicate_of = cells.get("duplicate_of", "").strip() or None
    draft.depends_on = re.split(r"[;\s]+", cells.get("depends_on", "").strip()) if cells.get("depends_on") else []
    draft.created_at = draft.time("created_at", cells.get("created_at", ""))
    draft.updated_at = draft.time("updated_at", cells.get("updated_at", ""))
    for column in sorted(cells.keys() - _TAKEN):
        draft.fact(column, cells[column].strip())
    return draft


def _cell(name: str, value: Any) -> str:
    if name == "tags":
        plain = all(
            _PLAIN_TAG.fullmatch(tag) and (worth is True or _PLAIN_VALUE.fullmatch(worth))
            for tag, worth in value.items()
        )
        text = "; ".join(tag if worth is True else f"{tag}={worth}" for tag, worth in value.items())
        value = (text or None) if plain else orjson.dumps(value).decode()
    elif name == "depends_on":
        return " ".join(value)
    if value is None:
        return ""
    return f"'{value}" if name in _TEXTS and (value == "" or _FORMULA.match(value)) else str(value)


def _bare(cell: str) -> str | None:
    """A cell of a text as it was: an empty one is none."""
    return cell.removeprefix("'") if cell else None


def _tags(cell: str) -> dict[str, bool | str]:
    """`backend; area=ui`, or JSON where names or values have such characters themselves."""
    if cell.startswith("{"):
        try:
            tags = orjson.loads(cell)
        except orjson.JSONDecodeError as error:
            raise UnusableRecord(f"tags begins like JSON, and isn't: {error.msg}.") from None
        return dict(tags)
    pairs = [tag.strip().partition("=") for tag in cell.split(";") if tag.strip()]
    return {name.strip(): value.strip() if equals else True for name, equals, value in pairs}
