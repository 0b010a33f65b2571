"""Reading the files of other programs, by samples as these programs write them."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hopper.adapters.formats import backlog, beads, folder, github, json_lines, table, taskwarrior
from hopper.adapters.formats.draft import Files, Read
from hopper.adapters.formats.kinds import KINDS, format_of_file, format_of_folder, source_of
from hopper.adapters.formats.own import FIELDS, LEFT_OUT
from hopper.domain.errors import Invalid
from hopper.domain.moving import Format, Record, Unusable, in_order
from hopper.domain.task import Priority, TaskStatus
from hopper.entrypoints.cli import imports
from hopper.entrypoints.cli.moving import files_of


def records(read: Read) -> list[Record]:
    found = list(read)
    assert all(isinstance(one, Record) for one in found), found
    return [one for one in found if isinstance(one, Record)]


def faults(read: Read) -> list[tuple[str, str]]:
    return [(one.where, one.detail) for one in read if isinstance(one, Unusable)]


ISSUES = [
    {
        "assignees": [{"id": "MDQ6VXNlcjE=", "login": "monalisa", "name": "Mona Lisa"}],
        "author": {"id": "U_2", "is_bot": False, "login": "hubot", "name": "Hubot"},
        "body": "It drips.\r\n\r\n- always",
        "closed": True,
        "closedAt": "2026-02-04T10:00:00Z",
        "comments": [
            {"id": "IC_1", "author": {"login": "ann"}, "body": "Seen, too.", "createdAt": "2026-02-03T08:00:00Z"}
        ],
        "createdAt": "2026-02-01T08:00:00Z",
        "id": "I_kwDO1",
        "isPinned": True,
        "labels": [{"id": "LA_1", "name": "bug", "description": "", "color": "d73a4a"}],
        "milestone": {"number": 2, "title": "Spring", "description": "", "dueOn": "2026-03-01T00:00:00Z"},
        "number": 12,
        "parent": {"id": "I_9", "number": 9, "url": "https://github.com/acme/taps/issues/9", "title": "All"},
        "blockedBy": {"nodes": [{"number": 7, "url": "https://github.com/acme/pipes/issues/7"}], "totalCount": 1},
        "projectItems": [{"status": {"optionId": "1", "name": "Todo"}, "title": "Board"}],
        "reactionGroups": [],
        "state": "CLOSED",
        "stateReason": "NOT_PLANNED",
        "title": "The tap drips",
        "updatedAt": "2026-02-04T10:00:00Z",
        "url": "https://github.com/acme/taps/issues/12",
    }
]


def test_github_issues_keep_everything() -> None:
    """Moving from GitHub would lose comments, milestones, or who a task waits for."""
    (record,) = records(github.read([("issues.json", json.dumps(ISSUES).encode())]))
    assert (record.external_id, record.title, record.project) == ("acme/taps#12", "The tap drips", "acme/taps")
    assert record.status is TaskStatus.CANCELLED
    assert record.tags == {"bug": True, "assignee:monalisa": True, "milestone": "Spring"}
    assert (record.parent, record.depends_on) == ("acme/taps#9", ("acme/pipes#7",))
    assert record.created_at == datetime(2026, 2, 1, 8, tzinfo=UTC)
    assert record.description is not None
    assert record.description.startswith("It drips.\n\n- always\n\n## Comments\n\n**ann 2026-02-03T08:00:00Z**\n\nSeen")
    for kept in ("- author: hubot", "- closedAt: 2026-02-04", "Board", "- url: https://github.com/acme/taps/issues/12"):
        assert kept in record.description
    assert record.kept.keys() == {
        *("assignees", "milestone", "author", "comments", "closedAt", "isPinned", "projectItems", "url"),
    }


BEADS: list[dict[str, Any]] = [
    {
        "_type": "issue",
        "id": "bd-a1b2",
        "title": "Order seals",
        "description": "Two of four leak.",
        "design": "Rubber.",
        "acceptance_criteria": "No drops.",
        "status": "in_progress",
        "priority": 0,
        "issue_type": "bug",
        "assignee": "ann",
        "estimated_minutes": 90,
        "created_at": "2026-02-03T09:00:00.12Z",
        "created_by": "bob",
        "updated_at": "2026-02-03T10:00:00+01:00",
        "external_ref": "gh-9",
        "labels": ["ovens"],
        "dependencies": [
            {"issue_id": "bd-a1b2", "depends_on_id": "bd-c3", "type": "blocks", "created_at": "2026-02-03T09:00:00Z"},
            {"issue_id": "bd-a1b2", "depends_on_id": "bd-e1", "type": "parent-child", "created_at": "0001-01-01"},
            {"issue_id": "bd-a1b2", "depends_on_id": "bd-f2", "type": "discovered-from", "created_at": "0001-01-01"},
        ],
        "comments": [{"id": "1", "issue_id": "bd-a1b2", "author": "bob", "text": "Soon.", "created_at": "2026-02-03"}],
        "metadata": {"files": ["a.py"]},
        "dependency_count": 3,
        "dependent_count": 0,
        "comment_count": 1,
    },
    {
        "_type": "issue",
        "id": "bd-c3",
        "title": "Measure",
        "status": "deferred",
        "priority": 4,
        "issue_type": "task",
        "created_at": "1970-01-01T00:00:00Z",
        "updated_at": "2026-02-01T09:00:00Z",
    },
    {"_type": "memory", "key": "tone", "value": "kind"},
]


def lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_beads_keep_everything() -> None:
    """Moving from beads would lose designs, kinds of dependencies, or what P0 means."""
    first, second, memory = beads.read([("issues.jsonl", lines(BEADS))])
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert (first.status, first.priority) == (TaskStatus.IN_PROGRESS, Priority.URGENT)
    assert (first.parent, first.depends_on) == ("bd-e1", ("bd-c3",))
    assert first.tags == {"ovens": True, "type": "bug", "assignee:ann": True}
    for kept in ("## Design\n\nRubber.", "## Acceptance criteria", "dependencies (discovered-from): bd-f2", "gh-9"):
        assert kept in (first.description or "")
    for kept in ("estimated_minutes: 90", '{"files":["a.py"]}', "created_by: bob", "**bob 2026-02-03**\n\nSoon."):
        assert kept in (first.description or "")
    assert first.updated_at == datetime(2026, 2, 3, 9, tzinfo=UTC)
    assert (second.status, second.priority) == (TaskStatus.PENDING, Priority.LOW)
    assert second.tags == {"status": "deferred", "priority": "P4", "type": "task"}
    assert memory == Unusable("issues.jsonl:3", "A memory of beads, and no task.", is_fault=False)


TASKS = """[
{"id":1,"description":"Buy milk","entry":"20260110T231200Z","modified":"20260111T080000Z","start":"20260111T080000Z",
 "due":"20260115T230000Z","priority":"H","project":"Home.Kitchen","status":"pending","estimate":"PT2H",
 "uuid":"296d835e-8f85-4224-8f36-c612cad1b9f8","annotations":[{"entry":"20260110T234212Z","description":"Two litres"}],
 "tags":["shop","next"],"depends":["a0000000-0000-4000-8000-000000000001"],"urgency":14.3},
{"id":0,"description":"Find the purse","entry":"20260109T080000Z","end":"20260110T080000Z","status":"completed",
 "uuid":"a0000000-0000-4000-8000-000000000001","modified":"20260110T080000Z","urgency":0},
{"id":2,"description":"Pay the rent","due":"20260201T000000Z","entry":"20260110T231200Z","mask":"--","recur":"monthly",
 "rtype":"periodic","status":"recurring","uuid":"b0000000-0000-4000-8000-000000000002","urgency":2.4}
]
"""


def test_taskwarrior_keeps_everything() -> None:
    """Moving from Taskwarrior would lose due dates, annotations, or attributes of one's own."""
    first, second, third = records(taskwarrior.read([("tasks.json", TASKS.encode())]))
    assert (first.title, first.project, first.priority) == ("Buy milk", "Home.Kitchen", Priority.HIGH)
    assert first.status is TaskStatus.IN_PROGRESS
    assert first.depends_on == (second.external_id,)
    assert first.tags == {"shop": True, "next": True}
    for kept in ("- 20260110T234212Z Two litres", "- due: 20260115T230000Z", "- estimate: PT2H"):
        assert kept in (first.description or "")
    assert first.created_at == datetime(2026, 1, 10, 23, 12, tzinfo=UTC)
    assert second.status is TaskStatus.DONE
    assert (third.status, third.tags) == (TaskStatus.PENDING, {"status": "recurring"})
    one_a_line = b'{"uuid":"x","description":"A","status":"waiting","depends":"y,z"},\n{"uuid":"y","description":"B"}\n'
    waiting, _ = records(taskwarrior.read([("tasks.json", one_a_line)]))
    assert waiting.depends_on == ("y", "z")


