"""The README's commands, run one after the other as a newcomer would."""

import gzip
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from tests.commands import COMMAND, run
from tests.conftest import serving

from hopper.entrypoints.cli import demo

ROOT = Path(__file__).parents[2]

_ID = re.compile(r"\b[0-9a-f]{8}\b")
_VARIES = [
    (re.compile(r" *\d+%"), " N%"),
    (re.compile(r"\d\.\d\d alike"), "0.NN alike"),
    (re.compile(r"  [+-]\d\.\d\d  "), "  +0.NN  "),
]
_THE_REST = "…"


def sessions(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of the console blocks, with the output that is shown for it."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        command: str | None = None
        output: list[str] = []
        for line in block.splitlines():
            if line.startswith("$ "):
                if command:
                    yield command, output
                command, output = line[2:], []
            else:
                output.append(line)
        assert command, "a console block begins with a command"
        yield command, output


def normal(line: str) -> str:
    """A line without what is different at every run."""
    for pattern, instead in _VARIES:
        line = pattern.sub(instead, line)
    return _ID.sub("ID", line).rstrip()


def beginning(command: list[str], lines: int, environment: dict[str, str]) -> list[str]:
    """The first lines that a command prints; it is ended then."""
    unbuffered = environment | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=unbuffered) as process:
        assert process.stdout
        printed = [line.rstrip("\n") for line in islice(process.stdout, lines)]
        process.terminate()
        process.stdout.read()
        assert process.wait(60) == 130
    return printed


def test_a_demo_ends_with_decisions_and_their_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A newcomer would wait for the end of the demo, and not see why Hopper decides as it does."""
    sample = gzip.decompress(demo.SAMPLE.read_bytes()).splitlines(keepends=True)
    (tmp_path / "part.jsonl").write_bytes(b"".join(sample[:160]))
    monkeypatch.setattr(demo, "SAMPLE", tmp_path / "part.jsonl")
    demo.demo()
    said = capsys.readouterr().out
    assert "\n  150 " in said
    assert "because" in said
    assert "triage" in said


@pytest.fixture
def url(database_url: str, tmp_path: Path) -> Iterator[str]:
    with serving(database_url, tmp_path) as server:
        yield server.url


def test_the_tour_prints_what_the_readme_shows(url: str) -> None:
    """A newcomer would follow the README and see something else, or an error."""
    environment = {**os.environ, "HOPPER_SERVER": url, "COLUMNS": "200"}
    real: dict[str, str] = {}  # the ids of the README and those of this run
    for command, shown in sessions((ROOT / "README.md").read_text()):
        words = [real.get(word, word) for word in shlex.split(command)]
        assert words[0] == "hopper", f"only hopper's commands can be checked: {command}"
        expected = shown[: shown.index(_THE_REST)] if _THE_REST in shown else shown
        if expected is shown:
            done = run(*words[1:], env=environment)
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            printed = done.stdout.splitlines()
        else:
            printed = beginning([*COMMAND, *words[1:]], len(expected), environment)
        assert list(map(normal, printed)) == list(map(normal, expected)), command
        real |= zip(_ID.findall("\n".join(expected)), _ID.findall("\n".join(printed)), strict=True)


def test_the_make_targets_that_the_documents_name_exist() -> None:
    """A newcomer's first command would fail."""
    makefile = (ROOT / "Makefile").read_text()
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    named = {name for page in documents for name in re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.MULTILINE)}
    assert {"serve", "test"} <= named
    assert {name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)} == set()


def test_links_between_the_documents_lead_somewhere() -> None:
    """A reader would end at a page that isn't there."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.md")]
    dead = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert dead == []
