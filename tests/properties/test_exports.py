"""Moving out and in again: what was exported is what comes back, whatever the tasks hold."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hopper.adapters.formats import folder, json_lines, table
from hopper.adapters.formats.draft import Files
from hopper.app.moving import take_over
from hopper.bootstrap_local import open_local
from hopper.domain.ids import new_id
from hopper.domain.moving import OWN, Fate, Record, digest, flat, in_order, merge
from hopper.domain.task import Priority, Task, TaskStatus
from hopper.ports import Ports

ids = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,35}", fullmatch=True)
texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=60) | st.sampled_from(
    ["---\na: b\n---\n", "=1+1", "'", "no", "null", "~", "1.0", "a\r\nb", " x ", "<<<<<<< HEAD\n", "\ufeffx", "a\x85b"]
)
said = texts.filter(str.strip)
times = st.integers(0, 1_767_225_600_000_000).map(
    lambda micros: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
)
tags = st.dictionaries(said.map(str.strip), st.just(True) | texts, max_size=4)


@st.composite
def some_tasks(draw: st.DrawFn) -> list[Task]:
    """Tasks of every kind, in an order in which they may refer to earlier ones."""
    tasks: list[Task] = []
    for id in draw(st.lists(ids, max_size=5, unique_by=str.lower)):
        earlier: st.SearchStrategy[Any] = st.sampled_from([task.id for task in tasks]) if tasks else st.none()
        needed: set[str] = draw(st.sets(earlier, max_size=3)) if tasks else set()
        tasks.append(
            Task(
                id=id,
                title=draw(said),
                description=draw(st.none() | texts),
                status=draw(st.sampled_from(TaskStatus)),
                priority=draw(st.none() | st.sampled_from(Priority)),
                project=draw(st.none() | said),
                tags=draw(tags),
                source=draw(said)[:50],
                source_instance_id=draw(st.none() | ids),
                parent_task_id=draw(st.none() | earlier),
                duplicate_of=draw(st.none() | earlier),
                depends_on=tuple(sorted(needed)),
                created_at=draw(times),
                updated_at=draw(times),
            )
        )
    return tasks


def entities(tasks: Iterable[Task]) -> list[dict[str, Any]]:
    """Tasks as the API gives them."""
    return [orjson.loads(orjson.dumps(task)) for task in tasks]


def exported(tasks: Iterable[Task], layout: str) -> list[Record]:
    """Written and read again."""
    match layout:
        case "jsonl":
            read = json_lines.read([("f", b"".join(json_lines.write(entities(tasks))))])
        case "csv":
            read = table.read([("f.csv", b"".join(table.write(entities(tasks))))])
        case _:
            files: Files = list(folder.write(entities(tasks)))
            read = folder.read(files)
    found = list(read)
    assert all(isinstance(one, Record) for one in found), found
    return [one for one in found if isinstance(one, Record)]


@pytest.mark.parametrize("layout", ["jsonl", "csv", "markdown"])
@given(some_tasks())
@settings(max_examples=200, deadline=None)
def test_what_is_exported_is_what_is_read(layout: str, tasks: list[Task]) -> None:
    """A backup would give back other tasks than those that were saved."""
    by_id = {record.external_id: record for record in exported(tasks, layout)}
    assert len(by_id) == len(tasks)
    for task in tasks:
        record = by_id[task.id]
        assert (record.parent, record.duplicate_of) == (task.parent_task_id, task.duplicate_of)
        same = ("title", "description", "status", "priority", "project", "tags", "source", "source_instance_id")
        for name in (*same, "depends_on", "created_at", "updated_at"):
            assert getattr(record, name) == getattr(task, name), name


@pytest.fixture
def files(tmp_path: Path) -> Ports:
    return open_local(tmp_path)


@pytest.fixture(params=["ports", "files"])
def store(request: pytest.FixtureRequest) -> Ports:
    """A server's, and a local instance's."""
    found: Ports = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("layout", ["jsonl", "csv", "markdown"])
async def test_export_and_import_are_the_identity(layout: str, store: Ports) -> None:
    """Whoever moves to another server, or restores a backup, would have other tasks afterwards."""
    loop = asyncio.get_running_loop()

    async def moved(tasks: list[Task]) -> None:
        names = {task.id: new_id() for task in tasks}  # the database is the same for all examples
        tasks = [
            replace(
                task,
                id=names[task.id],
                parent_task_id=task.parent_task_id and names[task.parent_task_id],
                duplicate_of=task.duplicate_of and names[task.duplicate_of],
                depends_on=tuple(sorted(names[id] for id in task.depends_on)),
            )
            for task in tasks
        ]
        for fate in (Fate.NEW, Fate.UNCHANGED):
            outcomes = await take_over(in_order(exported(tasks, layout)), OWN, ports=store)
            assert {outcome.outcome for outcome in outcomes} <= {fate}, outcomes
            async with store.reading() as uow:
                there = await uow.tasks.get_many([task.id for task in tasks])
            assert sorted(there, key=lambda task: task.id) == sorted(tasks, key=lambda task: task.id)

    @given(some_tasks())
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    def check(tasks: list[Task]) -> None:
        asyncio.run_coroutine_threadsafe(moved(tasks), loop).result(60)

    await asyncio.to_thread(check)


values = st.dictionaries(st.sampled_from(["title", "status", "tags.a", "depends_on.x"]), st.sampled_from("abc"))


@given(values, values, values)
def test_a_merge_never_loses_what_was_changed_here(
    base: dict[str, str], theirs: dict[str, str], ours: dict[str, str]
) -> None:
    """An import would overwrite what somebody has changed since the last one, or do something new each time."""
    said_before = {name: digest(value) for name, value in base.items()}
    merged = merge(said_before, theirs, ours, theirs_is_newer=True)
    for name in {*base, *theirs, *ours}:
        here, there, before = ours.get(name), theirs.get(name), base.get(name)
        expected = there if here == before else here
        assert merged.fields.get(name) == expected, name
        assert (name in merged.newer_here) == (here != before and there not in (here, before))
        assert (name in merged.changed) == (expected != here)
    again = merge(merged.said, theirs, merged.fields, theirs_is_newer=True)
    assert (again.changed, again.newer_here) == ((), merged.newer_here)
    assert again.said == merged.said


def test_flat_fields_tell_tags_and_dependencies_apart() -> None:
    """A tag with a dot in its name would be taken for another field."""
    task = Task(
        id="t",
        title="T",
        tags={"depends_on.x": True, "a.b": "c"},
        depends_on=("tags.y",),
        created_at=datetime.now(UTC),
        updated_at=datetime.now(UTC),
    )
    fields = flat(task, with_holder=True)
    assert fields == {
        "title": "T",
        "status": "pending",
        "tags.depends_on.x": True,
        "tags.a.b": "c",
        "depends_on.tags.y": True,
    }
