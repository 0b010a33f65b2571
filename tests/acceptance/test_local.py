"""The commands on a directory of files, with no server anywhere."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
from tests.asking import ADMIN_KEY
from tests.commands import COMMAND, run

from hopper.domain.errors import Forbidden
from hopper.entrypoints.cli.choice import choose
from hopper.entrypoints.cli.commands import app
from hopper.entrypoints.cli.plain import serve_plainly


@dataclass(frozen=True)
class Project:
    """A directory with a .hopper; commands are run in it by a person with an empty home."""

    place: Path
    home: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(*arguments, cwd=self.place, env=self._environment())

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """One that runs beside others; its output is lost."""
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.place,
            env=self._environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def _environment(self) -> dict[str, str]:
        ours = ("HOPPER_", "DATABASE_")
        return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
            "HOME": str(self.home),
            "HOPPER_API_KEY": ADMIN_KEY,
        }

    def ok(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ok(*arguments, "--json"))


def begun(place: Path, home: Path) -> Project:
    """A new directory with a .hopper, of a person with an empty home."""
    for folder in (place, home):
        folder.mkdir(parents=True)
    made = Project(place, home)
    made.ok("init")
    return made


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return begun(tmp_path / "Checkout 2.0", tmp_path / "home")


def test_a_list_in_a_repository_needs_no_server(project: Project) -> None:
    """Who wants a list beside the code would have to run a database for it."""
    first = project.json("add", "Card is declined abroad", "-t", "cards", "-t", "area=pay", "-p", "high")
    second = project.json("add", "Write it down", "--depends-on", first["id"])
    assert "queue" not in project.ok("stats"), "nobody works at one: what stands in it would be taken for stuck"
    assert [task["id"] for task in project.json("ready")["items"]] == [first["id"]]
    project.ok("done", first["id"])
    assert [task["id"] for task in project.json("ready")["items"]] == [second["id"]]
    project.ok("edit", second["id"], "--title", "Write it down twice", "--tag", "docs")
    project.ok("rm", first["id"])
    assert [task["title"] for task in project.json("ls")["items"]] == ["Write it down twice"]
    [file] = (project.place / ".hopper" / "tasks").glob("*.md")
    assert file.read_text().startswith(f"---\nid: {second['id']}\ntitle: Write it down twice\n")


def test_tasks_are_routed_and_outcomes_learned_from(project: Project) -> None:
    """A local list would be a heap: nobody would say who should take what."""
    for name in ("Payments", "Website"):
        project.ok("instance", "add", name)
    assert "└─ Website" in project.ok("instance", "tree")
    for number in range(2):
        task = project.json("add", f"Card payment {number} is declined", "-t", "cards")
        project.ok("delegate", task["id"], "payments")
        project.ok("done", task["id"])
    task = project.json("add", "Card payment 9 is declined", "-t", "cards", "--route")
    assert task["decision"]["chosen_instance"] == "payments"
    assert "past tasks belonged here" in project.ok("why", task["id"])
    project.ok("feedback", task["id"], "--should", "website")
    assert project.json("show", task["id"])["feedback"]["should_have_routed_to"] == "website"
    project.ok("pattern", "add", "Cards", "--to", "payments", "-t", "cards")
    assert project.json("pattern", "match", "A card", "-t", "cards")["matches"][0]["pattern"]["name"] == "Cards"
    assert [found["task"]["id"] for found in project.json("search", "declined 9")["items"]][:1] == [task["id"]]
    assert len(project.json("similar", task["id"])) == 2
    assert [one["task_id"] for one in project.json("learn", "backtest", "--consolidate")["episodes"]] == [task["id"]]


def test_workers_claim_what_is_ready(project: Project) -> None:
    """Two agents in one checkout would do the same work."""
    project.ok("instance", "add", "Agents")
    task = project.json("add", "Tidy up", "--instance", "agents")
    claim = project.json("claim", "--instance", "agents", "--worker", "one")
    assert claim["task"]["id"] == task["id"]
    assert project.json("claim", "--instance", "agents", "--worker", "two") is None
    assert project.run("done", task["id"], "--token", "0" * 32).returncode == 4
    project.ok("done", task["id"], "--token", claim["token"])


def test_what_people_edit_is_there_at_once_and_what_is_broken_is_told(project: Project) -> None:
    """A person's own line would be lost, or one bad file would hide all others."""
    task = project.json("add", "Card is declined")
    path = project.place / ".hopper" / "tasks" / f"{task['id']}.md"
    path.write_text(path.read_text().replace("status: pending", "status: in_progress  # since noon\nestimate: 3h"))
    assert project.json("show", task["id"])["status"] == "in_progress"
    project.ok("edit", task["id"], "--priority", "low")
    assert "status: in_progress  # since noon\nestimate: 3h\n" in path.read_text()
    (path.parent / "task-0000000a.md").write_text("---\nid: task-0000000a\n<<<<<<< HEAD\ntitle: a\n=======\n---\n")
    listed = project.run("ls")
    assert (listed.returncode, "task-0000000a.md:3: " in listed.stderr) == (0, True)
    assert "Card is declined" in listed.stdout
    refused = project.run("show", "task-0000000a")
    assert refused.returncode == 4
    assert "task-0000000a.md:3" in refused.stderr
    path.unlink()
    assert project.run("show", task["id"]).returncode == 3


