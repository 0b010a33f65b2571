"""Learning over HTTP and by the commands, against `hopper serve` as a process."""

import json
import os
import subprocess
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.asking import KEYED
from tests.commands import run
from tests.conftest import fresh_database, serving
from tests.problems import fields, problem

FILLER = ("monday", "urgently", "please", "again", "downtown", "quickly", "thanks", "regards", "today", "soon")
NUMBERS = count(1)
NOBODY = "0198c0de-0000-7000-8000-00000000dead"


@pytest.fixture(scope="module")
async def api(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.Client]:
    """A server with a history: sourdough belongs to the bakery, brakes to the garage; it was never asked before."""
    async with fresh_database(postgres_url) as url:
        with serving(url, tmp_path_factory.mktemp("learning")) as running, _client(running.url) as client:
            teams = {name: made(client, "/instances", name=name)["id"] for name in ("bakery", "garage")}
            for word, team in (("sourdough", "bakery"), ("brakes", "garage")) * 12:
                belongs(client, word, teams[team])
            yield client


def _client(url: str) -> httpx.Client:
    return httpx.Client(base_url=f"{url}/api/v1", headers=KEYED, timeout=30, trust_env=False)


def made(api: httpx.Client, path: str, **body: Any) -> Any:
    return api.post(path, json=body).raise_for_status().json()


def belongs(api: httpx.Client, word: str, to: str) -> str:
    """A task with the word that was routed, and then said to belong there."""
    number = next(NUMBERS)
    title = f"{FILLER[number % 10]} {word} {FILLER[(number // 3) % 10]}"
    task: str = made(api, "/tasks", title=title, route=True)["id"]
    api.put(f"/tasks/{task}/feedback", json={"should_have_routed_to": to}).raise_for_status()
    return task


def team(api: httpx.Client, name: str) -> str:
    id: str = api.get("/instances", params={"name": name}).json()["items"][0]["id"]
    return id


def hopper(api: httpx.Client, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "HOPPER_SERVER": str(api.base_url).removesuffix("/api/v1/"), "COLUMNS": "200"}
    done = run(*arguments, env=environment, input=stdin.encode())
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_hopper_learns_when_asked_and_only_once(api: httpx.Client) -> None:
    """The promise of learning, in the calls and commands that people use."""
    said = hopper(api, "learn", "consolidate", "--dry-run")
    assert said.returncode == 0
    assert "Would have from 24 past tasks: 2 made, 0 refined" in said.stdout
    assert "mentions “sourdough” → bakery" in said.stdout
    assert "All 12 past tasks that mention “sourdough” belonged to bakery." in said.stdout
    assert api.get("/patterns").json()["items"] == []

    first = made(api, "/learning/consolidate")
    assert (first["made"], first["dry_run"], first["examples"]) == (2, False, 24)
    assert {change["change"] for change in first["changes"]} == {"made"}
    stored = api.get("/patterns", params={"source": "learned"}).json()["items"]
    assert {pattern["name"] for pattern in stored} == {"mentions “sourdough” → bakery", "mentions “brakes” → garage"}
    again = json.loads(hopper(api, "learn", "consolidate", "--json").stdout)
    assert (again["unchanged"], again["changes"]) == (2, [])
    assert api.get("/patterns", params={"source": "learned"}).json()["items"] == stored

    decision = made(api, "/tasks", title="A sourdough, would you", route=True)["decision"]
    assert decision["chosen_instance"] == team(api, "bakery")
    [bread] = [pattern for pattern in stored if "sourdough" in pattern["name"]]
    assert any(bread["id"] in factor["pattern_ids"] for factor in decision["decision_factors"])

    api.patch(f"/patterns/{bread['id']}", json={"is_active": False}).raise_for_status()
    assert made(api, "/learning/consolidate")["reactivated"] == 0
    kept = api.get(f"/patterns/{bread['id']}").json()
    assert (kept["is_active"], kept["switched_by_person"], kept["source"]) == (False, True, "learned")


