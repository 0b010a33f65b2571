"""What never leaves a directory, whatever its tasks say: one's name as git knows it, and the words that are listed."""

import subprocess
from pathlib import Path

import pytest

from hopper.adapters.markdown.teaching_state import FileTeachingState
from hopper.domain.errors import Invalid


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    (home / ".hopper").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "GIT_DIR", "GIT_CONFIG", "GIT_CONFIG_GLOBAL"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "repository" / "part" / ".hopper"
    directory.mkdir(parents=True)
    return directory


def git(place: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(place), *arguments], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".gitconfig", "[user]\n\tname = Wanda Plim\n"),
        (".gitconfig", "[User]\n\tName = Wanda Plim\n"),
        (".gitconfig", "[alias]\n\tl = log\n  [user]\n\tname = Wanda Plim\n"),
        (".gitconfig", "[include]\n\tpath = more\n"),
        (".config/git/config", "[user]\n\tname = Wanda Plim\n"),
    ],
)
def test_ones_own_name_is_known_wherever_git_has_it(home: Path, directory: Path, file: str, text: str) -> None:
    """A person who signs tasks would be named in what leaves, for having written a file as git allows it."""
    (home / "more").write_text("[user]\n\tname = Wanda Plim\n")
    (home / file).parent.mkdir(parents=True, exist_ok=True)
    (home / file).write_text(text)
    assert "Wanda Plim" in FileTeachingState(directory).private()


def test_ones_name_in_a_repository_is_known_in_its_folders_and_worktrees(
    home: Path, directory: Path, tmp_path: Path
) -> None:
    """Who has another name at work would be named by it."""
    (home / ".gitconfig").write_text("[user]\n\tname = Wanda\n\temail = wanda@example.org\n")
    repository = directory.parents[1]
    git(repository, "init")
    git(repository, "config", "user.name", "Zelda Quux")
    git(repository, "commit", "--allow-empty", "-m", "x")
    git(repository, "worktree", "add", str(tmp_path / "tree"))
    for place in (directory, tmp_path / "tree" / ".hopper"):
        assert {"Wanda", "wanda@example.org", "Zelda Quux"} <= FileTeachingState(place).private()


def test_what_git_cant_read_is_told_and_no_git_is_no_name(
    home: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slip in one's git configuration would let one's name out, or a machine without git couldn't sync."""
    (home / ".gitconfig").write_text("[user]\n\tname = Wanda\n[core\n")
    with pytest.raises(Invalid, match="git config --list"):
        FileTeachingState(directory).private()
    monkeypatch.setenv("PATH", str(home))
    assert "Wanda" not in FileTeachingState(directory).private()


def test_listed_words_stay_as_they_are_written(home: Path, directory: Path) -> None:
    """A customer called No would be taken for false, and leave."""
    (directory / "config.yaml").write_text("instance:\n  name: 12\nsync:\n  private: [no, 007, 2026-13-45]\n")
    (home / ".hopper" / "config.yaml").write_text("sync:\n  private:\n  - Acme\n")
    assert {"12", "no", "007", "2026-13-45", "Acme"} <= FileTeachingState(directory).private()
    (directory / "config.yaml").write_text("instance:\nsync:\n")
    assert "Acme" in FileTeachingState(directory).private()


@pytest.mark.parametrize(
    "text",
    [
        "sync: [Acme]",
        "sync: Acme",
        "sync: {private: Acme}",
        "sync: {private: {Acme: true}}",
        "sync: {private: [[Acme]]}",
        "- Acme",
        "[" * 3000,
        "sync: !!int x",
        "a: &a [*a]",
        "\0",
    ],
    ids=lambda text: text[:20],
)
def test_a_list_that_cant_be_read_is_told(home: Path, directory: Path, text: str) -> None:
    """Words that somebody believes to be private would leave, or the command end in a traceback."""
    config = home / ".hopper" / "config.yaml"
    config.write_text(text)
    with pytest.raises(Invalid) as refused:
        FileTeachingState(directory).private()
    assert str(config) in refused.value.message
    assert "\n" not in refused.value.message
