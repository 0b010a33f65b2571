"""What clients send to take over tasks from elsewhere, and how the tasks of a file of lines are read."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import orjson
from pydantic import ConfigDict, Field, StringConstraints, ValidationError

from hopper.app.imports import Rejected, Row
from hopper.app.moving import BATCH, take_over
from hopper.domain.ids import TaskId
from hopper.domain.moving import EXTERNAL_ID_LENGTH, OWN, SOURCE_LENGTH, Fate, Outcome, Record
from hopper.domain.task import Priority, TaskStatus
from hopper.entrypoints.http.requests import (
    Description,
    Id,
    Name,
    NewId,
    Request,
    Tags,
    TaskRow,
    Time,
    Title,
    first_problem,
)
from hopper.ports import Ports

_SAID = r"^[^\x00]*[^\x00\s][^\x00]*$"
ExternalId = Annotated[str, StringConstraints(min_length=1, max_length=EXTERNAL_ID_LENGTH, pattern=_SAID)]
Source = Annotated[str, StringConstraints(min_length=1, max_length=SOURCE_LENGTH, pattern=_SAID)]

_EXAMPLE: dict[str, Any] = {
    "external_id": "acme/shop#7",
    "title": "Card payment is declined abroad",
    "depends_on": ["acme/shop#3"],
    "updated_at": "2026-01-31T12:00:00Z",
}


class ImportedRecord(Request):
    """A task as its source has it; it refers to others by their external ids."""

    external_id: ExternalId
    title: Title
    description: Description | None = None
    status: TaskStatus = TaskStatus.PENDING
    priority: Priority | None = None
    project: Name | None = None
    instance_id: Id | None = None
    tags: Tags = Field(default_factory=dict)
    source: Source | None = None
    source_instance_id: Id | None = None
    parent: ExternalId | None = None
    duplicate_of: ExternalId | None = None
    depends_on: Annotated[tuple[ExternalId, ...], Field(max_length=1000)] = ()
    created_at: Time | None = None
    updated_at: Time | None = None

    def to_record(self) -> Record:
        return Record(**{name: getattr(self, name) for name in type(self).model_fields})


class OwnRecord(ImportedRecord):
    """A task of another Hopper: its external id is its id."""

    external_id: NewId


class Import(Request):
    """Records of one source. Each stands for itself: one that can't be used is told, and the others are taken."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"source": "github", "records": [_EXAMPLE]}]})

    source: Source = Field(description=f"Who gave the external ids; {OWN!r}: they are the ids of tasks.")
    records: Annotated[list[dict[str, Any]], Field(max_length=BATCH)] = Field(
        description="What each may hold: external_id, title and what else a task has; other tasks by external ids."
    )
    announced: Annotated[tuple[ExternalId, ...], Field(max_length=100_000)] = Field(
        (), description="For a dry run: records of earlier requests, which would be there by then."
    )
    restore: bool = Field(False, description="Bring back what was removed here.")
    dry_run: bool = Field(False, description="Say what would become of each, and store nothing.")

    async def taken_over(self, ports: Ports) -> tuple[Outcome, ...]:
        """What becomes of each record; those that can't be understood are told of, and the others taken over."""
        model = OwnRecord if self.source == OWN else ImportedRecord
        outcomes: list[Outcome | None] = []
        records: list[Record] = []
        for given in self.records:
            try:
                record = model.model_validate(given).to_record()
                records.append(replace(record, instance_id=record.instance_id or ports.asker.within))
                outcomes.append(None)
            except ValidationError as error:
                name, detail = first_problem(error)
                id = str(given.get("external_id", ""))
                outcomes.append(Outcome(external_id=id, task_id=None, outcome=Fate.FAILED, field=name, detail=detail))
        done = await take_over(
            records,
            self.source,
            ports=ports,
            announced=self.announced,
            restore=self.restore,
            dry_run=self.dry_run,
        )
        taken = iter(done)
        return tuple(outcome or next(taken) for outcome in outcomes)


def read_row(number: int, line: bytes | bytearray, now: datetime, id: TaskId | None = None) -> Row | Rejected:
    """A line of a file of tasks, one JSON object; `id` is for one without."""
    try:
        row = TaskRow.model_validate(orjson.loads(line))
    except orjson.JSONDecodeError as error:
        return Rejected(number, None, f"This is not JSON: {error.msg}")
    except ValidationError as error:
        return Rejected(number, *first_problem(error))
    return Row(number, row.to_task(now, id))


async def read_rows(lines: Iterable[bytes], now: datetime) -> AsyncIterator[Row | Rejected]:
    """The lines of a file; numbers count from 1."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield read_row(number, line, now)
