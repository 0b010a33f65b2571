"""A directory teaches a server what it has learned, over real HTTP, and through a connection that breaks."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.acceptance.test_local import Project, begun
from tests.asking import KEYED
from tests.conftest import RunningServer
from tests.sync import a_rule, registered
from tests.wire import Wire, wired

from hopper.entrypoints.local.client import LocalClient

PUSH = "/sync/northbound"


@pytest.fixture
def wire(server: RunningServer) -> Iterator[Wire]:
    with wired(server.url, PUSH) as wire:
        yield wire


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A directory with decisions, and a rule that was learned from them; each test takes a copy."""
    root = tmp_path_factory.mktemp("trained")
    project = begun(root / "project", root / "home")
    (project.home / ".gitconfig").write_text("[user]\n  name = Ann Example\n  email = ann@example.org\n")
    for name in ("cards", "loans"):
        project.ok("instance", "add", name)
    with LocalClient(project.place / ".hopper", print) as hopper:
        for what, tag, instance in (("payment", "billing", "cards"), ("interest", "rates", "loans")) * 8:
            title = f"the {what} is wrong for ann at shop.internal"
            task = hopper.create(
                "/tasks",
                {
                    "title": title,
                    "tags": {tag: True, "ann": True, "Zelda": True, "owner": "zelda"},
                    "project": "secret",
                },
            )
            hopper.post(f"/tasks/{task['id']}/delegations", {"target_instance_id": instance})
            hopper.post(f"/tasks/{task['id']}/complete")
    return project


@pytest.fixture
def project(trained: Project, tmp_path: Path) -> Project:
    shutil.copytree(trained.place, tmp_path / "project")
    shutil.copytree(trained.home, tmp_path / "home")
    return Project(tmp_path / "project", tmp_path / "home")


