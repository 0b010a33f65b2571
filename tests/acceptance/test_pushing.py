"""hopper push and hopper pull: tasks of a directory of files handed to an instance on a real server, and back."""

import json
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.acceptance.test_cli import NOWHERE
from tests.acceptance.test_local import Project, begun
from tests.asking import KEYED
from tests.conftest import RunningServer
from tests.wire import Wire, wired


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return begun(tmp_path / "shop", tmp_path / "home")


@pytest.fixture
def wire(server: RunningServer) -> Iterator[Wire]:
    with wired(server.url, "/tasks/import") as wire:
        yield wire


class There:
    """The server, as others use it."""

    def __init__(self, url: str) -> None:
        self.api = httpx.Client(base_url=f"{url}/api/v1", headers=KEYED)
        self.name = f"press-{uuid4().hex[:8]}"
        self.instance: str = self("POST", "/instances", name=self.name)["id"]

    def __call__(self, method: str, path: str, **body: Any) -> Any:
        answer = self.api.request(method, path, json=body or None).raise_for_status()
        return answer.json() if answer.content else None

    def tasks(self) -> list[dict[str, Any]]:
        """All that are tagged with the name."""
        return list(self("GET", f"/tasks?tag={self.name}")["items"])

    def delegations(self, task_id: str) -> list[str]:
        """Their states, in order."""
        return [one["status"] for one in self("GET", f"/tasks/{task_id}/delegations")]


def test_chosen_tasks_go_to_an_instance_and_their_status_comes_back(server: RunningServer, project: Project) -> None:
    """Whoever works elsewhere would get a copy that nobody here hears of again, or a second one with each push."""
    there = There(server.url)
    name = there.name
    needed = project.json("add", "Order the ink", "-t", name)
    kept = project.json("add", "Kept to myself", "-t", name)
    task = project.json("add", "Print the bills", "-t", name, "--depends-on", needed["id"], "--depends-on", kept["id"])

    pushed = project.json("push", task["id"], needed["id"], "--to", name, "--server", server.url)
    copies = {one["task_id"]: one["server_task_id"] for one in pushed["pushed"]}
    assert {one["outcome"] for one in pushed["pushed"]} == {"new"}
    assert {one["id"] for one in there.tasks()} == {
        copies[task["id"]],
        copies[needed["id"]],
    }
    copy = there("GET", f"/tasks/{copies[task['id']]}")
    assert (copy["source"], copy["source_instance_id"], copy["instance_id"]) == ("local", "shop", there.instance)
    assert (copy["depends_on"], copy["tags"]) == ([copies[needed["id"]]], {name: True})
    assert there.delegations(copy["id"]) == ["pending"]

    rmtree(project.place / ".hopper" / ".index")
    project.ok("edit", task["id"], "--title", "Print the bills twice")
    there("PATCH", f"/tasks/{copy['id']}", priority="high")
    again = project.json("push", task["id"], "--to", name, "--server", server.url)
    assert again["pushed"][0]["changed"] == ["title"]
    assert again["pulled"][0]["changed"] == ["priority"]
    copy = there("GET", f"/tasks/{copies[task['id']]}")
    assert (copy["title"], copy["priority"], there.delegations(copy["id"])) == (
        "Print the bills twice",
        "high",
        ["pending"],
    )
    assert len(there.tasks()) == 2

    there("POST", f"/tasks/{copies[needed['id']]}/complete")
    there("PATCH", f"/tasks/{copy['id']}", title="Their words", status="in_progress")
    project.ok("edit", task["id"], "--title", "My words")
    said = project.ok("pull", "--server", server.url)
    assert "pending → done" in said
    assert "pending → in_progress; changed on both sides, and left as it is here: title" in said
    mine = project.json("show", task["id"])
    assert (mine["title"], mine["status"], mine["priority"]) == ("My words", "in_progress", "high")
    assert sorted(mine["depends_on"]) == sorted([needed["id"], kept["id"]])
    assert project.json("show", needed["id"])["status"] == "done"
    assert project.json("show", kept["id"])["status"] == "pending"


def test_what_was_removed_or_refused_there_is_told(server: RunningServer, project: Project) -> None:
    """A task would wait for somebody who has given it back, or whose list doesn't have it any more."""
    there = There(server.url)
    name = there.name
    task = project.json("add", "Print")
    where = ("--to", name, "--server", server.url)
    [pushed] = project.json("push", task["id"], *where)["pushed"]
    there("POST", f"/delegations/{pushed['delegation']['id']}/reject")
    [pulled] = project.json("pull", "--server", server.url)["results"]
    assert (pulled["outcome"], pulled["delegation"]["status"]) == ("unchanged", "rejected")
    [again] = project.json("push", task["id"], *where)["pushed"]
    assert again["delegation"]["status"] == "pending"
    there("DELETE", f"/tasks/{pushed['server_task_id']}")
    gone = project.run("pull", "--server", server.url)
    assert (gone.returncode, "isn't on the server" in gone.stderr) == (0, True)
    refused = project.run("push", task["id"], *where)
    assert (refused.returncode, "--restore brings it back" in refused.stderr) == (6, True)
    assert project.json("push", task["id"], *where, "--restore")["pushed"][0]["outcome"] == "new"
    assert project.json("show", task["id"])["status"] == "pending"


