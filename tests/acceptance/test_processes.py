"""Several `hopper serve` on one database and its replica, started at the same moment: one server to its clients."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import cycle
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import pytest
from tests.conftest import serving
from tests.replicas import Cluster, Clusters, clusters

Servers = list[httpx.Client]
T = TypeVar("T")


@pytest.fixture(scope="module")
def made() -> Iterator[Clusters]:
    with clusters() as those:
        yield those


@pytest.fixture(scope="module")
def primary(made: Clusters) -> Cluster:
    return made.make("primary")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def servers(made: Clusters, primary: Cluster, home: Path) -> Iterator[Servers]:
    """Three of them; the database is empty when they start, and so is home: each would migrate, and make a key."""
    replica = made.make("replica", primary)
    with ExitStack() as running, pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(3) as threads:
        patch.setenv("HOPPER_DATABASE__POSTGRES__REPLICA_URL", replica.url())
        patch.delenv("HOPPER_ADMIN_KEY")
        starting = [threads.submit(started, primary.url(), home, running) for _ in range(3)]
        yield [one.result() for one in starting]


def started(url: str, home: Path, running: ExitStack) -> httpx.Client:
    server = running.enter_context(serving(url, home))
    headers = {"Authorization": f"Bearer {(home / 'admin.key').read_text().strip()}"}
    client = httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, timeout=60, trust_env=False)
    return running.enter_context(client)


def at_once(*work: Callable[[], T]) -> list[T]:
    with ThreadPoolExecutor(len(work)) as threads:
        return [one.result() for one in [threads.submit(each) for each in work]]


def posted(server: httpx.Client, path: str, **body: Any) -> Any:
    answer = server.post(path, json=body)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def filed(server: httpx.Client, title: str, **fields: Any) -> str:
    id: str = posted(server, "/tasks", title=title, **fields)["id"]
    return id


def instance(server: httpx.Client, name: str) -> str:
    id: str = posted(server, "/instances", name=f"{name}-{uuid4()}")["id"]
    return id


def decision(server: httpx.Client, task: str) -> Any:
    return posted(server, f"/tasks/{task}/route?dry_run=true")


def test_what_is_filed_at_one_is_there_at_all(servers: Servers) -> None:
    """A client behind a proxy would file a task and be told by the next process that there is none."""

    def files(server: httpx.Client, others: Servers) -> list[str]:
        ids = []
        for number in range(20):
            ids.append(filed(server, f"Pelican {number}"))
            for other in others:
                other.get(f"/tasks/{ids[-1]}").raise_for_status()
        return ids

    first, second, third = servers
    parts = at_once(*(partial(files, one, [first, second, third]) for one in servers))
    assert len({id for ids in parts for id in ids}) == 60


def test_what_is_filed_at_one_is_found_at_another_at_once(servers: Servers) -> None:
    """The replica is behind, and the process that is asked doesn't know what its client stored elsewhere."""
    for number, (writer, reader) in enumerate(zip(cycle(servers), cycle(servers[1:]), strict=False)):
        if number == 30:
            break
        word = f"quail{number}"
        answer = writer.post("/tasks", json={"title": f"A {word}"})
        for headers in ({}, {"Hopper-Position": answer.headers["Hopper-Position"]}):
            asked = reader.get("/search", params={"q": word, "mode": "keyword"}, headers=headers)
            assert [hit["task"]["title"] for hit in asked.json()["items"]] == [f"A {word}"]


