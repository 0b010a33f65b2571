"""hopper config and hopper doctor, as a person or a script runs them."""

import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.asking import ADMIN_KEY
from tests.commands import run as run_command
from tests.conftest import RunningServer, serving

from hopper import __version__

SECRET = "hush"
WRONG = f"""\
prot: 1
database:
  postgres:
    url: postgresql://me:{SECRET}/x@db/hopper
  neo4j: {{pasword: {SECRET}}}
"""


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [*os.environ]:
        if name.startswith(("HOPPER_", "NEO4J_", "OPENAI_")) or name in {"PORT", "DATABASE_URL"}:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    (tmp_path / "user").mkdir()


def run(*arguments: str | Path, **environment: str) -> tuple[int, str, str]:
    """The exit code, and what was said on stdout and on stderr."""
    done = run_command(*arguments, env={**os.environ, **environment})
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def answer(*arguments: str | Path, **environment: str) -> tuple[int, Any]:
    code, out, _ = run(*arguments, "--json", **environment)
    return code, json.loads(out)


def test_a_file_to_begin_with_is_written_once_and_found_right() -> None:
    """A newcomer would write the file from scratch; or a second `init` would throw away what was set."""
    code, out, _ = run("config", "init")
    file = Path("config/server.yaml")
    assert (code, str(file) in out) == (0, True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text(file.read_text().replace("port: 8000", "port: 8001"))
    assert run("config", "init")[0] == 4
    assert "port: 8001" in file.read_text()
    code, said = answer("config", "check")
    assert (code, said["ok"], said["file"]) == (0, True, str(file))
    code, out, _ = run("config", "check", file, DATABASE_URL=f"postgresql://me:{SECRET}@db/hopper")
    assert (code, str(file) in out, "DATABASE_URL" in out) == (0, True, True)
    assert SECRET not in out


def test_everything_wrong_is_told_with_its_line() -> None:
    """A deployment couldn't tell before it starts, in one go, what is wrong with its settings."""
    Path("s.yaml").write_text(WRONG)
    code, out, err = run("config", "check", "s.yaml", HOPPER_POTR="1")
    assert code == 1
    for part, line in zip(["line 1", "line 4", "line 5", "HOPPER_PORT"], out.splitlines(), strict=True):
        assert part in line
    assert SECRET not in out + err
    code, said = answer("config", "check", "s.yaml")
    assert (code, said["ok"]) == (1, False)
    assert [(one["setting"], one["name"], one["line"]) for one in said["problems"]] == [
        ("prot", "s.yaml", 1), ("database.postgres.url", "s.yaml", 4), ("database.neo4j.pasword", "s.yaml", 5),
    ]  # fmt: skip
    assert run("config", "show", HOPPER_CONFIG="s.yaml")[0] == 2
    assert run("config", "check", "none.yaml")[0] == 2
    code, _, err = run("config", "check", ".")
    assert (code, "is a directory" in err) == (2, True)


def test_every_setting_is_shown_with_who_gave_it() -> None:
    """Nobody could tell which of four places made the server do what it does."""
    Path("s.yaml").write_text(f"database:\n  neo4j:\n    url: bolt://graph\n    password: {SECRET}\nport: 1")
    variables = {"HOPPER_CONFIG": "s.yaml", "DATABASE_URL": f"postgresql://me:{SECRET}@db/x?password={SECRET}"}
    code, said = answer("config", "show", "--host", "::1", **variables)
    shown = {one["setting"]: (one["value"], one["source"], one["name"], one["line"]) for one in said["settings"]}
    assert code == 0
    assert shown["host"] == ("::1", "flag", "--host", None)
    assert shown["port"] == (1, "file", "s.yaml", 5)
    assert shown["database.postgres.url"] == (
        "postgresql://me:***@db/x?password=***",
        "environment",
        "DATABASE_URL",
        None,
    )
    assert shown["database.neo4j.password"] == ("***", "file", "s.yaml", 4)
    assert shown["database.neo4j.enabled"] == (True, "file", "s.yaml", 3)
    assert shown["sync.min_sources"] == (3, "default", None, None)
    code, out, _ = run("config", "show", **variables)
    assert "s.yaml:5" in out
    assert SECRET not in out + json.dumps(said)


def test_the_doctor_on_a_new_machine_changes_nothing() -> None:
    """A newcomer would be told that something is wrong, or find a half-made data directory."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code, said = answer("doctor", PORT=str(port))
    assert (code, said["ok"]) == (0, True)
    assert {one["check"] for one in said["findings"]} == {
        "packages", "settings", "data", "port", "postgresql", "replica", "neo4j", "embeddings", "server", "local",
    }  # fmt: skip
    assert list(Path("user").iterdir()) == []


def test_the_doctor_beside_a_running_server(server_home: Path) -> None:
    """An admin couldn't see at a glance that all is well, or which version runs."""
    with serving(None, server_home) as running:
        port = running.url.rpartition(":")[2]
        code, said = answer("doctor", "--home", server_home, "--port", port)
        told = {one["check"]: one for one in said["findings"]}
        assert (code, said["ok"]) == (0, True), said
        assert f"Hopper {__version__}" in told["port"]["message"]
        messages = " ".join(one["message"] for one in said["findings"])
        for part in (f"The server at {running.url} is ready", "PostgreSQL 16", "Its schema is this version's"):
            assert part in messages


def test_the_doctor_goes_on_past_what_is_wrong(server: RunningServer) -> None:
    """Somebody would mend one thing after another, and be told of the next only then; or see a password."""
    Path("s.yaml").write_text(WRONG)
    code, said = answer("doctor", "--server", server.url, HOPPER_CONFIG="s.yaml", HOPPER_API_KEY=ADMIN_KEY)
    found = {(one["check"], one["state"]) for one in said["findings"]}
    assert (code, said["ok"]) == (1, False)
    assert found >= {("settings", "wrong"), ("packages", "ok"), ("server", "ok"), ("local", "ok")}
    code, out, err = run(
        "doctor", "--database-url", f"postgresql://me:{SECRET}@127.0.0.1:9/x", HOPPER_SERVER="http://127.0.0.1:9"
    )
    assert code == 1
    assert [line.split()[:2] for line in out.splitlines() if line.startswith("wrong")] == [
        ["wrong", "postgresql"],
        ["wrong", "server"],
    ]
    assert "→ " in out
    assert SECRET not in out + err
    code, out, err = run("doctor", "--port", "0", HOPPER_SERVER=f"http://me:{SECRET}@host")
    assert (code, "no user or password" in out, err) == (1, True, "")
    assert SECRET not in out