BACKLOG: Files = [
    (
        "config.yml",
        b'project_name: "Taps"\nstatuses: ["To Do", "Doing", "Review", "Done"]\ntask_prefix: back\n',
    ),
    (
        "tasks/back-24.02 - Mend-the-tap.md",
        b"""---
id: BACK-24.02
title: 'Taps: mend the tap'
status: Review
assignee: [@ann, '@bob']
reporter: @carl
created_date: '2026-01-17 21:42'
updated_date: '2026-01-18 05:28'
labels:
  - taps
dependencies: [back-7, 8]
parent_task_id: BACK-24
priority: low
milestone: m-1
ordinal: 22000
---

## Description

<!-- SECTION:DESCRIPTION:BEGIN -->
It drips.
<!-- SECTION:DESCRIPTION:END -->

## Acceptance Criteria
<!-- AC:BEGIN -->
- [x] #1 No drops
<!-- AC:END -->
""",
    ),
    ("completed/back-7 - Buy.md", b"---\nid: BACK-7\ntitle: Buy\nstatus: Done\ncreated_date: 2026-01-02\n---\n"),
    ("drafts/draft-1 - Maybe.md", b"---\nid: DRAFT-1\ntitle: Maybe\nstatus: Draft\nassignee:\n  - @ann\n---\n"),
    ("archive/tasks/back-3 - Old.md", b"---\nid: BACK-3\ntitle: Old\n---\n"),
    ("docs/doc-1.md", b"---\nid: doc-1\n---\n"),
    ("tasks/readme.md", b"# Tasks\n"),
    ("tasks/back-9 - Broken.md", b"---\nid: BACK-9\ntitle: [open\n---\n"),
]


