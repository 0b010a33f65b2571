"""Which Hopper a command speaks to."""

import subprocess
from pathlib import Path

import pytest

from hopper.entrypoints.cli.choice import LOCAL_SERVER, choose


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    own = tmp_path / "home"
    own.mkdir()
    monkeypatch.setenv("HOME", str(own))
    return own


def an_instance(place: Path) -> Path:
    (place / ".hopper" / "tasks").mkdir(parents=True)
    return place / ".hopper"


def git(*arguments: str, at: Path) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(("git", *identity, *arguments), cwd=at, check=True, capture_output=True)


def test_the_nearest_above_is_chosen(tmp_path: Path) -> None:
    """A task would be filed in another project's list."""
    outer, inner = an_instance(tmp_path / "a"), an_instance(tmp_path / "a" / "b")
    deep = tmp_path / "a" / "b" / "c" / "d"
    deep.mkdir(parents=True)
    assert choose("", deep).directory == inner
    assert choose("", tmp_path / "a").directory == outer


def test_a_named_server_goes_first(tmp_path: Path) -> None:
    """Whoever says where a task belongs would find it elsewhere."""
    an_instance(tmp_path)
    chosen = choose("http://example.org:8000", tmp_path)
    assert (chosen.directory, chosen.server) == (None, "http://example.org:8000")


def test_ones_own_is_chosen_where_no_other_is_near(tmp_path: Path, home: Path) -> None:
    """A person's list would be out of reach as soon as they leave their home."""
    own = an_instance(home)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert choose("", elsewhere).directory == own


def test_a_servers_data_is_no_instance(tmp_path: Path, home: Path) -> None:
    """Whoever runs a server would find that commands no longer speak to it."""
    (home / ".hopper" / "server").mkdir(parents=True)
    (home / ".hopper" / "config.yaml").write_text("active_profile: local\n")
    chosen = choose("", tmp_path)
    assert (chosen.directory, chosen.server) == (None, LOCAL_SERVER)


def test_a_worktree_shares_the_main_checkouts(tmp_path: Path) -> None:
    """Each branch would have a list of its own, and what was filed in one would be lost with it."""
    main = tmp_path / "main"
    main.mkdir()
    git("init", "-q", at=main)
    shared = an_instance(main)
    (shared / "tasks" / "task-1.md").write_text("---\nid: task-1\n---\n")
    git("add", ".", at=main)
    git("commit", "-q", "-m", "a", at=main)
    git("worktree", "add", "-q", str(tmp_path / "linked"), at=main)
    deep = tmp_path / "linked" / "src"
    deep.mkdir()
    assert (tmp_path / "linked" / ".hopper" / "tasks").is_dir()
    chosen = choose("", deep)
    assert chosen.directory == shared
    assert "worktree" in chosen.why


def test_a_submodule_has_its_own(tmp_path: Path) -> None:
    """Tasks of a library would be filed with every project that uses it."""
    library, project = tmp_path / "library", tmp_path / "project"
    for place in (library, project):
        place.mkdir()
        git("init", "-q", at=place)
        (an_instance(place) / "tasks" / "task-1.md").write_text("---\nid: task-1\n---\n")
        git("add", ".", at=place)
        git("commit", "-q", "-m", "a", at=place)
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "library", at=project)
    assert choose("", project / "library").directory == project / "library" / ".hopper"
