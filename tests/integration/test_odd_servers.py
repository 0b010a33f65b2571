"""What is no Hopper server, or a hostile one, is told in a line: whatever it answers, and however slowly."""

import gzip
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest
from tests.unit.test_pulled_packs import PATTERN, a_pack

from hopper.adapters.http import client as http_client
from hopper.adapters.http.client import HopperClient, RemoteProblem
from hopper.domain.errors import HopperError, Invalid, Unavailable
from hopper.entrypoints.cli.commands import app
from hopper.entrypoints.local.client import LocalClient

PROBLEM = {"type": "urn:hopper:problem:duplicate", "title": "Duplicate", "detail": "It is there."}
SOURCE = {"source_instance_id": "laptop", "sequence": 0}
TEAM = {"items": [{"id": "i-1", "name": "team"}], "next_cursor": None}
NO_HOPPER = "not as a Hopper server"


class Answer(NamedTuple):
    """`body` is sent as JSON unless it is bytes; with a `pause` after each byte where there is one."""

    status: int = 200
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    pause: float = 0

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class OddServer(ThreadingHTTPServer):
    """Answers what `answers` has for a path below /api/v1, and with a 404 where it has nothing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that hung up."""


class _Answering(BaseHTTPRequestHandler):
    server: OddServer

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path.partition("?")[0].removeprefix("/api/v1")
        self.server.asked.append(path)
        answer = self.server.answers.get(path, Answer(404, {**PROBLEM, "type": "urn:hopper:problem:not-found"}))
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.pause:
            self.flush_headers()
            for byte in answer.content:
                self.wfile.write(bytes([byte]))
                time.sleep(answer.pause)
            return
        self.end_headers()
        self.wfile.write(answer.content)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names that http.server looks for

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def running() -> Iterator[OddServer]:
    with OddServer() as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server(running: OddServer) -> OddServer:
    running.answers = {"/sync/source": Answer(body=SOURCE)}
    running.asked = []
    return running


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a local instance, in which commands are run."""
    for place in ("home", "project"):
        (tmp_path / place).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HOPPER_SERVER", raising=False)
    monkeypatch.chdir(tmp_path / "project")
    run("init")
    return tmp_path / "project" / ".hopper"


def run(*arguments: str) -> None:
    app(list(arguments), prog_name="hopper", standalone_mode=False)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"<html>"),
        Answer(body=b"null"),
        Answer(body=b"\xff\xfe\xff"),
        Answer(body=b"[" * 100_000),
        Answer(body=b"9" * 10_000),
        Answer(body=b"xx", headers=(("content-encoding", "gzip"),)),
        Answer(body=gzip.compress(b"{}"), headers=(("content-encoding", "gzip"),)),
        Answer(302, headers=(("location", "http://127.0.0.1:1/"),)),
        Answer(401, []),
        Answer(401, {"type": "urn:hopper:problem:x"}),
        Answer(401, {**PROBLEM, "detail": ["a"]}),
        Answer(401, {**PROBLEM, "detail": "\ud800"}),
        Answer(401, {**PROBLEM, "type": 5}),
        Answer(409, {**PROBLEM, "duplicates": 5}),
        Answer(409, {**PROBLEM, "duplicates": [1]}),
        Answer(409, {**PROBLEM, "duplicates": [{"task_id": "t", "score": "1", "status": "pending", "title": "x"}]}),
    ],
)
def test_an_answer_that_no_hopper_gives_is_told(server: OddServer, answer: Answer) -> None:
    """A mistyped address, or a proxy's error page, would be a traceback."""
    server.answers["/stats"] = answer
    with HopperClient(server.url) as client, pytest.raises(Unavailable, match=NO_HOPPER):
        client.get("/stats")


def test_what_a_hopper_refuses_is_told_as_it_says_it(server: OddServer) -> None:
    """A person would have to guess which task is there already."""
    like = {"task_id": "t", "score": 1.0, "status": "pending", "title": "x"}
    server.answers["/tasks"] = Answer(409, {**PROBLEM, "duplicates": [like]})
    with HopperClient(server.url) as client, pytest.raises(RemoteProblem, match="It is there") as refused:
        client.get("/tasks")
    assert refused.value.document["duplicates"] == [like]