def test_a_backtest_shows_what_would_have_changed(api: httpx.Client, tmp_path: Path) -> None:
    """People would have to try a rule on live tasks to see what it does."""
    bakery = team(api, "bakery")
    rule = {"name": "bread", "pattern_type": "text", "text_criteria": {"any": ["sourdough"]}, "target_instance": bakery}
    answer = made(api, "/learning/backtest", patterns=[rule])
    totals, episodes = answer["totals"], answer["episodes"]
    assert totals["episodes"] == len(episodes) == 24
    by_hand = [one for one in episodes if "sourdough" in one["title"] and one["old_choice"] != bakery]
    assert by_hand
    assert totals["changed"] == totals["improved"] == len(by_hand)
    assert totals["right_after"] == totals["right_before"] + len(by_hand)
    assert totals["worsened"] == 0
    for one in by_hand:
        assert (one["new_choice"], one["outcome_instance"], one["verdict"]) == (bakery, bakery, "better")
        assert one["pattern_ids"] == [answer["patterns"][0]["id"]]
    assert len(made(api, "/learning/backtest", patterns=[rule], limit=5)["episodes"]) == 5

    file = tmp_path / "rules.json"
    file.write_text(json.dumps([{**rule, "target_instance": "bakery"}]))
    said = hopper(api, "learn", "backtest", str(file))
    assert said.returncode == 0, said.stderr
    assert f"({len(by_hand)} changed: {len(by_hand)} better, 0 worse)" in said.stdout
    assert "VERDICT" in said.stdout
    piped = hopper(api, "learn", "backtest", "-", "--json", stdin=json.dumps({"patterns": [rule]}))
    assert json.loads(piped.stdout)["totals"] == totals

    stored = made(api, "/patterns", **rule, is_active=False)
    assert made(api, "/learning/backtest", pattern_ids=[stored["id"]])["totals"] == totals
    api.delete(f"/patterns/{stored['id']}").raise_for_status()
    assert made(api, "/learning/backtest", consolidate=True)["totals"]["worsened"] == 0
    assert hopper(api, "learn", "backtest", "--consolidate").returncode == 0


GOOD = {"name": "x", "pattern_type": "text", "text_criteria": {"any": ["x"]}, "target_instance": NOBODY}
BAD = [
    ({}, "body"),
    ({"patterns": []}, "patterns"),
    ({"patterns": [GOOD], "consolidate": True}, "body"),
    ({"patterns": [{**GOOD, "target_instance": "TEAM"}, {**GOOD, "name": ""}]}, "patterns.1.name"),
    ({"patterns": [{**GOOD, "target_instance": "TEAM"}, GOOD]}, "patterns.1.target_instance"),
    ({"patterns": [{**GOOD, "pattern_type": "tag"}]}, "patterns.0.tag_criteria"),
    ({"patterns": [{**GOOD, "text_criteria": {"any": ["y", "x" * 10_000]}}]}, "patterns.0.text_criteria.any.1"),
    ({"patterns": [{**GOOD, "text_criteria": {"any": [".*"]}}]}, "patterns.0.text_criteria.any.0"),
    ({"patterns": [GOOD] * 301}, "patterns"),
    ({"pattern_ids": [NOBODY]}, "pattern_ids.0"),
    ({"consolidate": True, "limit": 2001}, "limit"),
    ({"consolidate": True, "limit": 0}, "limit"),
]


@pytest.mark.parametrize(("body", "field"), BAD, ids=[field for _, field in BAD])
def test_a_pattern_that_cant_be_used_is_named_by_its_position(api: httpx.Client, body: Any, field: str) -> None:
    """Whoever sends fifty patterns would have to find the bad one by trial."""
    said = json.loads(json.dumps(body).replace('"TEAM"', f'"{team(api, "bakery")}"'))
    assert field in fields(problem(api.post("/learning/backtest", json=said), 422))


def test_what_looks_like_a_regular_expression_is_text(api: httpx.Client) -> None:
    """A pattern would match what its author never saw, or stop the server for minutes."""
    rule = {**GOOD, "text_criteria": {"any": ["(s+o+u+r+)+dough$"]}, "target_instance": team(api, "bakery")}
    assert made(api, "/learning/backtest", patterns=[rule])["totals"]["changed"] == 0


@pytest.mark.parametrize("content", ["not json", '"text"', "[1]", '{"patterns": "x"}', "\ud800", '[{"name": "x"}]'])
def test_a_file_that_cant_be_used_is_refused_in_words(api: httpx.Client, tmp_path: Path, content: str) -> None:
    """A traceback would be all that is said of a slip in a file."""
    file = tmp_path / "rules.json"
    file.write_bytes(content.encode(errors="surrogatepass"))
    said = hopper(api, "learn", "backtest", str(file))
    assert said.returncode == 4
    assert said.stderr.startswith("hopper: ")
    assert hopper(api, "learn", "backtest").returncode == 2
    assert hopper(api, "learn", "backtest", str(tmp_path / "none")).returncode == 2
