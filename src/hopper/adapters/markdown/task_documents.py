"""Tasks, delegations, leases, feedback and origins in files, with the words of the public hopper's files as well."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from hopper.adapters.markdown.fields import Fields, Wrong, given
from hopper.adapters.markdown.frontmatter import Document, has_conflict
from hopper.adapters.markdown.layout import id_in
from hopper.domain.delegation import Delegation, DelegationStatus, DelegationType
from hopper.domain.feedback import Feedback
from hopper.domain.ids import TaskId
from hopper.domain.lease import Lease
from hopper.domain.moving import Origin
from hopper.domain.task import Priority, Tags, Task, TaskStatus

_STATUS = {
    **{status.value: status for status in TaskStatus},
    **dict.fromkeys(("open", "todo", "blocked"), TaskStatus.PENDING),
    "claimed": TaskStatus.IN_PROGRESS,
    **dict.fromkeys(("completed", "closed"), TaskStatus.DONE),
    "canceled": TaskStatus.CANCELLED,
}
"""Blocked is derived here: a task that waits for another is pending."""

_PRIORITY = {priority.value: priority for priority in Priority}
_DELEGATION_STATUS = {status.value: status for status in DelegationStatus}
_DELEGATION_TYPE = {kind.value: kind for kind in DelegationType}
_POINTS = 5
"""The public hopper gives quality up to five points; its feedback names no source, and Hopper's always does."""


def read_task(document: Document, path: str, written: datetime) -> Task:
    """The task of a file, which was written then. Raises Wrong."""
    fields = Fields(document.front)
    created = fields.moment("created_at")
    updated = fields.moment("updated_at")
    return Task(
        id=fields.id(),
        title=fields.needed("title"),
        description=_text_of(document, "description"),
        status=fields.one_of("status", _STATUS) or TaskStatus.PENDING,
        priority=fields.one_of("priority", _PRIORITY),
        project=fields.text("project"),
        instance_id=fields.text("instance") or None,
        tags=_tags(document),
        source=fields.text("source") or "api",
        source_instance_id=fields.text("source_instance_id"),
        parent_task_id=fields.text("parent_task_id"),
        duplicate_of=fields.text("duplicate_of"),
        depends_on=tuple(sorted(set(fields.texts("depends_on")))),
        version=fields.count("version") or 1,
        created_at=created or updated or written,
        updated_at=updated or created or written,
    )


def task_fields(task: Task) -> dict[str, Any]:
    return given(
        id=task.id,
        title=task.title,
        status=task.status.value,
        priority=task.priority.value if task.priority else None,
        tags=_written_tags(task.tags) if task.tags else None,
        project=task.project,
        instance=task.instance_id,
        source=task.source,
        source_instance_id=task.source_instance_id,
        parent_task_id=task.parent_task_id,
        duplicate_of=task.duplicate_of,
        depends_on=list(task.depends_on) or None,
        version=task.version if task.version > 1 else None,
        created_at=task.created_at.isoformat(),
        updated_at=task.updated_at.isoformat(),
        description=_key_text(task.description),
    )


def task_body(task: Task) -> str | None:
    return _body_text(task.description)


def _tags(document: Document) -> Tags:
    fields = Fields(document.front)
    if not isinstance(document.front.get("tags"), Mapping):
        return dict.fromkeys(fields.texts("tags"), True)
    typed = document.typed()["tags"]
    tags: dict[str, bool | str] = {}
    for name, value in fields.mapping("tags").items():
        if isinstance(value, list | Mapping):
            raise Wrong("tags", f"the tag {name!r} should be true or a text")
        tags[name] = True if value is None or typed[name] is True else value
    return tags


def _written_tags(tags: Tags) -> Any:
    return [*tags] if all(value is True for value in tags.values()) else dict(tags)


def _in_body(text: str) -> bool:
    """Whether a body gives the text back as it was: without space at its ends, and never taken for a conflict."""
    return text == text.strip() != "" and not has_conflict(text)


def _body_text(text: str | None) -> str | None:
    return text if text is not None and _in_body(text) else None


def _key_text(text: str | None) -> str | None:
    return None if text is None or _in_body(text) else text


def _text_of(document: Document, key: str) -> str | None:
    return document.body or Fields(document.front).text(key)


def read_delegations(document: Document, path: str, written: datetime) -> tuple[Delegation, ...]:
    """The delegations of a task, in the file's order. Raises Wrong."""
    task_id = Fields(document.front).text("task_id") or id_in(path)
    return tuple(
        Delegation(
            id=fields.id(),
            task_id=task_id,
            episode_id=fields.text("episode_id"),
            source_instance_id=fields.text("source_instance_id"),
            target_instance_id=fields.text("target_instance_id"),
            delegation_type=fields.one_of("delegation_type", _DELEGATION_TYPE) or DelegationType.MANUAL,
            status=fields.one_of("status", _DELEGATION_STATUS) or DelegationStatus.PENDING,
            delegated_at=fields.moment("delegated_at") or written,
            completed_at=fields.moment("completed_at"),
            expired_leases=fields.count("expired_leases") or 0,
        )
        for fields in Fields(document.front).records("delegations")
    )