def test_nothing_but_the_chosen_tasks_is_sent_and_lost_answers_do_no_harm(wire: Wire, project: Project) -> None:
    """A push over a bad connection would make doubles or lose tasks, or tell what nobody chose to tell."""
    there = There(wire.behind)
    name = there.name
    tasks = [project.json("add", f"Print {number}", "-t", name) for number in range(2)]
    project.ok("add", "Quite private", "--parent", tasks[0]["id"])
    where = ("--to", name, "--server", wire.url)
    wire.lost = 1
    assert [one["outcome"] for one in project.json("push", tasks[0]["id"], *where)["pushed"]] == ["unchanged"]
    wire.lost, wire.at = 100, "/delegations"
    broken = project.run("push", tasks[0]["id"], tasks[1]["id"], *where)
    assert (broken.returncode, "Run the same command again" in broken.stderr) == (5, True)
    wire.lost = 0
    done = project.json("push", tasks[0]["id"], tasks[1]["id"], *where)
    assert {one["delegation"]["status"] for one in done["pushed"]} == {"pending"}
    assert [there.delegations(one["id"]) for one in there.tasks()] == [["pending"], ["pending"]]
    assert not any(b"private" in sent for sent in wire.sent())


def test_a_server_is_the_same_under_each_of_its_addresses(wire: Wire, project: Project) -> None:
    """Whoever types another name of the server would file everything there twice, and hear of half of it."""
    there = There(wire.behind)
    task = project.json("add", "Print", "-t", there.name)
    push = ("push", task["id"], "--to", there.name, "--server")
    assert "Nothing was pushed" in project.run("pull", "--server", wire.url).stderr
    [first] = project.json(*push, wire.url)["pushed"]
    [file] = (project.place / ".hopper" / "memory" / "origins").iterdir()
    by_id = file.read_text()
    id = there("GET", "/sync/server")["source_instance_id"]
    file.write_text(by_id.replace(id, wire.behind))  # as it was written before servers had ids
    assert project.json("pull", "--server", wire.behind)["results"][0]["server_task_id"] == first["server_task_id"]
    assert file.read_text() == by_id
    assert project.json(*push, wire.behind.replace("127.0.0.1", "localhost"))["pushed"][0]["outcome"] == "unchanged"
    assert len(there.tasks()) == 1


def test_the_only_server_that_was_pushed_to_is_asked(wire: Wire, project: Project) -> None:
    """Who pushed somewhere would be told that there is no server, at an address that they have never named."""
    there = There(wire.behind)
    task = project.json("add", "Print")
    push = ("push", task["id"], "--to", there.name, "--server")
    project.ok(*push, wire.url)
    pulled = project.run("pull", "--json")
    assert json.loads(pulled.stdout)["server"] == wire.url
    assert pulled.stderr == f"Asking {wire.url}, the server that was pushed to from here.\n"
    project.ok(*push, wire.behind)
    assert project.json("pull")["server"] == wire.behind, "it is the same server, by its last address"
    elsewhere = begun(project.place / "other", project.home / "sub")
    assert "Asking" not in elsewhere.run("pull").stderr


def test_what_comes_late_undoes_no_newer_words(wire: Wire, project: Project) -> None:
    """A push that was slow, or killed on its way, or a pull beside it would put back old words, on both sides."""
    there = There(wire.behind)
    task = project.json("add", "Print A")
    push = ("push", task["id"], "--to", there.name, "--server", wire.url)
    copy = project.json(*push)["pushed"][0]["server_task_id"]
    project.ok("edit", task["id"], "--title", "Print B")
    project.ok(*push)
    late = json.loads(wire.sent("/tasks/import")[0])
    [told] = there("POST", "/tasks/import", **late)["results"]
    assert (told["outcome"], told["newer_here"]) == ("newer_here", ["title"])

    wire.at = "/delegations"
    wire.meanwhile = lambda: (project.ok("edit", task["id"], "--title", "Print C"), project.ok(*push))
    assert project.json("pull", "--server", wire.url)["results"][0]["newer_here"] == ["title"]
    project.ok(*push)
    assert project.json("show", task["id"])["title"] == "Print C"
    assert there("GET", f"/tasks/{copy}")["title"] == "Print C"


def test_a_server_that_isnt_there_leaves_everything_as_it_is(project: Project) -> None:
    """A person on a train would lose what they had chosen, or see a traceback."""
    task = project.json("add", "Print")
    push = ("push", task["id"], "--to", "press", "--server", NOWHERE)
    refused = project.run(*push)
    assert (refused.returncode, "no server" in refused.stderr, "Traceback" in refused.stderr) == (5, True, False)
    assert json.loads(project.run(*push, "--json").stdout)["type"] == "urn:hopper:problem:unavailable"
    assert "no server" in project.run("pull", "--server", NOWHERE).stderr
    assert not (project.place / ".hopper" / "memory" / "origins").exists()
    elsewhere = Project(project.home, project.home)
    assert "hopper init" in elsewhere.run("push", "abcd", "--to", "press", "--server", NOWHERE).stderr