def test_a_folder_of_backlog_keeps_everything() -> None:
    """Moving from Backlog.md would lose acceptance criteria, or take every status of one's own for another."""
    found = list(backlog.read(BACKLOG))
    first, bought, draft = (one for one in found if isinstance(one, Record))
    assert (first.external_id, first.parent, first.depends_on) == ("BACK-24.02", "BACK-24", ("BACK-7", "BACK-8"))
    assert (first.status, first.priority) == (TaskStatus.IN_PROGRESS, Priority.LOW)
    assert first.tags == {
        "taps": True,
        "status": "Review",
        "assignee:ann": True,
        "assignee:bob": True,
        "milestone": "m-1",
    }
    assert first.created_at == datetime(2026, 1, 17, 21, 42, tzinfo=UTC)
    assert (first.description or "").startswith("## Description\n\nIt drips.\n\n## Acceptance Criteria\n- [x] #1 No")
    assert "- reporter: @carl" in (first.description or "")
    assert bought.status is TaskStatus.DONE
    assert (draft.status, draft.tags) == (TaskStatus.PENDING, {"status": "Draft", "assignee:ann": True})
    assert [one.where for one in found if isinstance(one, Unusable) and not one.is_fault] == [
        "archive/tasks/back-3 - Old.md",
        "docs/doc-1.md",
        "tasks/readme.md",
    ]
    (broken,) = (one for one in found if isinstance(one, Unusable) and one.is_fault)
    assert broken.where.startswith("tasks/back-9 - Broken.md:")
    assert "YAML" in broken.detail
    assert source_of(Format.BACKLOG, BACKLOG) == "backlog:Taps"