def test_a_position_that_is_none_is_refused(servers: Servers) -> None:
    """A client that sends another header's value would be shown what is old without knowing."""
    answer = servers[0].get("/search", params={"q": "quail"}, headers={"Hopper-Position": "0/3000148"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Hopper-Position")


def test_no_task_is_claimed_twice(servers: Servers) -> None:
    """Two agents at two processes would do the same work."""
    team = instance(servers[0], "agents")
    tasks = {filed(server, "Work", instance_id=team) for server in servers for _ in range(20)}

    def claims(server: httpx.Client) -> list[str]:
        claimed = []
        while (answer := server.post("/tasks/claim", json={"instance_id": team})).status_code == 200:
            claimed.append(answer.json()["task"]["id"])
        return claimed

    claimed = [id for ids in at_once(*(partial(claims, server) for server in servers * 3)) for id in ids]
    assert sorted(claimed) == sorted(tasks)


def test_a_repeated_create_makes_one_task_wherever_it_arrives(servers: Servers) -> None:
    """A proxy that tries the next process would file the task again."""
    headers, body = {"Idempotency-Key": str(uuid4())}, {"title": "Once"}
    answers = at_once(*(partial(one.post, "/tasks", json=body, headers=headers) for one in servers * 3))
    assert len({answer.json()["id"] for answer in answers if answer.is_success}) == 1


def test_a_pattern_counts_everywhere_at_once(servers: Servers) -> None:
    """What a person has just told Hopper would hold for some requests and not for others."""
    first, second, third = servers
    target, task = instance(first, "ravens"), filed(first, "The raven croaks")
    rule = posted(
        first,
        "/patterns",
        name="ravens",
        pattern_type="text",
        target_instance=target,
        text_criteria={"any": ["raven"]},
        confidence=0.9,
    )
    assert {decision(server, task)["chosen_instance"] for server in servers} == {target}
    second.patch(f"/patterns/{rule['id']}", json={"is_active": False}).raise_for_status()
    assert all(decision(server, task)["chosen_instance"] != target for server in (third, first))


def test_feedback_at_one_counts_in_the_next_decision_of_another(servers: Servers) -> None:
    """A correction would have to be given to each process."""
    target = instance(servers[0], "swans")
    for number, (hearing, deciding) in enumerate(zip(servers, servers[1:] + servers[:1], strict=True)):
        text = f"The swan {number} hisses at walkers by the northern pond"
        said = {"should_have_routed_to": target, "was_good_match": False}
        hearing.put(f"/tasks/{filed(hearing, text)}/feedback", json=said).raise_for_status()
        similar = decision(deciding, filed(deciding, text))
        assert similar["chosen_instance"] == target or target in str(similar["alternatives"])


def test_a_key_opens_all_and_once_revoked_none(servers: Servers) -> None:
    """A user would be let in by one process and turned away by the next; a stolen key would go on opening one."""
    first, second, third = servers
    key = posted(first, "/keys", name="a reader", role="read-only")
    shown = {"Authorization": f"Bearer {key['token']}"}
    assert [server.get("/tasks", headers=shown).status_code for server in servers] == [200] * 3
    posted(third, f"/keys/{key['id']}/revoke")
    until(lambda: all(server.get("/tasks", headers=shown).status_code == 401 for server in (first, second, third)))


def test_a_model_change_is_followed_by_all(
    servers: Servers, primary: Cluster, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that search with different models would give different answers, and none of new tasks."""
    filed(servers[0], "The toucan has a large bill")
    (tmp_path / "server.yaml").write_text("embeddings:\n  model: wordllama-64\n")
    monkeypatch.setenv("HOPPER_CONFIG", str(tmp_path / "server.yaml"))
    with ExitStack() as running:
        newest = started(primary.url(), home, running)
        everyone = [*servers, newest]
        until(lambda: all(searched(server) == "wordllama-64" for server in everyone))
        for writer, reader in zip(everyone, everyone[1:] + everyone[:1], strict=True):
            task = filed(writer, "A toucan's bill is large and light")
            until(partial(finds, reader, task))


def searched(server: httpx.Client) -> str:
    model: str = server.get("/embeddings/status").json()["searched"]
    return model


def finds(server: httpx.Client, task: str) -> bool:
    answer = server.get("/search", params={"q": "toucan bill", "mode": "semantic"})
    if answer.status_code == 503:  # on a busy machine even the offline embedder takes longer than a search waits
        return False
    return task in [hit["task"]["id"] for hit in answer.json()["items"]]


def until(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline
        sleep(0.05)
