"""Keys as people meet them: the first start, commands, rates, and requests that never end."""

import json
import os
import re
import socket
import stat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from tests.asking import KEYED
from tests.commands import run
from tests.conftest import RunningServer, serving
from tests.problems import problem

from hopper.app.access import authenticate
from hopper.config import BadConfiguration
from hopper.domain.errors import Unauthorized
from hopper.entrypoints.cli.admin_key import keep
from hopper.ports import Ports


def hopper(server: RunningServer, *arguments: str, code: int = 0, **environment: str) -> str:
    """What a command says on stdout, or on stderr where it fails."""
    environ = {**os.environ, "HOPPER_SERVER": server.url, **environment}
    ended = run(*arguments, env=environ)
    assert ended.returncode == code, ended.stderr
    return ended.stdout if code == 0 else ended.stderr


def keyless(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HOPPER_ADMIN_KEY", "HOPPER_API_KEY", "HOPPER_AUTH__REQUESTS_PER_SECOND"):
        monkeypatch.delenv(variable, raising=False)


def test_whoever_starts_a_server_may_use_it_at_once_and_nobody_else(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newcomer would have to find out about keys before the first task; or anybody on the machine could read all."""
    keyless(monkeypatch)
    home = tmp_path / "home"
    with serving(database_url, home) as server:
        path = home / "admin.key"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        key = path.read_text()
        hopper(server, "add", "First", HOPPER_HOME=str(home))
        told = hopper(server, "ls", code=4, HOPPER_HOME=str(tmp_path / "elsewhere"))
        assert "HOPPER_API_KEY" in told
        problem(httpx.get(f"{server.url}/api/v1/tasks", trust_env=False), 401)
        problem(httpx.get(f"{server.url}/metrics", trust_env=False), 401)
        own = json.loads(hopper(server, "whoami", "--json", HOPPER_HOME=str(home)))
        refused = hopper(server, "key", "revoke", own["key_id"], code=4, HOPPER_HOME=str(home))
        assert "shut out" in refused
        hopper(server, "key", "revoke", own["key_id"], "--yes", HOPPER_HOME=str(home))
        assert "revoked" in hopper(server, "ls", code=4, HOPPER_HOME=str(home))
    with serving(database_url, home) as server:
        assert path.read_text() != key, "a revoked key would lock the owner out"
        assert "First" in hopper(server, "ls", HOPPER_HOME=str(home))
    path.write_text("")  # as a full disk leaves it
    with serving(database_url, home) as server:
        assert "First" in hopper(server, "ls", HOPPER_HOME=str(home)), "an empty file would lock the owner out"
    assert [one.name for one in home.iterdir()] == ["admin.key"]


def test_the_key_of_this_machine_is_sent_to_no_other(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that somebody names in a chat would be given the key that opens everything here."""
    from hopper.entrypoints.cli.admin_key import key_for

    keyless(monkeypatch)
    monkeypatch.setenv("HOPPER_HOME", str(tmp_path))
    (tmp_path / "admin.key").write_text("hpk_1_2\n")
    assert key_for(server.url) == key_for("http://[::1]:80") == key_for("http://localhost") == "hpk_1_2"
    for address in (
        "http://evil.example",
        "http://127.0.0.1.evil.example",
        "http://localhost@evil.example",
        "http://[",
    ):
        assert key_for(address) is None


def test_keys_by_commands(server: RunningServer) -> None:
    """An administrator would have to write requests by hand to let a colleague in, or to shut one out."""
    team = json.loads(hopper(server, "instance", "add", "team of keys", "--json"))["id"]
    made = json.loads(hopper(server, "key", "create", "bob", "--within", team, "--expires", "30d", "--json"))
    assert (made["role"], made["instance_id"]) == ("member", team)
    token = hopper(server, "key", "create", "ci", "--role", "agent").strip()
    as_bob = made["token"]
    assert hopper(server, "whoami", HOPPER_API_KEY=as_bob).startswith("bob (member within team of keys)")
    hopper(server, "add", "Bob's", HOPPER_API_KEY=as_bob)
    assert "it takes one whose role is admin" in hopper(server, "key", "list", code=4, HOPPER_API_KEY=as_bob)
    bound = hopper(server, "key", "create", "chief", "--role", "admin", "--within", team).strip()
    assert "it takes a key that isn't bound" in hopper(server, "audit", code=4, HOPPER_API_KEY=bound)
    listed = hopper(server, "key", "list")
    assert "team of keys" in listed
    assert "everything" in listed
    assert made["token"] not in listed
    for named in (made["id"], made["id"][:8], "bob"):
        assert "POST /tasks" in hopper(server, "audit", "--key", named)
    hopper(server, "audit", "--key", "nobody", code=3)
    hopper(server, "audit", "--of", "nothing-of-the-kind", code=3)
    environment = {**os.environ, "HOPPER_SERVER": server.url}
    assert "2 keys called 'bob'" in run("key", "create", "bob", env=environment).stderr
    hopper(server, "key", "revoke", "bob", code=4)
    assert "is revoked" in hopper(server, "key", "revoke", made["id"])
    assert "is revoked" in hopper(server, "key", "revoke", "bob")  # the one that is left
    hopper(server, "audit", "--key", "bob", code=4)  # which of both?
    hopper(server, "ls", code=4, HOPPER_API_KEY=as_bob)
    hopper(server, "ls", HOPPER_API_KEY=token)


def test_whoever_may_hand_a_task_over_is_told_how(server: RunningServer) -> None:
    """A member of a team would file a task that nobody takes, and not hear that it waits for somebody to give it away;
    an agent would be told to do what it may not.
    """
    team = json.loads(hopper(server, "instance", "add", "team of those who wait", "--json"))["id"]
    member, agent, other = (
        hopper(server, "key", "create", "waiting", "--role", role, *bound).strip()
        for role, bound in (("member", ["--within", team]), ("agent", ["--within", team]), ("agent", []))
    )
    filed = hopper(server, "add", "Zylophon qwurz", "--route", HOPPER_API_KEY=member)
    id = filed.split("\n", 1)[0]
    advice = f"It waits in triage. Hand it over yourself: hopper delegate {id} INSTANCE"
    assert advice in filed
    for command in ("show", "why"):
        assert advice in hopper(server, command, id, HOPPER_API_KEY=member)
        assert "in triage.\n" in hopper(server, command, id, HOPPER_API_KEY=agent)
        assert "triage" not in hopper(server, command, id), "to everybody else the team has it"
    assert "in triage.\n" in hopper(server, "add", "Zylophon qwurz", "--route", HOPPER_API_KEY=other)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["create", "x", "--role", "boss"], 2, "'member', 'agent'"),
        (["create", "x", "--role", "sync"], 4, "hopper sync sources add"),
        (["create", "x", "--expires", "soon"], 2, "30d"),
        (["create", "x", "--expires", "6m"], 2, "30d"),
        (["create", "x", "--expires", "2020-01-01"], 4, "to come"),
        (["create", "x", "--within", "nowhere"], 3, "nowhere"),
        (["revoke", "nothing"], 3, "nothing"),
    ],
)
def test_wrong_usage_of_keys_is_told(server: RunningServer, arguments: list[str], code: int, says: str) -> None:
    """People would guess what the command wants."""
    assert says in hopper(server, "key", *arguments, code=code)