APATHY: Files = [
    ("config.yaml", b"instance:\n  id: local\n  name: Local Hopper\n  scope: personal\n"),
    (
        "tasks/task-0a1b2c3d.md",
        b"""---
id: task-0a1b2c3d
title: 'Ovens: order new seals'
status: open
priority: high
tags:
- ovens
- 'no'
project: bakery
instance: local
source: cli
depends_on:
- task-ffff0001
created_at: '2026-02-03T09:00:00.120000+00:00'
updated_at: '2026-02-03T09:00:00.120000+00:00'
---

Two of four leak.""",
    ),
    (
        "tasks/task-ffff0001.md",
        b"---\nid: task-ffff0001\ntitle: 1.0\nstatus: completed\ntags: a, no\nmood: glad\n---\n",
    ),
    ("tasks/task-ffff0002.md", b"---\nid: task-ffff0002\n<<<<<<< HEAD\ntitle: A\n=======\ntitle: B\n>>>>>>> x\n---\n"),
    ("memory/episodes/2026-02-03.md", b"---\ndate: '2026-02-03'\n---\n"),
]


def test_a_folder_of_apathy_keeps_everything() -> None:
    """Moving from the public hopper would lose tags that YAML takes for something else, or keys of one's own."""
    found = list(folder.read(APATHY))
    first, second = (one for one in found if isinstance(one, Record))
    assert (first.title, first.description) == (
        "Ovens: order new seals",
        "Two of four leak.\n\n## From the folder\n\n- source: cli",
    )
    assert first.tags == {"ovens": True, "no": True}
    assert (first.status, first.priority, first.project) == (TaskStatus.PENDING, Priority.HIGH, "bakery")
    assert first.depends_on == ("task-ffff0001",)
    assert (second.title, second.status, second.tags) == ("1.0", TaskStatus.DONE, {"a": True, "no": True})
    assert "- mood: glad" in (second.description or "")
    assert [(one.where, one.is_fault) for one in found if isinstance(one, Unusable)] == [
        ("tasks/task-ffff0002.md:3", True),
        ("memory/episodes/2026-02-03.md", False),
    ]
    assert source_of(Format.FOLDER, APATHY) == "folder"


def test_csv_keeps_columns_of_its_own() -> None:
    """A table from elsewhere would lose the columns that Hopper doesn't know."""
    text = (
        "id,title,Description,description,status,priority,tags,depends_on,Customer\n"
        '1,"A ""b"", c",x,"two\nlines",To Do,P1,'
        '"ui; area=web",2;3,ACME\n2,B,,,done,low,,,\n\n3,,,,,,,,\n4,too few\n'
    )
    found = list(table.read([("t.csv", text.encode())]))
    first, second = (one for one in found if isinstance(one, Record))
    assert (first.title, first.depends_on) == ('A "b", c', ("2", "3"))
    assert first.tags == {"priority": "P1", "ui": True, "area": "web"}
    assert (first.description or "").startswith("two\nlines")
    assert "- Customer: ACME" in (first.description or "")
    assert (second.status, second.priority) == (TaskStatus.DONE, Priority.LOW)
    assert faults(iter(found)) == [
        ("t.csv:6", "It has no title."),
        ("t.csv:7", "It has 2 cells where the first line names 9 columns."),
    ]
    assert faults(table.read([("t.csv", b"a,b\n1,2\n")]))[0][0] == "t.csv:1"
    assert list(table.read([("t.csv", b"\n")])) == []
    assert faults(table.read([("t.csv", b"id,title\n1,\xff\n")])) == [("t.csv:2", "This is not UTF-8.")]


