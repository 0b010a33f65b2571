"""The whole wire over HTTP, against `hopper serve` as a process: what any client may rely on."""

import json
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.asking import KEYED
from tests.conftest import fresh_database, serving
from tests.problems import problem

from hopper import __version__


@pytest.fixture(scope="module")
async def api(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.Client]:
    """A client of a server that this file has for itself."""
    async with fresh_database(postgres_url) as url:
        with serving(url, tmp_path_factory.mktemp("wire")) as running, client(running.url) as opened:
            yield opened


def client(url: str) -> httpx.Client:
    return httpx.Client(base_url=f"{url}/api/v1", headers=KEYED, timeout=30, trust_env=False)


def unique(name: str) -> str:
    return f"{name} {uuid4().hex[:8]}"


def made(response: httpx.Response) -> Any:
    """What was created; it says where it is and which version it has."""
    assert response.status_code == 201, response.text
    body = response.json()
    if "version" in body:
        assert response.headers["Location"].endswith(f"/{body['id']}")
        assert response.headers["ETag"] == f'"{body["version"]}"'
    return body


def ok(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/json"
    return response.json()


def instance(api: httpx.Client, name: str = "team", **fields: Any) -> Any:
    return made(api.post("/instances", json={"name": unique(name), **fields}))


def task(api: httpx.Client, title: str = "A task", **fields: Any) -> Any:
    return made(api.post("/tasks", json={"title": title, **fields}))


def pages(api: httpx.Client, path: str, **query: Any) -> Iterator[list[Any]]:
    """The pages of a listing until it ends."""
    cursor: str | None = None
    while True:
        page = ok(api.get(path, params={**query, **({"cursor": cursor} if cursor else {})}))
        yield page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def bulk(api: httpx.Client, *lines: object, atomic: bool = False) -> Any:
    body = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    headers = {"Content-Type": "application/x-ndjson"}
    return ok(api.post("/tasks/bulk", params={"atomic": atomic}, content=body, headers=headers))


def test_from_a_task_to_a_better_next_decision(api: httpx.Client) -> None:
    """The product's promise, in the calls that every client makes."""
    top = instance(api, "top")["id"]
    cards, refunds = (instance(api, name, parent_id=top)["id"] for name in ("cards", "refunds"))
    word = f"declined{uuid4().hex[:8]}"
    pattern = made(
        api.post(
            "/patterns",
            json={
                "name": "card trouble",
                "pattern_type": "text",
                "text_criteria": {"any": [word]},
                "target_instance": cards,
            },
        )
    )
    filed = task(api, f"Card {word} abroad", route=True, tags=["abroad"], priority="high")
    decision = filed["decision"]
    assert (decision["chosen_instance"], decision["strategy"]) == (cards, "manual_pattern")
    assert 0.5 <= decision["confidence"] <= 1
    [factor] = decision["decision_factors"]
    assert factor["pattern_ids"] == [pattern["id"]]
    assert word in factor["text"]
    assert (filed["instance_id"], filed["tags"]) == (cards, {"abroad": True})
    path = f"/tasks/{filed['id']}"
    answered = {"decision", "duplicates"}
    assert ok(api.get(path)) == {name: value for name, value in filed.items() if name not in answered}

    [delegation] = ok(api.get(f"{path}/delegations"))
    assert (delegation["target_instance_id"], delegation["status"]) == (cards, "pending")
    assert ok(api.get(f"/instances/{cards}/delegations"))["items"] == [delegation]
    assert ok(api.post(f"/delegations/{delegation['id']}/accept"))["status"] == "accepted"
    assert [held["id"] for held in ok(api.get(f"/instances/{cards}/tasks"))["items"]] == [filed["id"]]
    assert ok(api.post(f"/delegations/{delegation['id']}/complete"))["status"] == "completed"
    assert ok(api.get(path))["status"] == "done"

    said = {"was_good_match": False, "should_have_routed_to": refunds, "quality_score": 0.25, "complexity_rating": 4}
    feedback = ok(api.put(f"{path}/feedback", json=said))
    assert {name: feedback[name] for name in said} == said
    assert ok(api.get(f"{path}/feedback")) == feedback
    [episode] = ok(api.get(f"{path}/decisions"))
    assert (episode["id"], episode["outcome_success"]) == (decision["episode_id"], False)
    assert episode["outcome_instance"] == refunds
    assert episode["decision_factors"] == decision["decision_factors"]

    assert api.delete(f"/patterns/{pattern['id']}").status_code == 204
    following = task(api, f"Card {word} abroad again")["id"]
    dry = ok(api.post(f"/tasks/{following}/route", params={"dry_run": True, "by": top}))
    assert (dry["episode_id"], dry["chosen_instance"]) == (None, refunds)
    better = ok(api.post(f"/tasks/{following}/route", params={"by": top}))
    assert (better["chosen_instance"], better["strategy"]) == (refunds, "similar_episodes")
    problem(api.post(f"/tasks/{following}/route"), 409)


def test_what_nobody_can_decide_waits_in_triage(api: httpx.Client) -> None:
    """A task that Hopper doesn't understand would be lost in a long list."""
    taker, first = instance(api)["id"], task(api, "First")["id"]
    waits = task(api, "Waits", depends_on=[first])["id"]

    def listed(path: str, **query: Any) -> list[str]:
        return [found["id"] for page in pages(api, path, limit=50, **query) for found in page]

    decision = ok(api.post(f"/tasks/{waits}/route", params={"by": taker}))  # there is nobody below it
    assert (decision["chosen_instance"], decision["strategy"]) == (None, "abstain")
    assert waits in listed("/tasks/triage")
    made(api.post(f"/tasks/{waits}/delegations", json={"target_instance_id": taker}))
    assert waits not in listed("/tasks/triage")
    assert waits not in listed("/tasks/ready", instance_id=taker)
    assert first in problem(api.post(f"/tasks/{waits}/complete"), 409)["detail"]
    ok(api.post(f"/tasks/{first}/complete"))
    assert listed("/tasks/ready", instance_id=taker) == [waits]
    assert ok(api.post(f"/tasks/{waits}/complete"))["status"] == "done"
    assert listed("/tasks/ready", instance_id=taker) == []


def test_a_change_needs_the_version_that_was_read(api: httpx.Client) -> None:
    """Two people who edit the same thing would overwrite each other without noticing."""
    target = instance(api)["id"]
    pattern = {"name": "p", "pattern_type": "priority", "priority_criteria": "low", "target_instance": target}
    for path, new, change in (
        ("/tasks", {"title": "Before"}, {"title": "After"}),
        ("/instances", {"name": "Before"}, {"name": "After"}),
        ("/patterns", {**pattern, "is_active": False}, {"name": "After"}),
    ):
        created = api.post(path, json=new)
        entity, etag = f"{path}/{made(created)['id']}", created.headers["ETag"]
        assert api.get(entity).headers["ETag"] == etag
        changed = api.patch(entity, json=change, headers={"If-Match": etag})
        assert ok(changed) | change == ok(changed)
        assert changed.headers["ETag"] != etag
        for stale in (
            api.patch(entity, json=change, headers={"If-Match": etag}),
            api.put(entity, json=new, headers={"If-Match": etag}),
            api.delete(entity, headers={"If-Match": etag}),
        ):
            assert problem(stale, 412)["type"] == "urn:hopper:problem:stale-version"
        replaced = api.put(entity, json=new, headers={"If-Match": changed.headers["ETag"]})
        assert ok(replaced) | new == ok(replaced)
        assert api.patch(entity, json=change, headers={"If-Match": "*"}).status_code == 200
        assert api.delete(entity, headers={"If-Match": api.get(entity).headers["ETag"]}).status_code == 204
        problem(api.get(entity), 404)


def test_a_repeated_create_makes_one(api: httpx.Client) -> None:
    """Whoever repeats a request after a lost connection would file everything twice."""
    target = instance(api)["id"]
    pattern = {"name": "p", "pattern_type": "priority", "priority_criteria": "low", "target_instance": target}
    for path, body in (
        ("/tasks", {"title": "Once"}),
        ("/instances", {"name": "Once"}),
        ("/patterns", {**pattern, "is_active": False}),
    ):
        key = {"Idempotency-Key": uuid4().hex}

        def create(_number: int, path: str = path, body: Any = body, key: Any = key) -> Any:
            return made(api.post(path, json=body, headers=key))

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(create, range(8)))
        assert len({answer["id"] for answer in answers}) == 1
        reused = problem(api.post(path, json={**body, "description": "Other"}, headers=key), 422)
        assert reused["type"] in {"urn:hopper:problem:idempotency-mismatch", "urn:hopper:problem:invalid"}
        assert create(0) == answers[0]
    once = {"title": "Once more"}
    keys = [{"Idempotency-Key": uuid4().hex} for _ in range(2)]
    assert len({made(api.post("/tasks", json=once, headers=key))["id"] for key in keys}) == 2


