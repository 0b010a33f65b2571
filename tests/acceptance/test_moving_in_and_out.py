"""hopper import and hopper export: moving in from another program, following it, and moving out again."""

import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.acceptance.test_cli import Cli
from tests.commands import COMMAND
from tests.conftest import RunningServer, fresh_database, serving


@pytest.fixture(scope="module")
async def server(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    """A server that this file has for itself: exports tell everything that is there."""
    async with fresh_database(postgres_url) as url:
        with serving(url, tmp_path_factory.mktemp("moving")) as running:
            yield running


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
    assert plan["kept"]["milestone"]["where"] == "in the tag milestone"
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


BACKLOG_TASK = """---
id: TASK-1
title: Mend the tap
status: In Progress
assignee: [@ann]
created_date: '2026-01-17 21:42'
labels: [taps]
dependencies: []
---

## Description

It drips.
"""


def test_a_project_is_enough_to_find_its_tasks(hopper: Cli, tmp_path: Path) -> None:
    """People would have to know where in a project another program keeps its tasks."""
    mark = uuid4().hex[:8]
    (tmp_path / "backlog" / "tasks").mkdir(parents=True)
    (tmp_path / "backlog" / "config.yml").write_text(f"project_name: {mark}\n")
    (tmp_path / "backlog" / "tasks" / "task-1 - Mend.md").write_text(BACKLOG_TASK)
    (tmp_path / "backlog" / "tasks" / "task-2 - Broken.md").write_text("---\nid: TASK-2\ntitle: [\n---\n")
    result = hopper("import", tmp_path)
    assert result.code == 6
    assert f"Backlog.md as 'backlog:{mark}': 1 records" in result.out
    assert "tasks/task-2 - Broken.md:" in result.err
    (tmp_path / "backlog" / "tasks" / "task-2 - Broken.md").unlink()
    assert hopper.json("import", tmp_path)["unchanged"] == 1
    assert "no backlog/tasks" in hopper("import", tmp_path / "backlog" / "tasks").err


@pytest.mark.parametrize("name", ["all.jsonl", "all.csv", "all"])
def test_what_is_exported_can_be_imported(hopper: Cli, tmp_path: Path, name: str) -> None:
    """Nobody could take their tasks elsewhere, or put them back as they were."""
    title = f"=Taps; {uuid4().hex[:8]}"
    first = hopper.json("add", title, "-t", "a", "-t", "area=ui", "-d", "Two\nlines")
    second = hopper.json("add", title, "--parent", first["id"], "--depends-on", first["id"])
    done = hopper.json("export", tmp_path / name)
    assert done["tasks"] >= 2
    report = hopper.json("import", tmp_path / name, "--dry-run")
    assert (report["source"], report["failed"], report["new"]) == ("hopper", 0, 0)
    hopper.ok("rm", second["id"])
    hopper.ok("rm", first["id"])
    assert hopper.json("import", tmp_path / name)["new"] == 2
    again = [hopper.json("show", task["id"]) for task in (first, second)]
    for before, after in zip((first, second), again, strict=True):
        for field in ("title", "description", "tags", "depends_on", "parent_task_id", "source", "created_at"):
            assert after[field] == before[field]


def test_an_export_appears_whole_or_not_at_all(hopper: Cli, tmp_path: Path) -> None:
    """A broken-off export would be taken for a backup, or overwrite the last good one."""
    hopper.ok("add", "Something")
    file = tmp_path / "all.jsonl"
    file.write_text("old")
    nobody = Cli("http://127.0.0.1:9")
    refused = hopper("export", file)
    assert (refused.code, "--force" in refused.err) == (2, True)
    assert nobody("export", file, "--force").code == 5
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["all.jsonl"]
    lines = hopper.ok("export", "-").splitlines()
    assert all(json.loads(line)["id"] for line in lines)
    hopper.ok("export", file, "--force")
    assert len(file.read_text().splitlines()) >= len(lines)
    assert hopper("export", "-", "--json").code == 2
    assert hopper("export", tmp_path / "nowhere" / "all.csv").code == 2
    (tmp_path / "there").mkdir()
    assert hopper("export", tmp_path / "there").code == hopper("export", tmp_path / "there", "--force").code == 2
    assert hopper("export", tmp_path / "there", "--format", "csv").code == 2


def test_an_import_that_was_stopped_can_be_run_again(hopper: Cli, tmp_path: Path) -> None:
    """After Ctrl-C nobody would know what is there, or it would be there twice."""
    repository = f"acme/{uuid4().hex[:8]}"
    rows = [
        {"number": n, "url": f"https://github.com/{repository}/issues/{n}", "title": f"Issue {n}", "state": "OPEN"}
        for n in range(1, 3001)
    ]
    file = tmp_path / "issues.json"
    file.write_text(json.dumps(rows))
    with subprocess.Popen([*COMMAND, "import", str(file)], stderr=subprocess.PIPE, env=hopper.environment) as process:
        deadline = time.monotonic() + 60
        while not hopper.json("ls", "--project", repository, "--limit", "1")["items"]:
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read().decode()
        if process.wait(30) == 130:
            assert "run the same command again" in said
    report = hopper.json("import", file)
    assert report["new"] + report["unchanged"] == 3000
    assert report["unchanged"] >= 200
    assert len(hopper.json("ls", "--project", repository, "--all")["items"]) == 3000


def test_a_dry_run_of_new_tasks_files_none(hopper: Cli) -> None:
    """Whoever only looks would have filed them, or wouldn't hear of the lines that can't be used."""
    tag = uuid4().hex[:8]
    rows = [{"title": "One", "tags": [tag], "id": f"{tag}-1"}, {"title": "Two", "depends_on": [f"{tag}-1"]}, {}]
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    result = hopper("import", "-", "--dry-run", stdin=content)
    assert result.code == 6
    assert "Would be: 2 created, 0 there already, 1 refused" in result.out
    assert "line 3" in result.err
    assert hopper.json("ls", "--tag", tag)["items"] == []
    assert "Nothing was imported" in hopper("import", "-", "--dry-run", "--atomic", stdin=content).out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'[{"number": 1, "title": ', "issues.json:1: This is not JSON"),
        (b'[{"number": 1, "title": "x"}, {"number": 2}]', "issues.json, record 2: It has no title."),
        (b'[{"number": 1, "title": "x"}, {"number": 1, "title": "y"}]', "is there already, at"),
        (b'[{"number": 1, "title": "x", "createdAt": "soon", "labels": "bug"}]', "should be a list"),
    ],
)
def test_records_that_cant_be_used_are_named(hopper: Cli, tmp_path: Path, content: bytes, says: str) -> None:
    """Something would be missing after the move, and nobody would know what."""
    file = tmp_path / "issues.json"
    file.write_bytes(content)
    result = hopper("import", file, "--format", "github", "--as", f"x{uuid4().hex[:8]}")
    assert result.code == 6
    assert says in result.err
    assert hopper("import", file, "--as", " ").code == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--format", "backlog"], "folder"),
        (["--format", "github", "--atomic"], "github"),
        (["--as", "mine"], "new tasks"),
        (["--restore"], "new tasks"),
    ],
)
def test_what_would_be_ignored_is_refused(hopper: Cli, tmp_path: Path, options: list[str], says: str) -> None:
    """Somebody would rely on what isn't done."""
    file = tmp_path / "tasks.jsonl"
    file.write_text('{"title": "x"}')
    result = hopper("import", file, *options)
    assert (result.code, says in result.err) == (2, True), result.err
    (tmp_path / "tasks").mkdir()
    assert hopper("import", tmp_path, "--format", "tasks").code == 2


def test_a_plan_knows_what_earlier_batches_will_bring(hopper: Cli, tmp_path: Path) -> None:
    """The plan of a long import would tell of references that are missing, and aren't."""
    mark = uuid4().hex[:8]
    rows = [
        {"id": f"{mark}-{n}", "title": mark, "status": "open", "priority": 2, "issue_type": "task"} for n in range(450)
    ]
    for before, row in zip(rows[1:], rows, strict=False):
        row["dependencies"] = [{"issue_id": row["id"], "depends_on_id": before["id"], "type": "blocks"}]
    file = tmp_path / "issues.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    plan, done = hopper.json("import", file, "--dry-run"), hopper.json("import", file)
    assert (plan["new"], done["new"]) == (450, 450)
    assert plan["results"] == done["results"]
    assert not any(result["notes"] for result in plan["results"])
    assert hopper.json("show", done["results"][-1]["task_id"])["depends_on"] == [done["results"][-2]["task_id"]]
