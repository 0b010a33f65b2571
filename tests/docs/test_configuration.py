"""docs/configuration.md and the file of settings to begin with say of every setting what is so."""

import re
from importlib.resources import files
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from hopper.config import load_settings
from hopper.config.environment import OTHERS, USUAL, names_of, own_name
from hopper.config.names import known
from hopper.config.problems import dotted
from hopper.config.reading import FLAGS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "configuration.md").read_text()
TEMPLATE = ROOT / "config" / "server.example.yaml"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in (*USUAL, *OTHERS, *map(own_name, known())):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)


def shown(value: Any) -> str:
    """A default as the table has it."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Path):
        value = f"~/{value.relative_to(Path.home())}"
    if isinstance(value, bool):
        value = str(value).lower()
    return "none" if value in {None, "", ()} else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def test_the_table_has_every_setting_as_it_is() -> None:
    """A person would set what there isn't, miss what there is, or count on another default."""
    defaults = load_settings()
    section = PAGE.partition("## Settings")[2].partition("## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:6]] for line in section.splitlines() if line.startswith("| `")]
    table = {row[0].strip("`"): row[1:4] for row in rows}
    assert table == {
        dotted(place): [
            shown(attrgetter(dotted(place))(defaults)),
            ", ".join(f"`{name}`" for name in names_of(place) if name != own_name(place)),
            f"`{FLAGS[place]}`" if place in FLAGS else "",
        ]
        for place in known()
    }


def test_the_file_to_begin_with_has_every_setting() -> None:
    """A setting would be found by those alone who read all of the documentation."""
    without_marks = re.sub(r"(?m)^( *)# (?=\w+:)", r"\1", TEMPLATE.read_text())
    tree = yaml.safe_load(without_marks)
    for place in known():
        section = tree
        for step in place:
            assert step in section, dotted(place)
            section = section[step]


def test_the_file_to_begin_with_is_in_the_package() -> None:
    """`hopper config init` would write another file than the repository shows, or none."""
    assert (files("hopper.config") / "server.example.yaml").read_bytes() == TEMPLATE.read_bytes()
