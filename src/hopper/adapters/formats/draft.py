"""What the readers share: a record in the making, which finds a place for everything that tasks have none for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson

from hopper.domain.moving import EXTERNAL_ID_LENGTH, Record, Unusable
from hopper.domain.task import DESCRIPTION_LENGTH, TITLE_LENGTH, Priority, TaskStatus

Files = Sequence[tuple[str, bytes]]
"""The files to read, with the names by which a person knows them."""

Read = Iterator[Record | Unusable]

_NAME_LENGTH = 200
_MOST_TAGS = 90
"""Below what tasks may have: references to tasks that aren't here become tags, too."""


class UnusableRecord(Exception):
    """A record can't be used; says why."""


@dataclass
class Draft:
    """A record in the making. `origin` is what the description calls the place that it comes from."""

    origin: str
    where: str
    external_id: str
    title: str
    body: str | None = None
    status: TaskStatus = TaskStatus.PENDING
    priority: Priority | None = None
    project: str | None = None
    parent: str | None = None
    duplicate_of: str | None = None
    depends_on: list[str] = field(default_factory=list)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    tags: dict[str, bool | str] = field(default_factory=dict)
    _sections: list[str] = field(default_factory=list)
    _facts: list[str] = field(default_factory=list)
    _kept: dict[str, str] = field(default_factory=dict)

    def label(self, name: str, value: bool | str = True) -> None:
        """A tag of the source; one that can't be a tag here goes into the description."""
        if name.strip() and not self._tagged(name.strip(), value):
            self.fact("labels", name if value is True else f"{name}={value}")

    def tag(self, field_name: str, tag: str, value: Any = True) -> None:
        """A field that tasks don't have, as a tag."""
        if _is_empty(value):
            return
        if self._tagged(tag, value if value is True else as_text(value)):
            self._kept[field_name] = f"in the tag {tag.partition(':')[0]}"
        else:
            self.fact(field_name, tag.partition(":")[2] if value is True else value)

    def _tagged(self, name: str, value: bool | str) -> bool:
        """Whether it can be a tag, and now is."""
        if name in self.tags:
            return self.tags[name] == value  # another one of the name doesn't take its place
        fits = len(name) <= _NAME_LENGTH and (value is True or len(str(value)) <= _NAME_LENGTH)
        if fits and len(self.tags) < _MOST_TAGS:
            self.tags[name] = value
            return True
        return False

    def section(self, field_name: str, heading: str, text: str | None) -> None:
        """A field that tasks don't have, as a part of the description."""
        if text and text.strip():
            self._kept[field_name] = f"in the description, under {heading}"
            self._sections.append(f"## {heading}\n\n{text.strip()}")

    def fact(self, field_name: str, value: Any) -> None:
        """A field that tasks don't have, as a line at the end of the description."""
        if _is_empty(value):
            return
        text = as_text(value)
        if "\n" in text or len(text) > _NAME_LENGTH:
            self.section(field_name, field_name, text)
            return
        self._kept[field_name] = f"in the description, under {self._heading}"
        self._facts.append(f"- {field_name}: {text}")

    def time(self, field_name: str, value: Any) -> datetime | None:
        """A time as the task's own; one that it can't have becomes a fact."""
        moment = as_time(value)
        if moment is None:
            self.fact(field_name, value)
        return moment

    def record(self) -> Record:
        """Raises UnusableRecord."""
        title = self._title()
        if self.project and len(self.project) > _NAME_LENGTH:
            self.fact("project", self.project)
            self.project = None
        if not 0 < len(self.external_id) <= EXTERNAL_ID_LENGTH:
            raise UnusableRecord(f"Its id has to have 1 to {EXTERNAL_ID_LENGTH} characters.")
        return Record(
            external_id=self.external_id,
            title=title,
            description=self._description(),
            status=self.status,
            priority=self.priority,
            project=(self.project or "").strip() or None,
            tags=self.tags,
            parent=self.parent,
            duplicate_of=self.duplicate_of,
            depends_on=tuple(dict.fromkeys(self.depends_on)),
            created_at=self.created_at,
            updated_at=self.updated_at,
            kept=self._kept,
            where=self.where,
        )

    @property
    def _heading(self) -> str:
        return f"From {self.origin}"

    def _title(self) -> str:
        title = " ".join(self.title.replace("\x00", "�").split())
        if not title:
            raise UnusableRecord("It has no title.")
        if len(title) <= TITLE_LENGTH:
            return title
        self._sections.insert(0, f"## Title\n\n{title}")
        self._kept["title"] = "in the description, under Title, as it is too long"
        return f"{title[: TITLE_LENGTH - 1]}…"

    def _description(self) -> str | None:
        body = (self.body or "").replace("\x00", "�").replace("\r\n", "\n").strip()
        facts = f"## {self._heading}\n\n" + "\n".join(self._facts) if self._facts else ""
        whole = "\n\n".join(filter(None, [body, *self._sections, facts])).replace("\x00", "�")
        if len(whole) > DESCRIPTION_LENGTH:
            raise UnusableRecord(
                f"Its description would have {len(whole):,} characters, with what tasks have no field for; "
                f"{DESCRIPTION_LENGTH:,} are the most."
            )
        return whole or None


