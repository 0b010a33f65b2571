"""The command line, as a person or a script uses it: a process of its own against a real server."""

import asyncio
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from subprocess import PIPE
from threading import Thread
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import asyncpg
import pytest
from tests.commands import COMMAND, run
from tests.conftest import fresh_database

from hopper.entrypoints.cli.commands import app
from hopper.entrypoints.cli.imports import FIELDS
from hopper.entrypoints.http.requests import TaskRow

NOWHERE = "http://127.0.0.1:9"
T = TypeVar("T")


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
        done = run(*arguments, input=stdin or b"", env=self.environment)
        assert "Traceback" not in done.stderr, done.stderr
        return Result(done.returncode, done.stdout, done.stderr)

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


def test_tasks_are_found_by_words_and_by_likeness(hopper: Cli) -> None:
    """A person would have to remember ids, or the words that somebody else chose."""
    word = unique("quillon").replace(" ", "")
    first = hopper.ok("add", f"The {word} of the door squeaks", "-p", "low").strip()
    hopper.ok("add", f"The {word} of the window squeaks")
    found = hopper.ok("search", f"{word[:12]}* -window", "--mode", "keyword")
    assert first in found
    assert "keyword 1" in found
    hybrid = hopper.json("search", word, "--priority", "low", "--source", "cli")
    assert hybrid["items"][0]["task"]["id"].endswith(first)
    assert hybrid["items"][0]["ranks"]["keyword"] == 1
    assert "window" in hopper.ok("similar", first)
    assert hopper.json("similar", first, "--limit", "1", "--status", "pending")[0]["similarity"] > 0
    for query, code, said in (("", 2, "1 to 1,000"), ("x" * 100_000, 2, "1 to 1,000"), ("🎉", 0, ""), ('"open', 0, "")):
        result = hopper("search", query)
        assert (result.code, said in result.err) == (code, True)


def test_a_task_that_is_there_already_is_told_of(hopper: Cli) -> None:
    """Work would be done twice."""
    title = f"{unique('Squeaking')} {unique('door')}"
    first = hopper.ok("add", title).strip()
    assert "like" not in hopper.ok("add", title)
    warned = hopper.ok("add", title, "--on-duplicate", "warn")
    assert f"like {first}" in warned
    refused = hopper("add", title, "--on-duplicate", "reject")
    assert refused.code == 4
    assert "Nothing was stored" in refused.err
    linked = hopper.json("add", title, "--on-duplicate", "link")
    assert linked["duplicate_of"] in {one["task_id"] for one in linked["duplicates"]}
    assert "duplicate of" in hopper.ok("show", linked["id"])
    assert hopper.json("edit", linked["id"], "--clear", "duplicate-of")["duplicate_of"] is None


def test_rules_can_be_tried_out(hopper: Cli) -> None:
    """Whoever writes rules would only see by real tasks whether they work."""
    word, team = unique("quillon").replace(" ", ""), unique("team")
    hopper.ok("instance", "add", team)
    hopper.ok("pattern", "add", f"{word} trouble", "--to", team, "--text", word)
    for arguments in ([f"My {word} is broken"], ["--task", hopper.ok("add", f"Another {word}").strip()]):
        said = hopper.ok("pattern", "match", *arguments)
        assert f"text “{word}”" in said
        assert team in said
    assert hopper("pattern", "match").code == 2
    assert hopper("pattern", "match", "x", "--task", "y").code == 2


