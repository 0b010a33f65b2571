"""Claiming work over HTTP and by the command line, as agents and scripts do."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.acceptance.test_cli import Cli, RunningServer, unique
from tests.asking import KEYED
from tests.problems import fields, problem


@pytest.fixture
def api(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/api/v1", headers=KEYED, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def hopper(server: RunningServer) -> Cli:
    return Cli(server.url)


@pytest.fixture
def team(api: httpx.Client) -> str:
    """An instance that holds a task."""
    id: str = api.post("/instances", json={"name": unique("agents")}).json()["id"]
    api.post("/tasks", json={"title": "Work", "instance_id": id}).raise_for_status()
    return id


def claim(api: httpx.Client, team: str, **body: Any) -> Any:
    answer = api.post("/tasks/claim", json={"instance_id": team, **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["ETag"] == f'"{answer.json()["task"]["version"]}"'
    return answer.json()


def test_an_agent_works_through_what_its_instance_holds(api: httpx.Client, team: str) -> None:
    """What every agent does all day wouldn't work over HTTP."""
    claimed = claim(api, team, worker="agent-1", lease_seconds=60)
    path, token = f"/tasks/{claimed['task']['id']}", claimed["token"]
    assert (claimed["task"]["status"], claimed["lease"]["worker"]) == ("in_progress", "agent-1")
    assert api.post("/tasks/claim", json={"instance_id": team}).status_code == 204
    assert api.get(f"{path}/lease").json() == claimed["lease"]
    later = api.post(f"{path}/heartbeat", json={"token": token, "lease_seconds": 600}).json()
    assert later["expires_at"] > claimed["lease"]["expires_at"]
    back = api.post(f"{path}/release", json={"worker": "agent-1", "reason": "needs a key"})
    assert (back.status_code, back.json()["status"]) == (200, "pending")
    seen = api.get(f"{path}/lease").json()
    assert seen["reason"] == "needs a key"
    assert token not in str(seen)
    again = claim(api, team)
    assert problem(api.post(f"{path}/complete", json={"token": token}), 409)["type"].endswith(":lease-lost")
    assert api.post(f"{path}/complete", json={"token": again["token"]}).json()["status"] == "done"
    problem(api.get(f"{path}/lease"), 404)
    told = problem(api.post(f"{path}/heartbeat", json={"token": again["token"]}), 409)
    assert "claim a task" in told["detail"]


def test_a_claim_may_be_sent_again(api: httpx.Client, team: str) -> None:
    """A lost answer would leave the task with a worker that doesn't know of it."""
    send = {"json": {"instance_id": team}, "headers": {"Idempotency-Key": uuid4().hex}}
    first = api.post("/tasks/claim", **send)  # type: ignore[arg-type]
    assert first.status_code == 200
    assert api.post("/tasks/claim", **send).json() == first.json()  # type: ignore[arg-type]
    other = {"instance_id": team, "lease_seconds": 1}
    problem(api.post("/tasks/claim", json=other, headers=send["headers"]), 422)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("claim", {}, "instance_id"),
        ("claim", {"instance_id": "nobody"}, "instance_id"),
        ("claim", {"instance_id": "a b"}, "instance_id"),
        ("claim", {"instance_id": "x", "lease_seconds": 0}, "lease_seconds"),
        ("claim", {"instance_id": "x", "lease_seconds": 86_401}, "lease_seconds"),
        ("claim", {"instance_id": "x", "lease_seconds": "soon"}, "lease_seconds"),
        ("claim", {"instance_id": "x", "worker": " "}, "worker"),
        ("claim", {"instance_id": "x", "worker": "w" * 201}, "worker"),
        ("t/heartbeat", {}, "body"),
        ("t/heartbeat", {"token": "0" * 32, "worker": "w"}, "body"),
        ("t/heartbeat", {"token": "mine"}, "token"),
        ("t/release", {"worker": "w", "reason": "r\x00"}, "reason"),
        ("t/release", {"worker": "w", "reason": "r" * 1001}, "reason"),
        ("t/complete", {"token": ""}, "token"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_the_field(
    api: httpx.Client, path: str, body: dict[str, Any], field: str
) -> None:
    """An agent with a mistake in it would wait for work for ever, or hold a task for a year."""
    assert fields(problem(api.post(f"/tasks/{path}", json=body), 422)) == {field}


def test_a_paused_instance_says_what_to_do(api: httpx.Client, hopper: Cli, team: str) -> None:
    """Its agents would look for a fault in themselves."""
    api.post(f"/instances/{team}/pause").raise_for_status()
    assert "Start it" in problem(api.post("/tasks/claim", json={"instance_id": team}), 409)["detail"]
    refused = hopper("claim", "--instance", team)
    assert refused.code == 4
    assert "is paused" in refused.err


def test_a_script_claims_and_gives_back(hopper: Cli) -> None:
    """A shell script couldn't be a worker."""
    name = unique("scripts")
    hopper.ok("instance", "add", name)
    urgent = [hopper.json("add", "Work", "--instance", name, "-p", priority)["id"] for priority in ("low", "urgent")][1]
    assert hopper.json("ready", "--instance", name)["items"][0]["id"] == urgent
    assert hopper.ok("ready", "--instance", name).index(urgent[-8:]) > 0
    task = hopper.ok("claim", "--instance", name, "--lease", "90s").strip()
    assert task == urgent[-8:]
    assert "yours until" in hopper.ok("heartbeat", task, "--lease", "1d")
    assert hopper("heartbeat", task, "--worker", "somebody else").code == 4
    assert "Given back" in hopper.ok("release", task, "--reason", "tired")
    claimed = hopper.json("claim", "--instance", name, "--worker", "w")
    assert claimed["task"]["id"] == urgent
    assert hopper.json("heartbeat", task, "--token", claimed["token"])["worker"] == "w"
    refused = hopper("done", task, "--token", "0" * 32)
    assert refused.code == 4
    assert "w has it until" in refused.err
    hopper.ok("done", task, "--token", claimed["token"])
    hopper.ok("claim", "--instance", name)
    nothing = hopper("claim", "--instance", name)
    assert (nothing.code, nothing.out) == (0, "")
    assert "Nothing is ready" in nothing.err
    assert hopper.json("claim", "--instance", name) is None


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["claim"], 2),
        (["claim", "--instance", "nobody of this name"], 3),
        (["claim", "--instance", "x", "--lease", "soon"], 2),
        (["claim", "--instance", "x", "--lease", "-5"], 2),
        (["heartbeat", "nothing-of-this-id"], 3),
        (["heartbeat", "x", "--token", "t", "--worker", "w"], 2),
        (["release", "x", "--token", "t", "--worker", "w"], 2),
    ],
)
def test_wrong_usage_is_told(hopper: Cli, arguments: list[str], code: int) -> None:
    """A script would take a mistake for an empty queue."""
    refused = hopper(*arguments)
    assert (refused.code, refused.out) == (code, "")
    assert refused.err
