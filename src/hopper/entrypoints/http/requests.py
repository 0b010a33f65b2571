"""What clients send, as pydantic classes; answers are the domain's dataclasses."""

import math
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.config import JsonDict

from hopper.domain.access import Role
from hopper.domain.duplicate import OnDuplicate
from hopper.domain.feedback import Feedback
from hopper.domain.ids import TaskId, new_id
from hopper.domain.instance import Instance, InstanceStatus, InstanceType, Scope
from hopper.domain.pattern import Criteria, Pattern, PatternSource, PatternType
from hopper.domain.task import DESCRIPTION_LENGTH, MOST_TAGS, TITLE_LENGTH, Priority, Task, TaskStatus, tags_from

if TYPE_CHECKING:
    from hopper.app.backtest import Backtest
    from hopper.ports import Ports

_DEEPEST = 32


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("The character NUL can't be stored")
    return text


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("It must not be blank")
    return _storable(text)


def _storable_json(value: Any, depth: int = 0) -> Any:
    """JSON that PostgreSQL can keep: no NUL, no infinite numbers, not too deep."""
    if depth > _DEEPEST:
        raise ValueError(f"It is nested more than {_DEEPEST} levels deep")
    if isinstance(value, str):
        _storable(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("Numbers must be finite")
    elif isinstance(value, dict):
        for key, item in value.items():
            _storable(key)
            _storable_json(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _storable_json(item, depth + 1)
    return value


def _tags(value: Any) -> Any:
    """A list of names, or an object of names with true or a text."""
    if isinstance(value, list):
        if not all(isinstance(name, str) for name in value):
            raise ValueError("A list of tags holds only strings")
        return dict.fromkeys(value, True)
    return value


def _joined_offset(moment: Any) -> Any:
    """`2026-01-31 12:00:00 +0100`, as git and many trackers write it, without the space before the offset."""
    return re.sub(r" (?=[+-]\d\d:?\d\d$)", "", moment) if isinstance(moment, str) else moment


def _reasonable_time(moment: datetime) -> datetime:
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if not datetime(1970, 1, 1, tzinfo=UTC) <= moment <= datetime.now(UTC) + timedelta(days=1):
        raise ValueError("It must lie between 1970 and now")
    return moment.astimezone(UTC)


def _names(tags: dict[str, bool | str]) -> dict[str, bool | str]:
    for name, value in tags.items():
        if len(name) > 200 or (isinstance(value, str) and len(value) > 200):
            raise ValueError("A tag and its value have at most 200 characters each")
        if value is False:
            raise ValueError(f"Leave the tag {name!r} out, or give it true or a text")
        _storable(name)
        if isinstance(value, str):
            _storable(value)
    return tags_from(tags)


def _with_capacity(config: dict[str, Any]) -> dict[str, Any]:
    capacity = config.get("capacity", 1)
    if isinstance(capacity, bool) or not isinstance(capacity, int) or not 1 <= capacity <= 1_000_000:
        raise ValueError("capacity, the open tasks that the instance takes, is a whole number from 1 to 1,000,000")
    return config


def _unreserved(id: str) -> str:
    if id in RESERVED:
        raise ValueError(f"{id!r} can't be an id: its address means something else")
    return id


def _with_a_word(term: str) -> str:
    if not re.search(r"\w", term):
        raise ValueError("It needs a letter or a digit: only words are compared")
    return term


RESERVED = frozenset({".", "..", "bulk", "claim", "import", "ready", "triage"})
"""What can't be the id of a new task: in an address, these stand for something else."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_said)]
Title = Annotated[str, StringConstraints(min_length=1, max_length=TITLE_LENGTH), AfterValidator(_said)]
Description = Annotated[str, StringConstraints(max_length=DESCRIPTION_LENGTH), AfterValidator(_storable)]
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,36}$")]
NewId = Annotated[Id, AfterValidator(_unreserved)]
Tags = Annotated[
    dict[str, bool | str],
    BeforeValidator(_tags, json_schema_input_type=dict[str, bool | str] | list[str]),
    Field(max_length=MOST_TAGS),
    AfterValidator(_names),
]
Config = Annotated[dict[str, Any], AfterValidator(_storable_json), AfterValidator(_with_capacity)]
Dependencies = Annotated[tuple[Id, ...], Field(max_length=1000)]
Time = Annotated[datetime, BeforeValidator(_joined_offset), AfterValidator(_reasonable_time)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

UNSET: Any = None
"""The default of a field that may be left out of a change but not set to null."""


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")

    def changes(self) -> dict[str, Any]:
        """The fields that were given, by their domain names."""
        return {name: getattr(self, name) for name in self.model_fields_set}


def first_problem(error: ValidationError) -> tuple[str | None, str]:
    """The first field that is wrong, if it is one field, and why."""
    first = error.errors(include_url=False, include_input=False)[0]
    return ".".join(map(str, first["loc"])) or None, first["msg"].removeprefix("Value error, ")


_EXAMPLE: JsonDict = {
    "title": "Card payment is declined abroad",
    "description": "Happens in Portugal since Monday.",
    "tags": {"payments": True, "area": "cards"},
    "priority": "high",
}


class NewTask(Request):
    """A task to file. Only the title is needed."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    title: Title
    description: Description | None = None
    status: TaskStatus = TaskStatus.PENDING
    priority: Priority | None = None
    project: Name | None = None
    instance_id: Id | None = Field(None, description="Who holds the task; leave it out to have it routed.")
    tags: Tags = Field(default_factory=dict)
    source: Annotated[str, StringConstraints(min_length=1, max_length=50), AfterValidator(_storable)] = "api"
    source_instance_id: Id | None = None
    parent_task_id: Id | None = None
    duplicate_of: Id | None = Field(None, description="The task that says the same.")
    depends_on: Dependencies = ()

    def to_task(self, now: datetime) -> Task:
        return Task(
            id=new_id(),
            title=self.title,
            description=self.description,
            status=self.status,
            priority=self.priority,
            project=self.project,
            instance_id=self.instance_id,
            tags=self.tags,
            source=self.source,
            source_instance_id=self.source_instance_id,
            parent_task_id=self.parent_task_id,
            duplicate_of=self.duplicate_of,
            depends_on=tuple(sorted(set(self.depends_on))),
            created_at=now,
            updated_at=now,
        )


class NewTaskToRoute(NewTask):
    """A task to file and, with `route`, to be routed in the same call."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_EXAMPLE, "route": True}]})

    route: bool = Field(False, description="Decide and delegate at once.")
    on_duplicate: OnDuplicate | None = Field(
        None, description="Look for open tasks that say the same: tell of them, refuse this one, or link it."
    )

    @model_validator(mode="after")
    def _open_to_route(self) -> Self:
        if self.route and not self.status.is_open:
            raise ValueError(f"A task that is {self.status} can't be routed")
        return self


class TaskRow(NewTask):
    """A line of an import. With an id of its own it can be sent again without harm."""

    id: NewId | None = None
    created_at: Time | None = None

    def to_task(self, now: datetime, id: TaskId | None = None) -> Task:
        """The task; `id` is for a line without one."""
        task = super().to_task(self.created_at or now)
        return replace(task, id=self.id or id or task.id)


class EditTask(Request):
    """The fields to change; the others stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"priority": "urgent", "status": "in_progress"}]})

    title: Title = UNSET
    description: Description | None = None
    status: TaskStatus = UNSET
    priority: Priority | None = None
    project: Name | None = None
    instance_id: Id | None = None
    tags: Tags = UNSET
    parent_task_id: Id | None = None
    duplicate_of: Id | None = None
    depends_on: Dependencies = UNSET

    def changes(self) -> dict[str, Any]:
        given = super().changes()
        if "depends_on" in given:
            given["depends_on"] = tuple(sorted(set(self.depends_on)))
        return given