async def test_the_key_file_is_its_owners_alone(ports: Ports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write in the data directory could put a key of their own there, and the server would let it in."""
    path = tmp_path / "admin.key"
    path.write_text("hpk_0123_planted\n")
    path.chmod(0o644)
    with monkeypatch.context() as as_another:
        as_another.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
        with pytest.raises(BadConfiguration, match="belongs to another user"):
            await keep(tmp_path, ports)
    with pytest.raises(Unauthorized):
        await authenticate("hpk_0123_planted", ports=ports)
    await keep(tmp_path, ports)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.rename(tmp_path / "mine")
    path.symlink_to(tmp_path / "mine")
    with pytest.raises(BadConfiguration, match="can't be kept"):
        await keep(tmp_path, ports)


@pytest.mark.parametrize("key", ["schlüssel", "two\nlines"])
def test_what_cant_be_a_key_is_told(server: RunningServer, key: str) -> None:
    """A key that was pasted wrongly would end in a traceback, and that may hold it."""
    assert hopper(server, "ls", code=2, HOPPER_API_KEY=key) == (
        "hopper: What HOPPER_API_KEY holds can't be a key. `hopper key create` prints one: a single line.\n"
    )


@pytest.fixture
def slow(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server of little patience that lets each key ask 20 times a second."""
    monkeypatch.setenv("HOPPER_AUTH__REQUESTS_PER_SECOND", "20")
    monkeypatch.setenv("HOPPER_REQUEST_TIMEOUT_SECONDS", "3")
    with serving(database_url, tmp_path) as running:
        yield running


def test_one_key_cant_use_up_the_server(slow: RunningServer) -> None:
    """One agent in a loop would keep all others waiting."""
    with httpx.Client(base_url=f"{slow.url}/api/v1", headers=KEYED, trust_env=False) as api:
        made = api.post("/keys", json={"name": "other", "role": "read-only"}).raise_for_status().json()["token"]
        answers = [api.get("/keys/own") for _ in range(120)]
        late = [answer for answer in answers if answer.status_code == 429]
        assert 10 < len(late) < 90
        assert all(re.search(r"Try again in [0-9.]*[1-9] ", problem(answer, 429)["detail"]) for answer in late)
        assert late[0].headers["Retry-After"] == "1"
        assert api.get("/keys/own", headers={"Authorization": f"Bearer {made}"}).is_success


def test_a_body_that_stops_coming_is_given_up(slow: RunningServer) -> None:
    """A few clients that hang would hold the server's memory and connections for ever."""
    at = urlsplit(slow.url)
    with socket.create_connection((at.hostname, at.port), timeout=10) as connection:
        head = f"POST /api/v1/tasks HTTP/1.1\r\nHost: {at.netloc}\r\nAuthorization: {KEYED['Authorization']}\r\n"
        connection.sendall(f'{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"title":'.encode())
        assert connection.recv(100)[:12] in {b"HTTP/1.1 408", b"HTTP/1.1 503"}
