"""hopper import and hopper export: moving in from another program, following it, and moving out again."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.acceptance.test_cli import Cli
from tests.conftest import RunningServer


@pytest.fixture
def hopper(server: RunningServer) -> Cli:
    return Cli(server.url)


def issues(repository: str, *changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Three issues as `gh issue list --json …` prints them; the second one waits for the first."""
    found: list[dict[str, Any]] = [
        {
            "number": number,
            "url": f"https://github.com/{repository}/issues/{number}",
            "title": f"Issue {number}",
            "body": f"Text {number}\r\nmore",
            "state": "OPEN",
            "stateReason": "",
            "labels": [{"id": "LA_1", "name": "bug", "description": "", "color": "d73a4a"}],
            "assignees": [{"id": "U_1", "login": "ann", "name": "Ann"}],
            "milestone": {"number": 1, "title": "1.0", "description": "", "dueOn": None},
            "createdAt": "2026-01-05T09:00:00Z",
            "updatedAt": "2026-01-06T09:00:00Z",
        }
        for number in (1, 2, 3)
    ]
    found[1]["blockedBy"] = [{"number": 3, "url": f"https://github.com/{repository}/issues/3"}]
    for number, change in enumerate(changes):
        found[number] |= change
    return found


def test_issues_follow_github_and_what_was_changed_here_stays(hopper: Cli, tmp_path: Path) -> None:
    """A second import would make doubles, or undo what people changed since the first."""
    repository = f"acme/{uuid4().hex[:8]}"
    file = tmp_path / "issues.json"
    file.write_text(json.dumps(issues(repository)))

    plan = hopper.json("import", file, "--dry-run")
    assert (plan["format"], plan["new"], plan["failed"]) == ("github", 3, 0)
    assert plan["kept"]["milestone"]["where"] == "the tag milestone"
    assert hopper.json("ls", "--project", repository)["items"] == []
    assert "Nothing was changed" in hopper.ok("import", file, "--dry-run")

    done = hopper.json("import", file)
    assert [result["task_id"] for result in done["results"]] == [result["task_id"] for result in plan["results"]]
    tasks = {task["title"]: task for task in hopper.json("ls", "--project", repository)["items"]}
    assert len(tasks) == 3
    assert tasks["Issue 2"]["depends_on"] == [tasks["Issue 3"]["id"]]
    assert tasks["Issue 1"]["tags"] == {"bug": True, "assignee:ann": True, "milestone": "1.0"}
    assert tasks["Issue 1"]["description"].startswith("Text 1\nmore")
    assert tasks["Issue 1"]["created_at"].startswith("2026-01-05T09:00:00")

    again = hopper.json("import", file)
    assert (again["unchanged"], again["new"], again["changed"]) == (3, 0, 0)
    assert {task["version"] for task in hopper.json("ls", "--project", repository)["items"]} == {1}

    hopper.ok("edit", tasks["Issue 1"]["id"], "--title", "Better said", "-t", "mine")
    new_there = {"title": "Otherwise said", "labels": [{"name": "bug"}, {"name": "p1"}]}
    file.write_text(json.dumps(issues(repository, new_there, {"state": "CLOSED", "stateReason": "COMPLETED"})))
    said = hopper.ok("import", file)
    assert "newer here: title" in said
    first = hopper.json("show", tasks["Issue 1"]["id"])
    assert first["title"] == "Better said"
    assert {"mine", "p1", "bug"} <= first["tags"].keys()
    assert hopper.json("show", tasks["Issue 2"]["id"])["status"] == "done"

    hopper.ok("rm", tasks["Issue 3"]["id"])
    gone = hopper.json("import", file)
    assert (gone["removed_here"], gone["new"]) == (1, 0)
