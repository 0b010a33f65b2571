"""kill -9 while sources push: what they send again ends where it would have ended."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.asking import KEYED
from tests.conftest import serving
from tests.sync import a_push, a_rule, a_summary, registered

SOURCES = ("a", "b", "c")
PATTERNS = 200
EPISODES = 1_500


def large(source: str) -> dict[str, Any]:
    patterns = [a_rule(f"tag-{at}") for at in range(PATTERNS)]
    return a_push(source, patterns=patterns, episode_summaries=[a_summary(f"e-{at}") for at in range(EPISODES)])


def api(url: str) -> httpx.Client:
    return httpx.Client(base_url=f"{url}/api/v1", headers=KEYED, timeout=60, trust_env=False)


@pytest.mark.parametrize("after", [0.05, 0.25])
def test_a_killed_server_has_each_push_whole_or_not_at_all(after: float, database_url: str, tmp_path: Path) -> None:
    """A power cut would leave half of what somebody learned, or count it twice when it is sent again."""

    def push(client: httpx.Client, source: str) -> httpx.Response | None:
        with suppress(httpx.TransportError):
            return client.post("/sync/northbound", json=large(source), headers=tokens[source])
        return None

    with serving(database_url, tmp_path) as server, api(server.url) as client, ThreadPoolExecutor(3) as threads:
        tokens = {source: registered(client, source) for source in SOURCES}
        under_way = [threads.submit(push, client, source) for source in SOURCES]
        time.sleep(after)
        os.kill(server.process.pid, signal.SIGKILL)
        answered = [one.result() for one in under_way]
    with serving(database_url, tmp_path) as server, api(server.url) as client:
        for one in client.get("/sync/sources").json():
            assert (one["patterns"], one["episodes"]) in {(0, 0), (PATTERNS, EPISODES)}
        for source, answer in zip(SOURCES, answered, strict=True):
            again = push(client, source)
            assert again
            if answer is not None:
                assert again.json()["patterns_unchanged"] == PATTERNS, "what was acknowledged was there"
        for one in client.get("/sync/sources").json():
            assert (one["patterns"], one["episodes"], one["total_feedback"]) == (PATTERNS, EPISODES, 4)
        packed = client.get("/sync/southbound").json()["patterns"]
        assert {(one["sources"], one["usage_count"], one["success_count"]) for one in packed} == {(3, 30, 24)}
        assert len(packed) == PATTERNS