def test_tasks_move_in_follow_their_source_and_move_out(project: Project) -> None:
    """A list in a repository couldn't take over what is elsewhere, or would undo what was changed here."""
    issues = [
        {
            "number": number,
            "title": f"Issue {number}",
            "state": "OPEN",
            "url": f"https://github.com/a/b/issues/{number}",
        }
        for number in range(3)
    ]
    file = project.place / "issues.json"
    file.write_text(json.dumps(issues))
    assert project.json("import", "issues.json", "--dry-run")["new"] == 3
    first, second, third = (result["task_id"] for result in project.json("import", "issues.json")["results"])
    project.ok("edit", first, "--title", "Better said")
    project.ok("rm", second)
    rmtree(project.place / ".hopper" / ".index")
    file.write_text(json.dumps([{**issue, "title": f"{issue['title']}, again"} for issue in issues]))
    report = project.json("import", "issues.json")
    assert {result["task_id"]: result["outcome"] for result in report["results"]} == {
        first: "newer_here",
        second: "removed_here",
        third: "changed",
    }
    (project.place / "new.jsonl").write_text(
        '{"title": "One", "id": "one"}\n{"title": "Two", "depends_on": ["one"]}\n{}\n'
    )
    assert project.run("import", "new.jsonl", "--json").returncode == 6
    assert project.json("export", "all.jsonl")["tasks"] == 4
    titles = {task["title"] for task in project.json("ls")["items"]}
    assert titles == {"Better said", "Issue 2, again", "One", "Two"}
    rmtree(project.place / ".hopper")
    project.ok("init")
    assert project.json("import", "all.jsonl")["new"] == 4
    assert {task["title"] for task in project.json("ls")["items"]} == titles


