"""/graph and hopper graph …, against a real server."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.acceptance.test_cli import Cli, unique
from tests.asking import KEYED
from tests.conftest import RunningServer
from tests.problems import fields, problem


@pytest.fixture
def api(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/api/v1", headers=KEYED, trust_env=False) as client:
        yield client


@pytest.fixture
def hopper(server: RunningServer) -> Cli:
    return Cli(server.url)


def made(api: httpx.Client, path: str, **body: Any) -> str:
    id: str = api.post(path, json=body).raise_for_status().json()["id"]
    return id


def task(api: httpx.Client, title: str, **body: Any) -> str:
    return made(api, "/tasks", title=title, **body)


def handed(api: httpx.Client, task: str, to: str, came_from: str | None = None, then: str | None = None) -> None:
    body = {"target_instance_id": to, "source_instance_id": came_from}
    id = api.post(f"/tasks/{task}/delegations", json=body).raise_for_status().json()["id"]
    if then:
        api.post(f"/delegations/{id}/{then}").raise_for_status()


def asked(api: httpx.Client, path: str, **query: Any) -> Any:
    return api.get(f"/graph/{path}", params=query).raise_for_status().json()


def ids(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["id"] for entry in entries]


Work = dict[str, str]


@pytest.fixture
def work(api: httpx.Client) -> Work:
    """c and d wait for b, which waits for a; d for c too."""
    a = task(api, "Agree on the model", project="billing")
    b = task(api, "Write the “migration”", project="billing", depends_on=[a])
    c = task(api, "Serve it", project="app", depends_on=[b])
    return {"a": a, "b": b, "c": c, "d": task(api, "Release it", depends_on=[b, c])}


@pytest.fixture
def travelled(api: httpx.Client) -> Work:
    """A task that came back to the first of two instances."""
    one, other = unique("one"), unique("other")
    first, second = made(api, "/instances", name=one), made(api, "/instances", name=other)
    moved = task(api, "Nobody's task")
    handed(api, moved, first, then="reject")
    handed(api, moved, second, first)
    handed(api, moved, first, second, then="accept")
    return {"task": moved, "first": first, "second": second, "one": one, "other": other}


def test_what_waits_for_a_task(api: httpx.Client, hopper: Cli, work: Work) -> None:
    """Nobody would see how far a delay reaches."""
    blocked = asked(api, f"tasks/{work['a']}/blocked")
    assert [(one["id"], one["depth"]) for one in blocked["tasks"]] == [(work["b"], 1), (work["c"], 2), (work["d"], 2)]
    assert (blocked["total"], blocked["truncated"], blocked["answered_by"]) == (3, False, "postgresql")
    assert (len(blocked["nodes"]), {edge["type"] for edge in blocked["edges"]}) == (4, {"DEPENDS_ON"})
    assert asked(api, f"tasks/{work['a']}/blocked", limit=1)["truncated"]

    said = hopper.ok("graph", "blocked", work["a"]).splitlines()
    assert said[0].startswith(work["a"][-8:])
    assert said[1].startswith(f"└── {work['b'][-8:]}  pending  Write the “migration”")
    assert sum(work["d"][-8:] in line for line in said) == 2
    assert sum("(again)" in line for line in said) == 1
    assert said[-1] == "3 tasks depend on it."
    assert hopper.json("graph", "blocked", work["a"]) == blocked


def test_what_a_task_holds_up(api: httpx.Client, hopper: Cli, work: Work) -> None:
    """A finished task would look like a danger, or a project not hear of the delay."""
    api.patch(f"/tasks/{work['c']}", json={"status": "cancelled"}).raise_for_status()
    impact = asked(api, f"tasks/{work['a']}/impact")
    assert ids(impact["tasks"]) == [work["b"], work["d"]]
    assert (impact["total"], impact["depth"]) == (2, 2)
    assert impact["by_project"] == [{"project": "billing", "tasks": 1}, {"project": None, "tasks": 1}]
    assert "holds up 2 open tasks, up to 2 steps away (billing 1, no project 1)" in hopper.ok(
        "graph", "impact", work["a"]
    )
    hopper.ok("done", work["a"])
    assert asked(api, f"tasks/{work['a']}/impact")["total"] == 0
    assert "It holds up no open tasks." in hopper.ok("graph", "impact", work["a"])


def test_the_longest_chain_of_open_work(api: httpx.Client, hopper: Cli, work: Work) -> None:
    """Nobody would know where to begin."""
    path = asked(api, f"tasks/{work['d']}/critical-path")
    assert ids(path["tasks"]) == [work["a"], work["b"], work["c"], work["d"]]
    assert (path["total"], path["needed"]) == (4, 3)
    said = hopper.ok("graph", "path", work["d"])
    assert f"1  {work['a'][-8:]}" in said
    assert "3 open tasks must be done before it; 3 of them one after the other." in said
    assert "No open tasks must be done before it." in hopper.ok("graph", "path", work["a"])
    hopper.ok("done", work["a"])
    assert "it is done" in hopper.ok("graph", "path", work["a"])


def test_how_a_task_was_handed_on(api: httpx.Client, hopper: Cli, travelled: Work) -> None:
    """Who had the task, and who gave it away, would be forgotten."""
    chain = asked(api, f"tasks/{travelled['task']}/delegation-chain")
    assert [(hop["source_name"], hop["target_name"], hop["status"]) for hop in chain["hops"]] == [
        (None, travelled["one"], "rejected"),
        (travelled["one"], travelled["other"], "recalled"),
        (travelled["other"], travelled["one"], "accepted"),
    ]
    said = hopper.ok("graph", "chain", travelled["task"])
    assert f"rejected   → {travelled['one']}" in said
    assert f"accepted   {travelled['other']} → {travelled['one']}" in said
    fresh = hopper("graph", "chain", task(api, "Fresh"))
    assert (fresh.code, "never delegated" in fresh.err) == (0, True)


def test_which_tasks_come_back(api: httpx.Client, hopper: Cli, travelled: Work) -> None:
    """A task that nobody wants would wander for ever."""
    found = {one["id"]: one for one in asked(api, "ping-pong", limit=5_000)["tasks"]}
    assert found[travelled["task"]]["returns"] == 1
    assert len(found[travelled["task"]]["hops"]) == 3
    assert travelled["task"] not in ids(asked(api, "ping-pong", min=2)["tasks"])
    assert "came back once" in hopper.ok("graph", "ping-pong")
    assert "No task came back" in hopper("graph", "ping-pong", "--min", "1000").err


def test_what_a_task_is_a_part_of(api: httpx.Client, hopper: Cli, travelled: Work) -> None:
    """A part would be looked at without the whole."""
    whole = task(api, "Whole")
    part = task(api, "Part", parent_task_id=whole)
    detail = task(api, "Detail", parent_task_id=part)
    handed(api, detail, travelled["first"])
    lineage = asked(api, f"tasks/{part}/lineage")
    assert (ids(lineage["ancestors"]), ids(lineage["descendants"])) == ([whole], [detail])
    assert lineage["descendants"][0]["delegations"][0]["target_instance_id"] == travelled["first"]
    assert hopper.ok("graph", "lineage", part).splitlines()[:3] == [
        f"{whole[-8:]}  pending  Whole",
        f"└── » {part[-8:]}  pending  Part",
        f"    └── {detail[-8:]}  pending  Detail",
    ]
    assert f"→ {travelled['one']}  pending" in hopper.ok("graph", "lineage", part)


def test_who_stands_above_and_which_rules_lead_there(api: httpx.Client, hopper: Cli) -> None:
    """Nobody would know why an instance gets what it gets."""
    top, name = made(api, "/instances", name=unique("top")), unique("team")
    team = made(api, "/instances", name=name, parent_id=top)
    for called, sure in (("weak", 0.5), ("strong", 0.9)):
        rule = {"pattern_type": "priority", "priority_criteria": "low", "target_instance": team, "confidence": sure}
        api.post("/patterns", json={"name": called, **rule}).raise_for_status()
    assert ids(asked(api, f"instances/{team}/hierarchy")["instances"]) == [team, top]
    assert ids(asked(api, f"instances/{top}/hierarchy")["instances"]) == [top]
    assert f"└── » {team[-8:]}  running  {name}" in hopper.ok("graph", "hierarchy", name)

    patterns = asked(api, f"instances/{team}/patterns")["patterns"]
    assert [one["name"] for one in patterns] == ["strong", "weak"]
    assert len(asked(api, f"instances/{team}/patterns", min_confidence=0.5)["patterns"]) == 1
    said = hopper.ok("graph", "patterns", name)
    assert said.index("90%") < said.index("50%")
    assert "weak" not in hopper.ok("graph", "patterns", name, "--min-confidence", "0.5")


def test_which_tags_belong_together_and_which_are_doubles(api: httpx.Client, hopper: Cli) -> None:
    """Tags would multiply until nobody finds anything by them."""
    word = uuid4().hex[:8].translate(str.maketrans("0123456789", "ghijklmnop"))
    one, other, lone, wanted = f"{word}-cards", f"{word}-money", f"lone{word}", f"wanted{word}"
    for _ in range(3):
        task(api, "Tagged", tags=[one, other])
    task(api, "Tagged otherwise", tags=[f"{word}_Card", lone])
    target = made(api, "/instances", name=unique("target"))
    rule = {"pattern_type": "tag", "tag_criteria": {"any": [wanted]}, "target_instance": target}
    api.post("/patterns", json={"name": "rule", **rule}).raise_for_status()

    pairs = asked(api, "tags/co-occurrence", min=2, limit=5_000)["pairs"]
    assert {"tags": [one, other], "count": 3, "weight": 1.0} in pairs
    assert [one, other] not in [pair["tags"] for pair in asked(api, "tags/co-occurrence", min=3, limit=5_000)["pairs"]]
    assert one in hopper.ok("graph", "tags", "--min", "2", "--limit", "5000")

    hygiene = asked(api, "tags/hygiene", limit=5_000)
    [group] = [group for group in hygiene["groups"] if group["name"] == one]
    assert [(double["name"], double["why"]) for double in group["doubles"]] == [(f"{word}_Card", "plural")]
    orphans = {orphan["name"]: orphan["why"] for orphan in hygiene["orphans"]}
    assert (orphans[lone], orphans[wanted]) == ("one_task", "no_task")
    said = hopper.ok("graph", "tags", "--hygiene", "--limit", "5000")
    assert f"{word}_Card  1 task, singular and plural" in said
    assert said.count(f"{word}_Card") == 1
    assert wanted in said


def test_what_most_work_waits_for(api: httpx.Client, hopper: Cli, travelled: Work) -> None:
    """The one task that would set ten free would be nobody's first."""
    narrow = task(api, "Narrow", instance_id=travelled["first"])
    waiting = [task(api, "Waiting", depends_on=[narrow]) for _ in range(12)]
    worst = asked(api, "bottlenecks", limit=1)
    assert (ids(worst["tasks"]), worst["tasks"][0]["waiting"]) == ([narrow], 12)
    assert worst["tasks"][0]["holder"]["name"] == travelled["one"]
    whole = asked(api, "bottlenecks")
    assert set(waiting) <= set(ids(whole["nodes"]))
    said = hopper.ok("graph", "bottlenecks", "--limit", "20")
    assert f"{narrow[-8:]}  pending  12 wait, held by {travelled['one']}  Narrow" in said