class NewInstance(Request):
    """Someone who can take tasks."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "payments", "scope": "PROJECT"}]})

    name: Name
    scope: Scope = Scope.PROJECT
    instance_type: InstanceType = InstanceType.SERVER
    status: InstanceStatus = InstanceStatus.RUNNING
    parent_id: Id | None = None
    config: Config = Field(default_factory=dict)

    def to_instance(self, now: datetime) -> Instance:
        return Instance(
            id=new_id(),
            name=self.name,
            scope=self.scope,
            instance_type=self.instance_type,
            status=self.status,
            parent_id=self.parent_id,
            config=self.config,
            created_at=now,
        )


class EditInstance(Request):
    """The fields to change; the others stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "payments team"}]})

    name: Name = UNSET
    scope: Scope = UNSET
    instance_type: InstanceType = UNSET
    status: InstanceStatus = UNSET
    parent_id: Id | None = None
    config: Config = UNSET


Terms = Annotated[tuple[Name, ...], Field(max_length=100)]
Words = Annotated[tuple[Annotated[Name, AfterValidator(_with_a_word)], ...], Field(max_length=100)]


class TermCriteria(Request):
    """At least one of `any`, every one of `all`, none of `none`."""

    model_config = ConfigDict(title="Criteria")

    any: Terms = ()
    all: Terms = ()
    none: Terms = ()

    def to_criteria(self) -> Criteria:
        return Criteria(any=self.any, all=self.all, none=self.none)


class TextCriteria(TermCriteria):
    """The same for words and phrases."""

    model_config = ConfigDict(title="Criteria")

    any: Words = ()
    all: Words = ()
    none: Words = ()