def git(project: Project, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(("git", *identity, *arguments), cwd=project.place, check=True, capture_output=True)


def test_decisions_of_two_branches_are_merged(project: Project) -> None:
    """Two people who both routed a task on one day would have to choose whose decision is forgotten."""
    project.ok("instance", "add", "Payments")
    project.ok("add", "Pay the printer", "--route")
    for command in (("init", "-b", "main"), ("add", "."), ("commit", "-m", "a"), ("checkout", "-b", "other")):
        git(project, *command)
    theirs = project.json("add", "Pay the baker", "--route")["id"]
    for command in (("add", "."), ("commit", "-m", "b"), ("checkout", "main")):
        git(project, *command)
    ours = project.json("add", "Pay the cook", "--route")["id"]
    for command in (("add", "."), ("commit", "-m", "c"), ("merge", "other")):
        git(project, *command)
    assert [len(project.json("why", task)) for task in (ours, theirs)] == [1, 1]


def test_while_decisions_cannot_be_read_nothing_is_lost_of_them(project: Project) -> None:
    """An outcome would be dropped in silence, or each try file a task once more."""
    project.ok("instance", "add", "Payments")
    task = project.json("add", "Pay the printer", "--route")["id"]
    project.ok("delegate", task, "payments")
    [day] = (project.place / ".hopper" / "memory" / "episodes").iterdir()
    content = day.read_text()
    day.write_text(content.replace("episodes:", "<<<<<<< ours\nepisodes:"))
    refused = project.run("done", task)
    assert (refused.returncode, "Mend the file" in refused.stderr) == (4, True)
    filed = project.run("add", "Pay the baker", "--route")
    assert filed.returncode == 4
    [other] = [one["id"] for one in project.json("ls")["items"] if one["id"] != task]
    assert f"`hopper route {other}`" in filed.stderr
    day.write_text(content)
    project.ok("done", task)
    assert project.json("why", task)[0]["outcome_success"] is True


def test_a_whole_id_means_just_that_instance(project: Project) -> None:
    """Who ran a set-up twice could name the first instance no more."""
    for _ in range(2):
        project.ok("instance", "add", "garage")
    assert project.json("instance", "show", "garage")["id"] == "garage"


def test_who_has_named_a_server_is_told_that_it_goes_first(project: Project, tmp_path: Path) -> None:
    """Tasks would go to a server, though somebody has just made a list for them."""
    environment = {**os.environ, "HOME": str(project.home), "HOPPER_SERVER": "http://127.0.0.1:9"}
    made = run("init", cwd=tmp_path, env=environment)
    assert made.returncode == 0
    assert "HOPPER_SERVER is set" in made.stderr


def test_a_directory_isnt_taken_into_itself(project: Project) -> None:
    """Each import of where one is, as an unset variable in a script has it, would double all tasks."""
    project.ok("add", "Mend the tap")
    refused = project.run("import", ".")
    assert refused.returncode == 4
    assert refused.stderr.startswith("hopper: That is the Hopper that you are in")
    assert refused.stderr.count("\n") == 1
    refused = project.run("import", "")
    assert (refused.returncode, "It is empty" in refused.stderr) == (2, True)
    assert len(project.json("ls")["items"]) == 1


def test_where_there_are_no_tasks_none_are_imported(project: Project) -> None:
    """A nightly import would fail on the first day on which no issue is open."""
    file = project.place / "issues.json"
    file.write_text("[\n]\n")
    assert project.ok("import", "issues.json", "--as", "mine") == "There is nothing to import.\n"
    assert project.json("import", "issues.json") == {"created": 0, "unchanged": 0, "failed": 0, "errors": []}
    said = project.ok("import", "issues.json", "--format", "taskwarrior")
    assert said == "Taskwarrior as 'taskwarrior': there is nothing to import.\n"


@pytest.mark.parametrize("name", ["all.csv.gz", "all.txt"])
def test_a_file_isnt_made_a_folder(project: Project, name: str) -> None:
    """Who asks for a file would get a folder of its name, and a script that packs it on would fail."""
    refused = project.run("export", name)
    assert refused.returncode == 2
    assert ".csv, .jsonl, .ndjson" in refused.stderr
    assert not (project.place / name).exists()


@pytest.mark.parametrize("name", [f"{'x' * 250}.csv", "x" * 250])
def test_an_export_that_cant_be_written_names_what_was_asked_for(project: Project, name: str) -> None:
    """Nobody knows the hidden file that is filled first."""
    failed = project.run("export", name)
    assert (failed.returncode, failed.stderr) == (1, f"hopper: File name too long: {name}\n")


def test_where_commands_go_is_told(project: Project, tmp_path: Path) -> None:
    """A task would be filed somewhere, and nobody could say where."""
    assert project.json("where")["directory"] == str(project.place / ".hopper")
    elsewhere = Project(tmp_path, project.home)
    assert elsewhere.json("where")["server"] == "http://127.0.0.1:8000"
    elsewhere.ok("init", "~")
    assert elsewhere.json("where")["directory"] == str(project.home / ".hopper")
    again = project.run("init")
    assert (again.returncode, "already" in again.stderr) == (4, True)


@pytest.mark.parametrize(
    "words", [("where",), ("ls",), ("show", "abcd"), ("sync", "status"), ("push", "abcd", "--to", "x"), ("pull",)]
)
def test_another_users_directory_above_is_refused(
    words: tuple[str, ...], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anyone on the machine could lay a .hopper into /tmp, and tasks of others would be filed there, or sent on."""
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.delenv("HOPPER_SERVER", raising=False)
    monkeypatch.chdir(project.place)
    assert choose().directory == project.place / ".hopper"
    if os.geteuid() == 0:
        os.chown(project.place / ".hopper", 65534, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 65534)
    with pytest.raises(Forbidden, match=r"\.hopper .*belongs to another user"):
        if not serve_plainly(words):
            app(list(words), standalone_mode=False)


@pytest.mark.parametrize("command", [("graph", "status"), ("embeddings", "status")])
def test_what_takes_a_server_says_so(command: tuple[str, ...], project: Project) -> None:
    """A traceback, or silence, where one word would help."""
    refused = project.run(*command)
    assert refused.returncode == 5
    assert "--server" in refused.stderr
    assert json.loads(project.run(*command, "--json").stdout)["type"] == "urn:hopper:problem:unavailable"


def test_what_waits_for_nobody_is_handed_over_by_no_advice(project: Project) -> None:
    """A person would be told to hand over what is done, or what somebody has."""
    project.ok("instance", "add", "Press")
    advice = "It waits in triage"
    filed = [project.ok("add", title, "--route") for title in ("Order the ink", "Print")]
    assert all(advice in said for said in filed)
    done, held = (said.split("\n", 1)[0] for said in filed)
    assert advice in project.ok("show", done)
    project.ok("done", done)
    project.ok("delegate", held, "Press")
    for command, task in (("show", done), ("why", done)):
        assert advice not in project.ok(command, task)
    said = project.ok("show", held)
    assert advice not in said
    assert "  → Press  pending (manual)" in said, "from nobody, and from no server"


def test_how_work_hangs_together_is_told(project: Project) -> None:
    """Who plans beside the code would see one task at a time, and not what each holds up."""
    project.ok("instance", "add", "Press")
    first = project.json("add", "Order the ink", "-t", "ink", "-t", "press")
    second = project.json("add", "Print", "--depends-on", first["id"], "-t", "ink", "-t", "press")
    project.ok("delegate", first["id"], "press")
    blocked = project.json("graph", "blocked", first["id"])
    assert ([task["id"] for task in blocked["tasks"]], blocked["answered_by"]) == ([second["id"]], "files")
    assert "Press" in project.ok("graph", "chain", first["id"])
    assert "Order the ink" in project.ok("graph", "bottlenecks")
    assert len(project.json("graph", "tags", "--min", "0")["edges"]) == 1


def test_what_the_api_refuses_is_refused_here(project: Project) -> None:
    """What is stored here could never go to a server."""
    for command in (
        ("add", " "),
        ("add", "x" * 501),
        ("edit", "nothing", "--title", "y"),
        ("add", "a", "-t", "n" * 201),
    ):
        refused = project.run(*command)
        assert refused.returncode in (2, 3, 4)
        assert "Traceback" not in refused.stderr
    assert project.json("ls")["items"] == []