def test_an_abstention_says_what_to_do_next(hopper: Cli) -> None:
    """Without it a person doesn't learn that the task waits for them."""
    by = hopper.json("instance", "add", unique("deciding"))["id"]
    hopper.ok("instance", "add", unique("one"), "--parent", by)
    hopper.ok("instance", "add", target := unique("another"), "--parent", by)
    task = hopper.json("add", unique("Quite unheard of"))["id"]
    said = hopper.ok("route", task, "--by", by)
    assert "abstains" in said
    assert f"hopper delegate {task[-8:]} INSTANCE" in said
    why = hopper.ok("why", task)
    assert "but       " not in why
    assert "decided it" not in why
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
        {name: value for name, value in task.items() if name not in {"decision", "duplicates"}}
    ]
    readings = (
        ["show", task["id"]],
        ["search", "script"],
        ["search", "script", "--mode", "semantic"],
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
    assert hopper.json("show", f"{mark}-b-same".upper())["id"] == rows[1]["id"]
    hopper.ok("import", "-", stdin=lines_of({"id": f"{mark}-", "title": "Whole"}, {"id": mark[:3], "title": "Short"}))
    assert hopper.json("show", f"{mark}-")["title"] == "Whole"
    assert hopper.json("show", mark[:3])["title"] == "Short"
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
        (["ls", "--server", "http://☃.net"], 2, "isn't an address"),
        (["ls", "--server", "http://xn--a.com"], 2, "isn't an address"),
        (["ls", "--server", f"http://{'a' * 64}.example"], 2, "isn't an address"),
        (["ls", "--server", NOWHERE], 5, "hopper serve"),
        (["--server", NOWHERE, "ls"], 5, NOWHERE),
        (["import", "/no/such/file"], 2, "/no/such/file"),
        (["delegation", "ls"], 2, "--task"),
        (["instance", "add", "x", "--config", "{"], 2, "JSON"),
        (["instance", "add", "x", "--config", "[" * 100_000], 2, "JSON"),
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


def test_a_line_that_is_nested_too_deeply_is_named(hopper: Cli) -> None:
    """One strange line would end an import with a traceback, with who knows how much of it done."""
    deep = b'{"title": "x", "tags": ' + b"[" * 300 + b"]" * 300 + b"}\n"
    result = hopper("import", "-", stdin=lines_of({"title": "Fine"}) + deep)
    assert result.code == 6
    assert "line 2" in result.err
    assert "1 created" in result.out


def test_a_bench_names_a_target_that_cant_be(hopper: Cli) -> None:
    """A line with a name that is too long would end the bench with a traceback."""
    result = hopper("bench", "routing", "-", stdin=lines_of({"title": "x", "target": "y" * 201}))
    assert result.code == 4
    assert "line 1: target:" in result.err


def test_a_title_cant_steer_the_terminal(hopper: Cli) -> None:
    """A task from elsewhere could rewrite what a person sees."""
    tag = uuid4().hex[:8]
    title = "ring\x07 \x1b[2Jclear\nnew line \x9b2J \u202eback"
    hopper.ok("add", title, "-t", tag)
    hopper.ok("import", "-", stdin=lines_of(*({"id": f"{tag}-{end}", "title": "\x1b[2J"} for end in "ab")))
    assert "\x1b" not in hopper("show", f"{tag}-").err
    as_json = hopper.ok("ls", "--tag", tag, "--json")
    assert json.loads(as_json)["items"][0]["title"] == title
    assert not {"\x07", "\x1b", "\x9b", "\u202e"} & set(as_json)
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


@pytest.mark.parametrize(
    ("command", "sent", "code"),
    [("demo", signal.SIGTERM, 130), ("demo", signal.SIGHUP, 130), ("serve", signal.SIGHUP, 0)],
)
def test_nothing_outlives_a_command_that_is_ended(tmp_path: Path, command: str, sent: int, code: int) -> None:
    """A PostgreSQL and its files would be left behind by every `kill`, and by every terminal that is closed."""
    home = tmp_path / "hopper-home"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "HOPPER_HOME": str(home), "DATABASE_URL": "", "PORT": "0"}
    with subprocess.Popen([*COMMAND, command, "--json"], env=environment, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        try:
            running = until(lambda: list(tmp_path.glob("hopper-*/postgres/postmaster.pid")))
            time.sleep(1)
            process.send_signal(sent)
            process.send_signal(sent)  # terminals do
            assert process.wait(30) == code
            assert b"Traceback" not in process.stderr.read()
        finally:
            process.kill()  # the block would wait for ever for one that doesn't end
    assert not any(pid.exists() for pid in running)
    assert [left for left in tmp_path.iterdir() if left != home] == []


def until(happens: Callable[[], T]) -> T:
    """What is there once it is."""
    for _ in range(300):
        if found := happens():
            return found
        time.sleep(0.1)
    raise TimeoutError


def test_what_a_script_leaves_running_heeds_its_signals(hopper: Cli) -> None:
    """`nohup hopper … &` would end with the terminal, or couldn't be ended at all."""

    def as_nohup_and_a_script_do() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    with subprocess.Popen(
        [*COMMAND, "import", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=hopper.environment,
        preexec_fn=as_nohup_and_a_script_do,  # noqa: PLW1509 - it only sets two signals
    ) as process:
        assert process.stderr is not None
        time.sleep(1.5)
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 130
        assert process.stderr.read() == b""


async def test_a_server_that_cant_open_its_database_says_so_in_a_line(postgres_url: str, tmp_path: Path) -> None:
    """A person would face a traceback, and a script would take it for something that wasn't found."""
    async with fresh_database(postgres_url) as url:
        connection = await asyncpg.connect(url)
        await connection.execute("DROP EXTENSION vector CASCADE")
        await connection.close()
        environment = {**os.environ, "DATABASE_URL": url, "HOPPER_HOME": str(tmp_path), "PORT": "0"}
        process = await asyncio.create_subprocess_exec(*COMMAND, "serve", env=environment, stdout=PIPE, stderr=PIPE)
        out, err = await process.communicate()
    assert (process.returncode, out) == (5, b"")
    [line] = err.decode().splitlines()
    assert line.startswith("hopper: The database ")


def test_a_log_stands_beside_the_answer() -> None:
    """A script that reads the line of `hopper serve --json` would find talk of the worker in it."""
    run = (
        "from hopper.entrypoints.logs import log_to_stderr; log_to_stderr(); import structlog; "
        "structlog.get_logger('hopper.worker').warning('embedding worker failed', error='two\\nlines')"
    )
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert "embedding worker failed" in line
    assert "\x1b" not in line


def test_a_lost_connection_makes_no_double() -> None:
    """Whoever files a task over a bad line would lose it, or find it twice."""
    keys: list[str | None] = []

    class Flaky(BaseHTTPRequestHandler):
        """Breaks off the first request without an answer."""

        def do_POST(self) -> None:
            keys.append(self.headers["Idempotency-Key"])
            self.rfile.read(int(self.headers["Content-Length"]))
            if len(keys) > 1:
                answer = b'{"id": "0123456789", "decision": null, "duplicates": null}'
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


def test_help_names_every_command_once(hopper: Cli) -> None:
    """Nobody would find a command that is in no section."""
    listed = re.findall(r"^  ([a-z]+)  ", hopper.ok("--help"), re.MULTILINE)
    registered = [
        *(str(command.name or getattr(command.callback, "__name__", "")) for command in app.registered_commands),
        *(str(group.name) for group in app.registered_groups),
    ]
    assert sorted(listed) == sorted(registered)


def test_why_names_the_past_tasks_and_what_would_have_changed_it(hopper: Cli) -> None:
    """A person would see where a task went, and have no way to find out why."""
    team = unique("bicycles")
    hopper.ok("instance", "add", team)
    past = hopper.json("add", f"The chain of the {team} is loose")["id"]
    hopper.ok("feedback", past, "--should", team)
    asked = hopper.json("add", f"The chain of the {team} is too loose")["id"]
    assert "Nobody has decided" in hopper.ok("why", asked)
    hopper.ok("route", asked)
    told = hopper.ok("why", asked)
    assert "because" in told
    assert re.search(rf"like +\w+  The chain of the {team} is loose \(belonged to {team}, 0\.\d\d alike\)", told)
    assert re.search(r"because  \+\d\.\d\d  ", told)
    [decision] = hopper.json("why", asked)
    assert decision["similar_tasks"][past] == f"The chain of the {team} is loose"
    assert [change["without"] for change in decision["counterfactuals"]]
    hopper.ok("feedback", asked, "--should", team)
    assert "It turned out right." in hopper.ok("why", asked)


def test_what_people_decided_is_told_as_theirs(hopper: Cli) -> None:
    """Hopper would claim to have judged, surely or in vain, what it was never asked."""
    garage, office = unique("garage"), unique("office")
    hopper.ok("instance", "add", garage)
    hopper.ok("instance", "add", office)
    task = hopper.json("add", unique("Wipers scratch"))["id"]
    hopper.ok("feedback", task, "--should", garage)
    for told in (hopper.ok("why", task), hopper.ok("show", task)):
        assert f"A person told that it belongs to {garage}; Hopper wasn't asked" in told
        assert "abstains" not in told
        assert "ecided" not in told
        assert "Last decision" not in told
    hopper.ok("delegate", task, office)
    told = hopper.ok("why", task)
    assert f"goes to {office}, as a person chose" in told
    assert "sure" not in told
    assert "times" not in told
    praised = hopper.json("add", unique("Wipers"), "--instance", garage)["id"]
    hopper.ok("feedback", praised, "--good")
    assert "Hopper wasn't asked" in hopper.ok("why", praised)
