"""What commands say when there is nothing to show, or when something is wrong, in words that help."""

from pathlib import Path
from uuid import uuid4

import pytest
from tests.acceptance.test_cli import Cli, RunningServer


@pytest.fixture
def hopper(server: RunningServer) -> Cli:
    return Cli(server.url)


def test_a_search_shows_how_alike_its_hits_are_and_leaves_out_what_is_unlike(hopper: Cli) -> None:
    """A person would take the three tasks that happen to exist for what was looked for."""
    project = uuid4().hex  # among others' tasks there may be one that is alike
    hopper.ok("add", "The greenhouse thermostat shows the wrong temperature", "--project", project)
    hopper.ok("embeddings", "backfill")
    found = hopper.json("search", "greenhouse temperature", "--project", project)["items"][0]
    assert 0.5 < found["similarity"] <= 1
    shown = hopper.ok("search", "greenhouse temperature", "--project", project)
    assert "ALIKE" in shown
    assert f"{found['similarity']:.2f}" in shown
    assert "Nothing was found" in hopper("search", "qqqqzzz", "--mode", "semantic", "--project", project).err


def test_nothing_similar_is_told_with_its_reason(hopper: Cli) -> None:
    """A filter that lets nothing through would look like a server that hasn't embedded anything."""
    task = hopper.ok("add", "The greenhouse door squeaks").strip()
    hopper.ok("embeddings", "backfill")
    nothing = hopper("similar", task, "--project", uuid4().hex)
    assert nothing.code == 0
    assert "passes these filters" in nothing.err
    assert "vector" not in nothing.err


def test_an_error_is_json_where_json_is_asked_for(hopper: Cli) -> None:
    """A program would have to read sentences, and lose which tasks are there already."""
    title = f"The greenhouse pump {uuid4().hex[:8]} leaks oil"
    task = hopper.json("add", title)
    refused = hopper("add", title, "--on-duplicate", "reject", "--json")
    assert refused.code == 4
    assert refused.json["type"] == "urn:hopper:problem:duplicate"
    assert task["id"] in [one["task_id"] for one in refused.json["duplicates"]]
    assert hopper("show", "nobody-has-this", "--json").json["type"] == "urn:hopper:problem:not-found"
    misused = hopper("ls", "--stauts", "done", "--json")
    assert misused.code == 2
    assert "--status" in misused.json["detail"]
    nowhere = hopper("ls", "--server", "http://127.0.0.1:9", "--json")
    assert (nowhere.code, nowhere.json["type"]) == (5, "urn:hopper:problem:unavailable")


def test_a_refused_duplicate_is_told_by_its_title_and_the_commands_flag(hopper: Cli) -> None:
    """A person would have to look ids up, and search the help for an option that isn't called so."""
    title = f"The greenhouse lamp {uuid4().hex[:8]} flickers"
    hopper.ok("add", title)
    refused = hopper("add", title, "--on-duplicate", "reject")
    assert (refused.code, refused.out) == (4, "")
    assert refused.err.count(title) >= 2
    assert "--on-duplicate warn" in refused.err


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (["search", "-password"], "hopper search -- -password"),
        (["search", "two", "words"], 'hopper search "two words"'),
        (["ls", "--priority", "fuzzy"], "'fuzzy' is not one of"),
    ],
)
def test_a_command_line_that_is_not_understood_is_answered_with_what_was_meant(
    hopper: Cli, command: list[str], hint: str
) -> None:
    """A person would have to know how shells and option parsers read words."""
    result = hopper(*command)
    assert result.code == 2
    assert hint in result.err
    assert "Value error" not in result.err


def test_a_task_shows_who_works_on_it_and_why_it_was_given_back(hopper: Cli) -> None:
    """Whoever looks at a task next would meet what the worker before met and wrote down."""
    team = f"gardeners {uuid4().hex[:8]}"
    hopper.ok("instance", "add", team)
    task = hopper.ok("add", "The greenhouse heater smells", "--instance", team).strip()
    assert hopper.json("show", task)["lease"] is None
    hopper.ok("claim", "--instance", team, "--worker", "ada")
    assert "ada has it until" in hopper.ok("show", task)
    hopper.ok("release", task, "--worker", "ada", "--reason", "needs a plumber")
    assert "ada gave it back" in (shown := hopper.ok("show", task))
    assert "needs a plumber" in shown
    assert hopper.json("show", task)["lease"]["reason"] == "needs a plumber"


def test_the_help_of_bench_names_the_fields_of_a_line(hopper: Cli) -> None:
    """Nobody could make a file for it without searching the documents."""
    said = hopper.ok("bench", "routing", "--help")
    for field in ("title", "target", "description", "tags", "priority"):
        assert f"`{field}`" in said


def test_feedback_that_contradicts_itself_is_refused(hopper: Cli) -> None:
    """Whichever word came last would be learned from."""
    task = hopper.ok("add", "The greenhouse roof drips").strip()
    assert hopper("feedback", task, "--good", "--bad").code == 2
    assert hopper("feedback", task, "--bad", "--good").code == 2
    assert hopper.json("show", task)["feedback"] is None
    assert hopper.json("feedback", task, "--bad")["was_good_match"] is False
    assert hopper.json("feedback", task, "--good")["was_good_match"] is True


def test_wrong_values_are_answered_in_plain_words(hopper: Cli, tmp_path: Path) -> None:
    """A person would read a library's own words, or lose a tag without being told."""
    task = hopper.ok("add", "The greenhouse fan rattles").strip()
    empty = tmp_path / "none.json"
    empty.write_text("[]")
    for command, code, said in (
        (["done", task, "--token", "bad"], 4, "This isn't a claim's token"),
        (["claim", "--instance", "x", "--lease", "25h"], 2, "from 1s to 24h"),
        (["claim", "--instance", "x", "--lease", "0s"], 2, "from 1s to 24h"),
        (["claim", "--instance", "x", "--lease", "2d"], 2, "from 1s to 24h"),
        (["learn", "backtest", empty], 4, "holds an empty list"),
        (["learn", "backtest", tmp_path], 2, "is a directory"),
        (["add", "A task", "--tag", "="], 2, "NAME=VALUE"),
        (["ls", "--tag", "="], 2, "NAME=VALUE"),
        (["search", "fan", "--tag", "=loud"], 2, "NAME=VALUE"),
        (["ls", "--server", f"{hopper.url}/xyz"], 3, "Nothing is at /xyz/api/v1/tasks"),
        (["ls", "--server", hopper.url.replace("http:", "https:")], 5, "didn't speak TLS"),
        (["ls", "--server", "https://127.0.0.1:9"], 5, "no server at"),
    ):
        result = hopper(*command)
        assert result.code == code, result
        assert said in result.err
