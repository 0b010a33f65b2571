"""Hopper's JSON Lines: a task a line, as the API gives it."""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from hopper.adapters.formats.draft import Files, Read, UnusableRecord, objects
from hopper.adapters.formats.own import FIELDS, Entity, record_of
from hopper.domain.moving import Record, Unusable

NAME = "Hopper's export"

_MARKS = {"id", "title", "updated_at", "source"}
"""What every line of an export has, and no line that somebody wrote by hand."""


def is_export(first: dict[str, Any]) -> bool:
    return first.keys() >= _MARKS


def read(files: Files) -> Read:
    for name, content in files:
        for found in objects(name, content):
            yield found if isinstance(found, Unusable) else _record(*found)


def write(tasks: Iterable[Entity]) -> Iterator[bytes]:
    for task in tasks:
        yield orjson.dumps({name: task[name] for name in FIELDS}) + b"\n"


def _record(where: str, task: Entity) -> Record | Unusable:
    try:
        return record_of(task, where)
    except UnusableRecord as error:
        return Unusable(where, str(error))
    except (TypeError, ValueError):
        return Unusable(where, "One of its fields is of another kind than a task has.")