@pytest.fixture
def api(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/api/v1", headers=KEYED, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def source(api: httpx.Client) -> Iterator[str]:
    source = f"laptop-{uuid4().hex[:20]}"
    yield source
    api.delete(f"/sync/sources/{source}")


@pytest.fixture
def token(api: httpx.Client, source: str) -> str:
    return registered(api, source)["Authorization"].removeprefix("Bearer ")


def record(api: httpx.Client, source: str) -> dict[str, Any]:
    [found] = [one for one in api.get("/sync/sources").json() if one["source_instance_id"] == source]
    return dict(found)


def test_nothing_leaves_before_a_person_says_so(project: Project) -> None:
    """A list in a repository would speak of its owner's work without a question."""
    for command in ("push", "pull", "preview"):
        refused = project.run("sync", command)
        assert refused.returncode == 4
        assert "hopper sync on" in refused.stderr
    assert project.json("sync", "status") == {"is_on": False}


def test_a_preview_is_what_is_sent_byte_for_byte(
    project: Project, wire: Wire, token: str, api: httpx.Client, source: str
) -> None:
    """Nobody could know what leaves; and what is sent may be said in a word: nothing of anybody's tasks."""
    project.ok("sync", "on", wire.url, "--token", token)
    shown = project.ok("sync", "preview").encode().splitlines()
    assert not wire.sent(PUSH)
    assert not record(api, source)["patterns"]
    sent = project.json("sync", "push")
    assert wire.sent(PUSH) == shown
    assert (sent["patterns_new"], sent["episodes_new"]) == (2, 16)
    [body] = map(json.loads, shown)
    assert {rule["tag_criteria"]["any"][0] for rule in body["patterns"]} == {"billing", "rates"}
    assert {(rule["usage_count"], rule["success_count"]) for rule in body["patterns"]} == {(8, 8)}, (
        "what it learned from"
    )
    said = shown[0].decode().casefold()
    private = ("ann", "shop", "internal", "cards", "loans", "secret", "example", "zelda", "owner")
    assert not any(word in said for word in private)
    assert (record(api, source)["patterns"], record(api, source)["episodes"]) == (2, 16)


def test_an_unchanged_directory_sends_nothing(project: Project, wire: Wire, token: str) -> None:
    """Each push would cost as much as the first."""
    project.ok("sync", "on", wire.url, "--token", token)
    project.ok("sync", "push")
    assert project.ok("sync", "preview") == ""
    assert "nothing was sent" in project.ok("sync", "push")
    assert len(wire.sent(PUSH)) == 1
    task = project.ok("add", "the payment is wrong", "-t", "billing").strip()
    project.ok("delegate", task, "cards")
    project.ok("done", task)
    project.ok("sync", "push")
    second = json.loads(wire.sent(PUSH)[1])
    assert (second["sequence"], len(second["episode_summaries"])) == (2, 1)


def test_a_lost_answer_is_asked_for_again_with_the_same_bytes(
    project: Project, wire: Wire, token: str, api: httpx.Client, source: str
) -> None:
    """A laptop on a train would count twice, or never hear whether it was heard."""
    project.ok("sync", "on", wire.url, "--token", token)
    wire.lost = 99
    lost = project.run("sync", "push")
    assert lost.returncode == 5
    assert "try again" in lost.stderr
    wire.lost = 0
    kept = project.ok("sync", "preview").encode().splitlines()
    assert kept == [wire.sent(PUSH)[0]]
    told = project.json("sync", "push")
    assert (told["patterns_new"], told["episodes_new"]) == (0, 0), "it had arrived"
    assert set(wire.sent(PUSH)) == set(kept)
    assert record(api, source)["episodes"] == 16
    assert project.json("sync", "status")["waiting_pushes"] == 0


def test_offline_is_a_clear_message_and_nothing_is_lost(project: Project, wire: Wire, token: str) -> None:
    """Work on a plane would end in a traceback, or be forgotten."""
    project.ok("sync", "on", wire.url, "--token", token)
    state = project.place / ".hopper" / ".state" / "sync" / "teacher.json"
    told = json.loads(state.read_text())
    state.write_text(json.dumps({**told, "server": "http://127.0.0.1:9"}))
    offline = project.run("sync", "push")
    assert offline.returncode == 5
    assert "no server at http://127.0.0.1:9" in offline.stderr
    state.write_text(json.dumps(told))
    assert project.json("sync", "push")["episodes_new"] == 16


def test_what_is_refused_is_not_sent_for_ever(
    project: Project, wire: Wire, api: httpx.Client, token: str, source: str
) -> None:
    """A token that was revoked would leave a push that blocks all later ones."""
    project.ok("sync", "on", wire.url, "--token", token)
    api.post(f"/sync/sources/{source}/revoke")
    refused = project.run("sync", "push")
    assert refused.returncode == 4
    assert "revoked" in refused.stderr
    assert project.run("sync", "on", wire.url, "--token", token).returncode == 4
    project.ok("sync", "on", wire.url, "--token", registered(api, source)["Authorization"].removeprefix("Bearer "))
    assert project.json("sync", "push")["episodes_new"] == 16
    wrong = project.run("sync", "on", wire.url, "--token", "hps_0_0")
    assert wrong.returncode == 4
    assert "hopper sync sources add" in wrong.stderr


def test_a_server_that_forgot_is_told_again(project: Project, wire: Wire, api: httpx.Client, source: str) -> None:
    """Whoever was removed there by mistake could never come back: everything would count as told."""
    for _ in range(2):
        token = registered(api, source)["Authorization"].removeprefix("Bearer ")
        project.ok("sync", "on", wire.url, "--token", token)
        assert project.json("sync", "push")["episodes_new"] == 16
        api.delete(f"/sync/sources/{source}")


def test_whoever_asks_again_after_a_lost_answer_is_not_refused_for_ever(
    project: Project, wire: Wire, token: str, api: httpx.Client, source: str
) -> None:
    """After a bad connection, `hopper sync on` is what one tries; later corrections would be refused."""
    project.ok("sync", "on", wire.url, "--token", token)
    wire.lost = 99
    assert project.run("sync", "push").returncode == 5
    wire.lost = 0
    project.ok("sync", "on", wire.url, "--token", token)
    assert "nothing was sent" in project.ok("sync", "push")
    assert record(api, source)["episodes"] == 16


def test_a_busy_server_is_sent_the_same_bytes_again(project: Project, wire: Wire, token: str) -> None:
    """What had arrived before the server was busy would go under the same number again, and say something else."""
    project.ok("sync", "on", wire.url, "--token", token)
    wire.lost = 99
    assert project.run("sync", "push").returncode == 5
    wire.lost, wire.busy = 0, 1
    assert "busy" in project.run("sync", "push").stderr
    task = project.ok("add", "the payment is wrong", "-t", "billing").strip()
    project.ok("delegate", task, "cards")
    project.ok("done", task)
    project.ok("sync", "push")
    *same, new = wire.sent(PUSH)
    assert len(set(same)) == 1
    assert (json.loads(same[0])["sequence"], json.loads(new)["sequence"]) == (1, 2)


def test_what_became_private_is_not_sent_because_it_was_begun(project: Project, wire: Wire, token: str) -> None:
    """A person sees a word in the preview after a push that failed, lists it as private, and it would leave."""
    project.ok("sync", "on", wire.url, "--token", token)
    wire.busy = 1
    assert project.run("sync", "push").returncode == 5
    assert b"billing" in wire.seen.pop()[1]
    config = project.place / ".hopper" / "config.yaml"
    config.write_text(config.read_text() + "sync:\n  private: [billing]\n")
    shown = project.ok("sync", "preview")
    assert "rates" in shown
    assert "billing" not in shown
    project.ok("sync", "push")
    assert wire.sent(PUSH) == shown.encode().splitlines()


def test_off_is_off_while_a_push_is_under_way(project: Project, wire: Wire, token: str) -> None:
    """Who opts out in the middle of it would be opted in again by its end."""
    project.ok("sync", "on", wire.url, "--token", token)
    ended: list[subprocess.Popen[str]] = []
    wire.meanwhile = lambda: ended.append(project.start("sync", "off"))
    project.ok("sync", "push")
    assert [process.wait(30) for process in ended] == [0]
    assert project.json("sync", "status")["is_on"] is False


def test_what_is_forgotten_meanwhile_stays_forgotten(
    project: Project, wire: Wire, token: str, api: httpx.Client, source: str
) -> None:
    """The token and the record of what was sent would be there again, and so would what was sent."""
    project.ok("sync", "on", wire.url, "--token", token)
    ended: list[subprocess.Popen[str]] = []
    wire.meanwhile = lambda: ended.append(project.start("sync", "forget"))
    project.ok("sync", "push")
    assert [process.wait(30) for process in ended] == [0]
    assert project.json("sync", "status") == {"is_on": False}
    assert source not in {one["source_instance_id"] for one in api.get("/sync/sources").json()}


def test_a_copy_of_a_directory_has_not_opted_in(project: Project, wire: Wire, token: str, tmp_path: Path) -> None:
    """A repository could bring a teacher along, and whoever cloned it would tell a stranger what they learned."""
    project.ok("sync", "on", wire.url, "--token", token)
    shutil.copytree(project.place, tmp_path / "clone")
    clone = Project(tmp_path / "clone", project.home)
    assert clone.json("sync", "status")["is_on"] is False
    assert clone.run("sync", "push").returncode == 4
    assert project.json("sync", "push")["episodes_new"] == 16


def test_a_script_is_told_how_to_give_the_token(project: Project, wire: Wire) -> None:
    """An agent that turns it on would wait for a question that nobody answers, or get a traceback."""
    refused = project.run("sync", "on", wire.url)
    assert refused.returncode == 2
    assert "HOPPER_SYNC_TOKEN" in refused.stderr


def test_telling_names_can_be_taken_back(project: Project, wire: Wire, token: str) -> None:
    """Whoever told too much once would have to go on with it."""
    project.ok("sync", "on", wire.url, "--token", token, "--names")
    assert project.json("sync", "on", wire.url)["targets"] == "name"
    assert "cards" in project.ok("sync", "preview")
    assert project.json("sync", "on", "--scopes")["targets"] == "scope"
    assert "cards" not in project.ok("sync", "preview")


def test_forgetting_without_the_server_says_what_is_left(project: Project, wire: Wire, token: str) -> None:
    """Whoever changed their mind on a train would think that all of it is gone."""
    project.ok("sync", "on", wire.url, "--token", token)
    project.ok("sync", "push")
    wire.at, wire.lost = "", 99
    refused = project.run("sync", "forget")
    assert refused.returncode == 5
    assert "is on the server still" in refused.stderr
    assert project.json("sync", "status")["is_on"] is False
    wire.lost = 0
    project.ok("sync", "forget")
    assert project.json("sync", "status") == {"is_on": False}


def test_forgetting_removes_it_there_and_here(
    project: Project, wire: Wire, token: str, api: httpx.Client, source: str
) -> None:
    """Who changes their mind would stay on a server for ever."""
    project.ok("sync", "on", wire.url, "--token", token)
    project.ok("sync", "push")
    project.ok("sync", "off")
    assert project.json("sync", "status")["is_on"] is False
    assert project.run("sync", "push").returncode == 4
    project.ok("sync", "forget")
    assert source not in {one["source_instance_id"] for one in api.get("/sync/sources").json()}
    assert project.json("sync", "status") == {"is_on": False}
    assert not [one for one in (project.place / ".hopper" / ".state" / "sync").iterdir() if one.suffix != ""]


def test_what_others_share_helps_a_newcomer(project: Project, wire: Wire, token: str, api: httpx.Client) -> None:
    """Ten teams would have learned something, and the eleventh begin with nothing."""
    others = [f"other-{uuid4().hex[:20]}" for _ in range(3)]
    for other in others:
        rule = a_rule(
            "invoices", target_name="Loans", confidence=0.95, usage_count=40, success_count=40, failure_count=0
        )
        pushed = {"source_instance_id": other, "source_instance_name": other, "patterns": [rule]}
        assert api.post("/sync/northbound", json=pushed, headers=registered(api, other)).status_code == 200
    project.ok("sync", "on", wire.url, "--token", token, "--names")
    task = project.ok("add", "something else entirely", "-t", "invoices").strip()
    assert not _hints(project, task)
    assert project.json("sync", "pull")["patterns"] >= 1
    [hint] = _hints(project, task)
    assert hint["instance_id"] == "loans"
    assert "other Hoppers share" in hint["text"]
    assert hint["pattern_ids"]
    project.ok("sync", "off")
    assert not _hints(project, task)
    for other in others:
        api.delete(f"/sync/sources/{other}")


def _hints(project: Project, task: str) -> list[dict[str, Any]]:
    """What others share, as a dry run weighs it in favour of somebody."""
    decision = project.json("route", task, "--dry-run")
    return [
        one for one in decision["decision_factors"] if one["kind"] == "northbound_pattern" and one["contribution"] > 0
    ]
