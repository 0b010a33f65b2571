"""Local instances and the people who edit their files: what they wrote is seen, kept, and never overwritten."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.builders import a_delegation, a_task, an_episode, an_instance, feedback_on
from tests.contracts.working import keep

from hopper.adapters.markdown import journal
from hopper.app.tasks import edit_task
from hopper.bootstrap_local import make_local, open_local, unread_files
from hopper.domain.errors import Conflict, Forbidden, NotFound
from hopper.domain.task import Priority, Task, TaskStatus
from hopper.ports import Ports
from hopper.ports.repositories import TaskFilter

BY_HAND = """---
# what the baker asked for
id: oven
title:   'Ovens: order new seals'   # since March
tags:
  - ovens   # the small ones
  # and
  - 'no'
due: 2026-03-01
owner: {name: "Ada",   since: 2020}
priority: high
---

Two of four leak.

"""


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    return open_local(tmp_path)


def written(tmp_path: Path, text: str, name: str = "oven.md") -> Path:
    (tmp_path / "tasks").mkdir(exist_ok=True)
    file = tmp_path / "tasks" / name
    file.write_bytes(text.encode())
    return file


async def task(ports: Ports, id: str = "oven") -> Task:
    async with ports.reading() as uow:
        return await uow.tasks.get(id)


async def change(ports: Ports, **fields: object) -> None:
    async with ports.unit_of_work() as uow:
        await uow.tasks.update(replace(await uow.tasks.get_for_update("oven"), **fields))  # type: ignore[arg-type]
        await uow.commit()


async def test_a_file_written_by_hand_is_a_task(tmp_path: Path, ports: Ports) -> None:
    """Whoever writes a file in an editor, or pulls one with git, would have to import it."""
    written(tmp_path, BY_HAND)
    found = await task(ports)
    assert (found.title, found.description) == ("Ovens: order new seals", "Two of four leak.")
    assert (found.tags, found.priority) == ({"ovens": True, "no": True}, Priority.HIGH)
    assert found.status is TaskStatus.PENDING


async def test_a_change_touches_nothing_but_what_has_changed(tmp_path: Path, ports: Ports) -> None:
    """Comments, order, quotes and what Hopper doesn't know would be gone after the first command."""
    file = written(tmp_path, BY_HAND)
    before = await task(ports)
    await change(ports, title="Seals: order four", tags={"no": True, "new": True}, priority=None, project="bakery")
    added = {
        "status": "pending",
        "project": "bakery",
        "version": "2",
        "created_at": f'"{before.created_at.isoformat()}"',
        "updated_at": f'"{before.updated_at.isoformat()}"',
    }
    wanted = BY_HAND.replace("'Ovens: order new seals'", '"Seals: order four"')
    wanted = wanted.replace("  - ovens   # the small ones\n", "").replace("  - 'no'\n", "  - 'no'\n  - new\n")
    head, tail = wanted.split("priority: high\n")
    text = file.read_text()
    assert text.startswith(head)
    assert text.endswith(tail)
    lines = text.removeprefix(head).removesuffix(tail).splitlines()
    assert sorted(lines) == sorted(f"{key}: {value}" for key, value in added.items())
    after = await task(ports)
    assert (after.title, after.tags) == ("Seals: order four", {"no": True, "new": True})
    assert (after.priority, after.project) == (None, "bakery")


@pytest.mark.parametrize("mark", ["", "\ufeff"])
async def test_the_ends_of_lines_stay_those_of_the_file(mark: str, tmp_path: Path, ports: Ports) -> None:
    """A file from Windows would be mixed, and every line of it show up in git."""
    file = written(tmp_path, mark + BY_HAND.replace("\n", "\r\n"))
    await change(ports, title="changed", tags={"new": True}, project="bakery")
    text = file.read_bytes().decode()
    assert text.count("\n") == text.count("\r\n")
    assert text.startswith(f"{mark}---\r\n")
    assert (await task(ports)).title == "changed"


async def test_an_edit_by_hand_is_seen_by_the_next_command(tmp_path: Path, ports: Ports) -> None:
    """A person's edit would be undone by the next change, or be seen only after the index was removed."""
    file = written(tmp_path, BY_HAND)
    for n in range(20):  # as quick as the clock of the file system, and of the same length
        file.write_text(BY_HAND.replace("March", f"Ma{n:03}").replace("order new", f"order {n:03}"))
        assert (await task(ports)).title == f"Ovens: order {n:03} seals"