def test_a_repeated_create_is_routed_once(api: httpx.Client) -> None:
    """A client that lost patience and asked again would be refused, or get two decisions about one task."""
    target = instance(api)["id"]
    rule = {"name": "p", "pattern_type": "tag", "tag_criteria": {"any": [target]}, "target_instance": target}
    made(api.post("/patterns", json=rule))
    for tags in ([target], []):  # decided by the rule, and most likely by nobody
        key = {"Idempotency-Key": uuid4().hex}
        body = {"title": uuid4().hex, "tags": tags, "route": True}

        def create(_number: int, body: Any = body, key: Any = key) -> Any:
            return made(api.post("/tasks", json=body, headers=key))

        with ThreadPoolExecutor(4) as pool:
            decisions = [answer["decision"] for answer in pool.map(create, range(8))]
        assert decisions == decisions[:1] * 8
        assert create(0)["decision"] == decisions[0]


def test_a_listing_shows_everything_once(api: httpx.Client) -> None:
    """Entries would be missing, or come twice, when others file tasks while someone leafs through."""
    project = unique("project")
    filed = [task(api, f"Task {number}", project=project)["id"] for number in range(23)]
    seen: list[str] = []
    sizes: list[int] = []
    for page in pages(api, "/tasks", project=project, limit=10):
        seen += [found["id"] for found in page]
        sizes.append(len(page))
        task(api, "Meanwhile", project=project)
    assert seen == filed[::-1]
    assert sizes == [10, 10, 3]
    oldest_first = [found["id"] for page in pages(api, "/tasks/triage", limit=7) for found in page]
    assert [found for found in oldest_first if found in filed] == filed
    name = unique("same name")
    same = [made(api.post("/instances", json={"name": name}))["id"] for _ in range(5)]
    assert [found["id"] for page in pages(api, "/instances", name=name, limit=2) for found in page] == same