def test_names_of_columns_are_known_in_any_case() -> None:
    """A table as a spreadsheet writes it would have to be edited first."""
    [record] = records(table.read([("t.csv", b"ID, Title,Status,Customer\n1,Mend,Done,ACME\n")]))
    assert (record.external_id, record.title, record.status) == ("1", "Mend", TaskStatus.DONE)
    assert record.kept.keys() == {"Customer"}
    [(_, detail)] = faults(table.read([("t.csv", b"id,Title,TITLE\n1,x,y\n")]))
    assert detail.startswith("Several columns are called 'title'")


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("id;title", "it names 'id;title'. Commas have to stand between them."),
        ("id,name", "it names 'id', 'name'."),
        ("title,status", "it names 'title', 'status'. Rename the column"),
        (",".join(f"c{number}" for number in range(1000)), "'c19', …."),
    ],
)
def test_a_table_without_a_column_says_so_once(header: str, says: str) -> None:
    """Every row would be told as unusable, and nobody which columns were seen."""
    [(where, detail)] = faults(table.read([("t.csv", f"{header}\n1,2\n3,4\n".encode())]))
    assert where == "t.csv:1"
    assert "with id and title among them" in detail
    assert says in detail


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("x.json", json.dumps(ISSUES).encode(), Format.GITHUB),
        ("x", json.dumps(ISSUES[0]).encode(), Format.GITHUB),
        ("x", b'[{"number": 1, "title": "x"}]', Format.GITHUB),
        ("issues.jsonl", lines(BEADS), Format.BEADS),
        ("x.json", TASKS.encode(), Format.TASKWARRIOR),
        ("x.csv", b"a,b", Format.CSV),
        ("standard input", b"id,title,x\n", Format.CSV),
        ("standard input", b'"id";"Title"\n', Format.CSV),
        ("x.jsonl", b'{"title": "x", "tags": ["a"]}\n', Format.TASKS),
        ("x.jsonl", b'{"title": "x", "priority": "high", "id": "x", "status": "done"}\n', Format.TASKS),
        ("x.jsonl", b"", Format.TASKS),
        ("x.jsonl", b"nonsense", Format.TASKS),
    ],
)
def test_formats_are_told_by_their_content(name: str, content: bytes, expected: Format) -> None:
    """People would have to know the name that Hopper has for what they use."""
    assert format_of_file(name, content) is expected


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("README.md", b"# Taps\n\nThey drip.\n", ""),
        ("tasks.yaml", b"- title: Mend the tap\n", ""),
        ("core", b"\xe8\xff\x00", ""),
        ("core", b"{\xff", "core:1: This is not UTF-8."),
        ("x.json", b"{\n", "x.json:1: This is not JSON"),
        ("x.json", b'[{"title": "x"}]', ""),
        ("x.jsonl", b'[{"title": ', "x.jsonl:1: This is not JSON"),
    ],
)
def test_what_is_in_no_format_is_told_once(name: str, content: bytes, why: str) -> None:
    """Each line of a README would be told as one that is no JSON, and nobody told what can be read."""
    with pytest.raises(Invalid) as refused:
        format_of_file(name, content)
    assert f"{name!r} looks like none of the formats" in refused.value.message
    assert why in refused.value.message
    assert "--format" in refused.value.message
    assert "\n" not in refused.value.message


def test_a_few_lines_of_yaml_cant_fill_the_memory() -> None:
    """A file from somebody else could stop the machine."""
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n"
        for a, b in zip("abcdefghi", "bcdefghij", strict=True)
    )
    assert faults(folder.read([("tasks/x.md", f"---\nid: x\n{bomb}---\n".encode())])) == [
        ("tasks/x.md:4", "Its front matter is not YAML: aliases aren't read.")
    ]


@pytest.mark.parametrize("value", ["!!int abc", "!!bool x", "!!timestamp x", "!!float x", "[" * 900])
def test_a_tag_that_a_value_isnt_is_a_fault_of_its_file(value: str) -> None:
    """One file would end the import of all others with a traceback."""
    files = [
        ("tasks/x.md", f"---\nid: x\ntitle: {value}\n---\n".encode()),
        ("tasks/y.md", b"---\nid: y\ntitle: y\n---\n"),
    ]
    read = list(folder.read(files))
    assert [one.external_id for one in read if isinstance(one, Record)][-1:] == ["y"]


def test_an_unresolved_conflict_is_found_behind_a_heading() -> None:
    """Both sides of a merge would be taken in as one text."""
    body = b"---\nid: x\ntitle: x\n---\nHeading\n=======\n\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> other\n"
    assert [where for where, _ in faults(folder.read([("tasks/x.md", body)]))] == ["tasks/x.md:8"]


def test_folders_are_told_by_their_content() -> None:
    """A folder of Backlog.md would be read as Hopper's own, and lose most of it."""
    assert format_of_folder(BACKLOG) is Format.BACKLOG
    assert format_of_folder(APATHY) is Format.FOLDER


