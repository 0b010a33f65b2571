"""The command line, as a person or a script uses it: a process of its own against a real server."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Protocol
from uuid import uuid4

import pytest

from hopper.entrypoints.cli.imports import FIELDS
from hopper.entrypoints.http.requests import TaskRow

COMMAND = [sys.executable, "-m", "hopper.entrypoints.cli.main"]
NOWHERE = "http://127.0.0.1:9"


class RunningServer(Protocol):
    @property
    def url(self) -> str: ...


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Cli:
    """Runs hopper against one server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.environment = {**os.environ, "HOPPER_SERVER": url, "COLUMNS": "200"}

    def __call__(self, *arguments: str | Path, stdin: bytes | None = None) -> Result:
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            input=stdin or b"",
            capture_output=True,
            env=self.environment,
            timeout=60,
            check=False,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err, err
        return Result(done.returncode, out, err)

    def ok(self, *arguments: str | Path, stdin: bytes | None = None) -> str:
        result = self(*arguments, stdin=stdin)
        assert result.code == 0, result
        return result.out

    def json(self, *arguments: str | Path) -> Any:
        return json.loads(self.ok(*arguments, "--json"))


@pytest.fixture
def hopper(server: RunningServer) -> Cli:
    return Cli(server.url)


def unique(name: str) -> str:
    """A name that no other test has: the server is shared."""
    return f"{name} {uuid4().hex[:8]}"