def test_many_tasks_come_in_one_request(api: httpx.Client) -> None:
    """Moving in with a thousand tasks would take a thousand requests, and one bad line would stop them all."""
    tag, own = uuid4().hex, str(uuid4())
    rows = [{"title": f"Row {number}", "tags": [tag]} for number in range(3)]
    mine = {"id": own, "title": "With an id", "tags": [tag], "created_at": "2024-05-06T07:08:09+02:00"}
    report = bulk(api, rows[0], b"not json", b"", mine, {"title": ""}, {"title": "x", "no": 1}, rows[1])
    assert (report["created"], report["unchanged"], report["failed"]) == (3, 0, 3)
    assert [(error["line"], error["field"]) for error in report["errors"]] == [(2, None), (5, "title"), (6, "no")]
    assert ok(api.get(f"/tasks/{own}"))["created_at"] == "2024-05-06T05:08:09+00:00"
    assert bulk(api, mine)["unchanged"] == 1
    nothing = bulk(api, rows[2], b"not json", atomic=True)
    assert (nothing["created"], nothing["failed"]) == (0, 1)
    assert len(ok(api.get("/tasks", params={"tag": tag}))["items"]) == 3
    assert bulk(api, rows[2], atomic=True)["created"] == 1


def test_tasks_are_found_by_their_words(api: httpx.Client) -> None:
    """Nobody would find anything again."""
    word, tag = f"quillon{uuid4().hex[:6]}", uuid4().hex
    title = task(api, f"The {word} is broken", tags=[tag])["id"]
    description = task(api, "Something else", description=f"It was the {word} of the door.")["id"]
    other = task(api, f"Order a {word} for the garden")["id"]

    def found(q: str, **query: Any) -> list[str]:
        page = pages(api, "/search", q=q, mode="keyword", **query)
        return [hit["task"]["id"] for hits in page for hit in hits]

    assert set(found(word)) == {title, description, other}
    assert found(word)[-1] == description  # a title counts more
    assert found(f"{word} -garden -door") == [title]
    assert found(f'"{word} of the door"') == [description]
    assert found(word, tag=tag) == [title]
    assert set(found(word, limit=1)) == {title, description, other}
    [hit] = ok(api.get("/search", params={"q": f"{word} broken", "mode": "keyword"}))["items"]
    assert f"«{word}»" in hit["highlight"]
    assert found(f"nothing{uuid4().hex}") == []
    ok(api.patch(f"/tasks/{other}", json={"title": "Order a hose"}))
    assert other not in found(word)
    ok(api.post(f"/tasks/{title}/complete"))
    assert found(word, status="pending") == [description]