@pytest.mark.parametrize("format", [Format.GITHUB, Format.BEADS, Format.TASKWARRIOR, Format.HOPPER])
@pytest.mark.parametrize(
    "content",
    [
        b'[{"title": 1, "labels": 5}]',
        b"[1]",
        b'[{"id": "x", "uuid": "x", "number": 1, "title": "t", "description": "d", "tags": 7, "labels": 7}]',
        b'[{"id": "x", "uuid": "x", "number": 1, "title": "t", "description": {}, "body": [1], "tags": [{}]}]',
        b'[{"title": ',
        b"\xff\xfe",
        b"[" * 5000,
        b'{"id": "x"}\nnonsense\n',
    ],
)
def test_what_has_another_shape_is_told_and_nothing_breaks(format: Format, content: bytes) -> None:
    """One odd record would end the import with a traceback."""
    for found in KINDS[format].read([("file", content)]):
        if isinstance(found, Unusable):
            assert found.where.startswith("file")
            assert found.detail.endswith(".")


def test_records_come_after_what_they_refer_to() -> None:
    """A task would lose its parent because that stands further down in the file."""
    given = [
        Record(external_id="a", title="A", depends_on=("b", "x"), parent="c"),
        Record(external_id="b", title="B", depends_on=("c",)),
        Record(external_id="c", title="C", depends_on=("a",)),
        Record(external_id="d", title="D"),
    ]
    assert [record.external_id for record in in_order(given)] == ["c", "b", "a", "d"]
    chain = [Record(external_id=str(n), title="T", depends_on=(str(n + 1),)) for n in range(5000)]
    assert [record.external_id for record in in_order(chain)] == [str(n) for n in range(4999, -1, -1)]


def test_what_has_no_place_at_all_is_named() -> None:
    """A field that somebody added to an export would be gone without a word."""
    (record,) = records(json_lines.read([("x", b'{"id": "a", "title": "A", "version": 3, "mood": "glad"}')]))
    assert record.kept == {"mood": LEFT_OUT}


def test_what_is_too_long_goes_to_the_description_and_says_so() -> None:
    """A long title or label would be cut off, or keep the whole task from being imported."""
    issue = {"number": 1, "title": "t" * 600, "labels": [{"name": "l" * 201}], "milestone": {"title": "m" * 300}}
    (record,) = records(github.read([("x", json.dumps([issue]).encode())]))
    assert (len(record.title), record.tags) == (500, {})
    for whole in ("t" * 600, "l" * 201, "m" * 300):
        assert whole in (record.description or "")
    assert record.kept.keys() == {"title", "labels", "milestone"}
    many = {"number": 1, "title": "x", "labels": [{"name": str(n)} for n in range(120)]}
    (record,) = records(github.read([("x", json.dumps([many]).encode())]))
    assert len(record.tags) == 90
    assert all(f"- labels: {n}\n" in f"{record.description}\n" for n in range(90, 120))
    issue = {"number": 1, "title": "x", "body": "b" * 100_001}
    assert "100,000 are the most" in faults(github.read([("x", json.dumps([issue]).encode())]))[0][1]


def test_an_id_cannot_lead_an_export_elsewhere() -> None:
    """A hostile server would write into any file of whoever exports from it."""
    task = dict.fromkeys(FIELDS) | {"title": "a", "tags": {}, "depends_on": []}
    names = [name for name, _ in folder.write({**task, "id": id} for id in ("../../.bashrc", "/etc/x", "..", "a-1.b"))]
    assert names == [
        "config.yaml",
        "tasks/%2E.%2F..%2F.bashrc.md",
        "tasks/%2Fetc%2Fx.md",
        "tasks/%2E..md",
        "tasks/a-1.b.md",
    ]


