"""Looking after the graph database with the commands, over a real server and a real Neo4j."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from neo4j import GraphDatabase
from tests.acceptance.test_cli import Cli
from tests.asking import KEYED
from tests.conftest import serving

from hopper.services.neo4j_keeper import GraphConnection


@pytest.fixture
def hopper(database_url: str, neo4j: GraphConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """A server whose graph is in an external Neo4j."""
    monkeypatch.setenv("NEO4J_URL", neo4j.url)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j.password)
    with serving(database_url, tmp_path) as running:
        yield Cli(running.url)


def settled(hopper: Cli) -> None:
    until = time.monotonic() + 30
    while "has everything" not in hopper.ok("graph", "status"):
        assert time.monotonic() < until
        time.sleep(0.2)


def test_the_graph_is_followed_checked_and_built_anew(hopper: Cli, neo4j: GraphConnection) -> None:
    """A person couldn't tell whether the graph can be trusted, nor mend it."""
    hopper.ok("instance", "add", "payments")
    first = hopper.ok("add", "Agree on the model", "--tag", "ui", "--tag", "api").strip()
    hopper.ok("add", "Write it down", "--depends-on", first, "--tag", "ui")
    hopper.ok("delegate", first, "payments")
    settled(hopper)
    assert "equal to the truth" in hopper.ok("graph", "check")
    assert hopper.json("graph", "blocked", first)["answered_by"] == "neo4j"

    with GraphDatabase.driver(neo4j.url, auth=(neo4j.username, neo4j.password)) as driver:
        driver.execute_query("MATCH (t:Task)-[r:DEPENDS_ON]->() DELETE r SET t.title = 'otherwise'")
    found = hopper("graph", "check")
    assert found.code == 7
    assert "Task" in found.out
    assert "hopper graph rebuild" in found.err
    assert hopper("graph", "check", "--json").json["labels"]["Task"]["missing"]["count"] == 1
    assert "built anew" in hopper.ok("graph", "rebuild")
    settled(hopper)
    assert hopper.json("graph", "check")["ok"] is True


def test_metrics_tell_what_waits_and_how_often_answers_were_kept(hopper: Cli) -> None:
    """Nobody would notice that the graph lags behind before somebody needs it."""
    task = hopper.ok("add", "Agree on the model").strip()
    settled(hopper)
    for _ in range(3):
        hopper.ok("graph", "blocked", task)
    told = httpx.get(f"{hopper.url}/metrics", headers=KEYED).text
    assert 'hopper_projection_waiting{projection="graph"} 0.0' in told
    # What the server does by itself meanwhile, such as training, may make it ask once more.
    kept, asked = (
        int(re.findall(rf'hopper_graph_answers_total{{kept="{was}"}} (\d+)', told)[0]) for was in ("yes", "no")
    )
    assert kept >= 1
    assert kept + asked == 3


def test_a_graph_that_was_given_up_is_forgotten(
    database_url: str, neo4j: GraphConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every change would be kept for ever for a graph database that nobody has any more."""
    with monkeypatch.context() as patched:
        patched.setenv("NEO4J_URL", neo4j.url)
        patched.setenv("NEO4J_PASSWORD", neo4j.password)
        with serving(database_url, tmp_path / "with") as running:
            settled(Cli(running.url))
    with serving(database_url, tmp_path / "without") as running:
        hopper = Cli(running.url)
        hopper.ok("add", "Agree on the model")
        assert "hopper graph forget" in hopper("graph", "status").err
        hopper.ok("graph", "forget")
        hopper.ok("add", "Write it down")
        assert hopper.json("graph", "status")["waiting"] == 0


def test_without_a_graph_database_it_is_said_how_to_have_one(database_url: str, tmp_path: Path) -> None:
    """A person would wait for a graph that nobody keeps."""
    with serving(database_url, tmp_path) as running:
        hopper = Cli(running.url)
        assert "--with-graph" in hopper.ok("graph", "status")
        for command in ("check", "rebuild"):
            refused = hopper("graph", command)
            assert refused.code != 0
            assert "--with-graph" in refused.err
        task = hopper.ok("add", "Agree on the model").strip()
        assert hopper.json("graph", "blocked", task)["answered_by"] == "postgresql"
