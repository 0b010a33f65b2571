"""Answers that aren't an entity of the domain."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from hopper import __version__
from hopper.app.imports import ImportReport
from hopper.app.readiness import Part
from hopper.domain.decision import Decision
from hopper.domain.duplicate import Duplicate
from hopper.domain.ids import InstanceId
from hopper.domain.moving import Outcome
from hopper.domain.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledTask(Task):
    """A new task; the decision, when it was routed in the same call; its duplicates, when they were asked for."""

    decision: Decision | None = None
    duplicates: tuple[Duplicate, ...] | None = None


@dataclass(frozen=True, slots=True)
class LineError:
    """What is wrong with a line of an import; lines count from 1."""

    line: int
    field: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class Imported:
    created: int
    unchanged: int
    failed: int
    errors: tuple[LineError, ...]

    @classmethod
    def of(cls, report: ImportReport) -> Self:
        errors = (LineError(e.line, e.field, e.detail) for e in sorted(report.errors, key=lambda e: e.line))
        return cls(report.created, report.unchanged, report.failed, tuple(errors))


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What became of each record of an import, in their order."""

    results: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Server:
    """Which server this is, under whatever address: as what it hands out names it."""

    source_instance_id: InstanceId


@dataclass(frozen=True, slots=True)
class Health:
    """Whoever finds something on a port can tell by it what that is."""

    status: str
    name: str = "hopper"
    version: str = __version__


@dataclass(frozen=True, slots=True)
class Ready:
    """`ok`, or `degraded` while a part that the server can do without isn't up."""

    status: str
    parts: Mapping[str, Part]
