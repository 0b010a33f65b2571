"""What commands say when there is nothing to show, or when something is wrong, in words that help."""

from uuid import uuid4

import pytest
from tests.acceptance.test_cli import Cli, RunningServer


@pytest.fixture
def hopper(server: RunningServer) -> Cli:
    return Cli(server.url)


def test_a_search_shows_how_alike_its_hits_are_and_leaves_out_what_is_unlike(hopper: Cli) -> None:
    """A person would take the three tasks that happen to exist for what was looked for."""
    hopper.ok("add", "The greenhouse thermostat shows the wrong temperature")
    hopper.ok("embeddings", "backfill")
    found = hopper.json("search", "greenhouse temperature")["items"][0]
    assert 0.5 < found["similarity"] <= 1
    shown = hopper.ok("search", "greenhouse temperature")
    assert "ALIKE" in shown
    assert f"{found['similarity']:.2f}" in shown
    assert "Nothing was found" in hopper("search", "qqqqzzz", "--mode", "semantic").err


def test_nothing_similar_is_told_with_its_reason(hopper: Cli) -> None:
    """A filter that lets nothing through would look like a server that hasn't embedded anything."""
    task = hopper.ok("add", "The greenhouse door squeaks").strip()
    hopper.ok("embeddings", "backfill")
    nothing = hopper("similar", task, "--project", uuid4().hex)
    assert nothing.code == 0
    assert "passes these filters" in nothing.err
    assert "vector" not in nothing.err