def test_an_answer_without_an_end_is_given_up(server: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine's memory would be filled by whoever it asks."""
    monkeypatch.setattr(http_client, "_MOST_BYTES", 1_000)
    server.answers = {"/fits": Answer(body="x" * 900), "/large": Answer(body="x" * 1_000)}
    with HopperClient(server.url) as client:
        assert len(client.get("/fits")) == 900
        with pytest.raises(Unavailable, match=NO_HOPPER):
            client.get("/large")


@pytest.mark.parametrize("body", [b"\r\n" + b" " * 500, b"x-slow: " + b"x" * 500], ids=["body", "head"])
def test_who_answers_byte_by_byte_is_not_waited_for(server: OddServer, body: bytes) -> None:
    """A server that is never silent for long would hold a push, and with it all others of the directory, for ever."""
    server.answers["/slow"] = Answer(body=body, pause=0.02)
    began = time.monotonic()
    with HopperClient(server.url, timeout=0.1) as client, pytest.raises(Unavailable, match="in time"):
        client.get("/slow")
    assert time.monotonic() - began < 5
    assert server.asked == ["/slow"], "it isn't asked again"


def test_what_goes_through_all_there_is_may_take_long(server: OddServer) -> None:
    """With many outcomes, `hopper learn rebuild` would say that the server doesn't answer, while it learns."""
    server.answers["/long"] = Answer(body=b"\r\n1", pause=0.3)
    with HopperClient(server.url, timeout=0.1) as client:
        assert client.post("/long", long=True) == 1
        with pytest.raises(Unavailable, match="in time"):
            client.post("/long")


def test_what_is_waited_for_is_told(server: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """People would look at an empty line for a minute, and not know at what to look."""
    monkeypatch.setattr(http_client, "_SLOW_SECONDS", 0.1)
    server.answers = {"/slow": Answer(body=b'\r\n"late"', pause=0.05), "/quick": Answer(body="x")}
    told: list[str] = []
    with HopperClient(server.url, note=told.append) as client:
        client.get("/quick")
        time.sleep(0.2)
        assert told == []
        client.get("/slow")
    assert len(told) == 1
    assert server.url in told[0]


def test_an_address_with_a_password_is_refused(server: OddServer) -> None:
    """The password would be sent in place of the token, printed, and kept in clear."""
    with pytest.raises(Invalid, match="before the @") as refused:
        HopperClient(server.url.replace("//", "//bob:pw@"), token="hps_x")
    assert "pw" not in refused.value.message
    assert not server.asked


@pytest.mark.parametrize(
    "source",
    [
        [],
        {},
        {**SOURCE, "sequence": "9"},
        {**SOURCE, "sequence": True},
        {**SOURCE, "sequence": -1},
        {**SOURCE, "sequence": float("inf")},
        {**SOURCE, "sequence": 10**400},
        {**SOURCE, "source_instance_id": {"a": [1]}},
        {**SOURCE, "source_instance_id": "\ud800"},
        {**SOURCE, "source_instance_id": "a\u009b31mRED\u202e"},
        {**SOURCE, "source_instance_id": "a" * 37},
        {**SOURCE, "source_instance_id": ".."},
    ],
)
def test_who_is_no_source_turns_nothing_on(server: OddServer, here: Path, source: Any) -> None:
    """What a stranger says would be kept, printed raw by each preview, and make every later command fail."""
    server.answers["/sync/source"] = Answer(body=source)
    with pytest.raises(Unavailable, match=NO_HOPPER):
        run("sync", "on", server.url, "--token", "hps_x")
    assert not (here / ".state" / "sync").exists()


@pytest.mark.parametrize("receipt", [[], {}, {"patterns_new": float("inf"), "patterns_changed": 0, "episodes_new": 0}])
def test_a_push_without_a_receipt_has_not_arrived(server: OddServer, receipt: Any) -> None:
    """It would be a traceback, and nobody knew whether to push again."""
    server.answers["/sync/northbound"] = Answer(body=receipt)
    with HopperClient(server.url) as client, pytest.raises(Unavailable, match=NO_HOPPER):
        client.teach(b"{}")


RESULT: dict[str, Any] = {
    "external_id": "t",
    "outcome": "new",
    "changed": [],
    "newer_here": [],
    "notes": [],
    "field": None,
    "detail": None,
}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/sync/server", []),
        ("/sync/server", {"source_instance_id": ".."}),
        ("/instances", []),
        ("/instances", {}),
        ("/instances", {"items": [5], "next_cursor": None}),
        ("/instances", {"items": [{"id": 5, "name": "team"}], "next_cursor": None}),
        ("/tasks/import", []),
        ("/tasks/import", {"results": []}),
        ("/tasks/import", {"results": [{"outcome": "new"}]}),
        ("/tasks/import", {"results": [{**RESULT, "outcome": "odd"}]}),
        ("/tasks/import", {"results": [{**RESULT, "outcome": "failed", "field": 5}]}),
        ("/tasks/import", {"results": [{**RESULT, "changed": [1]}]}),
        ("/tasks/import", {"results": [RESULT]}),
        ("/delegations", {}),
        ("/delegations", [5]),
    ],
)
def test_a_task_that_is_handed_to_a_stranger_is_told(server: OddServer, here: Path, path: str, body: Any) -> None:
    """Who pushes to a wrong address would see a traceback instead of what is wrong."""
    with LocalClient(here, print) as client:
        task = client.create("/tasks", {"title": "Order the ink"})["id"]
        record = client.post("/pushed", {"server": "there", "task_ids": [task]})[0]["record"]["external_id"]
    where = path.replace("/delegations", f"/tasks/{record}/delegations")
    server.answers |= {
        "/sync/server": Answer(body={"source_instance_id": "there"}),
        "/instances": Answer(body=TEAM),
        "/tasks/import": Answer(body={"results": [RESULT]}),
        f"/tasks/{record}": Answer(body=[]),
        f"/tasks/{record}/delegations": Answer(body=[]),
        where: Answer(body=body),
    }
    with pytest.raises(Unavailable, match=NO_HOPPER):
        run("push", task, "--to", "team", "--server", server.url)