@pytest.mark.parametrize(
    ("path", "query", "wrong"),
    [
        ("bottlenecks", {"limit": 0}, "limit"),
        ("bottlenecks", {"limit": 5_001}, "limit"),
        ("bottlenecks", {"limt": 1}, "limt"),
        ("ping-pong", {"min": 0}, "min"),
        ("tags/co-occurrence", {"min": -1}, "min"),
        ("tags/co-occurrence", {"more_than": 1}, "more_than"),
        ("instances/x/patterns", {"min_confidence": 1.1}, "min_confidence"),
        ("instances/x/patterns", {"min_confidence": "nan"}, "min_confidence"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(api: httpx.Client, path: str, query: Any, wrong: str) -> None:
    """A slip would be answered as if something else had been asked."""
    assert fields(problem(api.get(f"/graph/{path}", params=query), 422)) == {wrong}


def test_what_is_not_there_is_said_to_be_so(api: httpx.Client, hopper: Cli, travelled: Work) -> None:
    """An unknown task would look like one that nobody waits for."""
    for question in ("delegation-chain", "blocked", "impact", "critical-path", "lineage"):
        for id in ("nothing", travelled["first"]):
            assert "task" in problem(api.get(f"/graph/tasks/{id}/{question}"), 404)["detail"]
    for question in ("hierarchy", "patterns"):
        for id in ("nothing", travelled["task"]):
            assert "instance" in problem(api.get(f"/graph/instances/{id}/{question}"), 404)["detail"]
    assert hopper("graph", "blocked", travelled["first"]).code == 3
    assert hopper("graph", "hierarchy", travelled["task"]).code == 3
    assert hopper("graph", "blocked", travelled["task"], "--limit", "5001").code == 2
    refused = hopper("graph", "tags", "--hygiene", "--format", "dot")
    assert (refused.code, "tree or json" in refused.err) == (2, True)


def test_answers_can_be_drawn_by_other_programs(api: httpx.Client, hopper: Cli, work: Work, travelled: Work) -> None:
    """A picture for a report would have to be drawn by hand."""
    drawn = hopper.ok("graph", "blocked", work["a"], "--format", "mermaid").splitlines()
    assert (drawn[0], len(drawn)) == ("flowchart LR", 1 + 4 + 4)
    digraph = hopper.ok("graph", "chain", travelled["task"], "--format", "dot")
    assert digraph.startswith("digraph hopper {\n")
    assert digraph.count("->") == 3
    assert hopper.json("graph", "path", work["d"], "--format", "json")["total"] == 4


def test_a_deep_tree_stays_legible(api: httpx.Client, hopper: Cli) -> None:
    """The titles would be pushed off the screen."""
    first = last = task(api, "Step")
    for _ in range(20):
        last = task(api, "Step", depends_on=[last])
    hopper.environment["COLUMNS"] = "80"
    said = hopper.ok("graph", "blocked", first)
    assert max(map(len, said.splitlines())) <= 80
    assert said.count("  Step\n") == 21 + said.count("↓")
    assert f"{last[-8:]}  pending  Step" in said
