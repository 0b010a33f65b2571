"""The commands that documentation, alerts and messages name are there."""

import re
from pathlib import Path
from typing import Any

import typer

from hopper.entrypoints.cli.commands import app

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "alerts.yml"
NAMING = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "deploy/hopper.service", "docker-compose.yml")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "src").rglob("*.py")),
]
QUOTED = re.compile(r"(?:`|^\s*\$ (?:[A-Z_]+=\S+ )*)hopper ([a-z]+(?:[ -][a-z]+)*)", re.MULTILINE)
IN_PROSE = re.compile(r"\bhopper (?=([a-z]+(?: [a-z]+)*))")
"""Nothing is quoted in an alert: a sentence may go on behind the command."""


def is_there(said: str, *, goes_on: bool = False) -> bool:
    command: Any = COMMANDS
    for word in said.split():
        below = getattr(command, "commands", {})
        if word not in below:
            return not below or (goes_on and command is not COMMANDS)
        command = below[word]
    return True


COMMANDS = typer.main.get_command(app)


def test_commands_that_are_named_can_be_run() -> None:
    """Somebody who is told what to do, perhaps at night, would find that there is no such command."""
    named = {(path.name, said) for path in NAMING for said in QUOTED.findall(path.read_text())}
    assert len(named) > 100
    assert {(name, said) for name, said in named if not is_there(said)} == set()
    in_alerts = IN_PROSE.findall(ALERTS.read_text())
    assert len(in_alerts) > 4
    assert [said for said in in_alerts if not is_there(said, goes_on=True)] == []