def lines_of(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_the_five_minute_tour(hopper: Cli) -> None:
    """The first thing anyone tries: a task is routed with reasons, corrected, done, and found again."""
    cards, refunds, word = unique("cards"), unique("refunds"), f"declined{uuid4().hex[:8]}"
    hopper.ok("instance", "add", cards)
    hopper.ok("instance", "add", refunds)
    hopper.ok("pattern", "add", unique("card trouble"), "--to", cards, "--text", word)

    said = hopper.ok("add", f"Card {word} abroad", "-t", "area=cards", "-p", "high", "--route")
    task, decision = said.splitlines()[0], said.splitlines()[1]
    assert len(task) == 8
    assert f"goes to {cards}" in decision
    assert "%" in decision
    assert "because" in said

    hopper.ok("delegation", "accept", task)
    hopper.ok("feedback", task, "--bad", "--should", refunds, "--quality", "0.5", "--note", "wrong team")
    hopper.ok("done", task)
    shown = hopper.ok("show", task)
    for expected in ("done", cards, refunds, "wrong team", "area=cards", "outcome  wrong"):
        assert expected in shown
    assert task in hopper.ok("search", word)


def test_an_abstention_says_what_to_do_next(hopper: Cli) -> None:
    """Without it a person doesn't learn that the task waits for them."""
    by = hopper.json("instance", "add", unique("deciding"))["id"]
    hopper.ok("instance", "add", unique("one"), "--parent", by)
    hopper.ok("instance", "add", target := unique("another"), "--parent", by)
    task = hopper.json("add", unique("Quite unheard of"))["id"]
    said = hopper.ok("route", task, "--by", by)
    assert "abstains" in said
    assert f"hopper delegate {task[-8:]} INSTANCE" in said
    assert task in [waiting["id"] for waiting in hopper.json("triage", "--all")["items"]]
    assert target in hopper.ok("delegate", task[-8:], target)
    assert task not in [waiting["id"] for waiting in hopper.json("triage", "--all")["items"]]


def test_a_dry_run_changes_nothing(hopper: Cli) -> None:
    """Someone who only looks would move tasks."""
    task = hopper.json("add", unique("Just looking"))
    assert hopper.json("route", task["id"], "--dry-run")["episode_id"] is None
    shown = hopper.json("show", task["id"])
    assert (shown["decisions"], shown["delegations"], shown["version"]) == ([], [], task["version"])


def test_json_is_all_there_is_on_stdout(hopper: Cli) -> None:
    """A script that pipes into jq would break on any other line."""
    instance = hopper.json("instance", "add", unique("scripts"))
    pattern = hopper.json("pattern", "add", unique("p"), "--to", instance["id"], "-t", unique("t"), "-p", "low")
    assert pattern["pattern_type"] == "combined"
    task = hopper.json("add", "For a script", "--instance", instance["name"], "--project", unique("p"))
    assert hopper.json("ls", "--instance", instance["name"])["items"] == [
        {name: value for name, value in task.items() if name != "decision"}
    ]
    readings = (
        ["show", task["id"]],
        ["search", "script"],
        ["triage"],
        ["stats"],
        ["instance", "ls"],
        ["instance", "show", instance["id"]],
        ["instance", "tree"],
        ["pattern", "ls"],
        ["pattern", "show", pattern["id"]],
        ["delegation", "ls", "--task", task["id"]],
        ["delegation", "ls", "--instance", instance["id"]],
    )
    with ThreadPoolExecutor(4) as pool:
        assert all(isinstance(answer, dict) for answer in pool.map(lambda reading: hopper.json(*reading), readings))
    for changing in (
        ["edit", task["id"], "--title", "Still for a script"],
        ["feedback", task["id"], "--good"],
        ["done", task["id"]],
        ["rm", task["id"]],
        ["pattern", "edit", pattern["id"], "--no-active"],
        ["pattern", "rm", pattern["id"]],
        ["instance", "pause", instance["id"]],
        ["instance", "rm", instance["id"]],
    ):
        assert isinstance(hopper.json(*changing), dict)


def test_editing_keeps_what_isnt_named(hopper: Cli) -> None:
    """Adding a tag would wipe the others, or clearing one field another."""
    first = hopper.json("add", "First things")["id"]
    task = hopper.json("add", unique("Edit me"), "-t", "a", "-t", "b=1", "-p", "low", "-d", "text")["id"]
    after = hopper.json("edit", task, "-t", "c", "--untag", "a", "--clear", "priority", "--depends-on", first[-8:])
    assert after["tags"] == {"b": "1", "c": True}
    assert (after["priority"], after["description"], after["depends_on"]) == (None, "text", [first])
    refused = hopper("done", task)
    assert refused.code == 4
    assert first in refused.err
    hopper.ok("done", task, "--force")


def test_instances_are_shown_as_a_tree_and_switched(hopper: Cli) -> None:
    """Nobody could see who stands below whom, or take an instance out of the routing."""
    top, below = unique("top"), unique("below")
    hopper.ok("instance", "add", top)
    hopper.ok("instance", "add", below, "--parent", top, "--config", '{"a": 1}')
    tree = hopper.ok("instance", "tree", top).splitlines()
    assert tree[0].startswith(top)
    assert tree[1].startswith(f"└─ {below}")
    for action, status in (("stop", "stopped"), ("start", "running"), ("pause", "paused"), ("resume", "running")):
        assert hopper.json("instance", action, below)["status"] == status
    assert hopper("instance", "edit", top, "--parent", below).code == 4
    assert hopper.json("instance", "edit", below, "--no-parent", "--name", unique("free"))["parent_id"] is None


def test_parts_of_ids_are_enough_and_never_guessed(hopper: Cli, tmp_path: Path) -> None:
    """People would have to copy 36 characters, or worse: the wrong task would be removed."""
    mark = uuid4().hex[:10]
    rows = [{"id": f"{mark}-{end}-same", "title": "Twin"} for end in "ab"]
    hopper.ok("import", "-", stdin=lines_of(*rows))
    both = hopper("rm", f"{mark}-")
    assert both.code == 4
    assert rows[0]["id"] in both.err
    assert rows[1]["id"] in both.err
    assert hopper.json("show", f"{mark}-a")["id"] == rows[0]["id"]
    assert hopper.json("show", f"{mark}-b-same")["id"] == rows[1]["id"]
    name = unique("namesakes")
    hopper.ok("instance", "add", name)
    hopper.ok("instance", "add", name)
    assert hopper("instance", "stop", name).code == 4


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["show", "nothing-like-it"], 3, "begins or ends with"),
        (["show", "0198c0de-0000-7000-8000-00000000dead"], 3, "no task"),
        (["show", "abc"], 3, "at least 4"),
        (["instance", "show", "nobody at all"], 3, "no instance"),
        (["add", ""], 4, "title"),
        (["add", b"\xff".decode(errors="surrogateescape")], 4, "UTF-8"),
        (["search", b"\xff".decode(errors="surrogateescape")], 4, "UTF-8"),
        (["add", "x", "--priority", "huge"], 2, "urgent"),
        (["ls", "--server", "nonsense"], 2, "http://"),
        (["ls", "--server", NOWHERE], 5, "hopper serve"),
        (["--server", NOWHERE, "ls"], 5, NOWHERE),
        (["import", "/no/such/file"], 2, "/no/such/file"),
        (["delegation", "ls"], 2, "--task"),
        (["instance", "add", "x", "--config", "{"], 2, "JSON"),
        (["no-such-command"], 2, "no-such-command"),
    ],
)
def test_mistakes_get_a_line_and_an_exit_code(hopper: Cli, arguments: Sequence[str], code: int, says: str) -> None:
    """A person would face a traceback, and a script couldn't tell a missing task from a missing server."""
    result = hopper(*arguments)
    assert (result.code, result.out) == (code, "")
    assert says in result.err