async def test_a_file_that_was_removed_is_a_task_that_was_removed(tmp_path: Path, ports: Ports) -> None:
    """Tasks of another branch would stay in all lists; with git they come back, and all that was said of them."""
    await keep(
        ports.unit_of_work,
        an_instance("a"),
        a_task(id="oven"),
        a_delegation("oven", "a"),
        an_episode("oven", "a"),
        feedback_on("oven"),
    )
    file = tmp_path / "tasks" / "oven.md"
    text = file.read_text()
    file.unlink()
    with pytest.raises(NotFound):
        await task(ports)
    async with ports.reading() as uow:
        figures = await uow.episodes.statistics()
        assert (figures.tasks, figures.episodes, figures.feedback) == (0, 0, 0)
        assert await uow.delegations.of_task("oven") == ()
    file.write_text(text)
    async with ports.reading() as uow:
        assert await uow.feedback.find("oven")
        assert len(await uow.delegations.of_task("oven")) == len(await uow.episodes.of_task("oven")) == 1


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (BY_HAND.replace("due", "<<<<<<< HEAD\ndue"), 9, "merge conflict"),
        (BY_HAND + "<<<<<<< HEAD\nThree\n=======\nFour\n>>>>>>> other\n", 16, "merge conflict"),
        (BY_HAND.replace("due: ", "due: ["), 10, ""),
        (BY_HAND.replace("high", "highest"), 11, "priority"),
        (BY_HAND.replace("due", "status: sleeping\ndue"), 9, "sleeping"),
        (BY_HAND.replace("id: oven", "name: oven"), 1, "`id`"),
        (BY_HAND.replace("due", "created_at: 0001-01-01\ndue"), 9, "created_at"),
        (BY_HAND.replace("---\n\nTwo", "Two"), 1, "three dashes"),
        ("only text", 1, "three dashes"),
    ],
)
async def test_what_cannot_be_read_is_told_with_its_line_and_never_overwritten(
    text: str, line: int, problem: str, tmp_path: Path, ports: Ports
) -> None:
    """A person's half-finished edit, or a merge, would be lost, or the task seem to be gone."""
    file = written(tmp_path, text)
    written(tmp_path, BY_HAND.replace("id: oven", "id: other"), "other.md")
    with pytest.raises(Conflict, match=rf"tasks/oven.md:{line}: .*{problem}"):
        await task(ports)
    with pytest.raises(Conflict, match=r"oven\.md"):
        await change(ports, title="changed")
    [unread] = unread_files(tmp_path)
    assert (unread.path, unread.line) == ("tasks/oven.md", line)
    async with ports.reading() as uow:
        assert [found.id for found in (await uow.tasks.list(TaskFilter(), 5)).items] == ["other"]
    assert file.read_text() == text
    written(tmp_path, BY_HAND)
    assert (await task(ports)).title
    assert unread_files(tmp_path) == ()


async def test_a_repository_cannot_make_hopper_write_elsewhere(tmp_path: Path) -> None:
    """Whoever looks at a stranger's project would have files of their own overwritten."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere.md"
    ports = open_local(project)
    (project / ".state").mkdir(parents=True)
    journal.begin(project, [journal.Change("../elsewhere.md", None, b"evil"), journal.Change("tasks/a.md", None, b"")])
    written(project, BY_HAND)
    (project / "tasks" / "link.md").symlink_to(elsewhere)
    (project / "tasks" / "folder.md").mkdir()
    assert (await task(ports)).id == "oven"
    assert not elsewhere.exists()
    elsewhere.write_text(BY_HAND.replace("id: oven", "id: link"))
    async with ports.unit_of_work() as uow:
        await uow.tasks.update(replace(await uow.tasks.get("link"), title="changed"))
        await uow.commit()
    assert "changed" not in elsewhere.read_text()
    assert (await task(ports, "link")).title == "changed"


async def test_a_file_that_would_explode_is_told_of(tmp_path: Path, ports: Ports) -> None:
    """A few lines in a stranger's project would fill the memory."""
    lines = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 12))
    written(tmp_path, BY_HAND.replace("due", f"l0: &l0 [x]\n{lines}due"))
    written(tmp_path, BY_HAND.replace("id: oven", "id: self").replace("due", "me: &me [*me]\ndue"), "self.md")
    with pytest.raises(Conflict):
        await task(ports)
    assert len(unread_files(tmp_path)) == 2


async def test_two_files_of_one_id_are_both_told_of(tmp_path: Path, ports: Ports) -> None:
    """After a copy by hand, one of the two would win, whichever was read last."""
    written(tmp_path, BY_HAND)
    copy = written(tmp_path, BY_HAND.replace("March", "May"), "copy.md")
    with pytest.raises(Conflict, match="same id"):
        await task(ports)
    assert [unread.path for unread in unread_files(tmp_path)] == ["tasks/copy.md", "tasks/oven.md"]
    third = written(tmp_path, BY_HAND, "third.md")
    with pytest.raises(Conflict, match="same id"):
        await task(ports)
    assert len(unread_files(tmp_path)) == 3
    third.unlink()
    copy.write_text(BY_HAND.replace("id: oven", "id: copy"))
    assert (await task(ports)).id == "oven"
    assert (await task(ports, "copy")).id == "copy"