class NewPattern(Request):
    """A rule that sends tasks to an instance."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "card trouble",
                    "pattern_type": "text",
                    "text_criteria": {"any": ["card declined", "declined"]},
                    "target_instance": "0198c0de-0000-7000-8000-000000000000",
                    "confidence": 0.9,
                }
            ]
        }
    )

    name: Name
    description: Description | None = None
    pattern_type: PatternType
    target_instance: Id
    tag_criteria: TermCriteria | None = None
    text_criteria: TextCriteria | None = None
    priority_criteria: Priority | None = None
    confidence: Share = 0.9
    is_active: bool = True

    def to_pattern(self, now: datetime) -> Pattern:
        return Pattern(
            id=new_id(),
            name=self.name,
            description=self.description,
            pattern_type=self.pattern_type,
            target_instance=self.target_instance,
            tag_criteria=self.tag_criteria.to_criteria() if self.tag_criteria else None,
            text_criteria=self.text_criteria.to_criteria() if self.text_criteria else None,
            priority_criteria=self.priority_criteria,
            confidence=self.confidence,
            is_active=self.is_active,
            source=PatternSource.MANUAL,
            created_at=now,
        )


class EditPattern(Request):
    """The fields to change; the others stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"is_active": False}]})

    name: Name = UNSET
    description: Description | None = None
    pattern_type: PatternType = UNSET
    target_instance: Id = UNSET
    tag_criteria: TermCriteria | None = None
    text_criteria: TextCriteria | None = None
    priority_criteria: Priority | None = None
    confidence: Share = UNSET
    is_active: bool = UNSET

    def changes(self) -> dict[str, Any]:
        given = super().changes()
        for name in ("tag_criteria", "text_criteria"):
            if given.get(name):
                given[name] = given[name].to_criteria()
        return given


class TaskToMatch(Request):
    """A task that is there, or the text of one that isn't."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    task_id: Id | None = None
    title: Title | None = None
    description: Description | None = None
    tags: Tags = Field(default_factory=dict)
    priority: Priority | None = None

    @model_validator(mode="after")
    def _one_task(self) -> Self:
        if (self.task_id is None) == (self.title is None):
            raise ValueError("Give either a task_id or a title")
        if self.task_id and len(self.model_fields_set) > 1:
            raise ValueError("A task_id stands alone: the task has its own text, tags and priority")
        return self

    def to_task(self, now: datetime) -> Task:
        return Task(
            id=new_id(),
            title=self.title or "",
            description=self.description,
            tags=self.tags,
            priority=self.priority,
            created_at=now,
            updated_at=now,
        )


class NewBacktest(Request):
    """Which patterns to try (new ones, stored ones, or what consolidation would make) on how many past decisions."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "patterns": [
                        {
                            "name": "card trouble",
                            "pattern_type": "text",
                            "text_criteria": {"any": ["card declined"]},
                            "target_instance": "0198c0de-0000-7000-8000-000000000000",
                        }
                    ],
                    "limit": 200,
                },
                {"consolidate": True},
            ]
        }
    )

    patterns: Annotated[tuple[NewPattern, ...], Field(min_length=1, max_length=300)] | None = None
    pattern_ids: Annotated[tuple[Id, ...], Field(min_length=1, max_length=300)] | None = None
    consolidate: bool = Field(False, description="Try what consolidation would make now.")
    limit: int = Field(200, ge=1, le=2000, description="So many of the last decisions with a known outcome.")

    async def backtest(self, ports: "Ports") -> "Backtest":
        """What they would have changed."""
        from hopper.app.backtest import backtest_consolidation, backtest_patterns, backtest_stored

        if self.patterns is not None:
            now = ports.clock.now()
            return await backtest_patterns([one.to_pattern(now) for one in self.patterns], self.limit, ports=ports)
        if self.pattern_ids is not None:
            return await backtest_stored(self.pattern_ids, self.limit, ports=ports)
        return await backtest_consolidation(self.limit, ports=ports)

    @model_validator(mode="after")
    def _one_set(self) -> Self:
        if (self.patterns is not None) + (self.pattern_ids is not None) + self.consolidate != 1:
            raise ValueError("Say one of patterns, pattern_ids and consolidate: true")
        return self


class NewDelegation(Request):
    """Who should take the task."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"target_instance_id": "0198c0de-0000-7000-8000-000000000000"}]}
    )

    target_instance_id: Id
    source_instance_id: Id | None = None


class NewApiKey(Request):
    """Who shall be able to ask, for what, and until when."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "ci", "role": "agent"}]})

    name: Name
    role: Role
    instance_id: Id | None = Field(None, description="It sees and changes this instance and those below, and no more.")
    expires_at: AwareDatetime | None = None


class NewFeedback(Request):
    """How the decision went; replaces what was said before."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"was_good_match": True, "quality_score": 0.9, "required_rework": False}]}
    )

    was_good_match: bool | None = None
    routing_feedback: Annotated[str, StringConstraints(max_length=10_000), AfterValidator(_storable)] | None = None
    should_have_routed_to: Id | None = None
    quality_score: Share | None = None
    complexity_rating: Annotated[int, Field(ge=1, le=5)] | None = None
    required_rework: bool | None = None
    source: Annotated[str, StringConstraints(min_length=1, max_length=50), AfterValidator(_storable)] = "api"
    source_instance_id: Id | None = None

    def to_feedback(self, task_id: TaskId, now: datetime) -> Feedback:
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return Feedback(task_id=task_id, created_at=now, **given)
