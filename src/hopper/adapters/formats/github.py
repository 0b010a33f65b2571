"""GitHub issues, as `gh issue list --json …` prints them (https://cli.github.com/manual/gh_issue_list)."""

import re
from typing import Any

from hopper.adapters.formats.draft import Draft, Files, Read, UnusableRecord, as_text, each, listed, named
from hopper.domain.task import TaskStatus

NAME = "GitHub"

_URL = re.compile(r"https?://[^/]+/(?P<repository>[^/]+/[^/]+)/(?:issues|pull)/(?P<number>\d+)")
_NAME = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)?#?(?P<number>\d+)")
_TAKEN = {"number", "url", "title", "body", "state", "stateReason", "labels", "createdAt", "updatedAt", "id", "closed"}
_PLACED = {"assignees", "author", "milestone", "issueType", "comments", "parent", "blockedBy"}
_FROM_THE_OTHER_SIDE = {"subIssues", "blocking", "subIssuesSummary"}
"""What the other issues say themselves."""


def read(files: Files) -> Read:
    return each(files, _draft)


def _draft(where: str, issue: dict[str, Any]) -> Draft:
    repository, id = _identity(issue)
    draft = Draft(NAME, where, id, as_text(issue.get("title") or ""), body=issue.get("body"), project=repository)
    closed = str(issue.get("state") or "").upper() == "CLOSED" or issue.get("closed") is True
    if closed:
        reason = str(issue.get("stateReason") or "").upper()
        draft.status = TaskStatus.CANCELLED if reason in ("NOT_PLANNED", "DUPLICATE") else TaskStatus.DONE
        if reason == "DUPLICATE":
            draft.fact("stateReason", "duplicate")
    for label in listed(issue.get("labels")):
        draft.label(named(label))
    for assignee in _nodes(issue.get("assignees")):
        draft.tag("assignees", f"assignee:{named(assignee)}")
    if issue.get("milestone"):
        draft.tag("milestone", "milestone", named(issue["milestone"]))
    if issue.get("issueType"):
        draft.tag("issueType", "type", named(issue["issueType"]))
    draft.fact("url", issue.get("url"))
    if issue.get("author"):
        draft.fact("author", named(issue["author"]))
    _refer(draft, issue, repository)
    draft.section("comments", "Comments", "\n\n".join(map(_comment, _nodes(issue.get("comments")))))
    if issue.get("createdAt"):
        draft.created_at = draft.time("createdAt", issue["createdAt"])
    if issue.get("updatedAt"):
        draft.updated_at = draft.time("updatedAt", issue["updatedAt"])
    for name in sorted(issue.keys() - _TAKEN - _PLACED - _FROM_THE_OTHER_SIDE):
        draft.fact(name, issue[name])
    return draft


def _identity(issue: dict[str, Any]) -> tuple[str | None, str]:
    """The repository, where it is known, and what names the issue everywhere."""
    found = _URL.match(str(issue.get("url") or ""))
    if found:
        return found["repository"], f"{found['repository']}#{found['number']}"
    id = issue.get("id") or issue.get("number")
    if not id:
        raise UnusableRecord("It has no url, id or number: name one of them after --json, too.")
    return None, f"#{id}" if isinstance(id, int) else str(id)


def _refer(draft: Draft, issue: dict[str, Any], repository: str | None) -> None:
    """The issues that it belongs to and waits for; what names none is told in the description."""
    draft.parent = _reference(issue.get("parent"), repository)
    if draft.parent is None:
        draft.fact("parent", issue.get("parent"))
    blocking = issue.get("blockedBy")
    for other in [blocking] if isinstance(blocking, str | int) else _nodes(blocking):
        if name := _reference(other, repository):
            draft.depends_on.append(name)
        else:
            draft.fact("blockedBy", other)


def _reference(other: Any, repository: str | None) -> str | None:
    """What names another issue, which may stand there as an object, a number, an address, or `owner/name#7`."""
    if isinstance(other, str | int):
        if found := _URL.match(str(other)) or _NAME.fullmatch(str(other).strip()):
            return f"{found['repository'] or repository or ''}#{found['number']}"
        return None
    if not isinstance(other, dict):
        return None
    try:
        if not other.get("url") and other.get("number"):
            return f"{repository or ''}#{other['number']}"
        return _identity(other)[1]
    except UnusableRecord:
        return None


def _nodes(value: Any) -> list[Any]:
    return listed(value.get("nodes") if isinstance(value, dict) else value)


def _comment(comment: Any) -> str:
    if not isinstance(comment, dict):
        return as_text(comment)
    head = " ".join(filter(None, [named(comment.get("author") or ""), as_text(comment.get("createdAt") or "")]))
    return f"**{head or 'Comment'}**\n\n{as_text(comment.get('body') or '')}"