def _until_embedded(api: httpx.Client) -> None:
    for _ in range(100):
        if not any(kind["waiting"] for kind in ok(api.get("/embeddings/status"))["queue"]):
            return
        time.sleep(0.1)
    raise AssertionError("what is filed isn't embedded")


def test_search_says_which_ranker_found_what(api: httpx.Client) -> None:
    """Nobody could tell why a task was found, or page through what means the same."""
    word = f"quillon{uuid4().hex[:6]}"
    own = task(api, f"The {word} is broken", priority="low", source="mail")["id"]
    found = ok(api.get("/search", params={"q": f"{word[:9]}*", "mode": "keyword"}))
    assert found["degraded"] is False
    assert own in [hit["task"]["id"] for hit in found["items"]]
    first, *_ = ok(api.get("/search", params={"q": word, "priority": "low", "source": "mail"}))["items"]
    assert first["task"]["id"] == own
    assert (first["ranks"]["keyword"], first["ranks"]["words"]) == (1, 1)
    _until_embedded(api)  # what means the same is ranked anew with each new vector
    ids = [hit["task"]["id"] for page in pages(api, "/search", q="broken", limit=3) for hit in page]
    assert len(set(ids)) == len(ids)
    near = ok(api.get(f"/tasks/{own}/similar", params={"limit": 3}))
    assert own not in [one["task"]["id"] for one in near]
    assert all(-1 <= one["similarity"] <= 1.0001 for one in near)


def test_a_task_that_is_there_already_is_told_of_refused_or_linked(api: httpx.Client) -> None:
    """Work would be done twice."""
    word = f"quillon{uuid4().hex[:6]}"
    body = {"title": f"The {word} of the {word[::-1]} door squeaks"}
    first = task(api, **body)
    assert (first["duplicates"], first["duplicate_of"]) == (None, None)
    warned = task(api, **body, on_duplicate="warn")
    assert warned["duplicates"][0]["task_id"] == first["id"]
    assert warned["duplicates"][0]["score"] > 0.9
    told = problem(api.post("/tasks", json={**body, "on_duplicate": "reject"}), 409)
    assert told["type"] == "urn:hopper:problem:duplicate"
    assert {one["task_id"] for one in told["duplicates"]} == {first["id"], warned["id"]}
    ok(api.patch(f"/tasks/{warned['id']}", json={"status": "done"}))
    linked = task(api, **body, on_duplicate="link", route=True)
    assert linked["duplicate_of"] == first["id"]
    assert linked["decision"] is not None
    assert ok(api.get(f"/tasks/{linked['id']}"))["duplicate_of"] == first["id"]
    assert ok(api.patch(f"/tasks/{linked['id']}", json={"duplicate_of": None}))["duplicate_of"] is None
    key = {"Idempotency-Key": uuid4().hex}
    once = {"title": f"Once {uuid4().hex} {uuid4().hex}", "on_duplicate": "reject"}
    assert len({made(api.post("/tasks", json=once, headers=key))["id"] for _ in range(2)}) == 1


def test_patterns_can_be_asked_what_they_say_of_a_task(api: httpx.Client) -> None:
    """Whoever writes rules couldn't try them out."""
    word = f"quillon{uuid4().hex[:6]}"
    team = instance(api)["id"]
    rule = {"pattern_type": "text", "text_criteria": {"any": [word]}, "target_instance": team}
    pattern = made(api.post("/patterns", json={"name": f"{word} trouble", **rule}))
    answer = ok(api.post("/patterns/match", json={"title": f"My {word} is broken", "tags": ["x"], "priority": "low"}))
    assert [(one["pattern"]["id"], one["reason"]) for one in answer["matches"]] == [(pattern["id"], f"text “{word}”")]
    assert answer["degraded"] is False
    own = task(api, f"Another {word}")["id"]
    assert ok(api.post("/patterns/match", json={"task_id": own}))["matches"][0]["pattern"]["id"] == pattern["id"]
    ok(api.patch(f"/patterns/{pattern['id']}", json={"is_active": False}))
    assert ok(api.post("/patterns/match", json={"task_id": own}))["matches"] == []