async def test_a_file_that_cannot_be_changed_safely_is_left_alone(tmp_path: Path, ports: Ports) -> None:
    """Changing one field would change another that is tied to it."""
    text = BY_HAND.replace("title:   ", "title: &name ").replace("due: 2026-03-01", "heading: *name")
    file = written(tmp_path, text)
    with pytest.raises(Conflict, match="by hand"):
        await change(ports, title="changed")
    assert file.read_text() == text


async def test_a_new_file_never_takes_the_place_of_another(tmp_path: Path, ports: Ports) -> None:
    """A file that was written by hand in between would be gone."""
    text = BY_HAND.replace("id: oven", "id: other")
    file = written(tmp_path, text)
    with pytest.raises(Conflict):
        await keep(ports.unit_of_work, a_task(id="oven"))
    with pytest.raises(Conflict):
        await keep(ports.unit_of_work, a_task(id="oven"), a_task(id="next", depends_on=("oven",)))
    assert file.read_text() == text


@pytest.mark.parametrize(
    "description",
    ["", " indented", "ends\n", "a\r\nb", "<<<<<<< x\n=======\n>>>>>>> y", "---\nid: x\n---", "\x85\u2028 \ufeff", "#"],
)
async def test_any_description_comes_back_as_it_was(description: str, tmp_path: Path, ports: Ports) -> None:
    """A text that looks like something else would break its file, or lose its ends."""
    await keep(ports.unit_of_work, a_task(id="oven", description=description))
    for _ in range(2):
        assert (await task(ports)).description == description
        (tmp_path / ".index" / "hopper.db").unlink()
    await change(ports, description="another")
    assert (await task(ports)).description == "another"
    await change(ports, description=description)
    assert (await task(ports)).description == description


async def test_the_index_can_be_removed_at_any_time(tmp_path: Path, ports: Ports) -> None:
    """Something would be lost that stands in no file."""
    await keep(ports.unit_of_work, an_instance("a"), a_task(id="oven"), a_delegation("oven", "a", id="d"))
    (tmp_path / ".index" / "hopper.db").write_bytes(b"no database" * 1000)
    async with ports.reading() as uow:
        assert [one.id for one in await uow.delegations.of_task("oven")] == ["d"]


