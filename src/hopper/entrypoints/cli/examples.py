"""Reading past tasks with their targets: JSON Lines, gzipped or not."""

import gzip
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
from pydantic import ValidationError

from hopper.app.replay import Example
from hopper.domain.errors import HopperError
from hopper.entrypoints.cli.common import readable
from hopper.entrypoints.cli.imports import blocks
from hopper.entrypoints.http.requests import Name, NewTask, first_problem

_FIELDS = ("title", "description", "tags", "priority", "target")


class _PastTask(NewTask):
    target: Name


class BadExamples(HopperError):
    """A file isn't a list of past tasks with their targets."""

    slug = "unreadable"


def read_examples(path: Path) -> list[Example]:
    """Title, description, tags, priority and target of each line. Raises BadExamples, naming the line."""
    try:
        lines = b"".join(blocks(path)).splitlines()
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise BadExamples(f"{readable(path)} is a damaged gzip file.") from None
    examples = list(_examples(path, lines))
    if not examples:
        raise BadExamples(f"{readable(path)} has no tasks in it.")
    return examples


def _examples(path: Path, lines: list[bytes]) -> Iterator[Example]:
    now = datetime.now(UTC)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
            if not isinstance(row, dict) or row.get("target") is None:
                raise BadExamples(f"{readable(path)}, line {number}: it needs a target, the name of who should do it.")
            said = {name: row[name] for name in _FIELDS if row.get(name) is not None}
            past = _PastTask.model_validate(said)
        except orjson.JSONDecodeError as error:
            raise BadExamples(f"{readable(path)}, line {number}: this is not JSON: {error.msg}") from None
        except ValidationError as error:
            field, detail = first_problem(error)
            raise BadExamples(f"{readable(path)}, line {number}: {field}: {detail}") from None
        yield Example(past.to_task(now), past.target)