def test_lines_that_a_stranger_takes_are_told(server: OddServer) -> None:
    """An import would end in a traceback, after some of it was sent."""
    server.answers["/tasks/bulk"] = Answer(body={"created": 1, "unchanged": 0, "failed": 0, "errors": [5]})
    with HopperClient(server.url) as client, pytest.raises(Unavailable, match=NO_HOPPER):
        client.import_lines([b'{"title": "x"}\n'])


def test_a_hostile_pack_is_refused_when_it_is_pulled(
    server: OddServer, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every later decision would fail, without a connection too."""
    run("sync", "on", server.url, "--token", "hps_x")
    server.answers["/sync/southbound"] = Answer(body=a_pack({**PATTERN, "text_criteria": {"any": [1]}}))
    with pytest.raises(Invalid, match="shared patterns"):
        run("sync", "pull")
    assert not (here / ".state" / "sync" / "pack.json").exists()
    server.answers["/sync/southbound"] = Answer(body=a_pack(PATTERN, more="x" * 10_000))
    run("sync", "pull")
    assert "heed 1 pattern of at least 3 sources" in capsys.readouterr().out
    assert (here / ".state" / "sync" / "pack.json").stat().st_size < 2_000, "what isn't read isn't kept"
    run("sync", "status", "--json")
    assert json.loads(capsys.readouterr().out)["pulled_patterns"] == 1


@pytest.mark.parametrize("pack", ["[]", "{", json.dumps(a_pack({**PATTERN, "target_name": ["x"]}))])
def test_a_pack_that_cannot_be_read_keeps_nobody_from_deciding(
    server: OddServer, here: Path, capsys: pytest.CaptureFixture[str], pack: str
) -> None:
    """A damaged file would stop all routing, each try of which files one more task."""
    run("sync", "on", server.url, "--token", "hps_x")
    (here / ".state" / "sync" / "pack.json").write_text(pack)
    run("instance", "add", "cards")
    capsys.readouterr()
    run("add", "The card is declined", "--route", "--json")
    told = capsys.readouterr()
    assert json.loads(told.out)["decision"]
    assert told.err.count("\n") == 1
    assert "hopper sync" in told.err
    with pytest.raises(HopperError, match="hopper sync"):
        run("sync", "status")