async def test_a_damaged_index_is_made_anew(tmp_path: Path, ports: Ports) -> None:
    """After a bad shutdown no command would work until somebody removed a folder that they don't know."""
    await keep(ports.unit_of_work, *(a_task(id=f"t{n}", description=f"number {n}" * 50) for n in range(50)))
    index = tmp_path / ".index" / "hopper.db"
    for title in ("once", "twice"):
        whole = index.read_bytes()
        index.write_bytes(whole[:4096] + b"damage" * (len(whole) // 6))
        if title == "once":
            assert (await task(ports, "t7")).description == "number 7" * 50
        else:
            await keep(ports.unit_of_work, a_task(title, id="new", depends_on=("t7",)))
    assert (await task(ports, "new")).title == "twice"
    assert unread_files(tmp_path) == ()


async def test_what_is_this_machines_own_is_its_owners_alone(tmp_path: Path, ports: Ports) -> None:
    """On a shared machine others could read private tasks from the index, or take a worker's token."""
    (tmp_path / ".index").mkdir(mode=0o755)
    await keep(ports.unit_of_work, a_task(id="oven"))
    journal.begin(tmp_path, [])
    for folder in (tmp_path / ".index", tmp_path / ".state"):
        assert folder.stat().st_mode & 0o077 == 0
        files = [file for file in folder.iterdir() if file.name != ".gitignore"]
        assert files
        assert [file.name for file in files if file.stat().st_mode & 0o077] == []
    assert (tmp_path / "tasks" / "oven.md").stat().st_mode & 0o400


@contextmanager
def somebody_who_may_only_read(directory: Path) -> Iterator[None]:
    """Root may write everywhere, so it becomes another user meanwhile."""
    if os.geteuid() == 0:
        os.setresuid(65534, 65534, 0)
        try:
            yield
        finally:
            os.setresuid(0, 0, 0)
    else:
        directory.chmod(0o500)
        try:
            yield
        finally:
            directory.chmod(0o700)


async def test_what_can_only_be_read_is_read_and_a_write_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks on a read-only disk, or in a colleague's checkout, couldn't even be looked at."""
    with TemporaryDirectory() as place:
        directory, cache = Path(place) / "project", Path(place) / "cache"
        directory.mkdir()
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        written(directory, BY_HAND)
        cache.mkdir()
        for folder in (Path(place), cache):
            folder.chmod(0o777)
        ports = open_local(directory)
        with somebody_who_may_only_read(directory):
            for _ in range(2):
                assert (await task(ports)).title == "Ovens: order new seals"
            with pytest.raises(Forbidden, match="only read"):
                await change(ports, title="changed")
            assert (await task(ports)).title == "Ovens: order new seals"
            async with ports.turns.take("learning", 0) as taken:
                assert taken
        assert [file.name for file in directory.iterdir()] == ["tasks"]


async def test_an_edit_in_the_very_moment_of_a_change_is_kept(tmp_path: Path, ports: Ports) -> None:
    """What a person saves while a command writes would be overwritten."""
    edited, other = written(tmp_path, BY_HAND), written(tmp_path, BY_HAND.replace("id: oven", "id: b"), "b.md")
    (tmp_path / ".state").mkdir()
    before = sha256(b"what it was when it was read").hexdigest()
    ours = journal.Change("tasks/oven.md", before, b"ours")
    with pytest.raises(Conflict, match="changed by somebody else"):
        journal.apply(tmp_path, [ours])
    removed = journal.Change("tasks/b.md", sha256(other.read_bytes()).hexdigest(), None)
    assert journal.apply(tmp_path, [ours, removed]) == [removed]
    assert edited.read_text() == BY_HAND
    assert (tmp_path / "tasks" / "oven.md.hopper-saved").read_text() == "ours"
    assert (await task(ports)).title


async def test_what_a_person_wrote_beside_decisions_outlives_them(tmp_path: Path, ports: Ports) -> None:
    """Notes of a day would go with the last task that was decided about on it."""
    await keep(ports.unit_of_work, an_instance("a"), a_task(id="oven"), an_episode("oven", "a"))
    [file] = (tmp_path / "memory" / "episodes").iterdir()
    file.write_text(file.read_text() + "\nThe oven was a mistake.\n")
    for id in ("oven", "next"):
        async with ports.unit_of_work() as uow:
            await uow.tasks.delete(id)
            await uow.commit()
        assert file.read_text() == "---\nepisodes: []\n---\n\nThe oven was a mistake.\n"
        if id == "oven":
            await keep(ports.unit_of_work, a_task(id="next"), an_episode("next", "a"))
    assert unread_files(tmp_path) == ()


async def test_a_link_that_cannot_be_followed_hinders_nothing_else(tmp_path: Path, ports: Ports) -> None:
    """One document on a disk that isn't there would keep all commands from working."""
    file = written(tmp_path, BY_HAND)
    loop = tmp_path / "tasks" / "loop.md"
    loop.symlink_to("loop.md")
    await change(ports, title="changed")
    [unread] = unread_files(tmp_path)
    assert unread.path == "tasks/loop.md"
    with pytest.raises(Conflict, match="can't be read"):
        await task(ports, "loop")
    loop.unlink()
    loop.write_text(file.read_text().replace("id: oven", "id: loop"))
    assert (await task(ports, "loop")).title == "changed"
    assert unread_files(tmp_path) == ()


async def test_an_own_instance_stands_in_the_configuration(tmp_path: Path) -> None:
    """Renaming it would write a second instance, or lose the other settings."""
    (tmp_path / "config.yaml").write_text("profiles:\n  home: {auth: {token: secret}}  # mine\n")
    assert make_local(tmp_path, {"id": "mine", "name": "Mine", "scope": "PROJECT"})
    assert not make_local(tmp_path, {"id": "other", "name": "Other", "scope": "PROJECT"})
    ports = open_local(tmp_path)
    async with ports.unit_of_work() as uow:
        own = await uow.instances.get_for_update("mine")
        await uow.instances.update(replace(own, name="Renamed"))
        with pytest.raises(Conflict):
            await uow.instances.delete("mine")
        await uow.commit()
    text = (tmp_path / "config.yaml").read_text()
    assert text.startswith(
        "profiles:\n  home: {auth: {token: secret}}  # mine\ninstance:\n  id: mine\n  name: Renamed\n"
    )
    assert b"secret" not in b"".join(file.read_bytes() for file in (tmp_path / ".index").iterdir())


async def test_a_task_is_edited_and_removed_by_the_use_cases(tmp_path: Path, ports: Ports) -> None:
    """The commands would need code of their own for files."""
    await keep(ports.unit_of_work, a_task(id="oven"), a_task(id="next", depends_on=("oven",)))
    edited = await edit_task("oven", {"title": "changed", "status": TaskStatus.CANCELLED}, ports=ports)
    assert await task(ports) == edited
    async with ports.unit_of_work() as uow:
        await uow.tasks.delete("oven")
        await uow.commit()
    assert (await task(ports, "next")).depends_on == ()
    assert [file.name for file in (tmp_path / "tasks").iterdir()] == ["next.md"]
