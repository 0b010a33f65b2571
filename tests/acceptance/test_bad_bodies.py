"""Bodies that can't be read: told as the sender's mistake, whatever they hold and however large they are."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from tests.asking import KEYED
from tests.conftest import RunningServer, serving
from tests.problems import problem

JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def api(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/api/v1", headers=KEYED, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(autouse=True)
def unharmed(api: httpx.Client) -> Iterator[None]:
    """Whatever comes in, the server answers the next one."""
    yield
    assert api.get(httpx.URL(api.base_url).copy_with(path="/readyz")).status_code == 200


@pytest.fixture(scope="module")
def task(api: httpx.Client) -> str:
    """The path of a task."""
    return f"/tasks/{api.post('/tasks', json={'title': 'Good'}).json()['id']}"


@pytest.fixture(scope="module")
def instance(api: httpx.Client) -> str:
    """The path of an instance."""
    made = api.post("/instances", json={"name": f"good {uuid4().hex}"})
    return f"/instances/{made.json()['id']}"


UNREADABLE = {
    "nothing": b"",
    "half": b'{"title": "x"',
    "no json": b"title=x",
    "two": b'{"title": "x"}{}',
    "a list": b'[{"title": "x"}]',
    "a text": b'"title"',
    "null": b"null",
    "NaN": b'{"title": NaN}',
    "Infinity": b'{"name": "x", "config": {"a": Infinity}}',
    "beyond double": b'{"name": "x", "config": {"a": 1e400}}',
    "huge int": b'{"title": ' + b"9" * 10_000 + b"}",
    "lone surrogate": b'{"title": "\\ud800"}',
    "reversed surrogates": b'{"title": "\\udc00\\ud800"}',
    "lone surrogate in a name": b'{"title": "x", "\\ud800": 1}',
    "no UTF-8": b'{"title": "\xff\xfe"}',
    "encoded surrogate": b'{"title": "\xed\xa0\x80"}',
    "UTF-16": '{"title": "x"}'.encode("utf-16"),
    "deep lists": b"[" * 50_000 + b"]" * 50_000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "deep and unclosed": b'{"config":' + b"[" * 100_000,
    "only NUL": b"\0" * 100,
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_a_body_that_cant_be_read_is_told(api: httpx.Client, task: str, instance: str, content: bytes) -> None:
    """A broken client would look like a broken server, or break it for everyone."""
    for method, path in (
        ("POST", "/tasks"),
        ("PUT", task),
        ("PATCH", task),
        ("PUT", f"{task}/feedback"),
        ("POST", f"{task}/delegations"),
        ("POST", "/instances"),
        ("PATCH", instance),
        ("POST", "/patterns"),
    ):
        problem(api.request(method, path, content=content, headers=JSON), 400, 422)


@pytest.mark.parametrize("content", [content for content in UNREADABLE.values() if content])
def test_a_line_that_cant_be_read_is_named(api: httpx.Client, content: bytes) -> None:
    """A single odd line would cost a whole import, and nobody would know which one it was."""
    good = json.dumps({"id": uuid4().hex, "title": "Good"}).encode()
    answer = api.post("/tasks/bulk", content=b"\n".join([good, content, good]), headers=NDJSON)
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert (report["created"], report["unchanged"]) == (1, 1)
    assert [error["line"] for error in report["errors"]] == [2]


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/xml", "nonsense", ""],
)
def test_another_content_type_is_refused(api: httpx.Client, kind: str) -> None:
    """A form on somebody's web page could file tasks from a visitor's browser."""
    answer = api.post("/tasks", content=b'{"title": "x"}', headers={"Content-Type": kind})
    problem(answer, 415, 422)


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "not announced"])
def test_a_body_that_is_too_large_is_refused(api: httpx.Client, announced: bool) -> None:
    """One request could take all of the server's memory."""
    body = json.dumps({"title": "x", "description": "y" * 3_000_000}).encode()
    parts = (body[at : at + 65_536] for at in range(0, len(body), 65_536))
    problem(api.post("/tasks", content=body if announced else parts, headers=JSON), 413)


@pytest.mark.parametrize(
    "word", ["x" * 99_999, "-".join(["ab"] * 33_000), " ".join(f"a{n}.b/c{n}" for n in range(8_000)), "𠀀-𐌰" * 33_000]
)
def test_a_text_of_awkward_words_is_taken(api: httpx.Client, word: str) -> None:
    """A pasted log or certificate couldn't be filed, because of what the full-text index makes of it."""
    assert api.post("/tasks", json={"title": "x", "description": word[:100_000]}).status_code == 201


def test_a_line_that_is_too_long_is_named(api: httpx.Client) -> None:
    """A file that was joined into one line would fill the server's memory, or be refused without a reason."""
    long = json.dumps({"title": "x" * 3_000_000}).encode()
    answer = api.post("/tasks/bulk", content=b'{"title": "Good"}\n' + long, headers=NDJSON)
    assert answer.status_code == 200
    assert (answer.json()["created"], answer.json()["errors"][0]["line"]) == (1, 2)
    assert len(answer.content) < 1000


def test_the_limits_are_what_was_set(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has little memory, or much to import, couldn't say so; or an import would have no limit at all."""
    settings = tmp_path / "server.yaml"
    settings.write_text("max_body_bytes: 1024\nmax_bulk_bytes: 4096\n")
    monkeypatch.setenv("HOPPER_CONFIG", str(settings))
    lines = b'{"title": "Good"}\n' * 200
    with (
        serving(database_url, tmp_path / "home") as running,
        httpx.Client(base_url=f"{running.url}/api/v1", headers=KEYED, timeout=30, trust_env=False) as client,
    ):
        assert client.post("/tasks/bulk", content=lines, headers=NDJSON).json()["created"] == 200
        problem(client.post("/tasks/bulk", content=lines * 2, headers=NDJSON), 413)
        problem(client.post("/tasks", json={"title": "x", "description": "y" * 1024}), 413)
        assert client.post("/tasks", json={"title": "x", "description": "y" * 900}).status_code == 201