def each(files: Files, make: Callable[[str, dict[str, Any]], Draft | Unusable]) -> Read:
    """The records of files of JSON objects; one that can't be read is told by its place."""
    for name, content in files:
        for found in objects(name, content):
            yield found if isinstance(found, Unusable) else finished(found[0], partial(make, *found))


def finished(where: str, make: Callable[[], Draft | Unusable]) -> Record | Unusable:
    """The record, or why there is none."""
    try:
        made = make()
        return made if isinstance(made, Unusable) else made.record()
    except UnusableRecord as error:
        return Unusable(where, str(error))
    except (TypeError, ValueError, AttributeError, KeyError):
        return Unusable(where, "One of its fields is of another kind than this format has.")


def listed(value: Any) -> list[Any]:
    """A list that may be missing. Raises UnusableRecord."""
    if value is None or isinstance(value, list):
        return value or []
    raise UnusableRecord(f"{as_text(value)[:40]!r} should be a list.")


def as_text(value: Any) -> str:
    """A value of JSON or YAML as a person reads it."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        return ", ".join(map(as_text, value))
    return orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_DATETIME, default=str).decode()


def as_time(value: Any) -> datetime | None:
    """A time that a task can have, in UTC; times without a zone are taken for UTC."""
    try:
        moment = datetime.fromisoformat(str(value).strip())
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if datetime(1970, 1, 1, tzinfo=UTC) <= moment <= datetime.now(UTC) + timedelta(days=1) else None


def named(value: Any) -> str:
    """What something is called by: an object's name, title or login, or the thing itself."""
    if isinstance(value, dict):
        return as_text(next((value[key] for key in ("login", "name", "title") if value.get(key)), value))
    return as_text(value)


def objects(name: str, content: bytes) -> Iterator[tuple[str, dict[str, Any]] | Unusable]:
    """The objects of a JSON array, or of JSON Lines (a comma may end a line), each with its place in the file."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    if content.lstrip()[:1] == b"[":
        yield from _of_array(name, content)
        return
    for number, line in enumerate(content.splitlines(), 1):
        stripped = line.strip().rstrip(b",")
        if stripped:
            yield _of_line(f"{name}:{number}", stripped)


def _of_array(name: str, content: bytes) -> Iterator[tuple[str, dict[str, Any]] | Unusable]:
    try:
        items = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        yield Unusable(f"{name}:{error.lineno}", f"{_not_json(error)} (column {error.colno}).")
        return
    for number, item in enumerate(items, 1):
        where = f"{name}, record {number}"
        yield (where, item) if isinstance(item, dict) else Unusable(where, "This is no JSON object.")


def _of_line(where: str, line: bytes) -> tuple[str, dict[str, Any]] | Unusable:
    try:
        item = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Unusable(where, f"{_not_json(error)}.")
    return (where, item) if isinstance(item, dict) else Unusable(where, "This is no JSON object.")


def _not_json(error: orjson.JSONDecodeError) -> str:
    return "This is not UTF-8" if "UTF-8" in error.msg else f"This is not JSON: {error.msg}"


def _is_empty(value: Any) -> bool:
    return value is None or value is False or value in ("", [], {})