def test_an_import_names_bad_lines_and_can_be_run_again(hopper: Cli, tmp_path: Path) -> None:
    """A broken-off import would leave doubles, or bad lines would be lost without a word."""
    tag = uuid4().hex[:8]
    rows = [{"title": f"Row {number}", "tags": [tag], "target": "x"} for number in range(1, 2101)]
    content = lines_of(*rows[:1500]) + b"\nnot json\n" + lines_of({"title": "", "tags": [tag]}, *rows[1500:])
    file = tmp_path / "tasks.jsonl.gz"
    file.write_bytes(gzip.compress(content))

    first = hopper("import", file, "--json")
    assert first.code == 6
    assert (first.json["created"], first.json["failed"]) == (2100, 2)
    assert [(error["line"], error["field"]) for error in first.json["errors"]] == [(1502, None), (1503, "title")]
    assert "target" in first.err

    again = hopper("import", "-", stdin=content)
    assert again.code == 6
    assert "0 created, 2100 there already, 2 refused" in again.out
    assert "line 1502" in again.err
    assert len(hopper.json("ls", "--tag", tag, "--all")["items"]) == 2100


def test_an_atomic_import_takes_all_or_nothing(hopper: Cli, tmp_path: Path) -> None:
    """Whoever asked for all or nothing would be left with a half."""
    tag = uuid4().hex[:8]
    file = tmp_path / "tasks.jsonl"
    good = [{"title": f"Row {number}", "tags": [tag]} for number in range(1200)]
    file.write_bytes(lines_of(*good, {"title": None}))
    refused = hopper("import", "--atomic", file)
    assert refused.code == 6
    assert "line 1201" in refused.err
    assert hopper.json("ls", "--tag", tag)["items"] == []
    file.write_bytes(b"\xef\xbb\xbf" + lines_of(*good))
    assert hopper.json("import", "--atomic", file)["created"] == 1200


def test_a_damaged_file_imports_nothing(hopper: Cli, tmp_path: Path) -> None:
    """Half of a download would be taken for all of it."""
    file = tmp_path / "cut.jsonl.gz"
    file.write_bytes(gzip.compress(lines_of(*({"title": f"Row {n} {uuid4()}"} for n in range(500))))[:-100])
    result = hopper("import", file)
    assert result.code == 4
    assert "damaged" in result.err


def test_an_import_knows_the_fields_of_the_api() -> None:
    """A field that the API takes would silently be left out of imports."""
    assert set(TaskRow.model_fields) == FIELDS


def test_a_title_cant_steer_the_terminal(hopper: Cli) -> None:
    """A task from elsewhere could rewrite what a person sees."""
    tag = uuid4().hex[:8]
    hopper.ok("add", "ring\x07 \x1b[2Jclear\nnew line", "-t", tag)
    listed = hopper.ok("ls", "--tag", tag)
    assert "\x1b" not in listed
    assert "\x07" not in listed
    assert len(listed.splitlines()) == 2


def test_a_reader_that_leaves_is_no_error(hopper: Cli) -> None:
    """`hopper ls | head` would end with a traceback."""
    hopper.ok("import", "-", stdin=lines_of(*({"title": "x" * 400, "description": "y" * 1000} for _ in range(300))))
    for options in ("--json", "--limit=300"):
        with subprocess.Popen(
            [*COMMAND, "ls", "--all", options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=hopper.environment
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(30) == 0


def test_ctrl_c_ends_quietly(hopper: Cli) -> None:
    """Breaking off would fill the screen with a traceback."""
    with subprocess.Popen(
        [*COMMAND, "import", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=hopper.environment
    ) as process:
        assert process.stderr is not None
        time.sleep(1.5)  # it waits for its input by now
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == b""


def test_a_lost_connection_makes_no_double() -> None:
    """Whoever files a task over a bad line would lose it, or find it twice."""
    keys: list[str | None] = []

    class Flaky(BaseHTTPRequestHandler):
        """Breaks off the first request without an answer."""

        def do_POST(self) -> None:
            keys.append(self.headers["Idempotency-Key"])
            self.rfile.read(int(self.headers["Content-Length"]))
            if len(keys) > 1:
                answer = b'{"id": "0123456789", "decision": null}'
                self.send_response(201)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Keep the tests' output clean."""

    with HTTPServer(("127.0.0.1", 0), Flaky) as flaky:
        Thread(target=flaky.serve_forever, daemon=True).start()
        assert Cli(f"http://127.0.0.1:{flaky.server_port}").ok("add", "Once") == "23456789\n"
        flaky.shutdown()
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_client_commands_start_light(hopper: Cli) -> None:
    """Every command would take seconds: the server's libraries take that long to load."""
    run = "import sys; from hopper.entrypoints.cli.main import main"
    loaded = f"{run}\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    for arguments in (["--help"], ["ls"]):
        done = subprocess.run(
            [sys.executable, "-c", loaded, *arguments],
            capture_output=True,
            text=True,
            env=hopper.environment,
            check=True,
        )
        heavy = {"fastapi", "starlette", "asyncpg", "sqlalchemy", "alembic", "numpy", "wordllama", "uvicorn", "rich"}
        assert heavy & set(done.stderr.split()) == set()


def test_help_tells_the_exit_codes(hopper: Cli) -> None:
    """Whoever writes a script would have to guess them."""
    assert "Exit codes: 0 fine" in hopper.ok("--help")
    assert hopper.ok("--version").startswith("hopper ")