def test_a_tag_does_not_take_the_place_of_a_field() -> None:
    """A tag with the name of what tasks have no field for would undo it, or the other way round."""
    task = {"uuid": "u", "description": "a", "status": "waiting", "tags": ["status", "home"]}
    [record] = records(taskwarrior.read([("t.json", json.dumps([task]).encode())]))
    assert record.tags == {"status": "waiting", "home": True}
    assert "- labels: status" in (record.description or "")
    many = {"uuid": "u", "description": "a", "tags": [f"t{n}" for n in range(120)]}
    [record] = records(taskwarrior.read([("t.json", json.dumps([many]).encode())]))
    assert (len(record.tags), "- labels: t119" in (record.description or "")) == (90, True)
    assert "labels" in record.kept


def test_a_body_beside_a_description_is_kept() -> None:
    """One of two texts would be gone, and nobody would be told."""
    text = b"---\nid: a\ntitle: a\ndescription: short\n---\n\nAll of it.\n"
    [record] = records(folder.read([("tasks/a.md", text)]))
    assert record.description == "short\n\n## Body\n\nAll of it."
    exported = [("config.yaml", b"exported_by: hopper\n"), ("tasks/a.md", text)]
    [(where, detail)] = faults(folder.read(exported))
    assert (where, "Leave one of them" in detail) == ("tasks/a.md", True)


def test_columns_of_one_name_are_refused() -> None:
    """All but the last of them would be dropped."""
    assert faults(table.read([("a.csv", b"id,title,note,note\n1,a,b,c\n")])) == [
        ("a.csv:1", "Several columns are called 'note'. Give each a name of its own.")
    ]
    [record] = records(table.read([("a.csv", b"id,title,,\n1,a,b,c\n")]))
    assert (record.description or "").endswith("- column 3: b\n- column 4: c")


def test_other_issues_may_be_named_by_text() -> None:
    """What an issue waits for would be dropped, where a script has made the file simpler."""
    issue = ISSUES[0] | {"parent": "#9", "blockedBy": ["https://github.com/acme/pipes/issues/7", "acme/x#8", "unclear"]}
    [record] = records(github.read([("issues.json", json.dumps([issue]).encode())]))
    assert (record.parent, record.depends_on) == ("acme/taps#9", ("acme/pipes#7", "acme/x#8"))
    assert "- blockedBy: unclear" in (record.description or "")


def test_a_packed_file_cannot_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few kilobytes from somebody else would."""
    monkeypatch.setattr(imports, "MOST_UNPACKED", 2**21)
    packed = tmp_path / "tasks.jsonl.gz"
    packed.write_bytes(gzip.compress(b" " * 2**21))
    assert sum(map(len, imports.blocks(packed))) == 2**21
    packed.write_bytes(gzip.compress(b" " * (2**21 + 1)))
    with pytest.raises(imports.Unreadable, match="gunzip"), imports.Source(packed):
        pass


@pytest.mark.parametrize("path", ["", ".hopper", "below/../.hopper", "link", "whole"])
def test_an_instance_is_known_by_any_of_its_names(tmp_path: Path, path: str) -> None:
    """A directory that is imported into itself would have all its tasks twice."""
    own = tmp_path / ".hopper"
    for made in (own / "tasks", tmp_path / "below", tmp_path / "other" / ".hopper" / "tasks"):
        made.mkdir(parents=True)
    (tmp_path / "link").symlink_to(".hopper")
    (tmp_path / "whole").symlink_to(".")
    with pytest.raises(Invalid, match="the Hopper that you are in"):
        files_of(tmp_path / path, own)
    assert files_of(tmp_path / path, tmp_path / "other" / ".hopper") == []
    assert files_of(tmp_path / path, None) == []


@pytest.mark.parametrize("content", [b"", b" \n\n", b"[]", b"\xef\xbb\xbf[\n]\n"])
def test_what_says_that_there_is_nothing_is_empty(tmp_path: Path, content: bytes) -> None:
    """What programs print when they have no tasks would be told as a line that can't be used."""
    file = tmp_path / "tasks"
    file.write_bytes(content)
    with imports.Source(file) as lines:
        assert (lines.is_empty, list(lines.lines())) == (True, [])
    for format in (Format.GITHUB, Format.BEADS, Format.TASKWARRIOR, Format.HOPPER):
        assert list(KINDS[format].read([("tasks", content)])) == []
    file.write_bytes(b"[{}]")
    with imports.Source(file) as lines:
        assert not lines.is_empty
