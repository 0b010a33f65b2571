"""Instances: who can take a task (a project, an orchestration, a person's list)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from hopper.domain.ids import InstanceId


class Scope(StrEnum):
    """How far an instance reaches."""

    GLOBAL = "GLOBAL"
    PROJECT = "PROJECT"
    ORCHESTRATION = "ORCHESTRATION"


class InstanceType(StrEnum):
    """Where an instance keeps its tasks: on a server, in ~/.hopper, or inside a project."""

    SERVER = "server"
    LOCAL = "local"
    EMBEDDED = "embedded"


class InstanceStatus(StrEnum):
    """Only a running instance is routed to."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """Someone who can take tasks; instances form trees through `parent_id`."""

    id: InstanceId
    name: str
    scope: Scope = Scope.PROJECT
    instance_type: InstanceType = InstanceType.SERVER
    status: InstanceStatus = InstanceStatus.RUNNING
    parent_id: InstanceId | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    created_at: datetime
