"""hopper ls and add on a local instance: without the whole command line they do and say the same as with it."""

import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from hopper.entrypoints.cli.commands import app
from hopper.entrypoints.cli.plain import _OPTIONS, serve_plainly, understood

HEAVY = {
    "typer",
    "pydantic",
    "rich",
    "asyncio",
    "httpx",
    "numpy",
    "sqlalchemy",
    "alembic",
    "yaml",
    "importlib.metadata",
}

VARYING = re.compile(r"""task-[0-9a-f]{8}|^[0-9a-f]{8}\b|["']20.+["']|"next_cursor": .+""", re.MULTILINE)
"""Ids and times."""

PLAIN = [
    ["add", "Card is declined abroad"],
    ["add", "Card is declined", "-t", "cards", "--tag", "area = pay", "-t", "cards=1", "-p", "high", "--json"],
    ["add", "--project", "payments", "Überweisung → 🏦", "-d", "It says no.", "--description", "It says: no."],
    ["ls"],
    ["ls", "--all", "--json"],
    ["ls", "--limit", "2"],
    ["ls", "--limit", "2", "--all"],
    ["ls", "-p", "high", "--tag", "area", "-t", "cards"],
    ["ls", "--status", "pending", "--project", "payments", "--json"],
    ["ls", "--status", "done"],
    ["ls", "--limit", "2", "--limit", "1", "--json"],
]

NOT_PLAIN = [
    [],
    ["ls", "--help"],
    ["ls", "more"],
    ["ls", "--limit", "0"],
    ["ls", "--limit"],
    ["ls", "--status", "nearly"],
    ["ls", "--tag", "=x"],
    ["ls", "--tag=x"],
    ["ls", "--instance", "payments"],
    ["ls", "--server", "http://127.0.0.1:9"],
    ["add"],
    ["add", " "],
    ["add", "two", "words"],
    ["add", "-x"],
    ["add", "--", "-x"],
    ["add", "x" * 501],
    ["add", "x", "-p", "HIGH"],
    ["add", "x", "--project", ""],
    ["add", "x", "-t", "-y"],
    ["add", "x", *chain.from_iterable(("-t", f"tag{number}") for number in range(101))],
    ["add", "x", "--route"],
    ["done", "x"],
]

LOADED = """
import sys
from hopper.entrypoints.cli.main import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """Two directories with a .hopper each, in which a file can't be understood."""
    places = {way: tmp_path / way for way in ("plain", "whole")}
    for place in places.values():
        (place / ".hopper" / "tasks").mkdir(parents=True)
        (place / ".hopper" / "tasks" / "odd.md").write_text("---\nid: [\n---\n")
    return places


def test_both_ways_say_and_store_the_same(
    places: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script that works would break with one more option, or a task be stored in another way."""
    monkeypatch.delenv("HOPPER_SERVER", raising=False)
    for arguments in PLAIN:
        said = []
        for way, place in places.items():
            monkeypatch.chdir(place)
            if way == "plain":
                assert serve_plainly(arguments), arguments
            else:
                app(arguments, prog_name="hopper", standalone_mode=False)
            answer, notes = capsys.readouterr()
            said.append((VARYING.sub("·", answer), notes.replace(str(place), "")))
        assert said[0] == said[1], arguments
    stored = [sorted(VARYING.sub("·", file.read_text()) for file in place.rglob("*.md")) for place in places.values()]
    assert stored[0] == stored[1]
    assert len(stored[0]) == 4


def test_listing_and_filing_locally_load_nothing_heavy(places: dict[str, Path]) -> None:
    """Every command of a person, and of an agent that gives many, would take a quarter of a second longer."""
    (places["plain"] / ".hopper" / "tasks" / "odd.md").unlink()
    for arguments in (["add", "Light"], ["ls", "--all"]):
        command = [sys.executable, "-c", LOADED, *arguments]
        done = subprocess.run(command, check=True, cwd=places["plain"], env={}, capture_output=True, text=True)
        loaded = set(done.stderr.split())
        assert HEAVY & loaded == set()
        assert "hopper.adapters.markdown.tasks" in loaded


def test_what_is_unusual_goes_the_whole_way() -> None:
    """A mistake would be taken for a title or left unsaid, where the whole command line says what is wrong."""
    assert [arguments for arguments in NOT_PLAIN if understood(arguments) is not None] == []


def test_plain_options_are_those_of_the_whole_command_line() -> None:
    """An option would mean something else as soon as another one stands beside it."""
    from typer.main import get_command

    commands = get_command(app).commands  # type: ignore[attr-defined]
    for command, options in _OPTIONS.items():
        known = {spelt: option for option in commands[command].params for spelt in chain(option.opts)}
        assert {spelt: known[spelt].name for spelt in options} == {
            spelt: name or spelt.removeprefix("--") for spelt, name in options.items()
        }
