"""Beads' JSON Lines, as `bd export` writes them (.beads/issues.jsonl; internal/types/types.go of steveyegge/beads)."""

from typing import Any

from hopper.adapters.formats.draft import Draft, Files, Read, as_text, each, listed
from hopper.domain.moving import Unusable
from hopper.domain.task import Priority, TaskStatus

NAME = "beads"

_STATUS = {
    "open": TaskStatus.PENDING,
    "blocked": TaskStatus.PENDING,
    "deferred": TaskStatus.PENDING,
    "pinned": TaskStatus.PENDING,
    "in_progress": TaskStatus.IN_PROGRESS,
    "hooked": TaskStatus.IN_PROGRESS,
    "closed": TaskStatus.DONE,
    "tombstone": TaskStatus.CANCELLED,
}
_PLAIN = {"open", "in_progress", "closed", "blocked"}
"""Those that say no more than the task does by itself; what is blocked follows from what it depends on."""

_PRIORITY = {0: Priority.URGENT, 1: Priority.HIGH, 2: Priority.MEDIUM, 3: Priority.LOW}
_WAITS = {"blocks", "conditional-blocks", "waits-for"}
_SECTIONS = {"design": "Design", "acceptance_criteria": "Acceptance criteria", "notes": "Notes"}
_TAKEN = {"id", "title", "description", "status", "priority", "labels", "created_at", "updated_at", "_type"}
_DERIVED = {"content_hash", "dependency_count", "dependent_count", "comment_count", "compaction_level", "original_size"}
_PLACED = {"issue_type", "assignee", "dependencies", "comments"}


def read(files: Files) -> Read:
    return each(files, _draft)


def _draft(where: str, issue: dict[str, Any]) -> Draft | Unusable:
    kind = issue.get("_type", "issue")
    if kind != "issue":
        return Unusable(where, f"A {as_text(kind)} of beads, and no task.", is_fault=False)
    draft = Draft(
        NAME, where, as_text(issue.get("id") or ""), as_text(issue.get("title") or ""), body=issue.get("description")
    )
    status = as_text(issue.get("status") or "open")
    draft.status = _STATUS.get(status, TaskStatus.PENDING)
    if status not in _PLAIN:
        draft.tag("status", "status", status)
    priority = issue.get("priority")
    draft.priority = _PRIORITY.get(priority) if isinstance(priority, int) else None
    if priority is not None and draft.priority is None:
        draft.priority = Priority.LOW if priority == 4 else None  # beads' backlog
        draft.tag("priority", "priority", f"P{as_text(priority)}")
    for label in listed(issue.get("labels")):
        draft.label(as_text(label))
    draft.tag("issue_type", "type", issue.get("issue_type"))
    if issue.get("assignee"):
        draft.tag("assignee", f"assignee:{as_text(issue['assignee'])}")
    for name, heading in _SECTIONS.items():
        draft.section(name, heading, as_text(issue.get(name) or ""))
    for dependency in listed(issue.get("dependencies")):
        _depend(draft, dependency)
    draft.section("comments", "Comments", "\n\n".join(map(_comment, listed(issue.get("comments")))))
    draft.created_at = draft.time("created_at", issue.get("created_at"))
    draft.updated_at = draft.time("updated_at", issue.get("updated_at"))
    for name in sorted(issue.keys() - _TAKEN - _DERIVED - _PLACED - _SECTIONS.keys()):
        draft.fact(name, issue[name])
    return draft


def _depend(draft: Draft, dependency: Any) -> None:
    """A dependency stands with the issue that has it; what kinds tasks don't have is told in the description."""
    if not isinstance(dependency, dict) or not dependency.get("depends_on_id"):
        draft.fact("dependencies", dependency)
        return
    kind, other = as_text(dependency.get("type") or "blocks"), as_text(dependency["depends_on_id"])
    if kind in _WAITS:
        draft.depends_on.append(other)
    elif kind == "parent-child" and draft.parent is None:
        draft.parent = other
    elif kind == "duplicates" and draft.duplicate_of is None:
        draft.duplicate_of = other
    else:
        draft.fact(f"dependencies ({kind})", other)


def _comment(comment: Any) -> str:
    if not isinstance(comment, dict):
        return as_text(comment)
    head = " ".join(as_text(comment[name]) for name in ("author", "created_at") if comment.get(name))
    return f"**{head or 'Comment'}**\n\n{as_text(comment.get('text') or '')}"
