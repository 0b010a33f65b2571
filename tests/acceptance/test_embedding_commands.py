"""hopper embeddings …, against a real server."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.test_cli import Cli
from tests.commands import COMMAND
from tests.conftest import RunningServer, serving

MODEL = "wordllama-256"


@pytest.fixture
def running(database_url: str, tmp_path: Path) -> Iterator[RunningServer]:
    with serving(database_url, tmp_path) as server:
        yield server


@pytest.fixture
def hopper(running: RunningServer) -> Cli:
    return Cli(running.url)


def test_status_check_and_backfill_say_how_embeddings_stand(hopper: Cli) -> None:
    """Nobody could tell whether search knows everything, or make it so."""
    hopper.ok("add", "Lost card")
    report = hopper.json("embeddings", "backfill")
    assert report["waiting"] == report["failing"] == 0
    assert hopper.json("embeddings", "check")["ok"] is True
    assert "Every entity has its vector" in hopper.ok("embeddings", "check")
    status = hopper.json("embeddings", "status")
    assert (status["searched"], status["wanted"]) == (MODEL, MODEL)
    [model] = status["models"]
    assert {one["kind"]: one["stored"] for one in model["kinds"]} == {"task": 1, "episode": 0, "pattern": 0}
    assert f"{MODEL} is searched" in hopper.ok("embeddings", "status")


def test_a_check_with_differences_has_an_exit_code_of_its_own(hopper: Cli) -> None:
    """A nightly script would say that all is well."""
    process = subprocess.run(
        [*COMMAND, "import", "-"], input=b'{"title": "One"}\n' * 3000, env=hopper.environment, check=True
    )
    assert process.returncode == 0
    result = hopper("embeddings", "check", "--json")  # at once: the worker hasn't come to all of them
    assert result.code == (0 if result.json["ok"] else 7)
    hopper.ok("embeddings", "backfill")
    assert hopper("embeddings", "check").code == 0


def test_the_model_in_use_is_not_dropped(hopper: Cli) -> None:
    """A slip of the finger would make every decision a blind one."""
    refused = hopper("embeddings", "drop", MODEL)
    assert refused.code == 4
    assert "is searched" in refused.err
    assert hopper("embeddings", "drop", "other/model:8").code == 3