def delegations_fields(delegations: tuple[Delegation, ...]) -> dict[str, Any]:
    return {
        "task_id": delegations[0].task_id,
        "delegations": [
            given(
                id=one.id,
                episode_id=one.episode_id,
                source_instance_id=one.source_instance_id,
                target_instance_id=one.target_instance_id,
                delegation_type=one.delegation_type.value,
                status=one.status.value,
                delegated_at=one.delegated_at.isoformat(),
                completed_at=one.completed_at.isoformat() if one.completed_at else None,
                expired_leases=one.expired_leases or None,
            )
            for one in delegations
        ],
    }


def read_feedback(document: Document, path: str, written: datetime) -> Feedback:
    """What a person said of a decision. Raises Wrong."""
    fields = Fields(document.front)
    score = fields.number("quality_score")
    if score is not None and "source" not in document.front:
        score /= _POINTS
    return Feedback(
        task_id=fields.text("task_id") or id_in(path),
        was_good_match=fields.flag("was_good_match"),
        routing_feedback=_text_of(document, "routing_feedback") or fields.text("notes"),
        should_have_routed_to=fields.text("should_have_routed_to"),
        quality_score=score,
        complexity_rating=fields.count("complexity_rating"),
        required_rework=fields.flag("required_rework"),
        source=fields.text("source") or "api",
        source_instance_id=fields.text("source_instance_id"),
        created_at=fields.moment("created_at") or written,
    )


def feedback_fields(feedback: Feedback) -> dict[str, Any]:
    return given(
        task_id=feedback.task_id,
        was_good_match=feedback.was_good_match,
        should_have_routed_to=feedback.should_have_routed_to,
        quality_score=feedback.quality_score,
        complexity_rating=feedback.complexity_rating,
        required_rework=feedback.required_rework,
        source=feedback.source,
        source_instance_id=feedback.source_instance_id,
        created_at=feedback.created_at.isoformat(),
        routing_feedback=_key_text(feedback.routing_feedback),
    )


def feedback_body(feedback: Feedback) -> str | None:
    return _body_text(feedback.routing_feedback)


def read_lease(document: Document, path: str, written: datetime) -> tuple[Lease, str]:
    """A lease with its token. Raises Wrong."""
    fields = Fields(document.front)
    lease = Lease(
        task_id=fields.needed("task_id"),
        instance_id=fields.needed("instance_id"),
        worker=fields.text("worker"),
        acquired_at=fields.moment("acquired_at") or written,
        expires_at=fields.moment("expires_at") or written,
        returned_at=fields.moment("returned_at"),
        reason=fields.text("reason"),
    )
    return lease, fields.needed("token")


def lease_fields(held: tuple[Lease, str]) -> dict[str, Any]:
    lease, token = held
    return given(
        task_id=lease.task_id,
        instance_id=lease.instance_id,
        token=token,
        worker=lease.worker,
        acquired_at=lease.acquired_at.isoformat(),
        expires_at=lease.expires_at.isoformat(),
        returned_at=lease.returned_at.isoformat() if lease.returned_at else None,
        reason=lease.reason,
    )


TaskOrigins = tuple[TaskId, Mapping[str, Sequence[Origin]]]
"""A task, and by source the records that became it."""

_AS_OF = "as_of"
"""Beside the digests: no field that a record has is called so."""


def read_origins(document: Document, path: str, written: datetime) -> TaskOrigins:
    """Where a task came from; the task may have been removed since. Raises Wrong."""
    fields = Fields(document.front)
    task_id = fields.text("task_id") or id_in(path)
    return task_id, {
        source: [_origin(external_id, task_id, Fields(records.mapping(external_id))) for external_id in records.front]
        for source, records in fields.groups("origins").items()
    }


def _origin(external_id: str, task_id: TaskId, fields: Fields) -> Origin:
    said = {name: fields.needed(name) for name in fields.front if name != _AS_OF}
    return Origin(external_id, task_id, said, fields.moment(_AS_OF))


def origins_fields(origins: TaskOrigins) -> dict[str, Any]:
    task_id, records = origins
    return {
        "task_id": task_id,
        "origins": {source: {one.external_id: _said(one) for one in found} for source, found in records.items()},
    }


def _said(origin: Origin) -> dict[str, str]:
    return {**origin.said, **given(as_of=origin.as_of.isoformat() if origin.as_of else None)}
