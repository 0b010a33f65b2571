"""A push of what a Hopper has learned, over HTTP, and the same again; and how histories of pushes end."""

import json
import random
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import Any

import httpx

from bench import servers
from bench.asking import KEYED
from bench.figures import Figure
from hopper.sync.merge import Contribution, join

PATTERNS = 1_000
EPISODES = 10_000
ROUNDS = 5
HISTORIES = 100_000


def measure() -> list[Figure]:
    """Each round's push is of a source of its own, whose patterns are there from the second round on."""
    with (
        TemporaryDirectory(prefix="hopper-bench-") as place,
        servers.hopper(None, Path(place)) as hopper,
        httpx.Client(
            base_url=f"http://{hopper.host}:{hopper.port}/api/v1", headers=KEYED, timeout=120, trust_env=False
        ) as http,
    ):
        merges, replays, small, changed = [], [], [], 0
        for at in range(ROUNDS):
            body = json.dumps(_push(f"source-{at}")).encode()
            headers = _registered(http, f"source-{at}")
            took, answer = _sent(http, body, headers)
            if (answer["patterns_new"], answer["episodes_new"]) != (PATTERNS, EPISODES):
                raise RuntimeError(f"not everything was merged: {answer}")
            merges.append(took)
            while http.get("/learning/statistics").json()["queue"]:  # the first one's patterns are embedded beside
                sleep(0.05)
            took, answer = _sent(http, body, headers)
            replays.append(took)
            changed += sum(answer[name] for name in ("patterns_new", "patterns_changed", "episodes_new"))
            empty = {"source_instance_id": f"source-{at}", "source_instance_name": "a laptop", "sequence": 2}
            small.append(_sent(http, json.dumps(empty).encode(), headers)[0])
        began = perf_counter()
        packed = len(http.get("/sync/southbound").json()["patterns"])
        pack = perf_counter() - began
    if packed != PATTERNS:
        raise RuntimeError(f"{packed} patterns went south")
    return [
        Figure(name="sync: first merge", value=merges[0], unit="s", goal=1, at_least=False),
        Figure(name="sync: slowest merge of 5 sources", value=max(merges), unit="s", goal=1, at_least=False),
        Figure(name="sync: slowest replay", value=max(replays), unit="s", goal=0.3, at_least=False),
        Figure(name="sync: changed by replays", value=changed, goal=0, at_least=False),
        Figure(name="sync: a push with nothing new", value=max(small), unit="s"),
        Figure(name="sync: a pack of 1,000 patterns", value=pack, unit="s"),
        Figure(name="sync: push, as JSON", value=len(body) / 1e6, unit="MB"),
        Figure(
            name=f"sync: of {HISTORIES:,} histories, other ends", value=_other_ends(HISTORIES), goal=0, at_least=False
        ),
    ]


def _sent(http: httpx.Client, body: bytes, headers: dict[str, str]) -> tuple[float, dict[str, Any]]:
    began = perf_counter()
    answer = http.post("/sync/northbound", content=body, headers=headers).raise_for_status().json()
    return perf_counter() - began, answer


def _registered(http: httpx.Client, source: str) -> dict[str, str]:
    made = http.post("/sync/sources", json={"source_instance_id": source, "name": source}).raise_for_status()
    return {"Authorization": f"Bearer {made.json()['token']}", "Content-Type": "application/json"}


def _push(source: str) -> dict[str, Any]:
    patterns = [
        {
            "name": f"pattern {at}",
            "pattern_type": "combined" if at % 3 == 0 else "text",
            "tag_criteria": {"any": [f"area-{at % 40}"]} if at % 3 == 0 else {},
            "text_criteria": {"any": [f"word{at} and another"]},
            "target_scope": "PROJECT",
            "confidence": 0.8,
            "usage_count": 40 + at,
            "success_count": 30 + at,
            "failure_count": 10,
        }
        for at in range(PATTERNS)
    ]
    episodes = [
        {
            "key": f"e-{at}",
            "tags": [f"area-{at % 40}", f"kind-{at % 7}"],
            "chosen_instance_scope": "PROJECT",
            "confidence": 0.7,
            "outcome_success": at % 4 > 0,
            "strategy": "text_model",
        }
        for at in range(EPISODES)
    ]
    stats = {"total_feedback": 500, "good_matches": 400, "bad_matches": 100, "avg_quality_score": 0.8}
    return {
        "source_instance_id": source,
        "source_instance_name": "a laptop",
        "sequence": 1,
        "patterns": patterns,
        "episode_summaries": episodes,
        "feedback_stats": {**stats, "avg_complexity": 2.5},
    }


def _other_ends(histories: int) -> int:
    """How many histories of one source, in another order and with repetitions, end elsewhere than in order."""
    chance = random.Random(1)
    elsewhere = 0
    for _ in range(histories):
        pushes, counts = [], [0, 0, 0]
        for sequence in range(1, chance.randint(2, 9)):
            counts = [count + chance.randint(0, 3) for count in counts]
            right, wrong, open_ = counts
            pushes.append(
                Contribution(
                    usage_count=right + wrong + open_,
                    success_count=right,
                    failure_count=wrong,
                    confidence=chance.random(),
                    sequence=sequence,
                )
            )
        arrived = pushes + chance.choices(pushes, k=chance.randint(0, 5))
        chance.shuffle(arrived)
        elsewhere += reduce(join, arrived) != pushes[-1]
    return elsewhere