def test_the_tree_of_instances_and_its_switches(api: httpx.Client) -> None:
    """Nobody could see who stands below whom, or take somebody out of the routing."""
    top = instance(api, "top", scope="GLOBAL", config={"deep": {"er": [1, 2.5, None]}})
    below = instance(api, "below", parent_id=top["id"])
    assert top["config"] == {"deep": {"er": [1, 2.5, None]}}
    assert ok(api.get(f"/instances/{top['id']}/children")) == [below]
    assert ok(api.get(f"/instances/{below['id']}/hierarchy")) == [below, top]
    for action, status in (("stop", "stopped"), ("start", "running"), ("pause", "paused"), ("resume", "running")):
        for _again in range(2):
            assert ok(api.post(f"/instances/{below['id']}/{action}"))["status"] == status
    assert below["id"] in [found["id"] for page in pages(api, "/instances", status="running") for found in page]


def test_what_people_write_comes_back_as_it_was(api: httpx.Client) -> None:
    """Texts in other scripts, or with signs that mean something to a database, would be damaged."""
    for text in (
        "Grüße, 你好, שלום, हिन्दी",
        "🧑\u200d🚀" * 160,
        "a\tb\r\nc\u2028d",
        "'; DROP TABLE tasks; --",
        '\\"%_$1',
        "e\u0301",
    ):
        tags = {"näme": text[:200].strip(), "🧑\u200d🚀": True}
        filed = task(api, text[:500], description=text, tags=tags)
        read = ok(api.get(f"/tasks/{filed['id']}"))
        assert (read["title"], read["description"], read["tags"]) == (text[:500], text, tags)
        found = ok(api.get("/tasks", params={"tag": f"näme={tags['näme']}"}))["items"]
        assert filed["id"] in [match["id"] for match in found]


def test_the_figures_add_up(api: httpx.Client) -> None:
    """Whoever decides whether to trust Hopper would look at wrong numbers."""
    before = ok(api.get("/learning/statistics"))
    lonely = instance(api)["id"]
    good, bad = (task(api, "Placed by hand", instance_id=lonely)["id"] for _ in range(2))
    target = instance(api, "target", parent_id=lonely)["id"]
    rule = {"name": "all", "pattern_type": "priority", "priority_criteria": "urgent", "target_instance": target}
    made(api.post("/patterns", json=rule))
    for filed, right in ((good, True), (bad, False)):
        ok(api.patch(f"/tasks/{filed}", json={"priority": "urgent"}))
        assert ok(api.post(f"/tasks/{filed}/route"))["chosen_instance"] == target
        ok(api.put(f"/tasks/{filed}/feedback", json={"was_good_match": right}))
    nobody_below = {"by": target}
    assert ok(api.post(f"/tasks/{task(api)['id']}/route", params=nobody_below))["strategy"] == "abstain"
    after = ok(api.get("/learning/statistics"))
    grown = {name: after[name] - before[name] for name in before if isinstance(before[name], int)}
    assert grown == {
        "tasks": 3,
        "open_tasks": 3,
        "in_triage": 1,
        "instances": 2,
        "episodes": 3,
        "abstained": 1,
        "known_outcomes": 2,
        "successes": 1,
        "feedback": 2,
        "patterns": 1,
    }
    assert after["accuracy"] == after["successes"] / after["known_outcomes"]
    assert sum(after["by_strategy"].values()) == after["episodes"]


def test_health_is_told(api: httpx.Client) -> None:
    """Whatever watches over the server would restart a healthy one."""
    root = httpx.URL(api.base_url).copy_with(path="/")
    assert ok(api.get(root.join("healthz"))) == {"status": "ok", "name": "hopper", "version": __version__}
    assert ok(api.get(root.join("readyz")))["parts"]["postgres"]["state"] == "up"
    assert "Hopper" in api.get(root.join("docs")).text


@pytest.mark.parametrize("path", ["/tasks", "/search", "/tasks/ready", "/patterns"])
def test_an_unknown_query_parameter_is_refused(api: httpx.Client, path: str) -> None:
    """A filter with a slip of the finger would answer with everything, as if that were what was asked for."""
    told = problem(api.get(path, params={"q": "card", "limitt": "1"} if path == "/search" else {"limitt": "1"}), 422)
    assert told["errors"] == [
        {"field": "limitt", "detail": "There is no query parameter 'limitt'. Did you mean limit?"}
    ]
    assert "Did you mean status?" in problem(api.get("/tasks?stauts=done"), 422)["detail"]
    assert "dry_run" in problem(api.post("/learning/consolidate?zzz=1"), 422)["detail"]
